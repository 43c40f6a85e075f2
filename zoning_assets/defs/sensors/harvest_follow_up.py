"""What follows a run: the tiles that were found are published, then shares and changes are told.

It looks at what was materialized, not at runs that end: that stands in Dagster's event log before the run has ended,
however it ends. Runs of `zoning sync` go on by themselves.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from zoning_assets.defs import partitions, retry_policies, run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.sensors.probe_schedule import Feed
from zoning_assets.model import CHANGES, PARCELS

_TICK_S, _MOST_EVENTS = 15, 500
#: A first tick, or one whose cursor was lost, looks back so far; run keys keep it from asking twice.
_LOOK_BACK = timedelta(hours=1)
_UNFINISHED = [
    dg.DagsterRunStatus(name) for name in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING", "MANAGED")
]


@dataclass
class Cursor:
    """How far each asset's events were read, and jurisdictions of which something was published and not told yet."""

    read: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, tuple[int, str]] = field(default_factory=dict)  # jurisdiction -> the newest event, and its run

    @classmethod
    def of(cls, text: str | None) -> "Cursor":
        """The cursor, read; one that cannot be read is a lost one."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()


@dataclass(frozen=True)
class Made:
    """A partition that was materialized."""

    event: int
    jurisdiction: str
    run: str


def harvest_goes_on(jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    """Asks for what follows."""

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes the tiles that were found; tells what changed when a jurisdiction was published.",
    )
    def harvest_goes_on(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        instance, cursor = context.instance, Cursor.of(context.cursor)
        found = {made.jurisdiction: made for made in _new(instance, cursor, "tiles")}
        for asset in ("parcels", "districts"):
            cursor.waiting |= {made.jurisdiction: (made.event, made.run) for made in _new(instance, cursor, asset)}
        going = {name for name, (_, run) in cursor.waiting.items() if _busy(instance, name, run)}
        told = {name: cursor.waiting.pop(name)[0] for name in set(cursor.waiting) - going - set(found)}
        feeds = _feeds(zoning, {*found, *told})
        asks = [*_tiles(instance, found, feeds), *_changes(told, feeds)]
        reason = None if asks else dg.SkipReason("nothing was published that is to go on")
        return dg.SensorResult(run_requests=asks, skip_reason=reason, cursor=json.dumps(asdict(cursor)))

    return harvest_goes_on


def _new(instance: dg.DagsterInstance, cursor: Cursor, asset: str) -> list[Made]:
    """What was materialized of an asset since the last look, but for what `zoning sync` did."""
    key, after = dg.AssetKey(asset), cursor.read.get(asset)
    since = None if after else datetime.now(UTC) - _LOOK_BACK
    newer = dg.AssetRecordsFilter(key, after_storage_id=after, after_timestamp=since.timestamp() if since else None)
    records = instance.fetch_materializations(newer, limit=_MOST_EVENTS, ascending=True).records
    if records:
        cursor.read[asset] = records[-1].storage_id
    made = [
        Made(each.storage_id, partitions.place_of(each.partition_key).jurisdiction, each.run_id)
        for each in records
        if each.partition_key
    ]
    alone = {run for run in {each.run for each in made} if _goes_on_alone(instance.get_run_by_id(run))}
    return [each for each in made if each.run not in alone]


def _goes_on_alone(run: dg.DagsterRun | None) -> bool:
    """Whether a run is one of several that `zoning sync` makes, one after the other."""
    return run is not None and retry_policies.ONCE in run.tags


def _busy(instance: dg.DagsterInstance, jurisdiction: str, run: str) -> bool:
    """Whether a run of a jurisdiction, or the one that published it, is under way. Backfills have no tag of ours."""
    last = instance.get_run_by_id(run)
    if last and not last.is_finished:
        return True
    going = dg.RunsFilter(statuses=_UNFINISHED, tags={retry_policies.JURISDICTION: jurisdiction})
    return instance.get_runs_count(going) > 0


def _feeds(zoning: Zoning, names: set[str]) -> dict[str, list[Feed]]:
    known, _ = zoning.sorted_out(names)
    return {name: [Feed(described, feed) for feed in described.feeds] for name, described in known.items()}


def _tiles(
    instance: dg.DagsterInstance, found: Mapping[str, Made], feeds: Mapping[str, Sequence[Feed]]
) -> Iterator[dg.RunRequest]:
    for name, made in found.items():
        for feed in feeds.get(name, ()):
            if feed.name == PARCELS:
                keys = partitions.keys_of(instance, name)
                yield from run_requests.of_tiles(instance, f"tiles {name} {made.event}", feed, keys)


def _changes(told: Mapping[str, int], feeds: Mapping[str, Sequence[Feed]]) -> Iterator[dg.RunRequest]:
    for name, event in told.items():
        for feed in feeds.get(name, ())[:1]:
            yield run_requests.of_feed(f"{CHANGES} {name} {event}", feed, CHANGES)
