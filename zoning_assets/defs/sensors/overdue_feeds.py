"""Decides which feeds exceeded their freshness limit. Pure functions.

The sensor promise_broken harvests these feeds, whatever their probes report.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness


def overdue(feed: WatchedFeed, known: FeedFreshness | None, now: datetime) -> int:
    """Return how many freshness periods have passed since the published data was last confirmed at the portal; 0: the
    feed is fresh, or nothing is published yet."""
    return (now - known.current) // feed.freshness_limit(now) if known and known.current else 0


def due(
    feeds: Sequence[WatchedFeed], known: Mapping[str, FeedFreshness], closed: Collection[str], now: datetime
) -> list[tuple[WatchedFeed, str]]:
    """Return the feeds to fetch and the run key of each: one run for each expired freshness period.

    If the portal did not answer the probes, its rows are fetched only after two expired periods: then the probe itself
    may be the problem.

    Args:
        feeds: the watched feeds.
        known: the state of each feed; a feed that was never harvested is skipped.
        closed: keys of feeds that are blocked now, or that failed and have a retry scheduled.
        now: the current time.
    """
    found = []
    for feed in feeds:
        state = known.get(feed.key)
        times = overdue(feed, state, now)
        if state and state.current and times > bool(state.error) and feed.key not in closed:
            found.append((feed, f"fresh {feed.key} {state.current.isoformat()} {times}"))
    return found
