"""PostGIS: connections, roles, and migration of the schema to the version of this program."""

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
from zoning_assets.graceful_stop import CLEANUP_CALLS
from zoning_assets.storage.postgis import connection_settings, schema_version
from zoning_assets.storage.postgis.database_errors import Reason, reason
from zoning_assets.storage.postgis.sql_queries import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The newest migration in migrations/versions; a test proves it.
HEAD = "0017"
#: The oldest version of the program that works with this schema: a migration that removes, renames or narrows something
#: sets its own number here; a test reads the migrations since.
COMPATIBLE_FROM = "0016"
#: Advisory lock: only one process at a time migrates a database.
_MIGRATION_LOCK = 7_240_511
_CONNECT_S = 10

#: The role that programs use, and the role for people who only read.
WRITER, READER = "zoning_writer", "zoning_reader"
_AS_WRITER = f"-c role={WRITER}"

Connection = psycopg.Connection[tuple[Any, ...]]
#: All connections of this process.
_opened = weakref.WeakSet[Connection]()
_CANCEL_S = 0.5


@contextmanager
def connect(url: str) -> "Iterator[Connection]":
    """A connection with one transaction: committed when the block ends without an error, else rolled back.

    Raises:
        DatabaseUnavailable: the database does not answer, or the password is wrong. The message never contains the
            password.
        StoreError: a statement in the block failed.
    """
    try:
        with open_connection(url) as connection:
            yield connection
    except psycopg.Error as error:
        raise statement_error(error, url) from error


def open_connection(url: str, **options: Any) -> Connection:
    """Open a connection, which the caller closes. `options`: further ones of libpq.

    Raises:
        DatabaseUnavailable: see connect.
    """
    try:
        connection = connection_settings.connect(
            url, **{"connect_timeout": _CONNECT_S, "application_name": "zoning_assets", **options}
        )
    except psycopg.Error as error:
        raise connection_error(error, url) from None
    _opened.add(connection)
    return connection


def _cancel_statements() -> None:
    """Cancel running statements when the process ends, so that the server releases their locks."""
    for connection in list(_opened):
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_CANCEL_S)


CLEANUP_CALLS.append(_cancel_statements)


def connection_error(error: psycopg.Error, url: str) -> DatabaseUnavailable:
    """Translate the error of a failed connection."""
    why = reason(error)
    do = f"{why.do} (ZONING_DATABASE_URL; `zoning db up` starts a private one)"
    return DatabaseUnavailable(why.what, where=where(url), do=do)


