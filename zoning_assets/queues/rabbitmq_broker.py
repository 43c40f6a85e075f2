"""RabbitMQ: a durable queue, persistent messages, publisher confirms.

The lease is the connection: messages of a dead consumer are delivered again at once. This module counts deliveries,
because a classic queue does not. Quorum queues count, but in version 3.10 such a queue was lost when the server was
killed within minutes after the queue was declared.
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
from zoning_assets.queues.broker import Depth, Message, headers_of, message_of

_CONNECT_TIMEOUT_S, _RESPONSE_TIMEOUT_S = 10.0, 30.0
#: How often a waiting consumer checks for messages; seconds.
_POLL_S = 0.2
#: Header: how often the message was taken before it was put.
_TAKEN = "taken"
_KIND: dict[str, Any] = {"x-queue-type": "classic"}


class RabbitmqBroker:
    """The RabbitMQ queue `zoning.NAME`."""

    def __init__(self, url: str, name: str, lease_s: float) -> None:  # noqa: ARG002 - the connection is the lease
        self._url, self._name = url, f"zoning.{name}"
        self._connection: AbstractConnection | None = None
        self._queue: AbstractQueue | None = None

    async def put(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        async with self._opened() as queue:
            await asyncio.gather(*(self._publish(queue, _persistent(each)) for each in messages))

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """See Broker."""
        until, found = time.monotonic() + wait_s, list[Message]()
        async with self._opened() as queue:
            while len(found) < most:
                got = await queue.get(fail=False, timeout=_RESPONSE_TIMEOUT_S)
                if got and got.redelivered:
                    await self._count_redelivery(queue, got)
                elif got:
                    found.append(_message(got))
                elif found or time.monotonic() >= until:
                    break
                else:
                    await asyncio.sleep(min(_POLL_S, max(until - time.monotonic(), 0)))
        return found

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """See Broker."""
        async with self._opened():
            for each in messages:
                await each.receipt.ack()

    async def release(self, messages: Sequence[Message]) -> None:
        """See Broker. It counts as a delivery."""
        async with self._opened():
            for each in messages:
                await each.receipt.nack(requeue=True)

    async def peek(self, most: int) -> list[Message]:
        """See Broker. It counts as a delivery."""
        found = await self.take(most, 0.0)
        await self.release(found)
        return found

    async def count(self) -> Depth:
        """See Broker. RabbitMQ counts only the messages that are ready."""
        async with self._opened() as queue:
            declared = await queue.channel.get_queue(self._name, ensure=True)
        return Depth(declared.declaration_result.message_count or 0, None)

    async def close(self) -> None:
        """See Broker."""
        connection, self._connection, self._queue = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _publish(self, queue: AbstractQueue, message: aio_pika.Message) -> None:
        """Publish a message; it is durable when this returns."""
        await queue.channel.default_exchange.publish(message, self._name, mandatory=True, timeout=_RESPONSE_TIMEOUT_S)

    async def _count_redelivery(self, queue: AbstractQueue, got: AbstractIncomingMessage) -> None:
        """Put a redelivered message at the end of the queue, with the number of its deliveries in a header."""
        await self._publish(queue, _persistent(_message(got), taken=_taken(got) + 1))
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
            raise QueueUnavailable(network(error) or "it refused the request", where=where, do=do) from None

    async def _open(self) -> AbstractQueue:
        self._connection = await aio_pika.connect(self._url, timeout=_CONNECT_TIMEOUT_S)
        channel = await self._connection.channel(publisher_confirms=True)
        return await channel.declare_queue(self._name, durable=True, arguments=_KIND, timeout=_RESPONSE_TIMEOUT_S)


def _persistent(message: Message, *, taken: int = 0) -> aio_pika.Message:
    return aio_pika.Message(
        message.body.encode(),
        headers={**headers_of(message), _TAKEN: taken},
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )


def _message(got: AbstractIncomingMessage) -> Message:
    headers = {"id": got.message_id, **(got.headers or {})}
    return message_of(got.body, headers, deliveries=1 + _taken(got), receipt=got)


def _taken(got: AbstractIncomingMessage) -> int:
    taken = (got.headers or {}).get(_TAKEN)
    return taken if isinstance(taken, int) else 0
