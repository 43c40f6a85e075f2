"""Queues of messages: incoming amendments, tiles to harvest, and deliveries that failed. Delivery is at least once;
handling is idempotent.

What belongs here: one module per message broker, with a class that implements `Broker` (broker.py), and one line in
`BROKERS`. What does not: the content of a message (amendment_messages.py) and its handling (amendment_consumer.py).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import cast
from urllib.parse import urlsplit

from zoning_assets.errors import SettingInvalid
from zoning_assets.queues.broker import Broker, BrokerFactory, Depth, Message
from zoning_assets.queues.message_queue import MAX_TRIES, Queue

__all__ = [
    "AMENDMENTS", "BROKERS", "DELIVERIES", "IN_DATABASE", "MAX_TRIES", "NAMES", "TILES", "Broker", "Depth", "Message",
    "Queue", "open_queue",
]  # fmt: skip

AMENDMENTS, TILES, DELIVERIES = NAMES = ("amendments", "tiles", "deliveries")
#: Always in the database, because its messages are written in one transaction with the cursor of their subscription.
IN_DATABASE = (DELIVERIES,)
#: How long a message that was taken is not given to another consumer, in seconds.
LEASE_S = 60.0
#: Scheme of ZONING_QUEUE_URL -> the module of this package, and its class.
BROKERS: Mapping[str, tuple[str, str]] = {
    "postgresql": ("postgresql_broker", "PostgresqlBroker"),
    "postgres": ("postgresql_broker", "PostgresqlBroker"),
    "redis": ("redis_broker", "RedisBroker"),
    "rediss": ("redis_broker", "RedisBroker"),
    "amqp": ("rabbitmq_broker", "RabbitmqBroker"),
    "amqps": ("rabbitmq_broker", "RabbitmqBroker"),
    "sqs": ("sqs_broker", "SqsBroker"),
}
#: Module -> the optional dependency of zoning-assets that installs its client library.
_EXTRAS = {"redis_broker": "redis", "rabbitmq_broker": "rabbitmq", "sqs_broker": "sqs"}


@asynccontextmanager
async def open_queue(url: str, name: str, *, lease_s: float = LEASE_S) -> AsyncIterator[Queue]:
    """Open the queue of that name at ZONING_QUEUE_URL. The broker is not contacted before the first call.

    Args:
        url: the address of the broker; see BROKERS for its schemes.
        name: one of NAMES.
        lease_s: how long a message that was taken is not given to another consumer, in seconds.

    Raises:
        SettingInvalid: the broker of the URL is unknown, or its client library is not installed.
    """
    factory = _broker_factory(url)
    broker, dead = factory(url, name, lease_s), factory(url, f"{name}.dead", lease_s)
    try:
        yield Queue(name, broker, dead)
    finally:
        await broker.close()
        await dead.close()


def _broker_factory(url: str) -> BrokerFactory:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - an invalid port raises when it is read
    except ValueError:
        do = "set it like redis://HOST:6379"
        raise SettingInvalid("is not the address of a broker", where="ZONING_QUEUE_URL", do=do) from None
    if (scheme := parts.scheme) not in BROKERS:
        do = f"start it with one of: {', '.join(f'{each}://' for each in BROKERS)}"
        raise SettingInvalid(f"{scheme or 'an empty scheme'}:// is not a queue", where="ZONING_QUEUE_URL", do=do)
    module, broker = BROKERS[scheme]
    try:
        return cast("BrokerFactory", getattr(import_module(f"zoning_assets.queues.{module}"), broker))
    except ModuleNotFoundError as error:
        do = f"pip install 'zoning-assets[{_EXTRAS.get(module, module)}]'"
        what = f"{scheme}:// needs the package {error.name}, which is not installed"
        raise SettingInvalid(what, where="ZONING_QUEUE_URL", do=do) from None
