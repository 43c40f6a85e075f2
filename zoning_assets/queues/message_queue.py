"""A queue: a line of messages, the line of its dead letters, and when a message passes from one to the other."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from zoning_assets.queues.broker import Depth, Line, Message, one_line

#: Failures after which a message is a dead letter.
MOST_TRIES = 5
#: Deliveries after which it is one, though nobody told of a failure: whoever took it died each time.
MOST_DELIVERIES = 20
#: Bytes; a foreign message may be larger than any that is handled, and its dead letter keeps the beginning.
_LARGEST_BURIED = 250_000
_BATCH = 100


class Queue:
    """Messages at least once, in about the order in which they came. Not safe for several tasks at once."""

    def __init__(self, name: str, line: Line, dead: Line) -> None:
        self.name, self._line, self._dead = name, line, dead

    async def put(self, bodies: Sequence[str]) -> list[str]:
        """Add messages; when this returns they are durable. Their ids.

        Raises:
            QueueUnavailable: it is not known which of them were added.
        """
        now = datetime.now(UTC)
        messages = [Message(body, uuid.uuid4().hex, now) for body in bodies]
        for at in range(0, len(messages), _BATCH):
            await self._line.put(messages[at : at + _BATCH])
        return [message.id for message in messages]

    async def take(self, most: int = _BATCH, wait_s: float = 0.0) -> list[Message]:
        """Up to `most` messages, leased; waits for the first one, `wait_s` at most."""
        taken = await self._line.take(most, wait_s)
        for message in (each for each in taken if each.deliveries > MOST_DELIVERIES):
            await self.bury(message, message.why or f"taken {MOST_DELIVERIES} times, and nobody finished it")
        return [each for each in taken if each.deliveries <= MOST_DELIVERIES]

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """They are handled, and all that follows from them is durable."""
        if messages:
            await self._line.acknowledge(messages)

    async def release(self, messages: Sequence[Message]) -> None:
        """Not now: for whoever takes next, and no failure."""
        if messages:
            await self._line.release(messages)

    async def fail(self, message: Message, why: str) -> None:
        """Handling it failed: again, behind the others; after MOST_TRIES, never again."""
        if message.tries + 1 >= MOST_TRIES:
            await self.bury(message, why)
            return
        await self._line.put([replace(message, tries=message.tries + 1, why=one_line(why))])
        await self._line.acknowledge([message])

    async def bury(self, message: Message, why: str) -> None:
        """To the dead letters, with the reason; first there, then gone from here."""
        body = message.body.encode()[:_LARGEST_BURIED].decode(errors="ignore")
        await self._dead.put([replace(message, body=body, tries=message.tries + 1, why=one_line(why))])
        await self._line.acknowledge([message])

    async def depth(self) -> Depth:
        """How many wait, how many are being handled, how many are dead."""
        dead = await self._dead.count()
        return replace(await self._line.count(), dead=dead.ready + (dead.leased or 0))

    async def peek(self, most: int, *, dead: bool = False) -> list[Message]:
        """The first messages, left where they are. RabbitMQ and SQS count this as a delivery."""
        return await (self._dead if dead else self._line).peek(most)

    async def replay(self, most: int) -> list[str]:
        """Dead letters back into the line, as if they had never failed; their ids."""
        done: list[str] = []
        while taken := await self._dead.take(min(_BATCH, most - len(done)), 0.0) if len(done) < most else []:
            await self._line.put([replace(each, tries=0, why="", deliveries=0) for each in taken])
            await self._dead.acknowledge(taken)
            done += [each.id for each in taken]
        return done

    async def purge(self, most: int, *, dead: bool = False) -> list[str]:
        """Delete messages that nobody is handling, for good; their ids."""
        line, done = self._dead if dead else self._line, list[str]()
        while taken := await line.take(min(_BATCH, most - len(done)), 0.0) if len(done) < most else []:
            await line.acknowledge(taken)
            done += [each.id for each in taken]
        return done
