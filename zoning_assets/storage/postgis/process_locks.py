"""Shows which processes are alive, on any machine: a process holds an advisory lock of the database while it lives.

PostgreSQL releases the lock when the session ends. That happens at once if the process ends or is killed. If its
machine is lost, the server ends the session after `LOST_AFTER_S`, because no heartbeat arrives. Heartbeats instead of
TCP keepalives also work through PgBouncer in session mode, and detect a machine that is suspended.

If the database is restarted, the process locks again as soon as the database answers. Who looks at the locks must
therefore look twice, `LOCKED_AGAIN_WITHIN_S` apart, before a process is considered dead.
"""

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection as PipeEnd
from multiprocessing.connection import wait

import psycopg

from zoning_assets.errors import ZoningError
from zoning_assets.storage.postgis.database import Connection, connect, open_connection
from zoning_assets.storage.postgis.sql_queries import named

_log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which the server ends the session of a lost process.
LOST_AFTER_S = 60
#: A living process locks again within this time after the database answers again, seconds.
LOCKED_AGAIN_WITHIN_S = 25.0
#: Seconds between two heartbeats, between two attempts to lock, and until the thread must have ended.
_HEARTBEAT_S, _RETRY_S, _END_S = 15.0, 1.0, 2.0
#: Milliseconds until a server that does not acknowledge a heartbeat is given up: after a failover the lost server sends
#: nothing, and TCP would wait for a quarter of an hour.
_SILENT_MS = 10_000

#: The names that this process holds.
_held: set[str] = set()


@contextmanager
def holding(url: str, name: str) -> Iterator[bool]:
    """Hold the lock of a name while the block runs; nested blocks of one name share it.

    A database that does not answer raises no error: the lock is taken as soon as it answers.

    Args:
        url: the database. With PgBouncer: in session mode.
        name: of the process; the id of its run, or of its command.

    Yields:
        False: another living process holds it, and this block holds nothing.
    """
    if name in _held:
        yield True
        return
    connection: Connection | None = None
    is_theirs = False
    with suppress(psycopg.Error, ZoningError):
        connection = _locked(url, name)
        is_theirs = connection is None
    if is_theirs:
        yield False
        return
    _held.add(name)
    end, stop = Pipe(duplex=False)
    keeper = threading.Thread(target=_keep, args=(url, name, connection, end), name="zoning-lock", daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        _held.discard(name)
        stop.close()
        keeper.join(_END_S)


def living(url: str, names: Collection[str]) -> set[str]:
    """Return those of the names whose lock is held by some process.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    if not names:
        return set()
    with connect(url) as connection:
        return {name for (name,) in connection.execute(named("process_locks")["living"], {"names": list(names)})}


def _locks(connection: Connection, name: str) -> bool:
    """Take the lock in this session; False: another session has it."""
    connection.autocommit = True
    connection.execute(named("process_locks")["session"], {"timeout": f"{LOST_AFTER_S}s"})
    return connection.execute(named("process_locks")["lock"], {"name": name}).fetchone() == (True,)


def _keep(url: str, name: str, connection: Connection | None, end: PipeEnd) -> None:
    """Send heartbeats until the other end of the pipe is closed. If the session is lost, lock in a new one. An old
    session that the server still keeps has the lock meanwhile, so the process is shown as alive."""
    while True:
        try:
            if connection is None:
                connection = _locked(url, name)
            if connection is not None:
                if end in wait([connection.pgconn.socket, end], _HEARTBEAT_S):
                    break
                connection.execute("SELECT")
                continue
        except (psycopg.Error, ZoningError, OSError) as error:
            _log.debug("lock of %s: %s", name, type(error).__name__)
            if connection is not None:
                connection.close()
                connection = None
        if wait([end], _RETRY_S):
            break
    if connection is not None:
        connection.close()
    end.close()


def _locked(url: str, name: str) -> Connection | None:
    """Return a new session that has the lock; None: another session has it."""
    connection = open_connection(url, tcp_user_timeout=_SILENT_MS)
    try:
        if _locks(connection, name):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None
