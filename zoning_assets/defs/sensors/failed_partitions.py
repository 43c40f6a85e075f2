"""Which partitions that failed are asked for again, and when: pure decisions."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from zoning_assets.defs.sensors.probe_schedule import UNDER_WAY
from zoning_assets.storage.postgis.records.failure_records import Failure

#: After the first failure it is asked for again so much later, then three times as long; each a little late, so that
#: what failed together does not come back together.
_FIRST, _FACTOR, _JITTER = timedelta(minutes=10), 3, 0.2
#: What a person or a clock held up is asked for as soon as that is over.
_AT_ONCE = frozenset({"Held", "PortalResting", "Stopping"})
#: In a tick.
_MOST_RUNS, _MOST_TILES = 20, 500


@dataclass(frozen=True)
class Ask:
    """A run that asks again: for these tiles of a feed, or (none) for all of it."""

    jurisdiction: str
    feed: str
    tiles: tuple[str, ...]
    ids: tuple[int, ...]
    run_key: str


@dataclass(frozen=True)
class Asked:
    """What the cursor remembers of a failure."""

    last: str  # when it had failed, as it was asked for
    at: str  # when it was asked for
    times: int  # how often it was, since it failed


def entries(cursor: str | None) -> dict[int, Asked]:
    """The cursor, read; of one that is lost the run keys say the same again."""
    try:
        return {int(id_): Asked(**entry) for id_, entry in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def written(cursor: Mapping[int, Asked], failures: Sequence[Failure]) -> str:
    """The cursor, of what is not solved."""
    return json.dumps({each.id: vars(cursor[each.id]) for each in failures if each.id in cursor})


def next_try(failure: Failure) -> datetime | None:
    """When it is asked for again, if nothing holds it up then; None: it is dead, or under way."""
    if failure.state != "waiting":
        return None
    wait = timedelta(0)
    if failure.tries and failure.kind not in _AT_ONCE:
        late = int.from_bytes(hashlib.blake2b(failure.where.encode(), digest_size=4).digest()) / 2**32
        wait = _FIRST * _FACTOR ** (failure.tries - 1) * (1 + _JITTER * late)
    at = failure.last + wait
    return max(at, failure.not_before) if failure.not_before else at


def due(
    cursor: Mapping[int, Asked], failures: Sequence[Failure], closed: Collection[str], now: datetime
) -> tuple[list[Ask], dict[int, Asked]]:
    """The runs that are asked for now, one a feed, and what the cursor is to remember then."""
    waiting = [each for each in failures if _is_due(each, cursor.get(each.id), closed, now)]
    waiting.sort(key=lambda each: (each.jurisdiction, each.feed, each.id))
    after, asks = dict(cursor), list[Ask]()
    for (jurisdiction, feed), members in groupby(waiting, key=lambda each: (each.jurisdiction, each.feed)):
        if len(asks) == _MOST_RUNS:
            break
        chosen = list(members)[:_MOST_TILES]
        remembered = {each.id: _asked(each, cursor.get(each.id), now) for each in chosen}
        tiles = tuple(sorted(each.tile for each in chosen if each.tile))
        told = repr([(id_, entry.last, entry.times) for id_, entry in sorted(remembered.items())])
        key = f"again {jurisdiction}/{feed} {hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"
        whole = any(each.tile is None for each in chosen)
        asks.append(Ask(jurisdiction, feed, () if whole else tiles, tuple(remembered), key))
        after |= remembered
    return asks, after


def _is_due(failure: Failure, asked: Asked | None, closed: Collection[str], now: datetime) -> bool:
    if failure.state == "dead" or f"{failure.jurisdiction}/{failure.feed}" in closed:
        return False
    if failure.state == "asked":  # its run has begun; one that died without a word is asked for anew
        return failure.asked is None or now - failure.asked > UNDER_WAY
    if asked and asked.last == failure.last.isoformat() and now - datetime.fromisoformat(asked.at) <= UNDER_WAY:
        return False
    at = next_try(failure)
    return at is not None and at <= now


def _asked(failure: Failure, before: Asked | None, now: datetime) -> Asked:
    last = failure.last.isoformat()
    return Asked(last, now.isoformat(), before.times + 1 if before and before.last == last else 1)
