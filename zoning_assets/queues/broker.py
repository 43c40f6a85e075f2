"""What a broker must be able to do: one line of messages, and how a message is carried by those that carry text."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

#: Characters of a reason.
_LONGEST_WHY = 500


@dataclass(frozen=True)
class Message:
    """A message, and how it fared so far."""

    body: str
    id: str  # the same however often it is delivered, given back, buried or replayed
    sent: datetime
    tries: int = 0  # how often handling it failed
    why: str = ""  # of the last failure
    deliveries: int = 0  # how often the broker handed it out, this time included
    receipt: Any = None  # how the broker calls this delivery


@dataclass(frozen=True)
class Depth:
    """How many messages a queue has; None where the broker does not say."""

    ready: int
    leased: int | None  # taken and not acknowledged
    dead: int = 0
    oldest_s: float | None = None  # age of the oldest that is not acknowledged, seconds


class Line(Protocol):
    """A durable line of messages. Where nobody answers, QueueUnavailable; the next call tries anew."""

    async def put(self, messages: Sequence[Message]) -> None:
        """Add messages; when this returns they are durable."""

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """Up to `most` messages that nobody has, the oldest first; waits for the first one, `wait_s` at most.

        They are nobody else's for the lease; of a consumer that died they come again after it, or at once.
        """

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """They are done; they never come again."""

    async def release(self, messages: Sequence[Message]) -> None:
        """They are for whoever takes next, as if they had not been taken."""

    async def peek(self, most: int) -> list[Message]:
        """The first messages, left where they are. Some brokers count this as a delivery."""

    async def count(self) -> Depth:
        """How many there are."""

    async def close(self) -> None:
        """Let go of the connection."""


class OpenLine(Protocol):
    """What a module of queues/ offers as `Line`."""

    def __call__(self, url: str, name: str, lease_s: float) -> Line:
        """A line of that name; asks nobody yet."""


def words_of(message: Message) -> dict[str, str]:
    """What goes beside the body, as text."""
    said = {"id": message.id, "sent": message.sent.isoformat(), "tries": str(message.tries), "why": message.why}
    return {key: value for key, value in said.items() if value}


def message_of(body: bytes | str, words: Mapping[str, Any], *, deliveries: int, receipt: Any) -> Message:
    """A message that anybody may have sent: what is not as we write it counts as not said."""
    text = body if isinstance(body, str) else body.decode(errors="replace")
    named = str(words.get("id") or "")[:100] or hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    tries = str(words.get("tries", ""))[:3]
    return Message(
        text,
        named,
        _moment(str(words.get("sent", ""))),
        tries=int(tries) if tries.isdecimal() else 0,
        why=one_line(str(words.get("why", ""))),
        deliveries=deliveries,
        receipt=receipt,
    )


def one_line(why: str) -> str:
    """A reason as it is kept: printable, in one line."""
    return " ".join("".join(each if each.isprintable() else " " for each in why[:_LONGEST_WHY]).split())


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
