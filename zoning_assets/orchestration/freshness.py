"""Which feeds are older than their promise, and so are fetched whatever their probes say: pure decisions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from zoning_assets.orchestration.waking import Feed
from zoning_assets.stores.freshness import Known


def age(known: Known | None, now: datetime) -> timedelta | None:
    """How long ago what stands was found to be what the portal has; None: nothing stands yet."""
    return now - known.current if known and known.current else None


def broken(
    feeds: Sequence[Feed], known: Mapping[str, Known], closed: Collection[str], now: datetime
) -> list[tuple[Feed, str]]:
    """The feeds that are to be fetched, and the run key of each: once for each time that the promise has run out.

    Args:
        feeds: those that are watched.
        known: how far each is up to date; one that was never harvested has no promise to break.
        closed: keys of feeds that are not to be asked now, or that failed and are asked again by themselves.
        now: the time.
    """
    found = []
    for feed in feeds:
        state = known.get(feed.key)
        old, promise = age(state, now), feed.promise(now)
        if state and state.current and old and old > promise and feed.key not in closed:
            found.append((feed, f"fresh {feed.key} {state.current.isoformat()} {old // promise}"))
    return found
