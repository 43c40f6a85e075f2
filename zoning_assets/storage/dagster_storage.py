"""Where Dagster keeps its own storage (runs, events, partitions, schedules): always PostgreSQL, by dagster-postgres.

    ZONING_DAGSTER_DATABASE_URL    the database that the user names
    the private cluster            its database `dagster`, owned by a login that owns nothing else
    ZONING_DATABASE_URL            the schema `zoning_dagster` of that database, chosen by search_path

What does not belong here: Dagster. Its dagster.yaml reads the address from the environment.
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

SETTING = "ZONING_DAGSTER_DATABASE_URL"
DATABASE, SCHEMA = "dagster", "zoning_dagster"
#: A key is the jurisdiction, a separator, and the tile (partitions.py).
_REGISTERED = """
SELECT count(*) FROM dynamic_partitions
WHERE partitions_def_name = 'tiles' AND starts_with(partition, %(jurisdiction)s)
    AND substr(partition, length(%(jurisdiction)s) + 2) = ANY (%(tiles)s)
"""
#: One process at a time makes Dagster's tables.
_TABLES_LOCK = 7_240_512


def bring_up(home: Path, environ: Mapping[str, str], url: str) -> str:
    """The address of Dagster's storage, which exists and answers; it may have no tables yet.

    Args:
        home: ZONING_HOME.
        environ: where ZONING_DAGSTER_DATABASE_URL may be set.
        url: the database that the program works with, as database.bring_up returns it.

    Raises:
        SettingInvalid: ZONING_DAGSTER_DATABASE_URL is no address of a database.
        DatabaseUnavailable: it does not answer, or this user may not make the schema.
    """
    if configured := environ.get(SETTING):
        return remote.answering(configured, SETTING)
    return local_postgres.own_database(home, url, DATABASE) or _own_schema(url)


def is_private(address: str) -> bool:
    """Whether an address is that of a private cluster's database."""
    return urlsplit(address).username == f"zoning_{DATABASE}" and urlsplit(address).path == f"/{DATABASE}"


@contextmanager
def locked(address: str) -> Iterator[None]:
    """Hold the storage alone, on all machines. Of two programs that make Dagster's tables at once, Dagster records two
    versions in one storage, which it then refuses for good."""
    with database.connect(address) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_TABLES_LOCK])
        yield


def has_tiles(address: str, jurisdiction: str, tiles: Collection[str]) -> bool:
    """Whether tiles of a jurisdiction are registered as partitions. It reads Dagster's own table, as importing Dagster
    takes a second; False where there is no such table.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    values = {"jurisdiction": jurisdiction, "tiles": list(tiles)}
    with database.connect(address) as connection:
        try:
            found = connection.execute(_REGISTERED, values).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            return False
    return found == (len(tiles),)


def _own_schema(url: str) -> str:
    """A schema beside ours. Its owner is the role that programs work as, which owns nothing of ours."""
    address = database.with_option(url, f"-c search_path={SCHEMA}")
    with database.connect(url) as connection:
        role, exists = connection.execute(
            "SELECT current_user::text, to_regnamespace(%s) IS NOT NULL", [SCHEMA]
        ).fetchone() or ("", False)
    if not exists:
        _create_schema(database.as_role(url, None), role)
    return address


def _create_schema(url: str, role: str) -> None:
    query = sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}")
    try:
        with database.open_(url) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_TABLES_LOCK])
            connection.execute(query.format(sql.Identifier(SCHEMA), sql.Identifier(role)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            f"the schema {SCHEMA} for Dagster's storage cannot be made there by this user",
            where=database.where(url),
            do=f"let a superuser run CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}, or set {SETTING}",
        ) from error
