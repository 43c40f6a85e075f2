"""Waking up: sensors, each a thin coat over a pure decision (waking.py)."""

import asyncio
import json
from datetime import UTC, datetime

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.errors import JurisdictionInvalid, ZoningError
from zoning_assets.feeds import FEED_TYPES
from zoning_assets.orchestration import waking
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.settings import Settings

#: Seconds between two ticks, and for which one portal may keep a tick waiting.
_TICK_S, _PROBE_S = 60, 20.0


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
