"""Owner, writer, reader: what each may, what is refused, and that everyday work is done without the owner's rights.

The whole everyday suite works as the writer (tests/conftest.py, `database`); here are the refusals.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.conftest import rows, sync
from tests.pipeline.test_corrections import City
from tests.pipeline.test_rejections import lot
from zoning_assets.errors import SchemaMismatch, StoreError
from zoning_assets.operations import history_rollback
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis import replica
from zoning_assets.storage.postgis.records import hold_records

AUDIT = "INSERT INTO zoning.audit VALUES (1, now(), 'ann', 'pause', '{}', 'x', 'y')"
VERSIONS = ("parcel_version", "district_version", "parcel_zoning_version", "amendment_version")


def refused(url: str, statement: str) -> bool:
    """Whether PostgreSQL refuses a statement because of missing rights."""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        except psycopg.Error:  # a trigger, or what depends on it: not for want of rights
            return False
        finally:
            connection.rollback()
    return False


UNMAKING = [
    "UPDATE zoning.audit SET actor = 'eve'",
    "DELETE FROM zoning.audit",
    "TRUNCATE zoning.audit",
    "ALTER TABLE zoning.audit DISABLE TRIGGER ALL",
    "DROP TRIGGER audit_only_grows ON zoning.audit",
    "CREATE OR REPLACE FUNCTION zoning.audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "DROP TABLE zoning.audit",
    "ALTER TABLE zoning.parcel_version DROP COLUMN system_to",
    "ALTER TABLE zoning.parcel_version DROP CONSTRAINT parcel_version_once",
    "CREATE RULE quiet AS ON INSERT TO zoning.audit DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON zoning.audit EXECUTE FUNCTION zoning.audit_only_grows()",
    "SET session_replication_role = replica",
    "CREATE TABLE zoning.mine ()",
    "UPDATE zoning.schema_version SET version_num = '0'",
    "DELETE FROM zoning.batch",
    "DELETE FROM zoning.change",
    "TRUNCATE zoning.parcel",
    "COPY zoning.parcel TO PROGRAM 'cat'",
    "CREATE ROLE mine",
    *(f"UPDATE zoning.{table} SET jurisdiction = 'x'" for table in VERSIONS),
    *(f"DELETE FROM zoning.{table}" for table in VERSIONS),
]
CHANGING = [
    AUDIT,
    "UPDATE zoning.parcel SET address = NULL",
    "DELETE FROM zoning.parcel",
    "INSERT INTO zoning.watch VALUES ('a', 'b', now())",
    "SELECT * FROM zoning.parcel FOR UPDATE",
    "CREATE TABLE zoning.mine ()",
    "TRUNCATE zoning.parcel",
]


def test_a_writer_cannot_change_history(database: str) -> None:
    """The audit and the versions are append-only, and a writer cannot disable their triggers; an owner could."""
    assert [each for each in UNMAKING if not refused(database, each)] == []
    assert [each for each in UNMAKING if refused(db.as_role(database, None), each)] == []


def test_a_reader_cannot_write(database: str) -> None:
    assert [each for each in CHANGING if not refused(db.as_role(database, db.READER), each)] == []


def test_a_reader_reads_everything(database: str) -> None:
    """Every table and view but the secrets of subscriptions, and the functions, with PostGIS."""
    reader = db.as_role(database, db.READER)
    for (name,) in rows(database, "SELECT relname FROM pg_class WHERE relnamespace = 'zoning'::regnamespace "
                                  "AND relkind IN ('r', 'v')"):  # fmt: skip
        assert refused(reader, f'SELECT * FROM zoning."{name}"') == (name == "subscription_secret"), name
    assert rows(reader, "SELECT * FROM zoning.parcel_as_of('x', NULL, NULL)") == []
    assert rows(reader, "SELECT ST_Area(ST_MakeEnvelope(0, 0, 2, 2))") == [(4.0,)]


def test_tables_of_later_migrations_are_covered(database: str) -> None:
    """Default privileges cover new tables."""
    owner = db.as_role(database, None)
    with psycopg.connect(owner) as connection:
        connection.execute("CREATE TABLE zoning.later (id serial, name text)")
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO zoning.later (name) VALUES ('a')")
    assert rows(db.as_role(database, db.READER), "SELECT * FROM zoning.later") == [(1, "a")]
    assert refused(db.as_role(database, db.READER), "INSERT INTO zoning.later (name) VALUES ('a')")


def test_harvest_pause_and_rollback_run_as_the_writer(pipeline: Pipeline, tmp_path: Path) -> None:
    """Each row was written by a session without the rights of the owner."""
    ours = urlsplit(pipeline.database).path[1:]
    with psycopg.connect(db.as_role(pipeline.database, None)) as connection:
        connection.execute("""
            CREATE TABLE public.seen (who text);
            GRANT INSERT ON public.seen TO PUBLIC;
            CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN INSERT INTO public.seen VALUES (current_user); RETURN NULL; END';
            CREATE TRIGGER see AFTER INSERT ON zoning.batch EXECUTE FUNCTION public.see();
            CREATE TRIGGER see AFTER INSERT ON zoning.parcel EXECUTE FUNCTION public.see();
            CREATE TRIGGER see AFTER INSERT ON zoning.audit EXECUTE FUNCTION public.see();
        """)
    city = City(pipeline, tmp_path)
    city.harvest([lot(number, f"A{number}") for number in range(5)])
    ((moment,),) = rows(city.url, "SELECT clock_timestamp()")
    city.harvest([lot(number, f"A{number}") for number in range(6)])
    history_rollback.roll_back(
        city.url, pipeline.objects, city.described, to=moment, actor="ann", reason="x", dry_run=False
    )
    hold_records.resume(city.url, jurisdiction=city.described.id, host=None, reason="x", actor="ann")
    assert sync(pipeline, city.described)[0].error is None
    seen = rows(db.as_role(city.url, None), "SELECT who, count(*) > 8 FROM public.seen GROUP BY 1")
    assert (ours.startswith("test_"), seen) == (True, [(db.WRITER, True)])


@pytest.fixture
def user(server: str, database: str) -> Iterator[str]:
    """The URL of a user who may create nothing on the server, and owns nothing in the database."""
    name, owner = f"user_{uuid.uuid4().hex[:8]}", db.as_role(database, None)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
        parts = urlsplit(owner)
        yield parts._replace(netloc=f"{name}:secret@{parts.hostname}:{parts.port}").geturl()
        with psycopg.connect(owner, autocommit=True) as ours:
            ours.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(name)))
            ours.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def _grant(database: str, statement: str, user: str) -> None:
    with psycopg.connect(db.as_role(database, None)) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(urlsplit(user).username or "")))


def test_a_user_with_the_writer_role_can_publish(database: str, user: str) -> None:
    """The user does not own the schema and needs no other role."""
    _grant(database, "GRANT zoning_writer TO {}", user)
    working = db.migrate(user)
    assert rows(working, "SELECT current_user::text") == [(db.WRITER,)]
    rights = db.rights(working)
    assert (rights.login, rights.role, rights.line) == (urlsplit(user).username, db.WRITER, None)


def test_a_user_without_grants_gets_an_error_with_the_missing_grant(database: str, user: str) -> None:
    """One line, no traceback."""
    with pytest.raises(StoreError, match="permission denied for schema zoning; let the schema's owner GRANT") as caught:
        db.migrate(user)
    assert ("\n" in str(caught.value), "secret" in str(caught.value)) == (False, False)


def test_a_user_of_a_replica_without_grants_gets_an_error(database: str, user: str) -> None:
    """One line, no traceback."""
    with pytest.raises(StoreError, match="permission denied for schema zoning") as caught:
        replica.answering(user)
    assert ("\n" in str(caught.value), "secret" in str(caught.value)) == (False, False)


def test_an_older_schema_that_the_user_may_not_change_is_reported(database: str, user: str) -> None:
    """One line: what, where, and what to do (its owner runs `zoning db up`)."""
    _grant(database, "GRANT zoning_writer TO {}", user)
    with psycopg.connect(db.as_role(database, None)) as connection:
        connection.execute("UPDATE zoning.schema_version SET version_num = '0004'")
    with pytest.raises(
        SchemaMismatch, match=r"has version 0004, this program needs \d{4}, and .*not change it"
    ) as caught:
        db.migrate(user)
    assert ("\n" in str(caught.value), "secret" in str(caught.value)) == (False, False)
    assert "let the schema's owner run `zoning db up`" in str(caught.value)


def test_without_roles_everything_runs_as_the_owner_with_a_warning(server: str, database: str, user: str) -> None:
    """A user who owns the schema on a server where it may create no roles works as the owner, with one line."""
    _grant(database, "ALTER SCHEMA zoning OWNER TO {}", user)
    for (name,) in rows(database, "SELECT relname FROM pg_class WHERE relnamespace = 'zoning'::regnamespace "
                                  "AND relkind IN ('r', 'v') ORDER BY relkind"):  # fmt: skip
        _grant(database, f'ALTER TABLE zoning."{name}" OWNER TO {{}}', user)
    working = db.migrate(user)
    assert working == user
    rights = db.rights(working)
    assert rights.is_owner
    assert "GRANT zoning_writer TO user_" in (rights.line or "")
    assert "\n" not in (rights.line or "")
    assert hold_records.active(working) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b%40@h:1/d",
        "postgresql:///d?host=/run/x&sslmode=require",
        "postgresql://h/d?options=-c%20jit%3Doff",
        "postgresql://h/d?options=-c%20jit%3Doff%20-c%20role%3Dzoning_writer",
    ],
)
def test_a_role_is_added_to_a_url_and_removed_again(url: str) -> None:
    said = psycopg.conninfo.conninfo_to_dict(db.as_role(url, db.WRITER))
    assert said["options"].endswith("-c role=zoning_writer")
    assert said["options"].count("role=") == 1
    bare = psycopg.conninfo.conninfo_to_dict(db.as_role(db.as_role(url, db.WRITER), None))
    given = psycopg.conninfo.conninfo_to_dict(url)
    options = given.get("options", "").replace("-c role=zoning_writer", "").strip()
    assert {**bare, "options": bare.get("options", "")} == {**given, "options": options}
