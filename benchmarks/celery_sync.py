"""Submits the runs of many counties to a running `zoning up`, several counties at the same time; as a program.

`python -m benchmarks.celery_sync --at-once N COUNTY...` in the environment of `zoning up` prints one JSON document.
"""

import argparse
import json
import os
import secrets
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from zoning_assets.cli import bootstrap
from zoning_assets.defs import run_queue, submitted_runs
from zoning_assets.defs.sync_runs import Sync
from zoning_assets.defs.webserver import Webserver, announcement
from zoning_assets.storage.postgis import process_locks

#: Sensors that would request runs themselves.
_SENSORS = ("feed_changed", "promise_broken", "harvest_goes_on", "retry_failed")
_FIND = """query($selector: RepositorySelector!) { sensorsOrError(repositorySelector: $selector) {
    ... on Sensors { results { name id } } } }"""
_STOP = "mutation($id: String!) { stopSensor(id: $id) { __typename } }"
_READY_S = 120.0


def stop_sensors(port: int) -> None:
    """Stop the sensors that request runs."""
    webserver = Webserver(port)
    selector = {"repositoryLocationName": "zoning_assets.definitions", "repositoryName": "__repository__"}
    for sensor in webserver.graphql(_FIND, {"selector": selector})["sensorsOrError"]["results"]:
        if sensor["name"] in _SENSORS:
            webserver.graphql(_STOP, {"id": sensor["id"]})


def main() -> None:
    """Submit the runs, and print seconds and failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("counties", nargs="+")
    given = parser.parse_args()
    url = bootstrap.bring_up_database()
    with bootstrap.dagster_instance() as instance:
        _wait_for_queue(instance)
        began = time.time()
        with ThreadPoolExecutor(given.at_once) as threads:
            reports = list(threads.map(partial(_sync, url, instance), given.counties))
        found = {"seconds": round(time.time() - began, 2), **_times(instance, began)}
    errors = [report["error"] for each in reports for report in each if not report["complete"]]
    json.dump({**found, "errors": errors}, sys.stdout)


def _queue(instance: dg.DagsterInstance, command: str) -> run_queue.RunQueue | None:
    return run_queue.find(Path(os.environ["DAGSTER_HOME"]), instance, bootstrap.settings_digest(), command)


def _wait_for_queue(instance: dg.DagsterInstance) -> None:
    until = time.monotonic() + _READY_S
    while _queue(instance, "bench") is None:
        if time.monotonic() > until:
            message = "`zoning up` of the benchmark has no queue"
            raise RuntimeError(message)
        time.sleep(0.5)
    if found := announcement(Path(os.environ["DAGSTER_HOME"])):
        stop_sensors(found.port)


def _sync(url: str, instance: dg.DagsterInstance, county: str) -> list[dict[str, Any]]:
    """All runs of a county; a command of its own, because a command ends its runs."""
    jurisdiction, command = bootstrap.jurisdiction(county), f"bench {secrets.token_hex(8)}"
    queue = _queue(instance, command)
    if queue is None:
        message = "`zoning up` of the benchmark has ended"
        raise RuntimeError(message)
    submission = submitted_runs.Submission(queue, {county: jurisdiction}, url)
    materialize = partial(submitted_runs.materialize, submission)
    sync = Sync(materialize, instance, jurisdiction, force=False, watch=_unwatched)
    with process_locks.holding(url, command):
        return [*sync.parcels(is_replay=False), *sync.zoning(is_replay=False)[0]]


@contextmanager
def _unwatched(_title: str, _steps: int) -> Iterator[Callable[[str], None]]:
    yield lambda _: None


def _times(instance: dg.DagsterInstance, began: float) -> dict[str, Any]:
    """The number of runs, and the medians of seconds: from request to start, and from start to end, by job."""
    waits, lasts = list[float](), defaultdict[str, list[float]](list)
    for record in instance.get_run_records():
        if record.start_time and record.end_time and record.start_time > began:
            waits.append(record.start_time - record.create_timestamp.timestamp())
            lasts[record.dagster_run.job_name].append(record.end_time - record.start_time)
    medians = {job: round(statistics.median(values), 2) for job, values in sorted(lasts.items())}
    return {"runs": len(waits), "start_s": round(statistics.median(waits), 2), "run_s": medians}


if __name__ == "__main__":
    main()
