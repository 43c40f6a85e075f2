"""Migrations of the schema: of an empty database, repeated, concurrent, of an older database, of a newer one."""

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.resources import files
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic import command
from psycopg import sql

from tests.conftest import rows
from zoning_assets.errors import SchemaMismatch
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis.records import audit_records, hold_records, release_profiles

STORES = files("zoning_assets.storage.postgis")
TABLES = {
    "batch",
    "parcel",
    "parcel_version",
    "district",
    "district_version",
    "rejection",
    "host_budget",
    "code",
    "best_lot",
    "parcel_zoning",
    "parcel_zoning_version",
    "whole",
    "release",
    "change",
    "amendment",
    "amendment_version",
    "amendment_match",
    "watch",
    "hold",
    "audit",
    "feed",
    "failure",
    "queue",
    "received",
    "survey",
    "fix",
    "schema_version",
    "change_log",
    "subscription",
    "subscription_secret",
    "subscription_parcel",
}
#: What a catalog says of the schema, by kind; nothing in it depends on the order in which things were made.
CATALOG = {
    "tables": """
        SELECT c.relname, c.relkind, c.relpersistence, obj_description(c.oid, 'pg_class') FROM pg_class c
        WHERE c.relnamespace = 'zoning'::regnamespace ORDER BY 1
    """,
    "columns": """
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            a.attgenerated, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'zoning'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'zoning'::regnamespace ORDER BY 1, 2
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'zoning' ORDER BY 1, 2",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'zoning'::regnamespace ORDER BY 1, 2
    """,
    "triggers": """
        SELECT t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'zoning'::regnamespace AND NOT t.tgisinternal ORDER BY 1
    """,
}


@pytest.fixture
def empty(server: str) -> Iterator[str]:
    """An empty database."""
    name = f"empty_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def catalog(url: str) -> dict[str, list[tuple]]:
    return {kind: rows(url, query) for kind, query in CATALOG.items()}


def tables(url: str) -> set[str]:
    query = "SELECT relname FROM pg_class WHERE relnamespace = 'zoning'::regnamespace AND relkind = 'r'"
    return {name for (name,) in rows(url, query)}


def test_migrations_give_the_schema_of_the_schema_file(database: str, empty: str) -> None:
    """All migrations together and sql/schema.sql agree in every table, column, constraint, index and comment."""
    with psycopg.connect(empty) as connection:
        connection.execute("CREATE EXTENSION postgis")
        connection.execute("CREATE EXTENSION btree_gist")
        for name in ("schema.sql", "comments.sql"):
            connection.execute(STORES.joinpath("sql", name).read_bytes())
    written, migrated = catalog(empty), catalog(database)
    for kind in CATALOG:
        assert migrated[kind] == written[kind], kind
    assert tables(database) == TABLES


def test_migrating_twice_does_nothing(empty: str) -> None:
    """The second migration changes no row of the catalogs."""
    made = "SELECT relname, oid, relfilenode, xmin::text FROM pg_class WHERE relnamespace = 'zoning'::regnamespace"
    db.migrate(empty)
    before = catalog(empty), sorted(rows(empty, made))
    assert set(before[0]["tables"])
    db.migrate(empty)
    assert (catalog(empty), sorted(rows(empty, made))) == before


