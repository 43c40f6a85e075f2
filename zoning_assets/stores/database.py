"""PostGIS: connecting, and bringing the schema up to this program's version."""

from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from zoning_assets.errors import DatabaseUnavailable, SchemaMismatch, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The newest migration in migrations/versions; a test proves it.
HEAD = "0006"
#: One migration at a time on one database, whoever starts it.
_MIGRATION_LOCK = 7_240_511
_CONNECT_S = 10

Connection = psycopg.Connection[tuple[Any, ...]]


@contextmanager
def connect(url: str) -> "Iterator[Connection]":
    """A connection; commits when the block ends well, rolls back otherwise.

    Raises:
        DatabaseUnavailable: nobody answers, or the password is wrong. The message never holds the password.
    """
    with open_(url) as connection:
        yield connection


def open_(url: str) -> Connection:
    """A connection that is the caller's to close.

    Raises:
        DatabaseUnavailable: as connect.
    """
    try:
        return psycopg.connect(url, connect_timeout=_CONNECT_S, application_name="zoning_assets")
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            first_line(error), where=address(url), do="check ZONING_DATABASE_URL, or start it with `zoning db up`"
        ) from None


def dicts(connection: Connection, query: bytes, values: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """A query's rows, by the names of its columns."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def address(url: str) -> str:
    """Where a database is, without user and password; for messages."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local'}:{parts.port or 5432}{parts.path}"


def first_line(error: psycopg.Error) -> str:
    """What PostgreSQL says, without the query."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def migrate(url: str) -> None:
    """Bring the schema to this program's version; does nothing where it is there already.

    Raises:
        SchemaMismatch: the database is newer than this program.
        DatabaseUnavailable: nobody answers, or PostGIS is not to be had there.
    """
    with connect(url) as connection:
        if revision(connection) == HEAD:
            return
    with connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        found = revision(connection)
        if found is not None and found > HEAD:
            raise SchemaMismatch(
                f"the schema is of version {found}, this program knows {HEAD}",
                where=address(url),
                do="install the newer zoning-assets",
            )
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS postgis")
            connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")  # exclusion constraints on text
            connection.execute("CREATE SCHEMA IF NOT EXISTS zoning")
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                first_line(error),
                where=address(url),
                do="let a superuser CREATE EXTENSION postgis and btree_gist there",
            ) from error
        connection.commit()
    _run_alembic(url)


def revision(connection: Connection) -> str | None:
    """The schema's version, None where there is none."""
    row = connection.execute("SELECT to_regclass('zoning.schema_version')").fetchone()
    if row is None or row[0] is None:
        return None
    version = connection.execute("SELECT version_num FROM zoning.schema_version").fetchone()
    return None if version is None else str(version[0])


def _run_alembic(url: str) -> None:
    # Imported here: Alembic takes 0.3 s to import and is needed once in a database's life.
    import sqlalchemy as sa  # noqa: PLC0415
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("zoning_assets.stores").joinpath("migrations")))
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(str(error).splitlines()[0], where=address(url), do="report this migration's fault") from error
    finally:
        engine.dispose()
