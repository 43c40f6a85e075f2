"""The sensor runs_expired: deletes old finished runs of Dagster, which has no retention for runs and events.

A run is deleted only if every partition that it materialized was materialized again by a later run. Else the UI would
show a published partition as missing. Runs of a backfill in progress are kept: Dagster reads in them which partitions
failed, and would wait for these partitions for ever. What is published, its history and the audit log are in our own
tables; nothing of them is deleted.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg

from zoning_assets.defs.resources import Zoning

_TICK_S = 600
#: Runs of a tick, and how long a tick begins to delete further ones; seconds. Dagster ends a tick after 60 s.
_MOST_RUNS, _MOST_S = 500, 35.0
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_MADE = dg.DagsterEventType.ASSET_MATERIALIZATION
#: Dagster's tag for the backfill of a run, and the statuses of a backfill in progress.
_BACKFILL, _IN_PROGRESS = "dagster/backfill", ("REQUESTED", "CANCELING", "FAILING")


@dg.sensor(
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Deletes old runs (ZONING_KEEP_RUNS_DAYS) whose partitions were all made again by later runs.",
)
def runs_expired(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
    """Delete some old runs. The cursor has the time of the last run that was looked at; at the end it starts again."""
    days = zoning.settings.keep_runs_days
    if not days:
        return dg.SensorResult(skip_reason="ZONING_KEEP_RUNS_DAYS is 0: no run is deleted")
    before = datetime.now(UTC) - timedelta(days=days)
    deleted, last = delete_replaced(context.instance, before, _time(context.cursor))
    cursor = last.isoformat() if last else ""
    return dg.SensorResult(skip_reason=f"{deleted} runs that ended before {before:%Y-%m-%d} deleted", cursor=cursor)


def delete_replaced(
    instance: dg.DagsterInstance, before: datetime, after: datetime | None = None
) -> tuple[int, datetime | None]:
    """Delete finished runs that were replaced, oldest first.

    Args:
        instance: where the runs are recorded.
        before: only runs that ended before this time.
        after: only runs that were created after this time; None: all.

    Returns:
        How many runs were deleted, and when the last run that was looked at was created; None: there is no further run.
    """
    old = dg.RunsFilter(statuses=_FINISHED, updated_before=before, created_after=after)
    records = instance.get_run_records(old, limit=_MOST_RUNS, ascending=True)
    began, deleted, last = time.monotonic(), 0, None
    for record in records:
        if time.monotonic() - began > _MOST_S:
            return deleted, last
        if not _is_backfilling(instance, record.dagster_run) and is_replaced(instance, record.dagster_run.run_id):
            instance.delete_run(record.dagster_run.run_id)
            deleted += 1
        last = record.create_timestamp.astimezone(UTC)
    return deleted, last if len(records) == _MOST_RUNS else None


def _is_backfilling(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    backfill = instance.get_backfill(run.tags[_BACKFILL]) if _BACKFILL in run.tags else None
    return backfill is not None and backfill.status.value in _IN_PROGRESS


def is_replaced(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether no partition of any asset has its newest materialization from this run."""
    made: dict[dg.AssetKey, dict[str | None, int]] = {}
    for record in _materializations(instance, run_id):
        if record.asset_key:
            made.setdefault(record.asset_key, {})[record.partition_key] = record.storage_id
    return not any(_is_newest(instance, asset, ids) for asset, ids in made.items())


def _materializations(instance: dg.DagsterInstance, run_id: str) -> Iterable[dg.EventLogRecord]:
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=_MADE, limit=_MOST_RUNS)
        yield from page.records
        cursor, more = page.cursor, page.has_more


def _is_newest(instance: dg.DagsterInstance, asset: dg.AssetKey, ids: dict[str | None, int]) -> bool:
    partitions = {key for key in ids if key is not None}
    newest = instance.get_latest_storage_id_by_partition(asset, _MADE, partitions) if partitions else {}
    return None in ids or any(newest.get(key) == ids[key] for key in partitions)


def _time(cursor: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(cursor).astimezone(UTC) if cursor else None
    except ValueError:
        return None
