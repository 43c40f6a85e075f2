"""Consume amendment messages: store the amendment, put the affected tiles on the tile queue, acknowledge the message.

The first two steps are durable before the acknowledgement, and each may be repeated without harm. The tiles go to a
queue, not into run requests: Dagster stores the run requests of a sensor only after the sensor has ended, so a process
that died before would lose them.
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

#: Maximum number of messages in one transaction.
_BATCH = 100
#: Returns the jurisdiction of an id, or raises WrongUsage.
FindJurisdiction = Callable[[str], Jurisdiction]


@dataclass
class ReceiveResult:
    """Counts of the messages that one call of `receive` took."""

    stored: int = 0  # stored and acknowledged
    repeated: int = 0  # of those, received before
    tile_messages: int = 0  # messages put on the tile queue
    failed: list[str] = field(default_factory=list)  # reasons of messages that will be retried
    refused: list[str] = field(default_factory=list)  # reasons of messages that became dead letters at once

    @property
    def taken(self) -> int:
        """The number of messages that were taken from the queue."""
        return self.stored + len(self.failed) + len(self.refused)


async def receive(  # noqa: PLR0913 - two queues, the database, and the limits
    queue: Queue,
    tiles: Queue,
    url: str,
    find: FindJurisdiction,
    *,
    most: int = 500,
    most_s: float = 20.0,
    wait_s: float = 0.0,
) -> ReceiveResult:
    """Process messages until the queue is empty, a message fails, or a limit is reached.

    Args:
        queue: the queue of amendment messages.
        tiles: the queue of tile messages.
        url: address of the database.
        find: returns the jurisdiction of an id.
        most: maximum number of messages.
        most_s: no new batch starts after this time, seconds.
        wait_s: how long to wait for messages if the queue is empty, seconds.

    Raises:
        QueueUnavailable, DatabaseUnavailable: messages that were not acknowledged will be delivered again.
    """
    done, until = ReceiveResult(), time.monotonic() + most_s
    while done.taken < most and time.monotonic() < until and not done.failed:
        taken = await queue.take(min(_BATCH, most - done.taken), wait_s)
        if not taken:
            break
        parsed = await _parse(queue, taken, find, done)
        for where, messages in _by_jurisdiction(parsed).items():
            await _handle(queue, tiles, url, find(where), messages, done)
    return done


async def _parse(
    queue: Queue, taken: Sequence[Message], find: FindJurisdiction, done: ReceiveResult
) -> list[tuple[Message, Amendment]]:
    """Parse the messages; invalid ones become dead letters."""
    parsed = []
    for message in taken:
        try:
            read = read_amendment(message.body)
            parsed.append((message, amendment_of(read, find(read.jurisdiction))))
        except (MessageRefused, WrongUsage) as error:
            await queue.dead_letter(message, str(error))
            done.refused.append(str(error))
    return parsed


def _by_jurisdiction(parsed: Sequence[tuple[Message, Amendment]]) -> Mapping[str, list[tuple[Message, Amendment]]]:
    found: dict[str, list[tuple[Message, Amendment]]] = {}
    for message, amendment in parsed:
        found.setdefault(amendment.jurisdiction, []).append((message, amendment))
    return found


async def _handle(  # noqa: PLR0913 - as receive
    queue: Queue,
    tiles: Queue,
    url: str,
    jurisdiction: Jurisdiction,
    parsed: list[tuple[Message, Amendment]],
    done: ReceiveResult,
) -> None:
    """Store the messages of one jurisdiction in one transaction. If it fails, store each message separately, so that an
    invalid one does not block the others."""
    error = await _store(tiles, url, jurisdiction, parsed, done)
    if error is None:
        await queue.acknowledge([message for message, _ in parsed])
        done.stored += len(parsed)
    elif len(parsed) > 1:
        for each in parsed:
            await _handle(queue, tiles, url, jurisdiction, [each], done)
    else:
        await queue.fail(parsed[0][0], str(error))
        done.failed.append(str(error))


async def _store(
    tiles: Queue, url: str, jurisdiction: Jurisdiction, parsed: list[tuple[Message, Amendment]], done: ReceiveResult
) -> ZoningError | None:
    """Store the amendments and put their tile messages; return the error if that failed."""
    by_id = {message.id: amendment for message, amendment in parsed}
    try:
        new = await asyncio.to_thread(amendment_records.store_messages, url, jurisdiction.id, by_id, jurisdiction.srid)
        requests = await asyncio.to_thread(_tile_messages, url, jurisdiction, parsed)
    except DatabaseUnavailable:
        raise
    except ZoningError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect of ours must not block the other messages
        _log.error("%s: unexpected error", jurisdiction.id, exc_info=error)
        return Defect(
            "a fault of this program", where=jurisdiction.id, do="report it, with the dead letter and the log"
        )
    await tiles.put(requests)
    done.tile_messages += len(requests)
    done.repeated += len(by_id) - len(new)
    return None


def _tile_messages(url: str, jurisdiction: Jurisdiction, parsed: Sequence[tuple[Message, Amendment]]) -> list[str]:
    """The tile messages of adopted and undone amendments: their tiles, and the zoning map that should show them."""
    decided = [(message, amendment) for message, amendment in parsed if amendment.status in (*ADOPTED, *UNDONE)]
    tiles = amendment_records.tiles_of(url, [amendment for _, amendment in decided], jurisdiction.srid)
    requests = []
    for (message, amendment), touched in zip(decided, tiles, strict=True):
        numbers = ", ".join((*amendment.case_numbers, *amendment.ordinance_numbers))[:200]
        why = f"amendment {numbers} by message {message.id}"
        if touched and PARCELS in jurisdiction.feeds:
            requests.append(TileMessage(jurisdiction.id, "parcels", why, touched))
        if touched and ZONING in jurisdiction.feeds:
            requests.append(TileMessage(jurisdiction.id, "zoning", why))
    return [write(each) for each in requests]
