"""Waking up by messages: a thin coat over receiving.py and asking.py."""

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets.errors import StoreError
from zoning_assets.orchestration.jobs import harvest_request
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.orchestration.waking import Feed

if TYPE_CHECKING:
    from zoning_assets.orchestration.asking import Wanted
    from zoning_assets.receiving import Received

_TICK_S = 30
_RUN_KEY = "dagster/run_key"


def amendment_arrived(harvest: dg.JobDefinition) -> dg.SensorDefinition:
    """Stores the amendments that came by message; asks for a harvest of what they touch."""

    @dg.sensor(
        job=harvest,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads the queue of amendments, stores them, and harvests the tiles that they touch.",
    )
    def amendment_arrived(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        asked: dict[str, str] = json.loads(context.cursor or "{}")
        try:
            received, wanted, asked = asyncio.run(_arrived(context.instance, zoning, asked))
        except StoreError as error:
            return dg.SensorResult(skip_reason=f"{error}; what was taken comes again", cursor=json.dumps(asked))
        for why in (*received.failed, *received.refused):
            context.log.warning(why)
        requests = [_request(zoning, each) for each in wanted]
        said = f"{received.stored} stored, {len(received.failed)} failed, {len(received.refused)} refused"
        reason = None if requests else dg.SkipReason(said if received.taken else "no amendment has arrived")
        return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=json.dumps(asked))

    return amendment_arrived


async def _arrived(
    instance: dg.DagsterInstance, zoning: Zoning, asked: Mapping[str, str]
) -> "tuple[Received, list[Wanted], dict[str, str]]":
    """The amendments, then what they and others ask for; `asked`: messages whose run was asked for, and its key."""
    from zoning_assets import receiving  # noqa: PLC0415 - see orchestration/__init__
    from zoning_assets.orchestration import asking  # noqa: PLC0415

    def is_recorded(run_key: str) -> bool:
        return instance.get_runs_count(dg.RunsFilter(tags={_RUN_KEY: run_key})) > 0

    url = zoning.database()
    async with zoning.queues(url) as (amendments, tiles):
        received = await receiving.receive(amendments, tiles, url, zoning.jurisdiction)
        return received, *await asking.ask(tiles, asked, is_recorded)


def _request(zoning: Zoning, wanted: "Wanted") -> dg.RunRequest:
    """Its run; one that names no jurisdiction or feed of ours says so when it runs."""
    name = wanted.config["jurisdiction"]
    known, _ = zoning.sorted_out([name])
    if name in known and wanted.config["feed"] in known[name].feeds:
        feed = Feed(known[name], wanted.config["feed"])
        return harvest_request(wanted.run_key, feed, wanted.config["tiles"])
    return dg.RunRequest(wanted.run_key, {"ops": {"harvest_feed": {"config": wanted.config}}})
