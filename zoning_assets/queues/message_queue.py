"""A queue with its dead letters, and the rules by which a message becomes a dead letter."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from zoning_assets.queues.broker import Broker, Depth, Message, one_line

#: A message that failed this many times becomes a dead letter.
MAX_TRIES = 5
#: A message that was delivered this many times becomes a dead letter, even without a reported failure: its consumers
#: died.
MAX_DELIVERIES = 20
#: Bytes. The body of a dead letter is cut to this length, because a message from outside may be larger than allowed.
_MAX_DEAD_LETTER_BYTES = 250_000
_BATCH = 100


class Queue:
    """A queue of messages: delivered at least once, nearly in order. Not safe for concurrent tasks.

    Every method raises QueueUnavailable if the broker does not answer.
    """

    def __init__(self, name: str, broker: Broker, dead: Broker) -> None:
        self.name, self._broker, self._dead = name, broker, dead

    async def put(self, bodies: Sequence[str]) -> list[str]:
        """Add messages, and return their ids. They are durable when this returns.

        Raises:
            QueueUnavailable: the broker failed; some of the messages may have been added.
        """
        now = datetime.now(UTC)
        messages = [Message(body, uuid.uuid4().hex, now) for body in bodies]
        for at in range(0, len(messages), _BATCH):
            await self._broker.put(messages[at : at + _BATCH])
        return [message.id for message in messages]

    async def take(self, most: int = _BATCH, wait_s: float = 0.0) -> list[Message]:
        """Take and lease up to `most` messages; wait for the first one for at most `wait_s` seconds."""
        taken = await self._broker.take(most, wait_s)
        for message in (each for each in taken if each.deliveries > MAX_DELIVERIES):
            await self.dead_letter(message, message.why or f"delivered {MAX_DELIVERIES} times and never acknowledged")
        return [each for each in taken if each.deliveries <= MAX_DELIVERIES]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Remove messages that were handled. Call it when all results are durable."""
        if messages:
            await self._broker.acknowledge(messages)

    async def release(self, messages: Sequence[Message]) -> None:
        """Give messages back unhandled, for the next consumer. It does not count as a failure."""
        if messages:
            await self._broker.release(messages)

    async def pass_on(self, messages: Sequence[Message]) -> None:
        """Move messages that concern another consumer to the end of the queue. However many consumers pass a message
        on, it does not become a dead letter, and it does not hide those behind it. It is added before it is removed."""
        if messages:
            await self._broker.put([replace(each, deliveries=0) for each in messages])
            await self._broker.acknowledge(messages)

    async def fail(self, message: Message, why: str) -> None:
        """Report that handling failed: the message returns to the end of the queue, or becomes a dead letter."""
        if message.tries + 1 >= MAX_TRIES:
            await self.dead_letter(message, why)
            return
        await self._broker.put([replace(message, tries=message.tries + 1, why=one_line(why))])
        await self._broker.acknowledge([message])

    async def dead_letter(self, message: Message, why: str) -> None:
        """Move a message to the dead letters, with the reason. It is added there before it is removed here."""
        body = message.body.encode()[:_MAX_DEAD_LETTER_BYTES].decode(errors="ignore")
        await self._dead.put([replace(message, body=body, tries=message.tries + 1, why=one_line(why))])
        await self._broker.acknowledge([message])

    async def depth(self) -> Depth:
        """Count the messages that wait, that are being handled, and that are dead letters."""
        dead = await self._dead.count()
        return replace(await self._broker.count(), dead=dead.ready + (dead.leased or 0))

    async def peek(self, most: int, *, dead: bool = False) -> list[Message]:
        """Return the first messages and leave them in place. RabbitMQ and SQS count this as a delivery."""
        return await (self._dead if dead else self._broker).peek(most)

    async def replay(self, most: int) -> list[str]:
        """Move dead letters back into the queue, with their failures reset; return their ids."""
        done: list[str] = []
        while taken := await self._dead.take(min(_BATCH, most - len(done)), 0.0) if len(done) < most else []:
            await self._broker.put([replace(each, tries=0, why="", deliveries=0) for each in taken])
            await self._dead.acknowledge(taken)
            done += [each.id for each in taken]
        return done

    async def purge(self, most: int, *, dead: bool = False) -> list[str]:
        """Delete messages that no consumer holds, permanently; return their ids."""
        broker, done = self._dead if dead else self._broker, list[str]()
        while taken := await broker.take(min(_BATCH, most - len(done)), 0.0) if len(done) < most else []:
            await broker.acknowledge(taken)
            done += [each.id for each in taken]
        return done
