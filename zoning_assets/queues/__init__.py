"""Queues of messages: amendments that arrive, and tiles that are asked for. At least once; handling is idempotent.

What belongs here: one module a broker, with a class `Line` (see `broker.py`), and one line in `LINES`. What does not:
what a message says (amendment_messages.py) and what is done about it (amendment_consumer.py).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import cast
from urllib.parse import urlsplit

from zoning_assets.errors import SettingInvalid
from zoning_assets.queues.broker import Depth, Line, Message, OpenLine
from zoning_assets.queues.message_queue import MOST_TRIES, Queue

__all__ = ["AMENDMENTS", "LINES", "MOST_TRIES", "NAMES", "TILES", "Depth", "Line", "Message", "Queue", "open_queue"]

AMENDMENTS, TILES = NAMES = ("amendments", "tiles")
#: Seconds for which a message that was taken is nobody else's.
LEASE_S = 60.0
#: Scheme of ZONING_QUEUE_URL -> module of this package.
LINES: Mapping[str, str] = {
    "postgresql": "postgresql_broker",
    "postgres": "postgresql_broker",
    "redis": "redis_broker",
    "rediss": "redis_broker",
    "amqp": "rabbitmq_broker",
    "amqps": "rabbitmq_broker",
    "sqs": "sqs_broker",
}
#: The extra of zoning-assets that brings a module's client.
_EXTRAS = {"redis_broker": "redis", "rabbitmq_broker": "rabbitmq", "sqs_broker": "sqs"}


@asynccontextmanager
async def open_queue(url: str, name: str, *, lease_s: float = LEASE_S) -> AsyncIterator[Queue]:
    """The queue of that name at ZONING_QUEUE_URL. Nobody is asked before its first use.

    Raises:
        SettingInvalid: the URL is of no broker that is known, or its client is not installed.
    """
    opened = _line_of(url)
    line, dead = opened(url, name, lease_s), opened(url, f"{name}.dead", lease_s)
    try:
        yield Queue(name, line, dead)
    finally:
        await line.close()
        await dead.close()


def _line_of(url: str) -> OpenLine:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - that it is none shows when it is asked for
    except ValueError:
        do = "give it like redis://HOST:6379"
        raise SettingInvalid("is no address of a broker", where="ZONING_QUEUE_URL", do=do) from None
    if (scheme := parts.scheme) not in LINES:
        do = f"begin it with one of: {', '.join(f'{each}://' for each in LINES)}"
        raise SettingInvalid(f"{scheme or 'nothing'}:// is no queue", where="ZONING_QUEUE_URL", do=do)
    module = LINES[scheme]
    try:
        return cast("OpenLine", import_module(f"zoning_assets.queues.{module}").Line)
    except ModuleNotFoundError as error:
        do = f"pip install 'zoning-assets[{_EXTRAS.get(module, module)}]'"
        what = f"{scheme}:// needs the package {error.name}, which is not installed"
        raise SettingInvalid(what, where="ZONING_QUEUE_URL", do=do) from None
