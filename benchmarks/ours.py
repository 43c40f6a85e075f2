"""Ours, through Dagster: the `tiles` run and the four tile assets, recorded in a Dagster home like any other run."""

import time
from dataclasses import dataclass
from typing import Any

import dagster as dg

from benchmarks.contestant import Task, main
from benchmarks.timed import Busy
from zoning_assets.cli import environment
from zoning_assets.orchestration import build, partitions, runs
from zoning_assets.simulation.county import ID
from zoning_assets.stores import database

_ASSETS = ["raw_feed", "normalized", "validated", "parcels"]
_SUMS = ("fetched", "accepted", "rejected", "repaired", "added", "changed", "unchanged", "retired", "requests", "bytes")


@dataclass
class Prepared:
    """What is there before the clock starts."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    busy: Busy


def prepare(task: Task) -> Prepared:
    """The schema and an instance, as they are on any machine where something ran before."""
    database.migrate(task.database)
    environment.prepare_dagster()
    busy = Busy()
    busy.listen()
    return Prepared(build.definitions(environment.settings()), dg.DagsterInstance.get(), busy)


def work(_: Task, prepared: Prepared) -> dict[str, Any]:
    """What `zoning sync` does for the parcels of one jurisdiction."""
    started, instance, definitions = time.monotonic(), prepared.instance, prepared.definitions
    found = runs.materialize(definitions, instance, ["tiles"], [ID])
    tiles_s = time.monotonic() - started
    keys = partitions.keys_of(instance, ID)
    result = runs.materialize(definitions, instance, _ASSETS, keys)
    prepared.busy.seconds["dagster"] += time.monotonic() - started - prepared.busy.pipelines_s
    counts = {name: sum(said[name] for said in result.done.values()) for name in _SUMS}
    return {
        "rows": counts["added"] + counts["changed"] + counts["unchanged"],
        "counts": counts,
        "tiles": len(keys),
        "failed": {**found.failed, **result.failed},
        "tiles_run_s": tiles_s,
        "loop_lag_p99_ms": round(prepared.busy.lag_p99_ms, 1),
        "stages": dict(prepared.busy.seconds),
    }


if __name__ == "__main__":
    main(prepare, work)
