"""The database of Dagster's own storage (runs, events, partitions, schedules), which dagster-postgres uses.

    ZONING_DAGSTER_DATABASE_URL    a database of the user
    the private cluster            its database `dagster`, owned by a login that owns nothing else
    ZONING_DATABASE_URL            the schema `zoning_dagster` of that database, chosen by search_path

What does not belong here: imports of Dagster. Its dagster.yaml reads the address from the environment.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from zoning_assets import local_postgres
from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.local_postgres import remote
from zoning_assets.storage.postgis import database
from zoning_assets.storage.postgis.connection_settings import with_peer_limits

SETTING = "ZONING_DAGSTER_DATABASE_URL"
DATABASE, SCHEMA = "dagster", "zoning_dagster"
#: A partition key is the jurisdiction, a separator, and the tile (partitions.py).
_REGISTERED = """
SELECT count(*) FROM dynamic_partitions
WHERE partitions_def_name = %(name)s AND starts_with(partition, %(jurisdiction)s)
    AND substr(partition, length(%(jurisdiction)s) + 2) = ANY (%(tiles)s)
"""
#: Advisory lock: only one process at a time creates Dagster's tables.
_TABLES_LOCK = 7_240_512
_CONNECT_S = 10


def bring_up(home: Path, environ: Mapping[str, str], url: str) -> str:
    """Return the address of Dagster's storage, after it has answered. A missing database or
    schema is created; it may have no tables yet.

    Args:
        home: ZONING_HOME.
        environ: where ZONING_DAGSTER_DATABASE_URL may be set.
        url: the database of the program, as database.bring_up returns it.

    Raises:
        SettingInvalid: ZONING_DAGSTER_DATABASE_URL is not the URL of a PostgreSQL database.
        DatabaseUnavailable: it does not answer, or this user may not create the schema.
    """
    if configured := environ.get(SETTING):
        return remote.answering(configured, SETTING)
    return local_postgres.own_database(home, url, DATABASE) or _own_schema(url)


def is_private(address: str) -> bool:
    """Whether an address belongs to a private cluster."""
    return urlsplit(address).username == f"zoning_{DATABASE}" and urlsplit(address).path == f"/{DATABASE}"


@contextmanager
def locked(address: str) -> Iterator[None]:
    """Hold the lock of the storage, across machines.

    If two programs create Dagster's tables at the same time, the storage gets two version records, and Dagster refuses
    it from then on.
    """
    with database.connect(address) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_TABLES_LOCK])
        yield


def has_tiles(address: str, jurisdiction: str, tiles: Collection[str], name: str) -> bool:
    """Whether these tiles of a jurisdiction are registered as partitions; False if Dagster has no tables yet.

    `name`: of the partitions of tiles of its group. It reads Dagster's table directly, because importing Dagster takes
    a second.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    values = {"jurisdiction": jurisdiction, "tiles": list(tiles), "name": name}
    with database.connect(address) as connection:
        try:
            found = connection.execute(_REGISTERED, values).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return False
    return found == (len(tiles),)


def _own_schema(url: str) -> str:
    """A schema of its own in our database. Its owner is the role that programs use, which does not own our schema."""
    address = database.with_option(url, f"-c search_path={SCHEMA}")
    with database.connect(url) as connection:
        role, exists = connection.execute(
            "SELECT current_user::text, to_regnamespace(%s) IS NOT NULL", [SCHEMA]
        ).fetchone() or ("", False)
    if not exists:
        _create_schema(database.as_role(url, None), role)
    _check_options(address)
    return address


def _check_options(address: str) -> None:
    """Check that a session of Dagster gets the search path of the address: a connection pooler may refuse or ignore it.

    Raises:
        DatabaseUnavailable: it does not.
    """
    try:
        with psycopg.connect(with_peer_limits(address), connect_timeout=_CONNECT_S) as connection:
            if connection.execute("SELECT current_schema()").fetchone() == (SCHEMA,):
                return
    except psycopg.OperationalError as error:
        if "startup parameter" not in str(error):
            raise database.connection_error(error, address) from None
    raise DatabaseUnavailable(
        "a connection pooler before it drops the search path that Dagster's storage needs",
        where=database.where(address),
        do=f"set {SETTING} to a database of its own, or to the server's own address",
    )


def _create_schema(url: str, role: str) -> None:
    query = sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}")
    try:
        with database.open_connection(url) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_TABLES_LOCK])
            connection.execute(query.format(sql.Identifier(SCHEMA), sql.Identifier(role)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            f"this user cannot create the schema {SCHEMA} for Dagster's storage",
            where=database.where(url),
            do=f"let a superuser run CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}, or set {SETTING}",
        ) from error
