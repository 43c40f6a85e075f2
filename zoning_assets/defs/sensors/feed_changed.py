"""The sensor feed_changed: starts a harvest when a portal changed.

It probes the feeds that are due (probe_schedule.py), and requests a run for each feed whose probe found a change
(probe_results.py).
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets.defs import run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import probe_results, probe_schedule, tick_data
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.defs.sensors.tick_data import TICK_S
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.storage.postgis.records import feed_freshness

if TYPE_CHECKING:
    from zoning_assets.pipeline.pipeline import ProbeResult


def _probed(
    zoning: Zoning, chosen: Sequence[WatchedFeed], now: datetime
) -> "list[tuple[WatchedFeed, ProbeResult | Exception]]":
    """Probe feeds. Most ticks have none, and open nothing."""
    if not chosen:
        return []
    with zoning.pipeline() as pipeline:
        return asyncio.run(probe_results.probe_feeds(pipeline, chosen, now))


def feed_changed(jobs: Sequence[dg.JobDefinition], location: Location = WHOLE) -> dg.SensorDefinition:
    """Return the sensor that probes the portals on schedule and requests runs for changed feeds."""

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Probes the portals of your own jurisdictions, and harvests feeds that changed.",
    )
    def feed_changed(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        seen = tick_data.load(zoning, location)
        cursor = probe_schedule.with_stored(probe_schedule.parse_cursor(context.cursor), seen.known)
        chosen = probe_schedule.due(cursor, seen.known, seen.feeds, seen.closed, seen.now)
        requests = probe_results.decide(cursor, _probed(zoning, chosen, seen.now), seen.failures_of, seen.now)
        for each in requests:
            feed_freshness.store_probe(seen.url, each.known)
        errors = "; ".join(f"{each.feed.key}: {each.known.error}" for each in requests if each.known.error)
        requested = [run_requests.of_feed(each.run_key, each.feed) for each in requests if each.run_key]
        after = probe_schedule.serialize({**cursor, **{each.feed.key: each.entry for each in requests}}, seen.feeds)
        return tick_data.result(requested, after, errors or "no feed is due, or none has changed")

    return feed_changed
