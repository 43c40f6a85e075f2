"""Which feeds are older than their promise, and so are fetched whatever their probes say: pure decisions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from zoning_assets.defs.sensors.probe_schedule import Feed
from zoning_assets.storage.postgis.records.feed_freshness import Known


def overdue(feed: Feed, known: Known | None, now: datetime) -> int:
    """How often its promise has run out since what stands was found to be the portal's; 0: it is kept, or nothing
    stands yet."""
    return (now - known.current) // feed.promise(now) if known and known.current else 0


def due(
    feeds: Sequence[Feed], known: Mapping[str, Known], closed: Collection[str], now: datetime
) -> list[tuple[Feed, str]]:
    """The feeds that are to be fetched, and the run key of each: once for each time that the promise has run out.

    A portal that did not answer its probes is not asked for all its rows, too, before the promise has run out twice:
    then it may be the probe that is wrong.

    Args:
        feeds: those that are watched.
        known: how far each is up to date; one that was never harvested has no promise to break.
        closed: keys of feeds that are not to be asked now, or that failed and are asked again by themselves.
        now: the time.
    """
    found = []
    for feed in feeds:
        state = known.get(feed.key)
        times = overdue(feed, state, now)
        if state and state.current and times > bool(state.error) and feed.key not in closed:
            found.append((feed, f"fresh {feed.key} {state.current.isoformat()} {times}"))
    return found