def dicts(connection: Connection, query: bytes, values: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """Run a query and return its rows as dictionaries by column name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def address(url: str) -> str:
    """Host, port and name of a database, without user and password; for messages."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local'}:{parts.port or 5432}{parts.path}"


def statement_error(error: psycopg.Error, url: str) -> StoreError:
    """Translate the error of a failed statement."""
    why = reason(error)
    return StoreError(why.what, where=where(url), do=f"{why.do}; nothing was published by this step")


def where(url: str) -> str:
    """The database, as error messages name it."""
    return f"the database {address(url)}"


def bring_up(home: Path, environ: "Mapping[str, str]") -> str:
    """Return the URL of a database that answers and has the schema of this program; see migrate.

    In a private cluster the URL has a login that is a writer and cannot become the owner.

    Raises:
        SettingInvalid, DatabaseUnavailable, SchemaMismatch: see local_postgres.ensure and migrate.
    """
    url = migrate(local_postgres.ensure(home, environ))
    return local_postgres.login(home, url, WRITER) or url


def migrate(url: str) -> str:
    """Migrate the schema to the version of this program, if it is older.

    Returns:
        The URL to use: its sessions have the writer role, which owns nothing, if the server permits it; else the given
        URL.

    Raises:
        SchemaMismatch: the schema is newer and does not fit this program, or older and this user may not change it.
        StoreError: this user may not read the schema.
        DatabaseUnavailable: the database does not answer, or PostGIS is missing and cannot be added.
    """
    working = as_role(url, WRITER)
    if _is_ready(working):
        return working
    given = as_role(url, None)
    with connect(given) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        found = _readable_revision(connection, url)
        if found is not None and found > HEAD:
            if schema_version.fits(connection, HEAD):
                return given
            raise SchemaMismatch(
                f"the schema has version {found}, this program knows {HEAD}",
                where=address(url),
                do="install the newer zoning-assets",
            )
        if found is None:
            _create_schema(connection, url)
    if found != HEAD:
        _run_alembic(given, found)
    with connect(given) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        _grant(connection)
    return working if _is_ready(working) else given


def as_role(url: str, role: str | None) -> str:
    """The URL whose sessions use this role; None: the role of the login."""
    base, query = _parts(url)
    others = query.pop("options", "").replace(_AS_WRITER, "").strip()
    return _joined(base, query, others, f"-c role={role}" if role else "")


def with_option(url: str, option: str) -> str:
    """The URL whose sessions have one more setting, such as `-c search_path=public`."""
    base, query = _parts(url)
    return _joined(base, query, query.pop("options", ""), option)


def _parts(url: str) -> tuple[str, dict[str, str]]:
    base, _, query = url.partition("?")
    return base, dict(parse_qsl(query, keep_blank_values=True))


def _joined(base: str, query: dict[str, str], *options: str) -> str:
    if any(options):
        query["options"] = " ".join(filter(None, options))
    return f"{base}?{urlencode(query, quote_via=quote)}" if query else base


def _is_ready(url: str) -> bool:
    """Whether this URL can be opened and its schema fits this program."""
    try:
        with open_connection(url) as connection:
            return schema_version.fits(connection, HEAD)
    except (psycopg.Error, DatabaseUnavailable):  # the role is missing or not granted; a later call tells anything else
        return False


def _create_schema(connection: Connection, url: str) -> None:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
        connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")  # exclusion constraints on text
        connection.execute("CREATE SCHEMA IF NOT EXISTS zoning")
    except psycopg.Error as error:
        what = "this user cannot create PostGIS, btree_gist or the schema zoning"
        do = "let a superuser CREATE EXTENSION postgis and btree_gist, and give this user CREATE on the database"
        raise DatabaseUnavailable(what, where=where(url), do=do) from error


def _grant(connection: Connection) -> None:
    """Create the roles and grant their rights, as far as this user may. Earlier grants are kept."""
    query = named("roles")
    for step in ("create", "grant", "join"):
        exist, is_owner = connection.execute(query["exist"]).fetchone() or (False, False)
        if step == "create" and exist:
            continue
        if step == "grant" and not (exist and is_owner):
            return
        with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(query[step])


@dataclass(frozen=True)
class Rights:
    """The login and the role of a session."""

    login: str
    role: str
    is_owner: bool  # of the schema: it could change all tables, also the audit

    @property
    def line(self) -> str | None:
        """A warning for the user; None: the role owns nothing."""
        if not self.is_owner:
            return None
        return (
            f"{self.login} may not create roles: everything runs as {self.role}, which owns the schema; let a superuser"
            f" CREATE ROLE zoning_reader, zoning_writer and GRANT zoning_writer TO {self.login}"
        )


def rights(url: str) -> Rights:
    """The login and the role of sessions of this URL.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with connect(url) as connection:
        return Rights(*(connection.execute(named("roles")["who"]).fetchone() or ("", "", True)))


def _readable_revision(connection: Connection, url: str) -> str | None:
    try:
        return schema_version.revision(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        do = f"let the schema's owner GRANT {WRITER} to this user"
        raise StoreError(reason(error).what, where=where(url), do=do) from error


def _run_alembic(url: str, found: str | None) -> None:
    # Imported here: Alembic takes 0.3 s to import and is needed only for a migration.
    import sqlalchemy as sa  # noqa: PLC0415
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("zoning_assets.storage.postgis").joinpath("migrations")))
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: connection_settings.connect(url))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config.attributes |= {"connection": connection, "compatible_from": COMPATIBLE_FROM}
            command.upgrade(config, "head")
    except sa.exc.SQLAlchemyError as error:
        if isinstance(getattr(error, "orig", None), psycopg.errors.InsufficientPrivilege) and found is not None:
            raise SchemaMismatch(
                f"the schema has version {found}, this program needs {HEAD}, and this user may not change it",
                where=address(url),
                do="let the schema's owner run `zoning db up`",
            ) from error
        cause = getattr(error, "orig", None)
        why = reason(cause) if isinstance(cause, psycopg.Error) else Reason("a migration failed", "report it")
        raise StoreError(f"the schema was not migrated: {why.what}", where=where(url), do=why.do) from error
    finally:
        engine.dispose()
