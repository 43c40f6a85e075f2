"""The ledger of rate limits in PostgreSQL: one row for each host, for all processes that use this database.

Times are those of the database server, so that all processes agree. A change locks the row from reading to writing. A
slot is an advisory lock of the session: a process that is killed loses its session and its slots.

The ledger needs its own session. With a connection pooler that shares sessions, slots would be lost or never released.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from zoning_assets.errors import StoreError
from zoning_assets.http.rate_limit import HostBudget
from zoning_assets.http.rate_limit_store import Step
from zoning_assets.storage.postgis import connection_settings
from zoning_assets.storage.postgis.database import connection_error, where
from zoning_assets.storage.postgis.database_errors import reason
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

T = TypeVar("T")
Connection = psycopg.AsyncConnection[DictRow]

_CONNECT_S = 10
#: Seconds without a statement after which the server ends the session of a lost process, and between two heartbeats.
_LOST_AFTER_S, _HEARTBEAT_S = 60, 15.0


class PostgresLedger:
    """See rate_limit_store.Ledger. It has one connection, which is reopened once if it is lost."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._alone = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._heartbeats: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._start(_nothing)
        self._heartbeats = asyncio.create_task(self._send_heartbeats())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._heartbeats:
            self._heartbeats.cancel()
            await asyncio.gather(self._heartbeats, return_exceptions=True)
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._connection:
            await self._connection.close()

    async def change(self, host: str, step: Step[T]) -> T:
        """See Ledger."""
        return await asyncio.shield(self._start(partial(_change, host, step)))

    async def try_slot(self, host: str, most: int) -> int | None:
        """See Ledger."""
        task = self._start(partial(self._lock_slot, host, most))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(self._give_unwanted, host))
            raise

    async def give_slot(self, host: str, slot: int) -> None:
        """See Ledger. If the session is lost, its slots are free already."""
        with suppress(StoreError):
            await asyncio.shield(self._start(partial(self._unlock_slot, host, slot)))

    async def _send_heartbeats(self) -> None:
        """Keep the session, and take the slots again if it is lost. The server ends the session of a lost machine."""
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            with suppress(StoreError):
                await asyncio.shield(self._start(_heartbeat))

    def _start(self, work: Callable[[Connection], Awaitable[T]]) -> asyncio.Task[T]:
        """Start work as a task that continues if its caller is cancelled, so that no statement is interrupted."""
        task = asyncio.create_task(self._reliably(work))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved; the caller has it, if it still waits

    async def _reliably(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run work with the connection; if the connection was lost, once more with a new one."""
        async with self._alone:
            try:
                connection = await self._connected()
                try:
                    return await work(connection)
                except psycopg.OperationalError:
                    if not connection.closed:
                        raise
                return await work(await self._connected())
            except psycopg.Error as error:
                why = reason(error)
                raise StoreError(why.what, where=where(self._url), do=why.do) from error

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await _open(self._url)
            for host, slots in self._held.items():  # the lost session had them; take those that are still free
                for slot in slots:
                    await self._connection.execute(named("rate_limits")["lock_slot"], {"host": host, "slots": [slot]})
        return self._connection

    async def _lock_slot(self, host: str, most: int, connection: Connection) -> int | None:
        free = [slot for slot in range(most) if slot not in self._held[host]]
        if not free:  # a session could take the same advisory lock twice
            return None
        cursor = await connection.execute(named("rate_limits")["lock_slot"], {"host": host, "slots": free})
        row = await cursor.fetchone()
        if row is None:
            return None
        self._held[host].add(row["slot"])
        return int(row["slot"])

    async def _unlock_slot(self, host: str, slot: int, connection: Connection) -> None:
        self._held[host].discard(slot)
        await connection.execute(named("rate_limits")["unlock_slot"], {"host": host, "slot": slot})

    def _give_unwanted(self, host: str, task: asyncio.Task[int | None]) -> None:
        if not task.cancelled() and task.exception() is None and (slot := task.result()) is not None:
            self._start(partial(self._unlock_slot, host, slot))


async def _nothing(_: Connection) -> None:
    """Only open the connection."""


async def _heartbeat(connection: Connection) -> None:
    await connection.execute("SELECT")


async def _open(url: str) -> Connection:
    try:
        connection = await connection_settings.connect_async(
            url,
            connect_timeout=_CONNECT_S,
            application_name="zoning_assets ledger",
            row_factory=dict_row,
        )
    except psycopg.Error as error:
        raise connection_error(error, url) from None
    try:
        await connection.execute(named("rate_limits")["session"])
        await connection.execute(named("rate_limits")["heartbeats"], {"timeout": f"{_LOST_AFTER_S}s"})
    except BaseException:
        await connection.close()
        raise
    return connection


async def _change(host: str, step: Step[T], connection: Connection) -> T:
    query = named("rate_limits")
    async with connection.transaction():
        row = await (await connection.execute(query["locked"], {"host": host})).fetchone()
        if row is None:
            await connection.execute(query["create"], {"host": host})
            row = await (await connection.execute(query["locked"], {"host": host})).fetchone()
        if row is None:  # another process deleted the row in between
            raise StoreError(f"the budget of {host} cannot be stored", where="zoning.host_budget", do="run again")
        before = _budget(row)
        after, answer = step(before, row["now"].timestamp())
        if after != before:
            await connection.execute(query["store"], {"host": host, **_columns(after)})
        return answer


_NAMES = tuple(field.name for field in fields(HostBudget))
_TIMES = frozenset(name for name in _NAMES if name.endswith(("_at", "_until")))


def _budget(row: Mapping[str, Any]) -> HostBudget:
    """A budget from its row; a NULL time is 0."""
    times = {name: row[name].timestamp() if row[name] else 0.0 for name in _TIMES}
    return HostBudget(**{**{name: row[name] for name in _NAMES}, **times})


def _columns(budget: HostBudget) -> dict[str, Any]:
    values = {name: getattr(budget, name) for name in _NAMES}  # asdict would copy the values
    return {**values, **{name: datetime.fromtimestamp(values[name], UTC) if values[name] else None for name in _TIMES}}


def read_budgets(url: str) -> dict[str, tuple[HostBudget, float]]:
    """The budgets of all hosts by the number of requests, each with the time of the database server in seconds.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        rows = connection.cursor(row_factory=dict_row).execute(named("rate_limits")["hosts"]).fetchall()
    return {row["host"]: (_budget(row), row["now"].timestamp()) for row in rows}
