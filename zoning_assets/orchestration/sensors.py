"""Waking up: sensors, each a thin coat over what decides (waking.py, asking.py, receiving.py)."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from zoning_assets import jurisdictions, receiving
from zoning_assets.errors import JurisdictionInvalid, StoreError, ZoningError
from zoning_assets.feeds import FEED_TYPES
from zoning_assets.orchestration import asking, waking
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.settings import Settings

#: Seconds between two ticks, and for which one portal may keep a tick waiting.
_TICK_S, _PROBE_S = 60, 20.0
_ARRIVAL_S = 30
_RUN_KEY = "dagster/run_key"


def feed_changed(harvest: dg.JobDefinition) -> dg.SensorDefinition:
    """Probes each feed of the user's own jurisdictions every `probe_hours`; asks for a harvest where one changed."""

    @dg.sensor(
        job=harvest,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the portals of your own jurisdictions whether anything changed, and harvests what did.",
    )
    def feed_changed(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        cursor: dict[str, str] = json.loads(context.cursor or "{}")
        now, feeds = datetime.now(UTC), _watched(zoning.settings)
        requests, said = [], []
        for feed in waking.due(cursor, feeds, now):
            try:
                why = _probe(zoning, feed, now)
            except (ZoningError, TimeoutError) as error:
                said.append(f"{feed.key}: {error or 'no answer in time'}")
                cursor[feed.key] = waking.after(feed, now, failed=True)
                continue
            if why:
                config = {"jurisdiction": feed.jurisdiction.id, "feed": feed.name}
                run_key = waking.run_key(feed, cursor, why)
                requests.append(dg.RunRequest(run_key, {"ops": {"harvest_feed": {"config": config}}}))
            cursor[feed.key] = waking.after(feed, now, failed=False)
        known = {feed.key for feed in feeds}
        kept = json.dumps({key: at for key, at in sorted(cursor.items()) if key in known})
        reason = None if requests else dg.SkipReason("; ".join(said) or "no feed is due, or none has changed")
        return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=kept)

    return feed_changed


def amendment_arrived(harvest: dg.JobDefinition) -> dg.SensorDefinition:
    """Stores the amendments that came by message; asks for a harvest of what they touch."""

    @dg.sensor(
        job=harvest,
        minimum_interval_seconds=_ARRIVAL_S,
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
        requests = [dg.RunRequest(each.run_key, {"ops": {"harvest_feed": {"config": each.config}}}) for each in wanted]
        said = f"{received.stored} stored, {len(received.failed)} failed, {len(received.refused)} refused"
        reason = None if requests else dg.SkipReason(said if received.taken else "no amendment has arrived")
        return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=json.dumps(asked))

    return amendment_arrived


async def _arrived(
    instance: dg.DagsterInstance, zoning: Zoning, asked: Mapping[str, str]
) -> tuple[receiving.Received, list[asking.Wanted], dict[str, str]]:
    """The amendments, then what they and others ask for; `asked`: messages whose run was asked for, and its key."""

    def is_recorded(run_key: str) -> bool:
        return instance.get_runs_count(dg.RunsFilter(tags={_RUN_KEY: run_key})) > 0

    url = zoning.database()
    async with zoning.queues(url) as (amendments, tiles):
        received = await receiving.receive(amendments, tiles, url, zoning.jurisdiction)
        return received, *await asking.ask(tiles, asked, is_recorded)


def _probe(zoning: Zoning, feed: waking.Feed, now: datetime) -> str | None:
    async def asked() -> str | None:
        with zoning.pipeline() as pipeline:
            return (await asyncio.wait_for(pipeline.probe(feed.jurisdiction, feed.name, now), _PROBE_S)).why

    return asyncio.run(asked())


def _watched(settings: Settings) -> list[waking.Feed]:
    """The feeds of the user's own files; the packaged examples are nobody's to ask. A file that is wrong is left out:
    a run of its jurisdiction says why."""
    found: list[waking.Feed] = []
    for path in jurisdictions.files(settings.jurisdictions).values():
        if path.parent != settings.jurisdictions:
            continue
        try:
            described = jurisdictions.read(path, FEED_TYPES)
        except JurisdictionInvalid:
            continue
        found += [waking.Feed(described, name) for name in described.feeds]
    return found
