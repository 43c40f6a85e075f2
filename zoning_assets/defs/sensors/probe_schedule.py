"""Decides when the sensor feed_changed probes a feed, and whether a detected change requests a run.

The functions are pure, so a tick can be repeated with the same result. What belongs here: one feed at one time. What
does not: Dagster, and failures (failed_partitions.py).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Jurisdiction
from zoning_assets.schedules import cron
from zoning_assets.schedules.time_windows import open_window_until
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness
from zoning_assets.storage.postgis.records.hold_records import Hold, find_hold

#: The host of feeds that are files on this machine.
FILES = "files"
#: Number of probes in a tick. A Dagster tick may take one minute; probe_results.py limits how many run at once.
MAX_PROBES = 60
#: Of one host, in a tick: what fits into these seconds at the pace of its portal, with this many requests a probe.
_HOST_S, _REQUESTS = 20.0, 3
#: Probes of feeds with the same interval are spread: each has a fixed delay of up to this fraction of the interval. For
#: a feed with a cron schedule the delay is one hour at most.
_JITTER, _LATEST = 0.1, timedelta(hours=1)
#: Delay after a failed probe. It doubles after each further failure, up to the feed's interval.
_RETRY_DELAY = timedelta(hours=1)
#: The same change is not requested again within this time: a paused run waits for one day at most.
MAX_RUN_TIME = timedelta(hours=26)


@dataclass(frozen=True)
class WatchedFeed:
    """A watched feed."""

    jurisdiction: Jurisdiction
    name: str

    @property
    def key(self) -> str:
        """The feed's key in the cursor and in run keys."""
        return f"{self.jurisdiction.id}/{self.name}"

    @property
    def host(self) -> str:
        """The host of the feed's portal."""
        url = self.jurisdiction.feeds[self.name].url
        return host_of(url) if "://" in url else FILES

    def interval(self, now: datetime) -> timedelta:
        """The time between two probes."""
        described = self.jurisdiction.feeds[self.name]
        if described.probe is None:
            return timedelta(hours=described.probe_hours)
        first = cron.parse(described.probe).after(now)
        return cron.parse(described.probe).after(first) - first

    def freshness_limit(self, now: datetime) -> timedelta:
        """The freshness limit: within this time the published data must be confirmed at the portal."""
        hours = self.jurisdiction.fresh_hours
        return 2 * self.interval(now) if hours is None else timedelta(hours=hours)


@dataclass(frozen=True)
class ProbeState:
    """The cursor's entry for a feed. Times in ISO 8601."""

    next: str  # time of the next probe
    failed: int = 0  # number of consecutive failed probes
    why: str = ""  # the last requested change, and when
    asked: str = ""


