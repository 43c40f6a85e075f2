"""Shows which processes are alive, on any machine: a process keeps a lock of the database while it lives.

Who looks at the locks must look twice, `LOCKED_AGAIN_WITHIN_S` apart, before a process is considered dead: after a
restart of the database a living process has no lock for a moment.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psycopg

from zoning_assets.errors import ZoningError
from zoning_assets.storage.postgis import kept_lock
from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

#: A living process locks again within this time after the database answers again, seconds.
LOCKED_AGAIN_WITHIN_S = 25.0
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
    key, is_theirs = f"zoning/process/{name}", False
    connection: Connection | None = None
    with suppress(psycopg.Error, ZoningError):
        connection = kept_lock.locked(url, key)
        is_theirs = connection is None
    if is_theirs:
        yield False
        return
    _held.add(name)
    try:
        with kept_lock.kept(url, key, connection):
            yield True
    finally:
        _held.discard(name)


def living(url: str, names: Collection[str]) -> set[str]:
    """Return those of the names whose lock is held by some process.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    if not names:
        return set()
    with session(url) as connection:
        return {name for (name,) in connection.execute(named("process_locks")["living"], {"names": list(names)})}
