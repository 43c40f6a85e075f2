"""What is done about a message: the amendment is stored, what it asks for is put on the queue of tiles, then it is
acknowledged.

Both are durable before the acknowledgement, and each may happen twice without harm. The queue of tiles and not a run
request, as Dagster stores what a sensor asks for only after the sensor has ended: who died between would lose it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from zoning_assets.errors import DatabaseUnavailable, Defect, MessageRefused, WrongUsage, ZoningError
from zoning_assets.model import ADOPTED, PARCELS, UNDONE, ZONING, Amendment, Jurisdiction
from zoning_assets.queues import Message, Queue
from zoning_assets.storage.postgis.records import amendment_records
from zoning_assets.transform.changes.amendment_messages import TileMessage, amendment_of, read_amendment, write

_log = logging.getLogger(__name__)

#: Messages in one transaction.
_BATCH = 100
#: Finds a jurisdiction by its id; WrongUsage where there is none.
Find = Callable[[str], Jurisdiction]


@dataclass
class Received:
    """What became of some messages."""

    stored: int = 0  # handled and acknowledged; of these,
    repeated: int = 0  # had been received before
    asked: int = 0  # tile messages that were put
    failed: list[str] = field(default_factory=list)  # will be tried again, and why
    refused: list[str] = field(default_factory=list)  # became dead letters at once, and why

    @property
    def taken(self) -> int:
        """All of them."""
        return self.stored + len(self.failed) + len(self.refused)


async def receive(  # noqa: PLR0913 - what from, what to, where, and the two bounds
    queue: Queue, tiles: Queue, url: str, find: Find, *, most: int = 500, most_s: float = 20.0, wait_s: float = 0.0
) -> Received:
    """Handle up to `most` messages, and begin no batch after `most_s`; ends when nothing waits, or something failed.

    Raises:
        QueueUnavailable, DatabaseUnavailable: what was taken comes again.
    """
    done, until = Received(), time.monotonic() + most_s
    while done.taken < most and time.monotonic() < until and not done.failed:
        taken = await queue.take(min(_BATCH, most - done.taken), wait_s)
        if not taken:
            break
        told = await _judged(queue, taken, find, done)
        for where, messages in _by_jurisdiction(told).items():
            await _handle(queue, tiles, url, find(where), messages, done)
    return done


async def _judged(
    queue: Queue, taken: Sequence[Message], find: Find, done: Received
) -> list[tuple[Message, Amendment]]:
    """What they tell; invalid messages become dead letters."""
    told = []
    for message in taken:
        try:
            read = read_amendment(message.body)
            told.append((message, amendment_of(read, find(read.jurisdiction))))
        except (MessageRefused, WrongUsage) as error:
            await queue.dead_letter(message, str(error))
            done.refused.append(str(error))
    return told


def _by_jurisdiction(told: Sequence[tuple[Message, Amendment]]) -> Mapping[str, list[tuple[Message, Amendment]]]:
    found: dict[str, list[tuple[Message, Amendment]]] = {}
    for message, amendment in told:
        found.setdefault(amendment.jurisdiction, []).append((message, amendment))
    return found


async def _handle(  # noqa: PLR0913 - as receive
    queue: Queue,
    tiles: Queue,
    url: str,
    jurisdiction: Jurisdiction,
    told: list[tuple[Message, Amendment]],
    done: Received,
) -> None:
    """A batch of one jurisdiction in one transaction; where that fails, one by one: the others are not to blame."""
    why = await _stored(tiles, url, jurisdiction, told, done)
    if why is None:
        await queue.acknowledge([message for message, _ in told])
        done.stored += len(told)
    elif len(told) > 1:
        for each in told:
            await _handle(queue, tiles, url, jurisdiction, [each], done)
    else:
        await queue.fail(told[0][0], str(why))
        done.failed.append(str(why))


async def _stored(
    tiles: Queue, url: str, jurisdiction: Jurisdiction, told: list[tuple[Message, Amendment]], done: Received
) -> ZoningError | None:
    """Store what is told and what it asks for; None, or why not."""
    by_id = {message.id: amendment for message, amendment in told}
    try:
        new = await asyncio.to_thread(amendment_records.store_messages, url, jurisdiction.id, by_id, jurisdiction.srid)
        asked = await asyncio.to_thread(_asked, url, jurisdiction, told)
    except DatabaseUnavailable:
        raise
    except ZoningError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a message that shows a fault of ours must not stop the others
        _log.error("%s: unforeseen", jurisdiction.id, exc_info=error)
        return Defect(
            "a fault of this program", where=jurisdiction.id, do="report it, with the dead letter and the log"
        )
    await tiles.put(asked)
    done.asked += len(asked)
    done.repeated += len(by_id) - len(new)
    return None


def _asked(url: str, jurisdiction: Jurisdiction, told: Sequence[tuple[Message, Amendment]]) -> list[str]:
    """What amendments that have passed ask for: their tiles, and the zoning map on which they should show."""
    passed = [(message, amendment) for message, amendment in told if amendment.status in (*ADOPTED, *UNDONE)]
    tiles = amendment_records.tiles_of(url, [amendment for _, amendment in passed], jurisdiction.srid)
    asked = []
    for (message, amendment), touched in zip(passed, tiles, strict=True):
        numbers = ", ".join((*amendment.case_numbers, *amendment.ordinance_numbers))[:200]
        why = f"amendment {numbers} by message {message.id}"
        if touched and PARCELS in jurisdiction.feeds:
            asked.append(TileMessage(jurisdiction.id, "parcels", why, touched))
        if touched and ZONING in jurisdiction.feeds:
            asked.append(TileMessage(jurisdiction.id, "zoning", why))
    return [write(each) for each in asked]
