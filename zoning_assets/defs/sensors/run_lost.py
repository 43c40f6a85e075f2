"""The sensor run_lost: finds runs whose process died, and runs that Dagster abandoned.

Dagster restarts a run with a dead process a few times, but not if the code server is down at that moment. Such a run
records no outcome. This sensor therefore records its partitions as temporary failures. The sensor retry_failed then
retries them with growing delays, a limited number of times.

The sensor also cancels queued runs of commands that were killed (run_workers.cancel_abandoned), and sends runs again
that the broker of a cluster has lost (lost_messages.py).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from zoning_assets.defs import partitions
from zoning_assets.defs.in_process_runs import RANGE_END, RANGE_START
from zoning_assets.defs.lost_messages import send_again
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.run_requests import FEED_OF
from zoning_assets.defs.run_workers import (
    LATEST,
    RETRIED_AS,
    RETRIED_WITHIN,
    WILL_RETRY,
    LastLook,
    cancel_abandoned,
    forgotten,
    lost,
    unsubmitted,
)
from zoning_assets.errors import RunGivenUp
from zoning_assets.jurisdictions.locations import Locations
from zoning_assets.model import Outcome, Place
from zoning_assets.storage.postgis import process_locks
from zoning_assets.storage.postgis.records import failure_records

_TICK_S = 30
#: The tag of a run whose partitions were recorded. Its value is the run's id, because a re-executed run inherits tags.
NOTED = "dagster/zoning-noted"
_PARTITION, _REASON = "dagster/partition", "dagster/run_failure_reason"


@dg.sensor(
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process was killed, so that Dagster restarts them; records abandoned runs.",
)
def run_lost(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SkipReason:
    """Report each lost run as failed, cancel queued runs of dead commands, then record abandoned runs."""
    instance, now = context.instance, datetime.now(UTC)
    living, look = partial(process_locks.living, zoning.database()), LastLook(context.cursor, now.timestamp())
    failed = [*lost(instance, living, look.is_dead, now), *forgotten(instance, now), *unsubmitted(instance, now)]
    for run, why in failed:
        instance.report_run_failed(run, why)
    lines = [f"{run.run_id}: {why}" for run, why in failed]
    lines += [f"{run.run_id}: its command ended" for run in cancel_abandoned(instance, living, look.is_dead)]
    lines += [f"{run.run_id}: its message was lost, it was sent again" for run in send_again(instance, look.is_dead)]
    context.update_cursor(look.cursor)
    lines += [f"{run}: Dagster abandoned it" for run in note_given_up(instance, zoning, now)]
    return dg.SkipReason("; ".join(lines) or "no run is lost")


def note_given_up(instance: dg.DagsterInstance, zoning: Zoning, now: datetime) -> list[str]:
    """Record the partitions of abandoned runs, each run once; return the ids of those runs.

    Raises:
        StoreError: the database cannot be reached.
    """
    found = list(given_up(instance, now))
    for run in found:
        places = _places_of(instance, run, Locations.of(zoning.settings.locations))
        known, _ = zoning.load_jurisdictions({place.jurisdiction for place in places})
        lost = [_outcome(run, place) for place in places if place.jurisdiction in known]
        failure_records.store_outcomes(zoning.database(), lost, run.run_id, now)
        instance.add_run_tags(run.run_id, {NOTED: run.run_id})
    return [run.run_id for run in found]


def given_up(instance: dg.DagsterInstance, now: datetime) -> Iterator[dg.DagsterRun]:
    """Return runs of our jobs that failed outside a step and that Dagster does not restart. A failed step records its
    failure itself (failure_log.py)."""
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - LATEST)
    for record in instance.get_run_records(failed):
        run, ended = record.dagster_run, datetime.fromtimestamp(record.end_time or now.timestamp(), now.tzinfo)
        noted = run.tags.get(NOTED) == run.run_id or run.tags.get(_REASON) == "STEP_FAILURE"
        if run.job_name in FEED_OF and not noted and _is_final(run, now - ended):
            yield run


def _is_final(run: dg.DagsterRun, since: timedelta) -> bool:
    """Return whether Dagster decided not to restart a run, or was killed before it decided."""
    if RETRIED_AS in run.tags:
        return False
    decided = run.tags.get(WILL_RETRY)
    return decided == "false" or (decided is None and since > RETRIED_WITHIN)


def _places_of(instance: dg.DagsterInstance, run: dg.DagsterRun, locations: Locations) -> list[Place]:
    """Return the partitions of a run, or the whole jurisdiction if the range is no longer registered."""
    if one := run.tags.get(_PARTITION):
        return [partitions.place_of(one)]
    start, end = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
    if not start or not end:
        return []
    jurisdiction = partitions.place_of(start).jurisdiction
    keys = partitions.keys_of(instance, jurisdiction, locations.find(jurisdiction))
    if start not in keys or end not in keys:
        return [Place(jurisdiction)]
    return [partitions.place_of(key) for key in keys[keys.index(start) : keys.index(end) + 1]]


def _outcome(run: dg.DagsterRun, place: Place) -> Outcome:
    what = f"run {run.run_id[:8]} of {run.job_name} ended without a recorded outcome"
    error = RunGivenUp(what, where=str(place), do="no action is needed, it is retried automatically")
    return Outcome(place, FEED_OF[run.job_name], error=error)