def test_two_concurrent_migrations_give_one_schema(empty: str, database: str) -> None:
    """Two processes that start on an empty database at the same time both succeed, and the schema is complete."""
    program = "import sys; from zoning_assets.storage.postgis import database; input(); database.migrate(sys.argv[1])"
    command = [sys.executable, "-c", program, empty]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:  # both have imported what they need, and wait for a line
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    said = [process.communicate(timeout=500)[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert catalog(empty) == catalog(database)
    assert rows(empty, "SELECT version_num FROM zoning.schema_version") == [(db.HEAD,)]


#: What a database of version 0004 may hold; the last rows are hostile.
OLD = """
    INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started, committed)
        VALUES ('us-xx-old', 't', 'parcels', 'h', 'r', now(), now());
    INSERT INTO zoning.rejection (batch_id, jurisdiction, tile, feed, reason, raw, state) SELECT
        1, 'us-xx-old', 't', 'parcels', 'null_key', raw, state
        FROM (VALUES ('{"attributes": {"OBJECTID": 1, "N": 2}}'::jsonb, 'open'), ('{"properties": {"N": 3}}', 'open'),
            ('{"attributes": {"N": 1}}', 'superseded'), ('{}', 'open'), ('{"attributes": null}', 'open'),
            ('{"attributes": [1, {"a": "b"}], "geometry": "x"}', 'open')) AS old (raw, state);
    INSERT INTO zoning.whole VALUES ('us-xx-old', 'parcels', 1);
    INSERT INTO zoning.hold (jurisdiction, reason, actor, since) VALUES ('us-xx-old', 'odd', 'ann', now());
    INSERT INTO zoning.release (
        jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved, tolerance_m, alarms,
        counts, judged
    ) VALUES ('us-xx-old', 0, 1, 0, 1, '', 0, 0, 1, '{}', '{}', now());
    INSERT INTO zoning.change (
        id, jurisdiction, kind, state, facet, parcel_ids, old, new, confidence, detected, evidence, release_id
    ) VALUES ('c', 'us-xx-old', 'added', 'event', 'parcel', '{P}', 'NaN', 'P', 1, now(), '{}', 1);
    INSERT INTO zoning.audit
        SELECT (a).id, (a).at, (a).actor, (a).deed, (a).subject, (a).reason, zoning.audit_hash('', a)
        FROM (SELECT ROW(1, now(), 'ann', 'pause', '{}'::jsonb, 'odd', '')::zoning.audit AS a) one;
    CREATE VIEW public.mine AS SELECT zoning.date_or_null('2026-11-30') AS day;
"""


def test_the_rows_of_an_older_database_are_kept(empty: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejections get the current row ids, the hold is active, the audit is valid and can be continued. A view of the
    user is kept."""
    upgrade = command.upgrade
    with monkeypatch.context() as old:  # a program of then
        old.setattr(command, "upgrade", lambda config, _: upgrade(config, "0004"))
        old.setattr(db, "HEAD", "0004")
        old.setattr(db, "_grant", lambda _: None)
        db.migrate(empty)
    with psycopg.connect(empty) as connection:
        connection.execute(OLD)
    url = db.migrate(empty)
    assert catalog(empty) == catalog(database)
    named = "SELECT count(*), count(DISTINCT row_id), bool_and(row_id = zoning.row_id(jurisdiction, feed, raw)) FROM {}"
    assert rows(url, named.format("zoning.rejection")) == [(6, 5, True)]
    assert [hold.jurisdiction for hold in hold_records.active(url)] == ["us-xx-old"]
    assert audit_records.broken_audit_rows(url) == []
    hold_records.resume(url, jurisdiction="us-xx-old", host=None, reason="mended", actor="bob")
    assert audit_records.broken_audit_rows(url) == []
    assert release_profiles.baseline(url, "us-xx-old", "parcels") == (True, 0)
    assert rows(url, "SELECT old, new FROM zoning.change") == [(None, "P")]


#: A parcel and its history as version 0009 has them, with statistics of the time when it was alone.
ALONE = """
    INSERT INTO zoning.parcel SELECT 'us-xx-old', 'P' || n, 't', NULL, NULL, NULL, NULL, '{}', 1,
        ST_Multi(ST_MakeEnvelope(n, 0, n + 1, 1, 4326)), 'h', 1, now(), now() FROM generate_series(1, 50) n;
    INSERT INTO zoning.parcel_version SELECT p.*, now(), now(), NULL, NULL, 2 FROM zoning.parcel p;
    ANALYZE zoning.parcel;
"""
TARGETS = """
    SELECT attrelid::regclass::text, attstattarget FROM pg_attribute
    WHERE attrelid IN ('zoning.parcel'::regclass, 'zoning.parcel_version'::regclass) AND attname = 'jurisdiction'
    ORDER BY 1
"""


def test_a_filled_database_gets_the_new_indexes(empty: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and indexes equal those of a new database; existing statistics of jurisdictions can still be renewed."""
    upgrade = command.upgrade
    with monkeypatch.context() as old:  # a program of then
        old.setattr(command, "upgrade", lambda config, _: upgrade(config, "0009"))
        old.setattr(db, "HEAD", "0009")
        old.setattr(db, "_grant", lambda _: None)
        db.migrate(empty)
    with psycopg.connect(empty) as connection:
        connection.execute(ALONE)
    url = db.migrate(empty)
    assert catalog(empty) == catalog(database)
    counted = "SELECT (SELECT count(*) FROM zoning.parcel), (SELECT count(*) FROM zoning.parcel_version)"
    assert rows(url, counted) == [(50, 50)]
    assert rows(url, TARGETS) == [("zoning.parcel", -1), ("zoning.parcel_version", 0)]
    assert rows(database, TARGETS) == [("zoning.parcel", 0), ("zoning.parcel_version", 0)]


#: Rows of version 0013, whose audit and fixes have a column `deed`.
DEEDS = """
    INSERT INTO zoning.audit
        SELECT (a).id, (a).at, (a).actor, (a).deed, (a).subject, (a).reason, zoning.audit_hash('', a)
        FROM (SELECT ROW(1, now(), 'ann', 'fix', '{}'::jsonb, 'a typing error', '')::zoning.audit AS a) one;
    INSERT INTO zoning.fix (row_id, jurisdiction, feed, deed, reason, actor, since)
        SELECT deed, 'us-xx-old', 'parcels', deed, 'a typing error', 'ann', now()
        FROM unnest('{mend,known}'::text[]) deed;
"""


def test_the_column_deed_becomes_action(empty: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit keeps its values and hashes, and can be continued; a fix with the value `mend` has `fix`."""
    upgrade = command.upgrade
    with monkeypatch.context() as old:  # the previous version of the program
        old.setattr(command, "upgrade", lambda config, _: upgrade(config, "0013"))
        old.setattr(db, "HEAD", "0013")
        old.setattr(db, "_grant", lambda _: None)
        db.migrate(empty)
    with psycopg.connect(empty) as connection:
        connection.execute(DEEDS)
    hashes = rows(empty, "SELECT hash FROM zoning.audit")
    url = db.migrate(empty)
    assert catalog(empty) == catalog(database)
    assert rows(url, "SELECT hash FROM zoning.audit") == hashes
    assert rows(url, "SELECT row_id, action FROM zoning.fix ORDER BY id") == [("mend", "fix"), ("known", "known")]
    audit_records.record_action(url, "bob", "pause", {}, "a test")
    assert rows(url, "SELECT action FROM zoning.audit ORDER BY id") == [("fix",), ("pause",)]
    assert audit_records.broken_audit_rows(url) == []


def test_a_newer_database_is_not_changed(database: str) -> None:
    """A program that is older than its database reports it in one line, and changes nothing."""
    with psycopg.connect(db.as_role(database, None)) as connection:
        connection.execute("UPDATE zoning.schema_version SET version_num = '9999', compatible_from = '9998'")
    before = catalog(database)
    with pytest.raises(SchemaMismatch, match=rf"the schema has version 9999, this program knows {db.HEAD}") as caught:
        db.migrate(database)
    assert "\n" not in str(caught.value)
    assert catalog(database) == before
    assert rows(database, "SELECT version_num FROM zoning.schema_version") == [("9999",)]


def test_a_newer_database_that_fits_is_used(database: str) -> None:
    """After a migration that only adds something a program of before goes on, as the writer."""
    oldest = rows(database, "SELECT compatible_from FROM zoning.schema_version")
    assert oldest == [(db.COMPATIBLE_FROM,)]
    with psycopg.connect(db.as_role(database, None)) as connection:
        connection.execute("UPDATE zoning.schema_version SET version_num = '9999', compatible_from = %s", [db.HEAD])
    before = catalog(database)
    assert db.rights(db.migrate(database)).role == db.WRITER
    assert catalog(database) == before
    assert rows(database, "SELECT version_num FROM zoning.schema_version") == [("9999",)]


#: What a program of before cannot work with, in the statements of a migration.
NARROWING = re.compile(
    r"\b(DROP\s+(?:TABLE|COLUMN|VIEW|FUNCTION|SCHEMA)|RENAME|SET\s+NOT\s+NULL"
    r"|ALTER\s+COLUMN\s+\w+\s+(?:SET\s+DATA\s+)?TYPE"
    r"|ALTER\s+TABLE\s+zoning\.(?:parcel|district|parcel_zoning)(?:_version)?\s+ADD\s+COLUMN)\b",  # SELECT p.*
    re.IGNORECASE,
)


def test_migrations_since_the_oldest_program_only_add() -> None:
    """COMPATIBLE_FROM is the number of a migration or of the last one that removed, renamed or narrowed something."""
    newer = [path for path in STORES.joinpath("sql").iterdir() if db.COMPATIBLE_FROM < path.name[:4] <= db.HEAD]
    assert newer or db.COMPATIBLE_FROM == db.HEAD
    found = {path.name: NARROWING.findall(path.read_text()) for path in newer}
    assert not any(found.values()), f"set database.COMPATIBLE_FROM to the newest of {found}"


def test_a_failed_migration_is_rolled_back(empty: str) -> None:
    """A migration is one transaction: after a failure none of its tables exists."""
    with psycopg.connect(empty) as connection:
        connection.execute("CREATE SCHEMA zoning")
        connection.execute("CREATE TABLE zoning.rejection (theirs text)")  # the last table of the first migration
    with pytest.raises(db.StoreError, match="already exists") as caught:
        db.migrate(empty)
    assert "\n" not in str(caught.value)
    assert tables(empty) == {"rejection"}


def test_head_is_the_newest_migration() -> None:
    """`database.HEAD` is the highest number in migrations/versions, and no number is repeated."""
    folder = STORES.joinpath("migrations", "versions")
    numbers = sorted(path.name.split("_")[0] for path in folder.iterdir() if path.name.endswith(".py"))
    assert numbers[-1] == db.HEAD
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("table", ["parcel", "district", "parcel_zoning"])
def test_versions_have_every_column_of_their_table(database: str, table: str) -> None:
    """A version table begins with the columns of its table, in the same order and types, as `SELECT p.*` requires."""
    query = """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum
    """
    now = rows(database, query, f"zoning.{table}")
    then = rows(database, query, f"zoning.{table}_version")
    assert then[: len(now)] == now
    assert [name for name, *_ in then[len(now) :]] == ["system_from", "system_to", "legal_from", "legal_to", "ended_by"]