def parse_cursor(cursor: str | None) -> dict[str, ProbeState]:
    """Parse the cursor. An invalid cursor is treated as lost: that causes extra probes, but no harvest."""
    try:
        return {key: ProbeState(**entry) for key, entry in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def with_stored(cursor: Mapping[str, ProbeState], known: Mapping[str, FeedFreshness]) -> dict[str, ProbeState]:
    """Return the cursor with the entries that `serialize` leaves out. A feed with a detected change is not added: if it
    has no entry, the change may not have been requested."""
    quiet = {
        key: ProbeState(each.next_probe.isoformat())
        for key, each in known.items()
        if each.next_probe and each.why is None
    }
    return {**quiet, **cursor}


def serialize(cursor: Mapping[str, ProbeState], feeds: Iterable[WatchedFeed]) -> str:
    """Serialize the cursor, with the entries of these feeds that zoning.feed cannot restore: Dagster stores the cursor
    with every tick, which were 0.8 MB a minute for 6,400 feeds."""
    kept = {feed.key: cursor[feed.key] for feed in feeds if feed.key in cursor}
    return json.dumps({key: vars(each) for key, each in kept.items() if each.failed or each.why}, sort_keys=True)


def blocked(feeds: Iterable[WatchedFeed], holds: Sequence[Hold], now: datetime) -> set[str]:
    """Return the keys of blocked feeds: paused feeds, and feeds in a maintenance or quiet window. A probe that becomes
    due meanwhile stays due, and runs once afterwards."""
    return {feed.key for feed in feeds if find_hold(holds, feed.jurisdiction.id, [feed.host]) or window_ends(feed, now)}


def window_ends(feed: WatchedFeed, now: datetime) -> datetime | None:
    """Return when the open maintenance and quiet windows of the portal end; None: no window is open."""
    portal = feed.jurisdiction.portal
    return open_window_until((*portal.maintenance, *portal.quiet_hours), now)


def due(
    cursor: Mapping[str, ProbeState],
    known: Mapping[str, FeedFreshness],
    feeds: Sequence[WatchedFeed],
    closed: Collection[str],
    now: datetime,
) -> list[WatchedFeed]:
    """Return the feeds that are due, longest overdue first. New feeds are due at once; blocked feeds never. Of one host
    only so many are returned as its pace permits in a tick; the other ones stay due."""
    times = {feed.key: _next(cursor.get(feed.key), known.get(feed.key)) for feed in feeds}
    waiting = [feed for feed in feeds if times[feed.key] <= now and feed.key not in closed]
    chosen, of_host = list[WatchedFeed](), Counter[str]()
    for feed in sorted(waiting, key=lambda feed: (times[feed.key], feed.key)):
        if of_host[feed.host] < _most_of_host(feed) and len(chosen) < MAX_PROBES:
            chosen.append(feed)
            of_host[feed.host] += 1
    return chosen


def _most_of_host(feed: WatchedFeed) -> int:
    if feed.host == FILES:
        return MAX_PROBES
    per_minute = feed.jurisdiction.portal.requests_per_minute
    return max(1, int(per_minute * _HOST_S / 60 / _REQUESTS))


def _next(entry: ProbeState | None, known: FeedFreshness | None) -> datetime:
    if entry:
        return datetime.fromisoformat(entry.next)
    # The cursor was lost. A detected change may not have been requested, so the feed is probed again.
    if known is None or known.next_probe is None or known.why is not None:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return known.next_probe


def after(feed: WatchedFeed, now: datetime, failed: int = 0, wait_s: float | None = None) -> datetime:
    """Return when a feed that was probed now is probed again; `failed`: number of consecutive failed probes."""
    interval: timedelta = feed.interval(now)
    if failed:
        wait: timedelta = min(_RETRY_DELAY * 2 ** min(failed - 1, 16), interval)
        return now + max(wait, timedelta(seconds=wait_s or 0.0))
    described = feed.jurisdiction.feeds[feed.name]
    late = int.from_bytes(hashlib.blake2b(feed.key.encode(), digest_size=4).digest()) / 2**32
    if described.probe is None:
        return now + interval * (1 + _JITTER * late)
    return cron.parse(described.probe).after(now) + min(_JITTER * interval, _LATEST) * late


def needs_run(entry: ProbeState | None, why: str, failures: Sequence[Failure], now: datetime) -> bool:
    """Return whether a detected change requests a run: not while a run for the same change may be in progress, and not
    while its run failed and has a retry scheduled or needs an operator. If only temporary errors are left and no retry
    is scheduled, the run is requested, because the portal answers now."""
    if entry is None or why != entry.why:
        return True
    if failures:
        return all(each.state == "dead" and each.passes for each in failures)
    return now - datetime.fromisoformat(entry.asked) > MAX_RUN_TIME


def run_key(feed: WatchedFeed, entry: ProbeState | None, why: str) -> str:
    """Return the run key: the same for a repeated tick, a different one when the same change is detected later."""
    text = f"{feed.key} {entry.next if entry else ''} {why}"
    return f"{feed.key} {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
