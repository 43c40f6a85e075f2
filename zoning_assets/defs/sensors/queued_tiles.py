"""Turns messages of the tile queue into runs of the sensor amendment_arrived.

Tiles of one feed are requested together, and messages are acknowledged when their run is recorded.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoning_assets.errors import MessageRefused
from zoning_assets.queues import Message, Queue
from zoning_assets.transform.changes.amendment_messages import TileMessage, read_tiles

#: Maximum number of messages per tick.
_MOST = 500


@dataclass(frozen=True)
class QueuedRun:
    """A requested run, and the messages that ask for it."""

    run_key: str
    config: Mapping[str, Any]
    messages: tuple[str, ...]  # ids


async def request_runs(
    tiles: Queue,
    requested: Mapping[str, str],
    is_recorded: Callable[[str], bool],
    is_ours: Callable[[str], bool] = lambda _: True,
) -> tuple[list[QueuedRun], dict[str, str]]:
    """Return the runs for the waiting messages, and the run key of each message for the next call.

    A message stays in the queue until its run is recorded. If this process dies before that, the same run is requested
    again.

    Args:
        tiles: the queue.
        requested: the second result of the previous call.
        is_recorded: returns whether a run with this key exists.
        is_ours: returns whether runs of this jurisdiction are requested here; other messages stay in the queue.

    Raises:
        QueueUnavailable: the broker does not answer; no message is lost.
    """
    taken = await tiles.take(_MOST)
    recorded = {each.id for each in taken if each.id in requested and is_recorded(requested[each.id])}
    await tiles.acknowledge([each for each in taken if each.id in recorded])
    new = [each for each in taken if each.id not in recorded]
    read = [(each, request) for each in new if (request := await _read(tiles, each))]
    mine = [(each, request) for each, request in read if is_ours(request.jurisdiction)]
    wanted, ids = group_requests(mine), {each.id for each, _ in mine}
    await tiles.release([each for each, _ in mine])
    await tiles.pass_on([each for each, _ in read if each.id not in ids])
    return wanted, {name: each.run_key for each in wanted for name in each.messages}


async def _read(tiles: Queue, message: Message) -> TileMessage | None:
    try:
        return read_tiles(message.body)
    except MessageRefused as error:
        await tiles.dead_letter(message, str(error))
        return None


def group_requests(read: list[tuple[Message, TileMessage]]) -> list[QueuedRun]:
    """Return one run per jurisdiction and feed. The same messages give the same run key."""
    groups: dict[tuple[str, str], list[tuple[Message, TileMessage]]] = {}
    for message, request in read:
        groups.setdefault((request.jurisdiction, request.feed), []).append((message, request))
    return [_requested_run(*where, group) for where, group in sorted(groups.items())]


def _requested_run(jurisdiction: str, feed: str, group: list[tuple[Message, TileMessage]]) -> QueuedRun:
    ids = tuple(sorted(message.id for message, _ in group))
    name = ids[0] if len(ids) == 1 else hashlib.blake2b(" ".join(ids).encode(), digest_size=16).hexdigest()
    whole = any(not request.tiles for _, request in group)
    wanted = [] if whole else sorted({tile for _, request in group for tile in request.tiles})
    config = {"jurisdiction": jurisdiction, "feed": feed, "tiles": wanted}
    return QueuedRun(f"{jurisdiction}/{feed} {name}", config, ids)
