"""Migrated databases for tests, as many as are used at the same time.

CREATE DATABASE takes 0.15 s, emptying a database 0.02 s. So a database that only had rows written to it is emptied and
used by the next test, under a new name. One whose schema was changed is dropped.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.support.waiting import until
from zoning_assets.storage.postgis import database as db

#: The catalogs in which every change of a schema leaves a row more, a row less or a row of a newer transaction.
_CATALOGS = (
    "pg_attrdef",
    "pg_attribute",
    "pg_constraint",
    "pg_default_acl",
    "pg_description",
    "pg_event_trigger",
    "pg_extension",
    "pg_index",
    "pg_largeobject_metadata",
    "pg_policy",
    "pg_proc",
    "pg_rewrite",
    "pg_statistic_ext",
    "pg_trigger",
    "pg_type",
    "spatial_ref_sys",
    "zoning.schema_version",
)
_COUNTS = " UNION ALL ".join(
    f"SELECT '{catalog}', concat(count(*), ' ', max(xmin::text::bigint)) FROM {catalog}" for catalog in _CATALOGS
)
#: What TRUNCATE and temporary tables leave as it is, and everything else changes.
_SCHEMA = f"""
{_COUNTS}
UNION ALL
SELECT 'database', concat(datdba, datacl, datconnlimit, datallowconn, (
    SELECT array_agg((setrole, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid
))
FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT nspname, concat(
    nspowner, nspacl,
    array_agg((relname, relowner, relkind, relpersistence, relrowsecurity, relacl, reloptions) ORDER BY relname)
)
FROM pg_namespace LEFT JOIN pg_class ON relnamespace = pg_namespace.oid
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
GROUP BY pg_namespace.oid, nspname, nspowner, nspacl
ORDER BY 1
""".encode()
_WRITTEN = b"""
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = 'zoning'::regnamespace AND relkind = 'r' AND relname <> 'schema_version'
AND pg_relation_size(oid) > 0
"""
_RESTART = b"SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
_END_SESSIONS = b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


def named(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def disconnect(connection: psycopg.Connection, name: str) -> None:
    """End the sessions of a database and wait for their end: workers keep connections for their next transaction.

    Args:
        connection: in autocommit; within a transaction PostgreSQL shows the same sessions each time.
        name: the database.
    """
    # pg_terminate_backend can wait itself, but looks only every 0.1 s.
    until(partial(_ended, connection, name), f"the end of the sessions of {name}", most_s=10, every_s=0.002)


def _ended(connection: psycopg.Connection, name: str) -> bool:
    return not connection.execute(_END_SESSIONS, [name]).rowcount


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:8]}"


@contextmanager
def copied(server: str, template: str) -> Iterator[tuple[str, str]]:
    """A copy of a database while the block runs: its name, and its URL for who writes and owns nothing."""
    name = _new_name()
    with psycopg.connect(server, autocommit=True) as connection:
        _create(connection, name, template)
        yield name, db.as_role(named(server, name), db.WRITER)
        _drop(connection, name)


@contextmanager
def continued(server: str, name: str) -> Iterator[str]:
    """A copy of a database in which something was published: its URL as the writer. Sessions of that one are ended."""
    with psycopg.connect(server, autocommit=True) as connection:
        disconnect(connection, name)
    with copied(server, name) as (_, url):
        yield url


def _create(connection: psycopg.Connection, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


class Databases:
    """Empty databases with the schema, each for one test at a time."""

    def __init__(self, server: str, template: str) -> None:
        self._server, self._template = server, template
        self._spare: list[str] = []
        self._connection = psycopg.connect(server, autocommit=True)
        with psycopg.connect(named(server, template)) as connection:
            self._schema = connection.execute(_SCHEMA).fetchall()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """An empty database while the block runs, under a name that no test had before: its URL as the writer."""
        name = _new_name()
        if self._spare:
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            self._connection.execute(rename.format(sql.Identifier(self._spare.pop()), sql.Identifier(name)))
        else:
            _create(self._connection, name, self._template)
        yield db.as_role(named(self._server, name), db.WRITER)
        if self._emptied(name):
            self._spare.append(name)
        else:
            _drop(self._connection, name)

    def close(self) -> None:
        """Drop the databases that no test has."""
        for name in self._spare:
            _drop(self._connection, name)
        self._connection.close()

    def _emptied(self, name: str) -> bool:
        """Empty a database. Whether it is then as the template is: False where its schema was changed."""
        disconnect(self._connection, name)
        if not self._connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
            return False
        with psycopg.connect(named(self._server, name)) as connection:
            if connection.execute(_SCHEMA).fetchall() != self._schema:
                return False
            connection.execute("SET session_replication_role = replica")  # the audit's trigger forbids TRUNCATE
            if written := [table for (table,) in connection.execute(_WRITTEN)]:
                connection.execute(f"TRUNCATE {', '.join(written)} CASCADE".encode())
            connection.execute(_RESTART)
        return True
