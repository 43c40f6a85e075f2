"""An advisory lock of the database that a process keeps, and takes again if its session is lost.

PostgreSQL releases the lock when the session ends. That happens at once if the process ends or is killed. If its
machine is lost, the server ends the session after `LOST_AFTER_S`, because no heartbeat arrives. Heartbeats instead of
TCP keepalives also work through PgBouncer in session mode, and detect a machine that is suspended.

If the database is restarted, the process locks again as soon as the database answers.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection as PipeEnd
from multiprocessing.connection import wait
from typing import Any

import psycopg

from zoning_assets.errors import ZoningError
from zoning_assets.storage.postgis.database import Connection, open_connection
from zoning_assets.storage.postgis.sql_queries import named

_log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which the server ends the session of a lost process.
LOST_AFTER_S = 60
#: Seconds between two heartbeats, between two attempts to lock, and until the thread must have ended.
_HEARTBEAT_S, _RETRY_S, _END_S = 15.0, 1.0, 2.0
#: Milliseconds until a server that does not acknowledge a heartbeat is given up: after a failover the lost server sends
#: nothing, and TCP would wait for a quarter of an hour.
SILENT_MS = 10_000


def open_session(url: str, **options: Any) -> Connection:
    """Open a session for a lock, which the caller closes.

    Args:
        url: the database. With PgBouncer: in session mode.
        options: further ones of libpq.

    Raises:
        DatabaseUnavailable: the database does not answer.
        psycopg.Error: the session was lost at once.
    """
    connection = open_connection(url, tcp_user_timeout=SILENT_MS, **options)
    try:
        connection.autocommit = True
        connection.execute(named("kept_lock")["session"], {"timeout": f"{LOST_AFTER_S}s"})
    except BaseException:
        connection.close()
        raise
    return connection


def take(connection: Connection, key: str) -> bool:
    """Take the lock of a key in a session; False: another session has it."""
    return connection.execute(named("kept_lock")["take"], {"key": key}).fetchone() == (True,)


def locked(url: str, key: str) -> Connection | None:
    """Return a new session that has the lock of a key; None: another session has it.

    Raises:
        DatabaseUnavailable, psycopg.Error: see open_session.
    """
    connection = open_session(url)
    try:
        if take(connection, key):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


@contextmanager
def kept(url: str, key: str, connection: Connection | None) -> Iterator[None]:
    """Keep the lock of a key while the block runs.

    Args:
        url: the database.
        key: of the lock.
        connection: the session that has the lock; it is closed at the end. None: the lock is taken as soon as the
            database answers.
    """
    end, stop = Pipe(duplex=False)
    keeper = threading.Thread(target=_keep, args=(url, key, connection, end), name="zoning-lock", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.close()
        keeper.join(_END_S)


def _keep(url: str, key: str, connection: Connection | None, end: PipeEnd) -> None:
    """Send heartbeats until the other end of the pipe is closed. If the session is lost, lock in a new one. An old
    session that the server still keeps has the lock meanwhile, so the lock is not free."""
    while True:
        try:
            if connection is None:
                connection = locked(url, key)
            if connection is not None:
                if end in wait([connection.pgconn.socket, end], _HEARTBEAT_S):
                    break
                connection.execute("SELECT")
                continue
        except (psycopg.Error, ZoningError, OSError) as error:
            _log.debug("%s: %s", key, type(error).__name__)
            if connection is not None:
                connection.close()
                connection = None
        if wait([end], _RETRY_S):
            break
    if connection is not None:
        _release(connection, key)
    end.close()


def _release(connection: Connection, key: str) -> None:
    """Release the lock and end its session. The server would notice the end of a session only later."""
    with suppress(psycopg.Error):
        connection.execute(named("kept_lock")["release"], {"key": key})
    connection.close()
