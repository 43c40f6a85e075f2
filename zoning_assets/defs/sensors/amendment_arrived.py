"""The sensor amendment_arrived: a thin wrapper around amendment_consumer.py and queued_tiles.py."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets.defs import partitions, run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.errors import StoreError
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations

if TYPE_CHECKING:
    from zoning_assets.defs.sensors.queued_tiles import QueuedRun
    from zoning_assets.operations.amendment_consumer import ReceiveResult

_TICK_S = 30
_RUN_KEY = "dagster/run_key"


def amendment_arrived(
    jobs: Sequence[dg.JobDefinition], location: Location = WHOLE, *, is_first: bool = True
) -> dg.SensorDefinition:
    """Return the sensor that stores amendments from the queue and requests a harvest of the affected tiles.

    Args:
        jobs: what it may request.
        location: the group whose messages it takes; those of other groups stay in the queue.
        is_first: whether it also takes messages for which no code location exists, and reports them.
    """

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads the amendment queue, stores the amendments, and harvests the tiles that they affect.",
    )
    def amendment_arrived(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        requested: dict[str, str] = json.loads(context.cursor or "{}")
        is_ours = cache(partial(_is_ours, zoning, location, is_first=is_first))  # it lists all files
        try:
            received, wanted, requested = asyncio.run(_arrived(context.instance, zoning, requested, is_ours))
        except StoreError as error:
            return dg.SensorResult(
                skip_reason=f"{error}; received messages will be delivered again", cursor=json.dumps(requested)
            )
        for why in (*received.failed, *received.refused):
            context.log.warning(why)
        registered = partitions.registered(context.instance, location) if wanted else ()
        asks = [ask for each in wanted for ask in _requests(registered, zoning, each)]
        summary = f"{received.stored} stored, {len(received.failed)} failed, {len(received.refused)} refused"
        reason = None if asks else dg.SkipReason(summary if received.taken else "no amendment has arrived")
        return dg.SensorResult(run_requests=asks, skip_reason=reason, cursor=json.dumps(requested))

    return amendment_arrived


async def _arrived(
    instance: dg.DagsterInstance, zoning: Zoning, requested: Mapping[str, str], is_ours: Callable[[str], bool]
) -> "tuple[ReceiveResult, list[QueuedRun], dict[str, str]]":
    """Store the amendments, then read the requested tiles. `requested`: run keys of messages with a requested run."""
    from zoning_assets.defs.sensors import queued_tiles  # noqa: PLC0415
    from zoning_assets.operations import amendment_consumer  # noqa: PLC0415 - see defs/__init__

    def is_recorded(run_key: str) -> bool:
        return instance.get_runs_count(dg.RunsFilter(tags={_RUN_KEY: run_key})) > 0

    url = zoning.database()
    async with zoning.queues(url) as (amendments, tiles):
        received = await amendment_consumer.receive(amendments, tiles, url, zoning.jurisdiction)
        return received, *await queued_tiles.request_runs(tiles, requested, is_recorded, is_ours)


def _is_ours(zoning: Zoning, location: Location, jurisdiction: str, *, is_first: bool) -> bool:
    """Return whether the code location of a group handles the messages of a jurisdiction."""
    locations = Locations.of(zoning.settings.locations)
    found = locations.find(jurisdiction)
    return found == location or (is_first and found not in locations.all(zoning.known_ids()))


def _requests(registered: Sequence[str], zoning: Zoning, wanted: "QueuedRun") -> list[dg.RunRequest]:
    """Return the runs of a request. It fails with a clear error if the feed is unknown. `registered`: all tiles."""
    name, feed = wanted.config["jurisdiction"], wanted.config["feed"]
    known, _ = zoning.load_jurisdictions([name])
    if name in known and feed in known[name].feeds:
        return run_requests.wanted(registered, wanted.run_key, WatchedFeed(known[name], feed), wanted.config["tiles"])
    return [run_requests.of_unknown(wanted.run_key, name, feed)]
