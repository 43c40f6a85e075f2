"""Only one process at a time harvests a feed: two would delete each other's pages of an unfinished harvest.

The lock is an advisory lock of a session of its own, so that it holds for all machines that use this database, and ends
when the process ends, in whatever way. With a connection pooler that shares sessions it would not hold.
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
from zoning_assets.storage.postgis.connection_settings import connect_async
from zoning_assets.storage.postgis.database import connection_error, statement_error
from zoning_assets.storage.postgis.sql_queries import named

_log = logging.getLogger(__name__)

#: Seconds between two tries to take the lock.
_TRY_S = 0.5
#: Seconds. The process that waited longer fails; a later try uses what the other one harvested.
_LONGEST_S = 900.0
_CONNECT_S = 10

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


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
    connection = await _open(url)
    try:
        try:
            await _take(connection, jurisdiction, feed, stopped, longest_s)
        except psycopg.Error as error:
            raise statement_error(error, url) from error
        yield
    finally:
        await connection.close()


async def _open(url: str) -> Connection:
    try:
        connection = await connect_async(url, connect_timeout=_CONNECT_S, application_name="zoning_assets harvest")
    except psycopg.Error as error:
        raise connection_error(error, url) from None
    await connection.execute(named("harvest_lock")["session"])
    return connection


async def _take(
    connection: Connection,
    jurisdiction: str,
    feed: str,
    stopped: Callable[[], ZoningError | None],
    longest_s: float,
) -> None:
    values, since, is_logged = {"jurisdiction": jurisdiction, "feed": feed}, time.monotonic(), False
    while await _row(connection, "take", values) != (True,):
        if error := stopped():
            raise error
        running = _running(f"{jurisdiction} {feed}", await _row(connection, "holder", values))
        if time.monotonic() - since > longest_s:
            raise running
        if not is_logged:
            _log.warning("%s: %s; waiting for its end", running.where, running.what)
            is_logged = True
        await asyncio.sleep(_TRY_S)


async def _row(connection: Connection, query: str, values: dict[str, str]) -> tuple[Any, ...] | None:
    return await (await connection.execute(named("harvest_lock")[query], values)).fetchone()


def _running(where: str, holder: tuple[Any, ...] | None) -> HarvestRunning:
    address, since = holder or (None, None)
    at = f" at {address}" if address else ""
    when = f" since {since.astimezone(UTC):%Y-%m-%dT%H:%MZ}" if since else ""
    what = f"another process{at} harvests this feed{when}"
    return HarvestRunning(what, where=where, do="run again when it has ended; nothing was published")
