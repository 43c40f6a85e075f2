"""PostGIS: connecting, and bringing the schema up to this program's version."""

import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.rows import dict_row

from zoning_assets import local_postgres
from zoning_assets.errors import DatabaseUnavailable, SchemaMismatch, StoreError
from zoning_assets.graceful_stop import LAST_CALLS
from zoning_assets.storage.postgis.database_errors import Reason, reason
from zoning_assets.storage.postgis.sql_queries import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The newest migration in migrations/versions; a test proves it.
HEAD = "0014"
#: One migration at a time on one database, whoever starts it.
_MIGRATION_LOCK = 7_240_511
_CONNECT_S = 10

#: What programs work as, and what may be given to people who look.
WRITER, READER = "zoning_writer", "zoning_reader"
_AS_WRITER = f"-c role={WRITER}"

Connection = psycopg.Connection[tuple[Any, ...]]
#: The connections of this process.
_opened = weakref.WeakSet[Connection]()
_CANCEL_S = 0.5


@contextmanager
def connect(url: str) -> "Iterator[Connection]":
    """A connection; commits when the block ends well, rolls back otherwise.

    Raises:
        DatabaseUnavailable: nobody answers, or the password is wrong. The message never holds the password.
        StoreError: the database failed, or refused, in the block.
    """
    try:
        with open_(url) as connection:
            yield connection
    except psycopg.Error as error:
        raise failed(error, url) from error


def open_(url: str) -> Connection:
    """A connection that is the caller's to close.

    Raises:
        DatabaseUnavailable: as connect.
    """
    try:
        connection = psycopg.connect(url, connect_timeout=_CONNECT_S, application_name="zoning_assets")
    except psycopg.Error as error:
        raise unavailable(error, url) from None
    _opened.add(connection)
    return connection


def _cancel_statements() -> None:
    """A process that is cut off leaves no statement behind that works on, holding its locks."""
    for connection in list(_opened):
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_CANCEL_S)


LAST_CALLS.append(_cancel_statements)


def unavailable(error: psycopg.Error, url: str) -> DatabaseUnavailable:
    """A connection that was not made, as an error of ours."""
    why = reason(error)
    do = f"{why.do} (ZONING_DATABASE_URL; `zoning db up` starts one of our own)"
    return DatabaseUnavailable(why.what, where=where(url), do=do)


