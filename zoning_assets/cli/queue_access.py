"""Open a queue for one operation; shared by `zoning queue` and `zoning status`."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap
from zoning_assets.errors import SettingInvalid, StoreError
from zoning_assets.queues import IN_DATABASE, NAMES, Queue, open_queue

_Result = TypeVar("_Result")


def depths(url: str) -> list[dict[str, Any]]:
    """Return the number of messages of each queue, or the error (`fault`)."""
    rows = []
    for name in NAMES:
        row: dict[str, Any] = {"name": name, **dict.fromkeys(("ready", "leased", "dead", "oldest_s", "fault"))}
        try:
            row |= asdict(with_queue(name, lambda opened: opened.depth(), url))
        except (StoreError, SettingInvalid) as error:
            row["fault"] = str(error)
        rows.append(row)
    return rows


def with_queue(name: str, work: Callable[[Queue], Awaitable[_Result]], url: str = "") -> _Result:
    """Open a queue, call `work` with it, and return the result.

    Args:
        name: the name of the queue.
        work: the function to call.
        url: address of the database; empty: the database is started if needed.

    Raises:
        SettingInvalid: there is no such queue, or ZONING_QUEUE_URL is not a broker.
        QueueUnavailable: the broker does not answer.
    """
    named = check_queue_name(name)
    broker = None if named in IN_DATABASE else bootstrap.settings().queue_url
    where = broker or url or bootstrap.bring_up_database()

    async def opened() -> _Result:
        async with open_queue(where, named) as queue:
            return await work(queue)

    return graceful_stop.run(opened())


def check_queue_name(name: str) -> str:
    """Check that a queue exists, and return its name.

    Raises:
        SettingInvalid: there is no such queue.
    """
    if name not in NAMES:
        raise SettingInvalid(f"{name!r} is not a queue", where="--queue", do=f"choose one of: {', '.join(NAMES)}")
    return name
