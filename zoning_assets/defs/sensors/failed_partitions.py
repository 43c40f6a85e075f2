"""Decides which failed partitions the sensor retry_failed retries, and when. Pure functions."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from zoning_assets.defs.sensors.probe_schedule import MAX_RUN_TIME
from zoning_assets.storage.postgis.records.failure_records import Failure

#: Delay of the first retry; each further delay is three times as long. Each delay also has a small offset, so that
#: partitions that failed together are not retried together.
_FIRST, _FACTOR, _JITTER = timedelta(minutes=10), 3, 0.2
#: Failures from a pause or a maintenance window are retried as soon as it ends.
_AT_ONCE = frozenset({"Held", "PortalResting", "Stopping"})
#: In a tick.
_MOST_RUNS, _MOST_TILES = 20, 500


@dataclass(frozen=True)
class RetryRequest:
    """A retry request for these tiles of a feed; no tiles: for the whole feed."""

    jurisdiction: str
    feed: str
    tiles: tuple[str, ...]
    ids: tuple[int, ...]
    run_key: str


@dataclass(frozen=True)
class RetryState:
    """The cursor's entry for a failure."""

    last: str  # the time of the failure that was retried
    at: str  # the time of the request
    times: int  # number of requests since the failure


def parse_cursor(cursor: str | None) -> dict[int, RetryState]:
    """Parse the cursor. If it was lost, the same run keys are computed again, so Dagster skips duplicates."""
    try:
        return {int(id_): RetryState(**entry) for id_, entry in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def serialize(cursor: Mapping[int, RetryState], failures: Sequence[Failure]) -> str:
    """Serialize the cursor, with unresolved failures only."""
    return json.dumps({each.id: vars(cursor[each.id]) for each in failures if each.id in cursor})


def next_try(failure: Failure) -> datetime | None:
    """Return when a failure is retried if it is not blocked then; None: no retries are left, or one is in progress."""
    if failure.state != "waiting":
        return None
    wait = timedelta(0)
    if failure.tries and failure.kind not in _AT_ONCE:
        late = int.from_bytes(hashlib.blake2b(failure.where.encode(), digest_size=4).digest()) / 2**32
        wait = _FIRST * _FACTOR ** (failure.tries - 1) * (1 + _JITTER * late)
    at = failure.last + wait
    return max(at, failure.not_before) if failure.not_before else at


def due(
    cursor: Mapping[int, RetryState], failures: Sequence[Failure], closed: Collection[str], now: datetime
) -> tuple[list[RetryRequest], dict[int, RetryState]]:
    """Return the retries to request now, one per feed, and the next cursor."""
    waiting = [each for each in failures if _is_due(each, cursor.get(each.id), closed, now)]
    waiting.sort(key=lambda each: (each.jurisdiction, each.feed, each.id))
    after, asks = dict(cursor), list[RetryRequest]()
    for (jurisdiction, feed), members in groupby(waiting, key=lambda each: (each.jurisdiction, each.feed)):
        if len(asks) == _MOST_RUNS:
            break
        chosen = list(members)[:_MOST_TILES]
        remembered = {each.id: _entry(each, cursor.get(each.id), now) for each in chosen}
        tiles = tuple(sorted(each.tile for each in chosen if each.tile))
        text = repr([(id_, entry.last, entry.times) for id_, entry in sorted(remembered.items())])
        key = f"again {jurisdiction}/{feed} {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
        whole = any(each.tile is None for each in chosen)
        asks.append(RetryRequest(jurisdiction, feed, () if whole else tiles, tuple(remembered), key))
        after |= remembered
    return asks, after


def _is_due(failure: Failure, entry: RetryState | None, closed: Collection[str], now: datetime) -> bool:
    if failure.state == "dead" or f"{failure.jurisdiction}/{failure.feed}" in closed:
        return False
    if failure.state == "asked":  # its run has started; a run that died without a report is requested again
        return failure.asked is None or now - failure.asked > MAX_RUN_TIME
    if entry and entry.last == failure.last.isoformat() and now - datetime.fromisoformat(entry.at) <= MAX_RUN_TIME:
        return False
    at = next_try(failure)
    return at is not None and at <= now


def _entry(failure: Failure, before: RetryState | None, now: datetime) -> RetryState:
    last = failure.last.isoformat()
    return RetryState(last, now.isoformat(), before.times + 1 if before and before.last == last else 1)
