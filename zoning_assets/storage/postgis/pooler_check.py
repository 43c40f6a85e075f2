"""Whether a connection pooler stands before a database, and whether it keeps a session for each connection.

The programs need sessions: advisory locks, LISTEN, temporary tables and the role belong to one. PgBouncer keeps them in
its session mode only.
"""

import time
from functools import cache

import psycopg

from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.storage.postgis.connection_settings import with_peer_limits

_CONNECT_S, _MOST_S = 10, 5.0
#: Seconds between two queries, in each try.
_TRIES_S = (0.02, 0.05, 0.1, 0.2)
_PROCESS = "SELECT pg_backend_pid()"
_END_WHEN_IDLE = "SELECT pg_backend_pid(), set_config('idle_session_timeout', '1', false)"


def is_pooled(connection: psycopg.Connection) -> bool:
    """Whether a pooler stands before the database: it gives clients a process id of its own."""
    row = connection.execute(_PROCESS).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


@cache
def check_sessions(url: str, where: str) -> None:
    """Check that a pooler keeps a session for each connection, once in a process.

    There are several tries, because a lost connection proves little: in transaction mode it is also lost if a query
    reaches the server at the moment when it ends the session, which is frequent on a busy machine.

    Args:
        url: the address, as psycopg takes it.
        where: the database, for the message.

    Raises:
        DatabaseUnavailable: it does not.
        psycopg.Error: the database does not answer.
    """
    for pause_s in _TRIES_S:
        with psycopg.connect(with_peer_limits(url), autocommit=True, connect_timeout=_CONNECT_S) as connection:
            if not _keeps_session(connection, pause_s):
                raise DatabaseUnavailable(
                    "a connection pooler in transaction mode stands before it, and the programs need sessions",
                    where=where,
                    do="set pool_mode = session for this database in the pooler, or give the server's own address",
                )


def _keeps_session(connection: psycopg.Connection, pause_s: float) -> bool:
    """Let the server end this idle session: then the connection is lost, unless a pooler replaces the session."""
    until = time.monotonic() + _MOST_S
    try:
        first = connection.execute(_END_WHEN_IDLE).fetchone()
        while time.monotonic() < until:
            time.sleep(pause_s)
            if connection.execute(_PROCESS).fetchone() != (first and first[:1]):
                return False
    except psycopg.errors.UndefinedObject:  # a server before version 14 has no such setting: nothing can be found out
        return True
    except psycopg.OperationalError:
        return True
    return True
