"""Opening a queue for one question: what `zoning queue` and `zoning status` have in common."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap
from zoning_assets.errors import SettingInvalid, StoreError
from zoning_assets.queues import NAMES, Queue, open_queue

_Found = TypeVar("_Found")


def depths(url: str) -> list[dict[str, Any]]:
    """How many messages each queue has, or (`fault`) why that is not known."""
    rows = []
    for name in NAMES:
        row: dict[str, Any] = {"name": name, **dict.fromkeys(("ready", "leased", "dead", "oldest_s", "fault"))}
        try:
            row |= asdict(with_queue(name, lambda opened: opened.depth(), url))
        except (StoreError, SettingInvalid) as error:
            row["fault"] = str(error)
        rows.append(row)
    return rows


def with_queue(name: str, work: Callable[[Queue], Awaitable[_Found]], url: str = "") -> _Found:
    """What `work` returns of the queue of a name.

    Args:
        name: see `known`.
        work: is called with the open queue.
        url: of the database, where it is known already.

    Raises:
        SettingInvalid: there is no such queue, or ZONING_QUEUE_URL names no broker.
        QueueUnavailable: the broker does not answer.
    """
    named = known(name)
    where = bootstrap.settings().queue_url or url or bootstrap.bring_up_database()

    async def opened() -> _Found:
        async with open_queue(where, named) as queue:
            return await work(queue)

    return graceful_stop.run(opened())


def known(name: str) -> str:
    """The name of a queue that exists.

    Raises:
        SettingInvalid: there is no such queue.
    """
    if name not in NAMES:
        raise SettingInvalid(f"{name!r} is no queue", where="--queue", do=f"choose one of: {', '.join(NAMES)}")
    return name
