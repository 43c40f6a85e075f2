"""The interface of a message broker, and the encoding of a message for brokers that transport text."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

#: Characters of a stored reason.
_MAX_REASON = 500


@dataclass(frozen=True)
class Message:
    """A message, with its delivery history."""

    body: str
    id: str  # unchanged by redelivery, release, dead-lettering and replay
    sent: datetime
    tries: int = 0  # how often handling failed
    why: str = ""  # the reason of the last failure
    deliveries: int = 0  # how often the broker delivered it, this time included
    receipt: Any = None  # the broker's own handle of this delivery


@dataclass(frozen=True)
class Depth:
    """How many messages a queue has; None: the broker does not know."""

    ready: int
    leased: int | None  # taken and not acknowledged
    dead: int = 0
    oldest_s: float | None = None  # age of the oldest message that is not acknowledged, in seconds


class Broker(Protocol):
    """One durable list of messages at a broker.

    Every method raises QueueUnavailable if the broker does not answer; the next call connects again.
    """

    async def put(self, messages: Sequence[Message]) -> None:
        """Add messages. They are durable when this returns."""

    async def take(self, most: int, wait_s: float) -> list[Message]:
        """Take up to `most` messages that no consumer holds, the oldest first; wait for the first one.

        No other consumer gets them during the lease. If the consumer dies, they are delivered again, after the lease or
        at once.

        Args:
            most: the most messages to take.
            wait_s: the longest wait for the first message, in seconds.
        """

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        """Remove messages for good."""

    async def release(self, messages: Sequence[Message]) -> None:
        """Give messages back, as if they had not been taken."""

    async def peek(self, most: int) -> list[Message]:
        """Return the first messages and leave them in place. Some brokers count this as a delivery."""

    async def count(self) -> Depth:
        """Count the messages."""

    async def close(self) -> None:
        """Close the connection."""


class BrokerFactory(Protocol):
    """The constructor of a broker class."""

    def __call__(self, url: str, name: str, lease_s: float) -> Broker:
        """Create the broker for the messages of that name; it is not contacted yet."""


def headers_of(message: Message) -> dict[str, str]:
    """Return the attributes of a message that are sent as headers, as text."""
    headers = {"id": message.id, "sent": message.sent.isoformat(), "tries": str(message.tries), "why": message.why}
    return {key: value for key, value in headers.items() if value}


def message_of(body: bytes | str, headers: Mapping[str, Any], *, deliveries: int, receipt: Any) -> Message:
    """Decode a message. Any program may have sent it, so missing and invalid headers get default values."""
    text = body if isinstance(body, str) else body.decode(errors="replace")
    id_ = str(headers.get("id") or "")[:100] or hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    tries = str(headers.get("tries", ""))[:3]
    return Message(
        text,
        id_,
        _timestamp(str(headers.get("sent", ""))),
        tries=int(tries) if tries.isdecimal() else 0,
        why=one_line(str(headers.get("why", ""))),
        deliveries=deliveries,
        receipt=receipt,
    )


def one_line(why: str) -> str:
    """Return a reason in the form in which it is stored: one line of printable characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in why[:_MAX_REASON]).split())


def _timestamp(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
