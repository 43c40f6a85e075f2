"""From the queue of tiles to runs: what is wanted together is asked for together, and acknowledged when its run is
recorded."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zoning_assets.errors import MessageRefused
from zoning_assets.queues import Message, Queue
from zoning_assets.transform.changes.amendment_messages import TileMessage, read_tiles

#: Messages in a tick.
_MOST = 500


@dataclass(frozen=True)
class Wanted:
    """A run of the job `harvest`."""

    run_key: str
    config: Mapping[str, Any]
    messages: tuple[str, ...]  # ids


async def ask(
    tiles: Queue, asked: Mapping[str, str], is_recorded: Callable[[str], bool]
) -> tuple[list[Wanted], dict[str, str]]:
    """The runs that the waiting messages ask for; and each of these messages with its run's key, for the next call.

    A message stays in the queue until its run is recorded: whoever dies before that asks again, for the same.

    Args:
        tiles: the queue.
        asked: what the last call gave back.
        is_recorded: whether there is a run with that key.

    Raises:
        QueueUnavailable: nothing is lost.
    """
    taken = await tiles.take(_MOST)
    recorded = {each.id for each in taken if each.id in asked and is_recorded(asked[each.id])}
    await tiles.acknowledge([each for each in taken if each.id in recorded])
    new = [each for each in taken if each.id not in recorded]
    read = [(each, said) for each in new if (said := await _read(tiles, each))]
    wanted = together(read)
    await tiles.release([each for each, _ in read])
    return wanted, {name: each.run_key for each in wanted for name in each.messages}


async def _read(tiles: Queue, message: Message) -> TileMessage | None:
    try:
        return read_tiles(message.body)
    except MessageRefused as error:
        await tiles.dead_letter(message, str(error))
        return None


def together(read: list[tuple[Message, TileMessage]]) -> list[Wanted]:
    """One run for each jurisdiction and feed; the same messages give the same key."""
    groups: dict[tuple[str, str], list[tuple[Message, TileMessage]]] = {}
    for message, said in read:
        groups.setdefault((said.jurisdiction, said.feed), []).append((message, said))
    return [_wanted(*where, group) for where, group in sorted(groups.items())]


def _wanted(jurisdiction: str, feed: str, group: list[tuple[Message, TileMessage]]) -> Wanted:
    ids = tuple(sorted(message.id for message, _ in group))
    name = ids[0] if len(ids) == 1 else hashlib.blake2b(" ".join(ids).encode(), digest_size=16).hexdigest()
    whole = any(not said.tiles for _, said in group)
    wanted = [] if whole else sorted({tile for _, said in group for tile in said.tiles})
    config = {"jurisdiction": jurisdiction, "feed": feed, "tiles": wanted}
    return Wanted(f"{jurisdiction}/{feed} {name}", config, ids)
