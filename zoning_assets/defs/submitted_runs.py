"""Submits runs to the queue of a running `zoning up`, and watches them to their end.

The runs are those that sensors request: the same jobs and tags. `materialize` has the same parameters and the same
result as that of in_process_runs.py.

A stop of the command (Ctrl-C) terminates its runs. They belong to the command: nobody else starts the runs that follow,
and a user who stops a harvest expects that no more requests are sent to the portal.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import dagster as dg

from zoning_assets import graceful_stop
from zoning_assets.defs import partitions, retry_policies, run_queue, run_requests
from zoning_assets.defs.in_process_runs import RANGE_END, RANGE_START
from zoning_assets.defs.run_queue import STORAGE_FAILS, CodeServerGone, LaunchRefused, RunQueue
from zoning_assets.defs.run_results import Progress, Result, collect, gone, refused
from zoning_assets.defs.run_watch import RunWatch
from zoning_assets.errors import DatabaseUnavailable, StoreError, ZoningError
from zoning_assets.graceful_stop import STOP
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations
from zoning_assets.model import Jurisdiction

_log = logging.getLogger(__name__)

#: Seconds between two looks for a run.
_LOOK_S = 0.5
#: Terminated runs may take this long to end, seconds. A command must have ended 8 s after a signal (cli/signals.py).
_ENDS_WITHIN_S = 4.0
#: A code server that ended is replaced within this time, seconds; it imports Dagster on a busy machine.
_REPLACED_WITHIN_S = 60.0


@dataclass(frozen=True)
class Submission:
    """Where runs are submitted, and for which jurisdictions. `database`: the URL of PostGIS, which has the pauses.
    `locations`: the groups of jurisdictions."""

    queue: RunQueue
    jurisdictions: Mapping[str, Jurisdiction]
    database: str
    locations: Locations = field(default_factory=Locations)


def materialize(
    submission: Submission,
    assets: Sequence[str],
    keys: Sequence[str],
    *,
    tags: Mapping[str, str] | None = None,
    progress: Progress = lambda _: None,
) -> Result:
    """Materialize assets for partitions of one jurisdiction: one run for each contiguous range of keys.

    Raises:
        Stopping: a stop of this process was requested; the runs were terminated.
        StoreError: `zoning up` ended before the runs did.
        DatabaseUnavailable: Dagster's storage does not answer.
    """
    work = partial(_materialize, submission, assets, keys, tags or {}, progress)
    return graceful_stop.run_in_thread(work)


def _materialize(
    submission: Submission, assets: Sequence[str], keys: Sequence[str], tags: Mapping[str, str], progress: Progress
) -> Result:
    result, queue = Result(), submission.queue
    try:
        location = submission.locations.find(partitions.place_of(keys[0]).jurisdiction) if keys else WHOLE
        made = [partitions.asset_key(each, location) for each in assets]
        for run_id, members in _submit(submission, assets, keys, tags, result, location):
            watch = RunWatch(queue, submission.jurisdictions, submission.database, run_id, made[-1], progress)
            failure = watch.until_end()
            collect(queue.instance, run_id, made, members, result, failure)
    except STORAGE_FAILS as error:
        raise DatabaseUnavailable(
            f"it does not answer ({type(error).__name__})", where="Dagster's storage", do="run the command again"
        ) from error
    finally:  # after success there may be a run that was created later than the webserver had to answer
        _end(queue)
    return result


def _submit(  # noqa: PLR0913 - what is materialized, where, and its result
    submission: Submission,
    assets: Sequence[str],
    keys: Sequence[str],
    tags: Mapping[str, str],
    result: Result,
    location: Location,
) -> list[tuple[str, list[str]]]:
    """Submit all runs; return their ids, each with its partitions. `result` receives partitions without a run."""
    queue, job = submission.queue, run_requests.job_of(assets)
    known = _known(queue.instance, job, keys, location)
    registered = set(known)
    result.failed |= {key: gone(key) for key in sorted(set(keys) - registered)}
    present = [key for key in keys if key in registered]
    if not present:
        return []
    jurisdiction = submission.jurisdictions[partitions.place_of(present[0]).jurisdiction]
    submitted: list[tuple[str, list[str]]] = []
    for request in run_requests.of_keys(queue.instance, job, jurisdiction, present, location):
        STOP.check(jurisdiction.id)
        members = _members(request.tags, known, present)
        submission_id = secrets.token_hex(8)
        run_tags = {**request.tags, **tags, retry_policies.ONCE: "0", retry_policies.SUBMISSION: submission_id}
        try:
            launch = partial(queue.submit, job, assets, run_tags, location)
            run_id = _launched(queue, launch, jurisdiction.id) or _appeared(queue, submission_id)
        except LaunchRefused as error:
            result.failed |= dict.fromkeys(members, refused(members[0], error.what))
        else:
            submitted.append((run_id, members))
    return submitted


def _known(instance: dg.DagsterInstance, job: str, keys: Sequence[str], location: Location) -> list[str]:
    """Return the registered partitions of a job, in their order. Those of whole jurisdictions need no registration."""
    is_by_tile = job == run_requests.PUBLISH_PARCELS
    return list(instance.get_dynamic_partitions(location.tiles) if is_by_tile else keys)


def _members(tags: Mapping[str, str], known: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Return the partitions of a run with these tags."""
    if RANGE_START not in tags:
        return list(keys)
    return list(known[known.index(tags[RANGE_START]) : known.index(tags[RANGE_END]) + 1])


