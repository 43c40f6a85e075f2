"""Runs the probes of the sensor feed_changed concurrently, and evaluates their results."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from zoning_assets.defs.sensors import probe_schedule
from zoning_assets.defs.sensors.probe_schedule import ProbeState, WatchedFeed
from zoning_assets.errors import ZoningError
from zoning_assets.storage.postgis.records.failure_records import Failure
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness

if TYPE_CHECKING:
    from zoning_assets.pipeline.pipeline import Pipeline, ProbeResult

#: Time limit of a probe, and until when a tick begins probes; seconds. Dagster ends a tick after 60 s.
_PROBE_S, _BEGIN_S = 35.0, 15.0
#: Probes at once. Each has a connection to the database, for the rate limits.
_AT_ONCE = 12


@dataclass(frozen=True)
class ProbeDecision:
    """A probed feed: its new state, its new cursor entry, and the run to request, if any."""

    feed: WatchedFeed
    known: FeedFreshness
    entry: ProbeState
    run_key: str | None


async def probe_feeds(
    pipeline: "Pipeline", feeds: Sequence[WatchedFeed], now: datetime
) -> "list[tuple[WatchedFeed, ProbeResult | Exception]]":
    """Probe the feeds, some at once. An error is returned as the feed's result. A probe that could not begin in time
    has no result: its feed stays due."""
    loop, slots = asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)
    last = loop.time() + _BEGIN_S

    async def one(feed: WatchedFeed) -> "tuple[WatchedFeed, ProbeResult | Exception] | None":
        async with slots:
            if loop.time() > last:
                return None
            try:
                return feed, await asyncio.wait_for(pipeline.probe(feed.jurisdiction, feed.name, now), _PROBE_S)
            except (ZoningError, TimeoutError) as error:
                return feed, error

    return [each for each in await asyncio.gather(*map(one, feeds)) if each]


def decide(
    cursor: Mapping[str, ProbeState],
    found: "Sequence[tuple[WatchedFeed, ProbeResult | Exception]]",
    failures_of: Callable[[WatchedFeed], Sequence[Failure]],
    now: datetime,
) -> list[ProbeDecision]:
    """Evaluate the result of each probe. Pure function."""
    return [
        _unanswered(cursor.get(feed.key), feed, answer, now)
        if isinstance(answer, Exception)
        else _answered(cursor.get(feed.key), feed, answer, failures_of(feed), now)
        for feed, answer in found
    ]


def _unanswered(before: ProbeState | None, feed: WatchedFeed, error: Exception, now: datetime) -> ProbeDecision:
    failed = before.failed + 1 if before else 1
    again = probe_schedule.after(feed, now, failed, getattr(error, "wait_s", None))
    entry = ProbeState(again.isoformat(), failed, before.why if before else "", before.asked if before else "")
    known = FeedFreshness(feed.jurisdiction.id, feed.name, now, again, error=str(error) or "no answer in time")
    return ProbeDecision(feed, known, entry, None)


def _answered(
    before: ProbeState | None, feed: WatchedFeed, answer: "ProbeResult", failures: Sequence[Failure], now: datetime
) -> ProbeDecision:
    again, why = probe_schedule.after(feed, now), answer.why
    current = None if why else now
    known = FeedFreshness(feed.jurisdiction.id, feed.name, now, again, why, requests=answer.requests, current=current)
    if why and probe_schedule.needs_run(before, why, failures, now):
        entry = ProbeState(again.isoformat(), why=why, asked=now.isoformat())
        return ProbeDecision(feed, known, entry, probe_schedule.run_key(feed, before, why))
    kept = (before.why, before.asked) if before and why else ("", "")
    return ProbeDecision(feed, known, ProbeState(again.isoformat(), 0, *kept), None)
