"""The sensors. Each one is a thin wrapper around pure functions in a module of its own.

    feed_changed       probe_schedule      probes feeds on schedule, and requests runs for changed feeds
    retry_failed       failed_partitions   requests runs for failed partitions only
    promise_broken     overdue_feeds       requests runs for feeds that exceeded their freshness limit
    amendment_arrived  amendment_arrivals  stores amendments from the queue, and requests runs for their tiles
    harvest_goes_on    harvest_follow_up   requests the runs that publish found tiles, then detect changes
    run_lost           lost_runs           fails runs with a dead process; records runs that Dagster does not restart

The end of a hold or of a maintenance window needs no sensor: feeds that became due meanwhile are requested once then.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.defs import run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors import failed_partitions, overdue_feeds, portal_probes, probe_schedule
from zoning_assets.defs.sensors.amendment_arrivals import amendment_arrived
from zoning_assets.defs.sensors.harvest_follow_up import harvest_goes_on
from zoning_assets.defs.sensors.lost_runs import run_lost
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.model import CHANGES
from zoning_assets.settings import Settings
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.postgis.records import failure_records, hold_records
from zoning_assets.storage.postgis.records import feed_freshness as stored
from zoning_assets.storage.postgis.records.failure_records import Failure

#: Seconds between two ticks.
_TICK_S = 60


@dataclass(frozen=True)
class Seen:
    """The data that a tick reads."""

    url: str
    now: datetime
    feeds: Sequence[WatchedFeed]
    known: Mapping[str, stored.FeedFreshness]
    failed: Sequence[Failure]
    closed: set[str]

    @classmethod
    def at(cls, url: str, feeds: Sequence[WatchedFeed], now: datetime) -> "Seen":
        """Read the data from the database at this time."""
        closed = probe_schedule.blocked(feeds, hold_records.active(url), now)
        return cls(url, now, feeds, stored.feeds(url), failure_records.unsolved(url), closed)

    def failures_of(self, feed: WatchedFeed) -> list[Failure]:
        """Return the unresolved failures of each feed."""
        return [each for each in self.failed if (each.jurisdiction, each.feed) == (feed.jurisdiction.id, feed.name)]


def look(zoning: Zoning, now: datetime) -> Seen:
    """Load the data for a tick."""
    return Seen.at(zoning.database(), watched(zoning.settings), now)


def sensors(jobs: Sequence[dg.JobDefinition]) -> list[dg.SensorDefinition]:
    """Return all sensors. `zoning up` runs them."""
    common: Mapping[str, Any] = {
        "jobs": jobs,
        "minimum_interval_seconds": _TICK_S,
        "default_status": dg.DefaultSensorStatus.RUNNING,
    }

    @dg.sensor(
        **common,
        description="Probes the portals of your own jurisdictions, and harvests feeds that changed.",
    )
    def feed_changed(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        seen, cursor = look(zoning, datetime.now(UTC)), probe_schedule.parse_cursor(context.cursor)
        chosen = probe_schedule.due(cursor, seen.known, seen.feeds, seen.closed, seen.now)
        with zoning.pipeline() as pipeline:
            found = asyncio.run(portal_probes.probe_feeds(pipeline, chosen, seen.now))
        requests = portal_probes.decide(cursor, found, seen.failures_of, seen.now)
        for each in requests:
            stored.store_probe(seen.url, each.known)
        errors = "; ".join(f"{each.feed.key}: {each.known.error}" for each in requests if each.known.error)
        requested = [run_requests.of_feed(each.run_key, each.feed) for each in requests if each.run_key]
        after = probe_schedule.serialize({**cursor, **{each.feed.key: each.entry for each in requests}}, seen.feeds)
        return _result(requested, after, errors or "no feed is due, or none has changed")

    @dg.sensor(
        **common,
        description="Retries failed partitions a few times with growing delays. After that, an operator must act.",
    )
    def retry_failed(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        seen, cursor = look(zoning, datetime.now(UTC)), failed_partitions.parse_cursor(context.cursor)
        requests, after = failed_partitions.due(cursor, seen.failed, seen.closed, seen.now)
        by_key = {key: feed for feed in seen.feeds for key in (f"{feed.jurisdiction.id}/{CHANGES}", feed.key)}
        known = [
            (request, by_key[key])
            for request in requests
            if (key := f"{request.jurisdiction}/{request.feed}") in by_key
        ]
        requested = [each for request, feed in known for each in _retry_runs(context.instance, request, feed)]
        return _result(requested, failed_partitions.serialize(after, seen.failed), "no failed partition is due")

    @dg.sensor(
        **common, description="Harvests feeds that exceeded their freshness limit, whatever their probes report."
    )
    def promise_broken(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        seen = look(zoning, datetime.now(UTC))
        closed = seen.closed | {feed.key for feed in seen.feeds if seen.failures_of(feed)}
        found = overdue_feeds.due(seen.feeds, seen.known, closed, seen.now)
        before = set((context.cursor or "").splitlines())
        requested = [run_requests.of_feed(key, feed) for feed, key in found if key not in before]
        return _result(
            requested, "\n".join(key for _, key in found), "every feed is fresh, or its run is already requested"
        )

    return [feed_changed, retry_failed, promise_broken, amendment_arrived(jobs), harvest_goes_on(jobs), run_lost]


def _retry_runs(
    instance: dg.DagsterInstance, request: failed_partitions.RetryRequest, feed: WatchedFeed
) -> list[dg.RunRequest]:
    if request.feed == CHANGES:
        return [run_requests.of_feed(request.run_key, feed, CHANGES)]
    return run_requests.wanted(instance, request.run_key, feed, request.tiles)


def _result(requested: Sequence[dg.RunRequest], cursor: str, why_none: str) -> dg.SensorResult:
    reason = None if requested else dg.SkipReason(why_none)
    return dg.SensorResult(run_requests=requested, skip_reason=reason, cursor=cursor)


def watched(settings: Settings) -> list[WatchedFeed]:
    """Return the feeds of the user's own files. Packaged examples are never polled automatically. Invalid files are
    skipped here: a run of the jurisdiction reports the error."""
    found: list[WatchedFeed] = []
    for path in jurisdictions.files(settings.jurisdictions).values():
        if path.parent != settings.jurisdictions:
            continue
        try:
            described = jurisdictions.read(path, FEED_TYPES)
        except JurisdictionInvalid:
            continue
        found += [WatchedFeed(described, name) for name in described.feeds]
    return found