def _launched(queue: RunQueue, launch: Callable[[], str | None], where: str) -> str | None:
    """Submit a run; again while the code server of `zoning up` is being replaced. Return and raise as RunQueue.submit.
    `where`: the jurisdiction, for the message of a stop.

    Raises:
        StoreError: `zoning up` has ended.
    """
    until = time.monotonic() + _REPLACED_WITHIN_S
    while True:
        try:
            return launch()
        except CodeServerGone:
            if time.monotonic() > until:
                raise
        STOP.check(where)
        if dead := queue.why_dead(time.time()):
            raise StoreError(dead, where=where, do="run the command again")
        STOP.wait(_LOOK_S)


def _appeared(queue: RunQueue, submission_id: str) -> str:
    """Return the id of a run whose submission was not answered. It may have ended already.

    Raises:
        LaunchRefused: no such run was created.
        Stopping: a stop of this process was requested.
        StoreError: `zoning up` has ended.
    """
    until = time.monotonic() + run_queue.QUEUED_WITHIN_S
    while time.monotonic() < until:
        if found := queue.instance.get_runs(dg.RunsFilter(tags={retry_policies.SUBMISSION: submission_id})):
            return found[0].run_id
        STOP.check("the run queue")
        if dead := queue.why_dead(time.time()):
            raise StoreError(dead, where="the run queue", do="run the command again")
        STOP.wait(_LOOK_S)
    raise LaunchRefused("the webserver did not answer", where=queue.webserver.address, do="run the command again")


def _end(queue: RunQueue) -> None:
    """Terminate the runs of this command and wait a moment for their end; report what goes on nevertheless."""
    until = time.monotonic() + _ENDS_WITHIN_S
    try:
        while (runs := queue.terminate()) and time.monotonic() < until:
            time.sleep(_LOOK_S / 2)
        for run in runs:
            if run.status == dg.DagsterRunStatus.STARTING:
                queue.cancel(run)
    except (ZoningError, dg.DagsterError, *STORAGE_FAILS) as error:
        why = str(error).splitlines()[0]
        _log.warning("runs of this command may continue, see %s/runs: %s", queue.webserver.address, why)
        return
    for run in runs:
        _log.warning("run %s may not have ended yet, see %s", run.run_id[:8], queue.link(run.run_id))
