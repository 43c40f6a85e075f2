"""The sensor harvest_goes_on: after tiles were found it requests their publishing, then shares and changes.

It reads materializations, not run statuses: Dagster's event log has a materialization before the run ends, even if the
run fails later. Runs of `zoning sync` are skipped, in its own process or submitted to the queue, because the command
starts the following runs itself.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from zoning_assets.defs import partitions, retry_policies, run_requests
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.run_queue import UNFINISHED
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.jurisdictions.locations import WHOLE, Location
from zoning_assets.model import CHANGES, PARCELS

_TICK_S, _MOST_EVENTS = 15, 500
#: How far the first tick, or a tick with a lost cursor, looks back. Run keys prevent duplicate requests.
_LOOK_BACK = timedelta(hours=1)


@dataclass
class Cursor:
    """The last event read of each asset, and the jurisdictions that still need shares and changes."""

    read: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, tuple[int, str]] = field(default_factory=dict)  # jurisdiction -> the newest event and its run

    @classmethod
    def of(cls, text: str | None) -> "Cursor":
        """Parse the cursor. An invalid cursor is treated as a lost one."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()


@dataclass(frozen=True)
class Made:
    """A materialized partition."""

    event: int
    jurisdiction: str
    run: str


def harvest_goes_on(jobs: Sequence[dg.JobDefinition], location: Location = WHOLE) -> dg.SensorDefinition:
    """Return the sensor that requests the following runs."""

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes found tiles; computes shares and changes after a jurisdiction was published.",
    )
    def harvest_goes_on(context: dg.SensorEvaluationContext, zoning: Zoning) -> dg.SensorResult:
        instance, cursor = context.instance, Cursor.of(context.cursor)
        found = {made.jurisdiction: made for made in _new(instance, cursor, "tiles", location)}
        for asset in ("parcels", "districts"):
            cursor.waiting |= {
                made.jurisdiction: (made.event, made.run) for made in _new(instance, cursor, asset, location)
            }
        going = {name for name, (_, run) in cursor.waiting.items() if _busy(instance, name, run)}
        ready = {name: cursor.waiting.pop(name)[0] for name in set(cursor.waiting) - going - set(found)}
        feeds = _feeds(zoning, {*found, *ready})
        asks = [*_tiles(instance, found, feeds, location), *_changes(ready, feeds)]
        reason = None if asks else dg.SkipReason("no new materialization needs a following run")
        return dg.SensorResult(run_requests=asks, skip_reason=reason, cursor=json.dumps(asdict(cursor)))

    return harvest_goes_on


def _new(instance: dg.DagsterInstance, cursor: Cursor, asset: str, location: Location) -> list[Made]:
    """Return the materializations of an asset since the last tick, without those of `zoning sync`."""
    key, after = partitions.asset_key(asset, location), cursor.read.get(asset)
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
    runs = filter(None, map(instance.get_run_by_id, {each.run for each in made}))
    of_commands = {run.run_id for run in runs if retry_policies.is_of_command(run)}
    return [each for each in made if each.run not in of_commands]


def _busy(instance: dg.DagsterInstance, jurisdiction: str, run: str) -> bool:
    """Return whether a run of a jurisdiction, or the run that published it, is in progress. Backfills lack our tags."""
    last = instance.get_run_by_id(run)
    if last and not last.is_finished:
        return True
    going = dg.RunsFilter(statuses=UNFINISHED, tags={retry_policies.JURISDICTION: jurisdiction})
    return instance.get_runs_count(going) > 0


def _feeds(zoning: Zoning, names: set[str]) -> dict[str, list[WatchedFeed]]:
    known, _ = zoning.load_jurisdictions(names)
    return {name: [WatchedFeed(described, feed) for feed in described.feeds] for name, described in known.items()}


def _tiles(
    instance: dg.DagsterInstance,
    found: Mapping[str, Made],
    feeds: Mapping[str, Sequence[WatchedFeed]],
    location: Location,
) -> Iterator[dg.RunRequest]:
    known = partitions.registered(instance, location) if found else ()
    for name, made in found.items():
        for feed in feeds.get(name, ()):
            if feed.name == PARCELS:
                keys = partitions.of_jurisdiction(known, name)
                yield from run_requests.of_tiles(known, f"tiles {name} {made.event}", feed, keys)


def _changes(ready: Mapping[str, int], feeds: Mapping[str, Sequence[WatchedFeed]]) -> Iterator[dg.RunRequest]:
    for name, event in ready.items():
        for feed in feeds.get(name, ())[:1]:
            yield run_requests.of_feed(f"{CHANGES} {name} {event}", feed, CHANGES)
