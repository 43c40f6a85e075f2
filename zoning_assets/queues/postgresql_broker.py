"""The default broker: a table of the database. Consumers do not block one another (SKIP LOCKED); NOTIFY wakes them."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from zoning_assets.errors import QueueUnavailable
from zoning_assets.queues.broker import Depth, Message
from zoning_assets.storage.postgis import connection_settings
from zoning_assets.storage.postgis.database import address
from zoning_assets.storage.postgis.database_errors import reason
from zoning_assets.storage.postgis.sql_queries import named

_CONNECT_TIMEOUT_S = 10
#: How often a waiting consumer checks for expired leases, which send no notification; seconds.
_POLL_S = 1.0

_Connection = psycopg.AsyncConnection[dict[str, Any]]


class PostgresqlBroker:
    """The rows of table `zoning.queue` with one queue name."""

    def __init__(self, url: str, name: str, lease_s: float) -> None:
        self._url, self._parameters = url, {"queue": name, "lease_s": lease_s}
        self._connection: _Connection | None = None

    async def put(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        fields = ("id", "body", "sent", "tries", "why")
        rows = [{**self._parameters, **{name: getattr(each, name) for name in fields}} for each in messages]
        async with self._connected() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(named("queue")["put"], rows)

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """See Broker."""
        until = time.monotonic() + wait_s
        async with self._connected() as connection:
            if wait_s > 0:
                await connection.execute(named("queue")["listen"])
            while not (found := await self._rows(connection, "take", most)) and (left := until - time.monotonic()) > 0:
                async for _ in connection.notifies(timeout=min(left, _POLL_S), stop_after=1):
                    pass
        return sorted(found, key=lambda each: each.receipt["number"])

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        await self._change("acknowledge", messages)

    async def release(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        await self._change("release", messages)

    async def peek(self, most: int) -> list[Message]:
        """See Broker."""
        async with self._connected() as connection:
            return await self._rows(connection, "peek", most)

    async def count(self) -> Depth:
        """See Broker."""
        async with self._connected() as connection:
            row = await (await connection.execute(named("queue")["count"], self._parameters)).fetchone()
        return Depth(**row) if row else Depth(0, 0)

    async def close(self) -> None:
        """See Broker."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _rows(self, connection: _Connection, query: str, most: int) -> list[Message]:
        cursor = await connection.execute(named("queue")[query], {**self._parameters, "most": most})
        return [_message(row) for row in await cursor.fetchall()]

    async def _change(self, query: str, messages: Sequence[Message]) -> None:
        async with self._connected() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(named("queue")[query], [each.receipt for each in messages])

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        try:
            if self._connection is None:
                self._connection = await connection_settings.connect_async(
                    self._url, connect_timeout=_CONNECT_TIMEOUT_S, row_factory=dict_row
                )
            yield self._connection
        except psycopg.Error as error:
            await self.close()
            do = "wait until the database answers, or check ZONING_QUEUE_URL"
            raise QueueUnavailable(reason(error).what, where=f"queue at {address(self._url)}", do=do) from None


def _message(row: dict[str, Any]) -> Message:
    receipt = {"number": row.pop("number"), "deliveries": row["deliveries"]}
    return Message(**row, receipt=receipt)
