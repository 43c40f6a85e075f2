"""The sensor promise_broken: harvests feeds that exceeded their freshness limit. overdue_feeds.py decides which."""

from collections.abc import Sequence

import dagster as dg

from zoning_assets.defs import run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import overdue_feeds, tick_data
from zoning_assets.defs.sensors.tick_data import TICK_S
from zoning_assets.jurisdictions.locations import WHOLE, Location


def promise_broken(jobs: Sequence[dg.JobDefinition], location: Location = WHOLE) -> dg.SensorDefinition:
    """Return the sensor that requests runs for feeds that exceeded their freshness limit."""

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Harvests feeds that exceeded their freshness limit, whatever their probes report.",
    )
    def promise_broken(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        seen = tick_data.load(zoning, location)
        closed = seen.closed | {feed.key for feed in seen.feeds if seen.failures_of(feed)}
        found = overdue_feeds.due(seen.feeds, seen.known, closed, seen.now)
        before = set((context.cursor or "").splitlines())
        requested = [run_requests.of_feed(key, feed) for feed, key in found if key not in before]
        return tick_data.result(
            requested, "\n".join(key for _, key in found), "every feed is fresh, or its run is already requested"
        )

    return promise_broken
