"""Redis 6.2 or later: a stream with one consumer group. XAUTOCLAIM takes over the messages of dead consumers.

Messages are as durable as the server: it needs `appendonly yes`.
"""

import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from zoning_assets.errors import QueueUnavailable
from zoning_assets.os_errors import network
from zoning_assets.queues.broker import Depth, Message, headers_of, message_of

_GROUP = "zoning"
_CONNECT_TIMEOUT_S, _RESPONSE_TIMEOUT_S = 10, 30
#: How often a waiting consumer checks for expired leases, which wake no consumer; seconds.
_POLL_S = 1.0
#: The most XAUTOCLAIM calls of one search for expired leases.
_MAX_CLAIM_CALLS = 100

#: Entries of a stream, each an id and a mapping of fields or None; redis-py declares no types for them.
_Entries = Any


class RedisBroker:
    """The stream `zoning:NAME`. Acknowledged messages are deleted, so its length is the number of open messages."""

    def __init__(self, url: str, name: str, lease_s: float) -> None:
        self._url, self._key, self._lease_ms = url, f"zoning:{name}", int(lease_s * 1000)
        self._client: Redis | None = None
        self._consumer = socket.gethostname()  # leases are distinguished by age, not by consumer

    async def put(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        async with self._connected() as redis, redis.pipeline(transaction=True) as together:
            for each in messages:
                together.xadd(self._key, dict[Any, Any]({"body": each.body, **headers_of(each)}))
            await together.execute()

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """See Broker."""
        until = time.monotonic() + wait_s
        async with self._connected() as redis:
            while not (found := await self._take_once(redis, most, until)) and time.monotonic() < until:
                pass
        return found

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        ids = [each.receipt for each in messages]
        async with self._connected() as redis, redis.pipeline(transaction=True) as together:
            together.xack(self._key, _GROUP, *ids)
            together.xdel(self._key, *ids)
            await together.execute()

    async def release(self, messages: Sequence[Message]) -> None:
        """See Broker. The message is made as old as a lease, so that the next consumer claims it."""
        async with self._connected() as redis, redis.pipeline(transaction=True) as together:
            for each in messages:
                together.xclaim(
                    self._key,
                    _GROUP,
                    self._consumer,
                    0,
                    [each.receipt],
                    idle=self._lease_ms,
                    retrycount=max(each.deliveries - 1, 0),
                    justid=True,
                )
            await together.execute()

    async def peek(self, most: int) -> list[Message]:
        """See Broker."""
        async with self._connected() as redis:
            return _messages(await redis.xrange(self._key, count=most), {})

    async def count(self) -> Depth:
        """See Broker."""
        async with self._connected() as redis:
            first, now = await redis.xrange(self._key, count=1), (await redis.time())[0]
            leased = int((await redis.xpending(self._key, _GROUP))["pending"])
            ready = max(int(await redis.xlen(self._key)) - leased, 0)
        ages = [(now - each.sent.timestamp()) for each in _messages(first, {})]
        return Depth(ready, leased, oldest_s=ages[0] if ages else None)

    async def close(self) -> None:
        """See Broker."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _take_once(self, redis: "Redis", most: int, until: float) -> list[Message]:
        if claimed := await self._claim(redis, most):
            pending = await redis.xpending_range(self._key, _GROUP, claimed[0][0], claimed[-1][0], len(claimed) * 10)
            return _messages(claimed, {each["message_id"]: int(each["times_delivered"]) for each in pending})
        left_ms = int(min(until - time.monotonic(), _POLL_S) * 1000)
        block = left_ms if left_ms > 0 else None
        streams = await redis.xreadgroup(_GROUP, self._consumer, {self._key: ">"}, count=most, block=block)
        return [each for _, entries in _streams(streams) for each in _messages(entries, {})]

    async def _claim(self, redis: "Redis", most: int) -> _Entries:
        """Claim messages whose lease has expired."""
        at: Any = "0-0"
        for _ in range(_MAX_CLAIM_CALLS):
            at, entries, *_ = await redis.xautoclaim(self._key, _GROUP, self._consumer, self._lease_ms, at, count=most)
            if entries or at == b"0-0":
                return sorted(entries, key=lambda entry: _number(entry[0]))
        return ()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["Redis"]:
        try:
            if self._client is None:
                self._client = Redis.from_url(
                    self._url, socket_connect_timeout=_CONNECT_TIMEOUT_S, socket_timeout=_RESPONSE_TIMEOUT_S
                )
                await _make_group(self._client, self._key)
            yield self._client
        except (RedisError, OSError) as error:
            await self.close()
            parts = urlsplit(self._url)
            where = f"queue at {parts.hostname}:{parts.port or 6379}"
            do = "wait until Redis answers, or check ZONING_QUEUE_URL"
            raise QueueUnavailable(network(error) or "it refused the request", where=where, do=do) from None


async def _make_group(redis: "Redis", key: str) -> None:
    try:
        await redis.xgroup_create(key, _GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def _streams(answered: Any) -> list[tuple[bytes, _Entries]]:
    """The entries that were read, by stream. Protocol RESP2 returns a list, RESP3 a mapping."""
    if isinstance(answered, dict):
        return [(key, entries[0] if entries else []) for key, entries in answered.items()]
    return list(answered or [])


def _messages(entries: _Entries, deliveries: Mapping[Any, int]) -> list[Message]:
    """Decode the entries; deleted ones have no fields and are skipped."""
    return [
        message_of(
            fields.get(b"body", b""),
            {key.decode(errors="replace"): value.decode(errors="replace") for key, value in fields.items()},
            deliveries=deliveries.get(number, 1),
            receipt=number,
        )
        for number, fields in entries
        if fields
    ]


def _number(id_: bytes) -> tuple[int, int]:
    milliseconds, _, order = id_.partition(b"-")
    return int(milliseconds), int(order)
