"""The ledger in PostgreSQL: one row a host, for all processes and machines that work with this database.

Time is the database's, so that they agree. A change holds the row's lock from its reading to its writing. A slot is an
advisory lock of the session: a process that is killed loses its session, and with it its slots.

Needs a session of its own: behind a pooler that shares sessions, slots would be lost or never given back.
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
from zoning_assets.storage.postgis.database import unavailable, where
from zoning_assets.storage.postgis.database_errors import reason
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named

T = TypeVar("T")
Connection = psycopg.AsyncConnection[DictRow]

_CONNECT_S = 10


class PostgresLedger:
    """See ledger.Ledger. One connection, opened when it is entered, and opened once more when it is lost."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._alone = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self._start(_nothing)
        return self

    async def __aexit__(self, *_: object) -> None:
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
        """See Ledger. A ledger that cannot be reached has given the slots back by itself."""
        with suppress(StoreError):
            await asyncio.shield(self._start(partial(self._unlock_slot, host, slot)))

    def _start(self, work: Callable[[Connection], Awaitable[T]]) -> asyncio.Task[T]:
        """Work that goes on to its end though nobody may wait for it any longer: no connection stays in its midst."""
        task = asyncio.create_task(self._reliably(work))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # who waited has it; where nobody did, it is nobody's

    async def _reliably(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Work with the connection; once more, with a new one, where it was lost."""
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
            for host, slots in self._held.items():  # the former session's are lost; as many as are still free
                for slot in slots:
                    await self._connection.execute(named("ledger")["lock_slot"], {"host": host, "slots": [slot]})
        return self._connection

    async def _lock_slot(self, host: str, most: int, connection: Connection) -> int | None:
        free = [slot for slot in range(most) if slot not in self._held[host]]
        if not free:  # a session may lock again what it has
            return None
        cursor = await connection.execute(named("ledger")["lock_slot"], {"host": host, "slots": free})
        row = await cursor.fetchone()
        if row is None:
            return None
        self._held[host].add(row["slot"])
        return int(row["slot"])

    async def _unlock_slot(self, host: str, slot: int, connection: Connection) -> None:
        self._held[host].discard(slot)
        await connection.execute(named("ledger")["unlock_slot"], {"host": host, "slot": slot})

    def _give_unwanted(self, host: str, task: asyncio.Task[int | None]) -> None:
        if not task.cancelled() and task.exception() is None and (slot := task.result()) is not None:
            self._start(partial(self._unlock_slot, host, slot))


async def _nothing(_: Connection) -> None:
    """Only connect."""


async def _open(url: str) -> Connection:
    try:
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            connect_timeout=_CONNECT_S,
            application_name="zoning_assets ledger",
            row_factory=dict_row,
        )
    except psycopg.Error as error:
        raise unavailable(error, url) from None
    await connection.execute(named("ledger")["session"])
    return connection


async def _change(host: str, step: Step[T], connection: Connection) -> T:
    query = named("ledger")
    async with connection.transaction():
        row = await (await connection.execute(query["locked"], {"host": host})).fetchone()
        if row is None:
            await connection.execute(query["create"], {"host": host})
            row = await (await connection.execute(query["locked"], {"host": host})).fetchone()
        if row is None:  # somebody deletes it as we look
            raise StoreError(f"the budget of {host} cannot be kept", where="zoning.host_budget", do="run again")
        before = _budget(row)
        after, answer = step(before, row["now"].timestamp())
        if after != before:
            await connection.execute(query["store"], {"host": host, **_columns(after)})
        return answer


_NAMES = tuple(field.name for field in fields(HostBudget))
_TIMES = frozenset(name for name in _NAMES if name.endswith(("_at", "_until")))


def _budget(row: Mapping[str, Any]) -> HostBudget:
    """A row as a budget; a time of NULL is 0, long ago."""
    times = {name: row[name].timestamp() if row[name] else 0.0 for name in _TIMES}
    return HostBudget(**{**{name: row[name] for name in _NAMES}, **times})


def _columns(budget: HostBudget) -> dict[str, Any]:
    values = {name: getattr(budget, name) for name in _NAMES}  # asdict would copy them
    return {**values, **{name: datetime.fromtimestamp(values[name], UTC) if values[name] else None for name in _TIMES}}


def read_budgets(url: str) -> dict[str, tuple[HostBudget, float]]:
    """All hosts' budgets, those asked most first, each with the ledger's time.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with said(url), session(url) as connection:
        rows = connection.cursor(row_factory=dict_row).execute(named("ledger")["hosts"]).fetchall()
    return {row["host"]: (_budget(row), row["now"].timestamp()) for row in rows}