def dicts(connection: Connection, query: bytes, values: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """A query's rows, by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def address(url: str) -> str:
    """Where a database is, without user and password; for messages."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local'}:{parts.port or 5432}{parts.path}"


def failed(error: psycopg.Error, url: str) -> StoreError:
    """A statement that the database did not carry out, as an error of ours."""
    why = reason(error)
    return StoreError(why.what, where=where(url), do=f"{why.do}; nothing was published by this step")


def where(url: str) -> str:
    """Where a database is, as errors name it."""
    return f"the database {address(url)}"


def bring_up(home: Path, environ: "Mapping[str, str]") -> str:
    """A database that answers and has this program's schema: the URL to work with, see migrate. A cluster of ours is
    worked with by a login that cannot be its owner.

    Raises:
        SettingInvalid, DatabaseUnavailable, SchemaMismatch: see cluster.ensure and migrate.
    """
    url = migrate(local_postgres.ensure(home, environ))
    return local_postgres.login(home, url, WRITER) or url


def migrate(url: str) -> str:
    """Bring the schema to this program's version; does nothing where it is there already.

    Returns:
        The URL to work with: of a session that may write and owns nothing, where the server lets us have one, else the
        one given.

    Raises:
        SchemaMismatch: the database is newer than this program, or older and not this user's to change.
        StoreError: this user may not look at it.
        DatabaseUnavailable: nobody answers, or PostGIS is not to be had there.
    """
    working = as_role(url, WRITER)
    if _is_ready(working):
        return working
    given = as_role(url, None)
    with connect(given) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        found = _seen_revision(connection, url)
        if found is not None and found > HEAD:
            raise SchemaMismatch(
                f"the schema is of version {found}, this program knows {HEAD}",
                where=address(url),
                do="install the newer zoning-assets",
            )
        if found is None:
            _make_room(connection, url)
    if found != HEAD:
        _run_alembic(given, found)
    with connect(given) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        _grant(connection)
    return working if _is_ready(working) else given


def as_role(url: str, role: str | None) -> str:
    """The URL of sessions that work as one of our roles; None: as whoever connects."""
    base, query = _parts(url)
    others = query.pop("options", "").replace(_AS_WRITER, "").strip()
    return _joined(base, query, others, f"-c role={role}" if role else "")


def with_option(url: str, option: str) -> str:
    """The URL of sessions with one more setting, such as `-c search_path=public`."""
    base, query = _parts(url)
    return _joined(base, query, query.pop("options", ""), option)


def _parts(url: str) -> tuple[str, dict[str, str]]:
    base, _, said = url.partition("?")
    return base, dict(parse_qsl(said, keep_blank_values=True))


def _joined(base: str, query: dict[str, str], *options: str) -> str:
    if any(options):
        query["options"] = " ".join(filter(None, options))
    return f"{base}?{urlencode(query, quote_via=quote)}" if query else base


def _is_ready(url: str) -> bool:
    """Whether sessions of this URL can be had, and find this program's schema."""
    try:
        with psycopg.connect(url, connect_timeout=_CONNECT_S, application_name="zoning_assets") as connection:
            return revision(connection) == HEAD
    except psycopg.Error:  # no such role, or not ours to be; or nobody answers, which is said when it matters
        return False


def _make_room(connection: Connection, url: str) -> None:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
        connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")  # exclusion constraints on text
        connection.execute("CREATE SCHEMA IF NOT EXISTS zoning")
    except psycopg.Error as error:
        what = "PostGIS, btree_gist or our schema cannot be made there by this user"
        do = "let a superuser CREATE EXTENSION postgis and btree_gist, and give this user CREATE on the database"
        raise DatabaseUnavailable(what, where=where(url), do=do) from error


def _grant(connection: Connection) -> None:
    """The roles and what they may, as far as this user may give it; what was given before stays."""
    query = named("roles")
    for step in ("create", "grant", "join"):
        there, ours = connection.execute(query["exist"]).fetchone() or (False, False)
        if step == "create" and there:
            continue
        if step == "grant" and not (there and ours):
            return
        with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(query[step])


@dataclass(frozen=True)
class Rights:
    """As whom a program came to the database, and as whom it works."""

    login: str
    role: str
    is_owner: bool  # it could change the schema, and the audit with it

    @property
    def line(self) -> str | None:
        """What a person should know; None where all is as it should be."""
        if not self.is_owner:
            return None
        return (
            f"the database lets {self.login} make no roles: everything runs as {self.role}, who owns the schema; let"
            f" a superuser CREATE ROLE zoning_reader, zoning_writer and GRANT zoning_writer TO {self.login}"
        )


def rights(url: str) -> Rights:
    """As whom sessions of this URL work.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with connect(url) as connection:
        return Rights(*(connection.execute(named("roles")["who"]).fetchone() or ("", "", True)))


def revision(connection: Connection) -> str | None:
    """The schema's version, None where there is none."""
    row = connection.execute("SELECT to_regclass('zoning.schema_version')").fetchone()
    if row is None or row[0] is None:
        return None
    version = connection.execute("SELECT version_num FROM zoning.schema_version").fetchone()
    return None if version is None else str(version[0])


def _seen_revision(connection: Connection, url: str) -> str | None:
    try:
        return revision(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        do = f"let the schema's owner GRANT {WRITER} to this user"
        raise StoreError(reason(error).what, where=where(url), do=do) from error


def _run_alembic(url: str, found: str | None) -> None:
    # Imported here: Alembic takes 0.3 s to import and is needed once in a database's life.
    import sqlalchemy as sa  # noqa: PLC0415
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("zoning_assets.storage.postgis").joinpath("migrations")))
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sa.exc.SQLAlchemyError as error:
        if isinstance(getattr(error, "orig", None), psycopg.errors.InsufficientPrivilege) and found is not None:
            raise SchemaMismatch(
                f"the schema is of version {found}, this program needs {HEAD}, and this user may not change it",
                where=address(url),
                do="let the schema's owner run `zoning db up`",
            ) from error
        cause = getattr(error, "orig", None)
        why = reason(cause) if isinstance(cause, psycopg.Error) else Reason("a migration failed", "report it")
        raise StoreError(f"the schema was not brought up: {why.what}", where=where(url), do=why.do) from error
    finally:
        engine.dispose()
