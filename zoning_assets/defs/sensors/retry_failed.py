"""The sensor retry_failed: retries failed partitions, and only these. failed_partitions.py decides which and when."""

from collections.abc import Sequence

import dagster as dg

from zoning_assets.defs import partitions, run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import failed_partitions, tick_data
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.defs.sensors.tick_data import TICK_S
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations
from zoning_assets.model import CHANGES


def retry_failed(jobs: Sequence[dg.JobDefinition], location: Location = WHOLE) -> dg.SensorDefinition:
    """Return the sensor that requests runs for failed partitions."""

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Retries failed partitions a few times with growing delays. After that, an operator must act.",
    )
    def retry_failed(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        seen, cursor = tick_data.load(zoning, location), failed_partitions.parse_cursor(context.cursor)
        locations = Locations.of(zoning.settings.locations)
        ours = [each for each in seen.failed if locations.find(each.jurisdiction) == location]
        requests, after = failed_partitions.due(cursor, ours, seen.closed, seen.now)
        by_key = {key: feed for feed in seen.feeds for key in (f"{feed.jurisdiction.id}/{CHANGES}", feed.key)}
        known = [
            (request, by_key[key])
            for request in requests
            if (key := f"{request.jurisdiction}/{request.feed}") in by_key
        ]
        is_tile = any(request.tiles for request, _ in known)
        registered = partitions.registered(context.instance, location) if is_tile else ()
        requested = [each for request, feed in known for each in _retry_runs(registered, request, feed)]
        return tick_data.result(requested, failed_partitions.serialize(after, ours), "no failed partition is due")

    return retry_failed


def _retry_runs(
    registered: Sequence[str], request: failed_partitions.RetryRequest, feed: WatchedFeed
) -> list[dg.RunRequest]:
    if request.feed == CHANGES:
        return [run_requests.of_feed(request.run_key, feed, CHANGES)]
    return run_requests.wanted(registered, request.run_key, feed, request.tiles)
