"""When a feed is to be probed, and whether what was found is asked for: pure decisions, so that a tick can be told
again. What belongs here: one feed and one time. What does not: Dagster, and what failed (failed_partitions.py)."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Jurisdiction
from zoning_assets.schedules import cron
from zoning_assets.schedules.time_windows import open_window_until
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.records.feed_freshness import Known
from zoning_assets.storage.postgis.records.hold_records import Hold, of

#: Probes in a tick, all at the same time: a tick of Dagster's may take a minute.
MOST_PROBES = 12
#: Feeds of one interval do not all wake up at once: each is late by up to this part of it, always the same; one that is
#: asked at a stated time, by an hour at most.
_JITTER, _LATEST = 0.1, timedelta(hours=1)
#: A portal that could not be asked is asked again after so long, then after twice as long, up to its interval.
_AGAIN = timedelta(hours=1)
#: What was asked for is not asked for again within this: a run waits for a day at most while a person pauses it.
UNDER_WAY = timedelta(hours=26)


@dataclass(frozen=True)
class Feed:
    """A feed to be watched."""

    jurisdiction: Jurisdiction
    name: str

    @property
    def key(self) -> str:
        """As the cursor and run keys spell it."""
        return f"{self.jurisdiction.id}/{self.name}"

    @property
    def host(self) -> str:
        """Which portal it is asked from."""
        url = self.jurisdiction.feeds[self.name].url
        return host_of(url) if "://" in url else "files"

    def interval(self, now: datetime) -> timedelta:
        """From one probe to the next."""
        described = self.jurisdiction.feeds[self.name]
        if described.probe is None:
            return timedelta(hours=described.probe_hours)
        first = cron.parse(described.probe).after(now)
        return cron.parse(described.probe).after(first) - first

    def promise(self, now: datetime) -> timedelta:
        """Within so long what stands is found to be what the portal has."""
        hours = self.jurisdiction.fresh_hours
        return 2 * self.interval(now) if hours is None else timedelta(hours=hours)


@dataclass(frozen=True)
class Entry:
    """What the cursor remembers of a feed. Times in ISO 8601."""

    next: str  # when it is to be probed
    failed: int = 0  # probes in a row that had no answer
    why: str = ""  # what was asked for last, and when
    asked: str = ""


def entries(cursor: str | None) -> dict[str, Entry]:
    """The cursor, read; one that cannot be read is a lost one, which costs probes and no harvest."""
    try:
        return {key: Entry(**entry) for key, entry in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def written(cursor: Mapping[str, Entry], feeds: Iterable[Feed]) -> str:
    """The cursor, of these feeds only."""
    return json.dumps({feed.key: vars(cursor[feed.key]) for feed in feeds if feed.key in cursor}, sort_keys=True)


def blocked(feeds: Iterable[Feed], holds: Sequence[Hold], now: datetime) -> set[str]:
    """The keys of feeds that are not to be asked: a person paused them, or their portal rests. What is due meanwhile
    stays due, and is asked for once when that is over."""
    return {feed.key for feed in feeds if of(holds, feed.jurisdiction.id, [feed.host]) or rests_until(feed, now)}


def rests_until(feed: Feed, now: datetime) -> datetime | None:
    """When the windows in which its portal is not asked have closed; None: none is open."""
    portal = feed.jurisdiction.portal
    return open_window_until((*portal.maintenance, *portal.quiet_hours), now)


def due(
    cursor: Mapping[str, Entry],
    known: Mapping[str, Known],
    feeds: Sequence[Feed],
    closed: Collection[str],
    now: datetime,
) -> list[Feed]:
    """The feeds whose time has come, the longest overdue first; new ones at once; none that is blocked."""
    times = {feed.key: _next(cursor.get(feed.key), known.get(feed.key)) for feed in feeds}
    waiting = [feed for feed in feeds if times[feed.key] <= now and feed.key not in closed]
    return sorted(waiting, key=lambda feed: (times[feed.key], feed.key))[:MOST_PROBES]


def _next(entry: Entry | None, known: Known | None) -> datetime:
    if entry:
        return datetime.fromisoformat(entry.next)
    # A cursor was lost. What was found to be worth fetching may not have been asked for: it is looked at again.
    if known is None or known.next_probe is None or known.why is not None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return known.next_probe


def after(feed: Feed, now: datetime, failed: int = 0, wait_s: float | None = None) -> datetime:
    """When a feed that was probed now is to be probed again; `failed`: so often it had no answer, in a row."""
    interval: timedelta = feed.interval(now)
    if failed:
        wait: timedelta = min(_AGAIN * 2 ** min(failed - 1, 16), interval)
        return now + max(wait, timedelta(seconds=wait_s or 0.0))
    described = feed.jurisdiction.feeds[feed.name]
    late = int.from_bytes(hashlib.blake2b(feed.key.encode(), digest_size=4).digest()) / 2**32
    if described.probe is None:
        return now + interval * (1 + _JITTER * late)
    return cron.parse(described.probe).after(now) + min(_JITTER * interval, _LATEST) * late


def worth(entry: Entry | None, why: str, failures: Sequence[Failure], now: datetime) -> bool:
    """Whether what a probe found is asked for: not while the same was asked for and may be under way, nor while the
    same failed and is asked for again by itself, or needs a person. A portal that did not answer does now."""
    if entry is None or why != entry.why:
        return True
    if failures:
        return all(each.state == "dead" and each.passes for each in failures)
    return now - datetime.fromisoformat(entry.asked) > UNDER_WAY


def run_key(feed: Feed, entry: Entry | None, why: str) -> str:
    """The same for a tick that is told again, another for the next time that the same is found."""
    told = f"{feed.key} {entry.next if entry else ''} {why}"
    return f"{feed.key} {hashlib.blake2b(told.encode(), digest_size=8).hexdigest()}"
