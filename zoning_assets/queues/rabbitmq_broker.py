"""RabbitMQ: a durable queue, persistent messages, publisher confirms.

A lease is the connection: what a consumer that died had taken comes again at once. How often is counted here: a classic
queue does not, and a quorum queue of 3.10 that was killed in the minutes after it was made does not come back.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPError

from zoning_assets.errors import QueueUnavailable
from zoning_assets.os_errors import network
from zoning_assets.queues.broker import Depth, Message, message_of, words_of

_CONNECT_S, _ANSWER_S = 10.0, 30.0
#: Between two looks while waiting.
_LOOK_S = 0.2
#: The header that says how often a message had been taken when it was put.
_TAKEN = "taken"
_KIND: dict[str, Any] = {"x-queue-type": "classic"}


class Line:
    """The queue `zoning.NAME`."""

    def __init__(self, url: str, name: str, lease_s: float) -> None:  # noqa: ARG002 - the broker knows who died
        self._url, self._name = url, f"zoning.{name}"
        self._connection: AbstractConnection | None = None
        self._queue: AbstractQueue | None = None

    async def put(self, messages: Sequence[Message]) -> None:
        """See Line."""
        async with self._opened() as queue:
            await asyncio.gather(*(self._sent(queue, _persistent(each)) for each in messages))

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """See Line."""
        until, found = time.monotonic() + wait_s, list[Message]()
        async with self._opened() as queue:
            while len(found) < most:
                got = await queue.get(fail=False, timeout=_ANSWER_S)
                if got and got.redelivered:
                    await self._counted(queue, got)
                elif got:
                    found.append(_message(got))
                elif found or time.monotonic() >= until:
                    break
                else:
                    await asyncio.sleep(min(_LOOK_S, max(until - time.monotonic(), 0)))
        return found

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Line."""
        async with self._opened():
            for each in messages:
                await each.receipt.ack()

    async def release(self, messages: Sequence[Message]) -> None:
        """See Line. It counts as a delivery."""
        async with self._opened():
            for each in messages:
                await each.receipt.nack(requeue=True)

    async def peek(self, most: int) -> list[Message]:
        """See Line. It counts as a delivery."""
        found = await self.take(most, 0.0)
        await self.release(found)
        return found

    async def count(self) -> Depth:
        """See Line. The broker says only how many are ready."""
        async with self._opened() as queue:
            said = await queue.channel.get_queue(self._name, ensure=True)
        return Depth(said.declaration_result.message_count or 0, None)

    async def close(self) -> None:
        """See Line."""
        connection, self._connection, self._queue = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _sent(self, queue: AbstractQueue, message: aio_pika.Message) -> None:
        """Durable when this returns."""
        await queue.channel.default_exchange.publish(message, self._name, mandatory=True, timeout=_ANSWER_S)

    async def _counted(self, queue: AbstractQueue, got: AbstractIncomingMessage) -> None:
        """One that had been taken before: to the end of the line, where it says so itself."""
        await self._sent(queue, _persistent(_message(got), taken=_taken(got) + 1))
        await got.ack()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AbstractQueue]:
        try:
            if self._queue is None:
                self._queue = await self._open()
            yield self._queue
        except (*CONNECTION_EXCEPTIONS, AMQPError, OSError, TimeoutError) as error:
            await self.close()
            parts = urlsplit(self._url)
            where = f"queue at {parts.hostname}:{parts.port or 5672}"
            do = "wait until RabbitMQ answers, or check ZONING_QUEUE_URL"
            raise QueueUnavailable(network(error) or "it refuses to work with us", where=where, do=do) from None

    async def _open(self) -> AbstractQueue:
        self._connection = await aio_pika.connect(self._url, timeout=_CONNECT_S)
        channel = await self._connection.channel(publisher_confirms=True)
        return await channel.declare_queue(self._name, durable=True, arguments=_KIND, timeout=_ANSWER_S)


def _persistent(message: Message, *, taken: int = 0) -> aio_pika.Message:
    return aio_pika.Message(
        message.body.encode(),
        headers={**words_of(message), _TAKEN: taken},
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def _message(got: AbstractIncomingMessage) -> Message:
    words = {"id": got.message_id, **(got.headers or {})}
    return message_of(got.body, words, deliveries=1 + _taken(got), receipt=got)


def _taken(got: AbstractIncomingMessage) -> int:
    said = (got.headers or {}).get(_TAKEN)
    return said if isinstance(said, int) else 0
