"""What the sensors feed_changed, retry_failed and promise_broken share: the data that a tick reads, and its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import probe_schedule
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations
from zoning_assets.settings import Settings
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.postgis.records import failure_records, feed_freshness, hold_records
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness

#: Seconds between two ticks.
TICK_S = 60
#: More files than this are read again at each tick.
_KEPT_FILES = 20_000


@dataclass(frozen=True)
class TickData:
    """The data that a tick reads."""

    url: str
    now: datetime
    feeds: Sequence[WatchedFeed]
    known: Mapping[str, FeedFreshness]
    failed: Sequence[Failure]
    closed: set[str]

    @classmethod
    def at(cls, url: str, feeds: Sequence[WatchedFeed], now: datetime) -> "TickData":
        """Read the data from the database at this time."""
        closed = probe_schedule.blocked(feeds, hold_records.active(url), now)
        return cls(url, now, feeds, feed_freshness.feeds(url), failure_records.unsolved(url), closed)

    @cached_property
    def _failed_by_feed(self) -> Mapping[str, Sequence[Failure]]:
        found: dict[str, list[Failure]] = {}
        for each in self.failed:
            found.setdefault(f"{each.jurisdiction}/{each.feed}", []).append(each)
        return found

    def failures_of(self, feed: WatchedFeed) -> Sequence[Failure]:
        """Return the unresolved failures of a feed."""
        return self._failed_by_feed.get(feed.key, ())


def load(zoning: Zoning, location: Location = WHOLE) -> TickData:
    """Load the data for a tick: of the feeds of a group."""
    return TickData.at(zoning.database(), watched(zoning.settings, location), zoning.now())


def result(requested: Sequence[dg.RunRequest], cursor: str, why_none: str) -> dg.SensorResult:
    """Return the result of a tick. `why_none`: the reason in the UI if no run is requested."""
    reason = None if requested else dg.SkipReason(why_none)
    return dg.SensorResult(run_requests=requested, skip_reason=reason, cursor=cursor)


def watched(settings: Settings, location: Location = WHOLE) -> list[WatchedFeed]:
    """Return the feeds of the user's own files in a group. Packaged examples are never polled automatically. Invalid
    files are skipped here: a run of the jurisdiction reports the error."""
    found: list[WatchedFeed] = []
    locations = Locations.of(settings.locations)
    for id_, path in jurisdictions.files(settings.jurisdictions).items():
        if path.parent != settings.jurisdictions or locations.find(id_) != location:
            continue
        stat = path.stat(follow_symlinks=True) if path.exists() else None
        found += _feeds_of(path, stat.st_mtime_ns, stat.st_size) if stat else ()
    return found


@lru_cache(maxsize=_KEPT_FILES)
def _feeds_of(path: Path, mtime_ns: int, size: int) -> tuple[WatchedFeed, ...]:  # noqa: ARG001 - parts of the cache key
    """Return the feeds of a file; none if it is invalid. A file is read again only after it changed: reading and
    checking one takes a millisecond, and three sensors read all files once a minute."""
    try:
        described = jurisdictions.read(path, FEED_TYPES)
    except JurisdictionInvalid:
        return ()
    return tuple(WatchedFeed(described, name) for name in described.feeds)
