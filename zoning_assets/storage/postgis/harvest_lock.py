"""Only one process at a time harvests a feed: two would delete each other's pages of an unfinished harvest.

The lock is an advisory lock of a session of its own, so that it holds for all machines that use this database, and ends
when the process ends, in whatever way (kept_lock.py). With a connection pooler that shares sessions it would not hold.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

import psycopg

from zoning_assets.errors import HarvestRunning, ZoningError
from zoning_assets.storage.postgis import kept_lock
from zoning_assets.storage.postgis.database import Connection, statement_error
from zoning_assets.storage.postgis.sql_queries import named

_log = logging.getLogger(__name__)

#: Seconds between two tries to take the lock.
_TRY_S = 0.5
#: Seconds. The process that waited longer fails; a later try uses what the other one harvested.
_LONGEST_S = 900.0
#: How the sessions of these locks are called in PostgreSQL.
_NAME = "zoning_assets harvest"


@asynccontextmanager
async def harvest_lock(
    url: str, jurisdiction: str, feed: str, stopped: Callable[[], ZoningError | None], longest_s: float = _LONGEST_S
) -> AsyncIterator[None]:
    """While the block runs, no other process harvests this feed. If one does, wait for its end.

    Args:
        url: the database; "": there is none, and no lock.
        jurisdiction: its id.
        feed: its name.
        stopped: the reason to stop waiting; None: there is none.
        longest_s: seconds to wait.

    Raises:
        HarvestRunning: the other process did not end in time.
        DatabaseUnavailable: the database does not answer.
        ZoningError: the reason that `stopped` gave.
    """
    if not url:
        yield
        return
    key = f"zoning/harvest/{jurisdiction}/{feed}"
    connection = await _open(url)
    try:
        await _take(connection, key, f"{jurisdiction} {feed}", stopped, longest_s)
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg.Error):
            raise statement_error(error, url) from error
        raise
    with kept_lock.kept(url, key, connection):
        yield


async def _open(url: str) -> Connection:
    """Open the session. If this task is cancelled meanwhile, the session is closed as soon as it is open."""
    opening = asyncio.ensure_future(asyncio.to_thread(kept_lock.open_session, url, application_name=_NAME))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise
    except psycopg.Error as error:
        raise statement_error(error, url) from error


def _close(opening: asyncio.Future[Connection]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


async def _take(
    connection: Connection, key: str, where: str, stopped: Callable[[], ZoningError | None], longest_s: float
) -> None:
    since, is_logged = time.monotonic(), False
    while not await asyncio.to_thread(kept_lock.take, connection, key):
        if error := stopped():
            raise error
        running = _running(where, await asyncio.to_thread(_holder, connection, key))
        if time.monotonic() - since > longest_s:
            raise running
        if not is_logged:
            _log.warning("%s: %s; waiting for its end", running.where, running.what)
            is_logged = True
        await asyncio.sleep(_TRY_S)


def _holder(connection: Connection, key: str) -> tuple[Any, ...] | None:
    return connection.execute(named("harvest_lock")["holder"], {"key": key}).fetchone()


def _running(where: str, holder: tuple[Any, ...] | None) -> HarvestRunning:
    address, since = holder or (None, None)
    at = f" at {address}" if address else ""
    when = f" since {since.astimezone(UTC):%Y-%m-%dT%H:%MZ}" if since else ""
    what = f"another process{at} harvests this feed{when}"
    return HarvestRunning(what, where=where, do="run again when it has ended; nothing was published")
