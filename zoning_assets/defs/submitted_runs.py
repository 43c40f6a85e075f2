"""Submits runs to the queue of a running `zoning up`, and watches them to their end.

The runs are those that sensors request: the same jobs and tags. `materialize` has the same parameters and the same
result as that of in_process_runs.py.

A stop of the command (Ctrl-C) terminates its runs. They belong to the command: nobody else starts the runs that follow,
and a user who stops a harvest expects that no more requests are sent to the portal.
"""

import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import dagster as dg

from zoning_assets import graceful_stop
from zoning_assets.defs import partitions, retry_policies, run_requests
from zoning_assets.defs.in_process_runs import RANGE_END, RANGE_START
from zoning_assets.defs.run_queue import STORAGE_FAILS, UNFINISHED, LaunchRefused, RunQueue
from zoning_assets.defs.run_results import Progress, Result, collect, gone, refused
from zoning_assets.defs.run_workers import LOCKS_WITHIN_S
from zoning_assets.errors import DatabaseUnavailable, StoreError, ZoningError
from zoning_assets.graceful_stop import STOP
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations
from zoning_assets.model import CHANGES, Jurisdiction
from zoning_assets.pipeline import holds
from zoning_assets.storage.postgis import process_locks

_log = logging.getLogger(__name__)

#: Seconds between two looks at a run, and between two looks at the daemon.
_LOOK_S, _LOOK_AT_DAEMON_S = 0.5, 5.0
#: A run that was created but not queued within this time never will be, seconds.
_QUEUED_WITHIN_S = 60.0
#: A run that waits in the queue is reported after this time, and again each time it has doubled, seconds.
_REPORTED_AFTER_S = 20.0
#: Terminated runs may take this long to end, seconds. A command must have ended 8 s after a signal (cli/signals.py).
_ENDS_WITHIN_S = 4.0
_MOST_EVENTS = 500


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
        last = partitions.asset_key(assets[-1], location)
        for run_id, members in _submit(submission, assets, keys, tags, result, location):
            watch = Watch(submission, run_id, last, progress)
            failure = watch.until_end()
            collect(queue.instance, run_id, last, members, result, failure)
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
            run_id = queue.submit(job, assets, run_tags, location) or _appeared(queue, submission_id)
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


def _appeared(queue: RunQueue, submission_id: str) -> str:
    """Return the id of a run whose submission was not answered. It may have ended already.

    Raises:
        LaunchRefused: no such run was created.
        Stopping: a stop of this process was requested.
        StoreError: `zoning up` has ended.
    """
    until = time.monotonic() + _QUEUED_WITHIN_S
    while time.monotonic() < until:
        if found := queue.instance.get_runs(dg.RunsFilter(tags={retry_policies.SUBMISSION: submission_id})):
            return found[0].run_id
        STOP.check("the run queue")
        if dead := queue.why_dead(time.time()):
            raise StoreError(dead, where="the run queue", do="run the command again")
        _pause(_LOOK_S)
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


def _pause(seconds: float) -> None:
    """Wait; a stop of this process ends the wait."""
    stopped = threading.Event()
    with STOP.call_on_request(stopped.set):
        stopped.wait(seconds)


@dataclass
class Watch:
    """Watches one run. `asset`: the last of its assets, whose partitions are reported to `progress`."""

    submission: Submission
    run_id: str
    asset: dg.AssetKey
    progress: Progress
    _began: float = field(default_factory=time.monotonic, init=False)
    _cursor: str | None = field(default=None, init=False)
    _daemon_checked: float = field(default=0.0, init=False)
    _reports: int = field(default=0, init=False)

    def until_end(self) -> str | None:
        """Wait until the run has ended; return why it did not succeed, or None.

        Raises:
            Stopping: a stop of this process was requested.
            StoreError: `zoning up` ended before the run did.
        """
        active_holds = holds.ActiveHolds(self.submission.database)
        while True:
            record = self._instance.get_run_record_by_id(self.run_id)
            if record is None:
                return f"{self._name} was deleted; run the command again"
            run = record.dagster_run
            self._report_progress()
            if run.is_success:
                return None
            if run.is_finished:
                self._check_daemon(run, record.start_time)  # `zoning up` interrupts its runs when it ends
                return self._failure(run)
            STOP.check(run.tags.get(retry_policies.JURISDICTION, self._name))
            self._report_pause(active_holds, run)
            if why := self._stuck(run, record.start_time):
                return why
            _pause(_LOOK_S)

    @property
    def _instance(self) -> dg.DagsterInstance:
        return self.submission.queue.instance

    @property
    def _name(self) -> str:
        return f"run {self.run_id[:8]}"

    def _report_progress(self) -> None:
        """Report the partitions that were materialized since the last look."""
        while True:
            found = self._instance.get_records_for_run(
                self.run_id, self._cursor, dg.DagsterEventType.ASSET_MATERIALIZATION, _MOST_EVENTS
            )
            self._cursor = found.cursor
            for record in found.records:
                made = record.event_log_entry.asset_materialization
                if made and made.asset_key == self.asset and made.partition:
                    self.progress(made.partition)
            if not found.has_more:
                return

    def _failure(self, run: dg.DagsterRun) -> str:
        """Return why a run did not succeed, if no step says it."""
        if run.status == dg.DagsterRunStatus.CANCELED:
            return f"{self._name} was canceled in Dagster; run the command again"
        entries = self._instance.all_logs(self.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        words = [entry.dagster_event.message for entry in entries if entry.dagster_event]
        why = next((line for text in words for line in (text or "").splitlines() if line.strip()), "no reason is known")
        return f"{self._name} failed outside a step: {why}"

    def _report_pause(self, active_holds: holds.ActiveHolds, run: dg.DagsterRun) -> None:
        jurisdiction = self.submission.jurisdictions[run.tags[retry_policies.JURISDICTION]]
        feed = run.tags[retry_policies.FEED]
        active_holds.refresh()
        active_holds.report(jurisdiction.id, holds.hosts_of(jurisdiction, None if feed == CHANGES else feed))

    def _stuck(self, run: dg.DagsterRun, started: float | None) -> str | None:
        """Check a run that has not ended. Return why it never will, or None; report that it waits in the queue.

        Raises:
            StoreError: the daemon is dead, so nothing would end the wait.
        """
        waited_s = time.monotonic() - self._began
        if run.status == dg.DagsterRunStatus.NOT_STARTED and waited_s > _QUEUED_WITHIN_S:
            self._instance.report_run_canceled(run, "It was not queued.")
            return f"{self._name} was created but not queued; run the command again"
        if run.status == dg.DagsterRunStatus.QUEUED and waited_s > _REPORTED_AFTER_S * 2**self._reports:
            self._reports += 1
            self._report_queue(run, waited_s)
        if time.monotonic() - self._daemon_checked > _LOOK_AT_DAEMON_S:
            self._daemon_checked = time.monotonic()
            self._check_daemon(run, started)
        return None

    def _report_queue(self, run: dg.DagsterRun, waited_s: float) -> None:
        host = run.tags.get(retry_policies.HOST, "")
        filters = dg.RunsFilter(statuses=UNFINISHED, tags={retry_policies.HOST: host})
        others = self._instance.get_runs_count(filters) - 1
        _log.warning(
            "%s has waited in the queue for %.0f s (other unfinished runs of %s: %d); see %s",
            self._name,
            waited_s,
            host,
            others,
            self.submission.queue.link(self.run_id),
        )

    def _check_daemon(self, run: dg.DagsterRun, started: float | None) -> None:
        now = time.time()
        dead = self.submission.queue.why_dead(now)
        if dead is None:
            return
        if run.status == dg.DagsterRunStatus.STARTED and self._is_alive(run, now - (started or now)):
            return  # its process ends the run itself
        state = "has failed" if run.status == dg.DagsterRunStatus.FAILURE else f"is {run.status.value.lower()}"
        raise StoreError(
            f"{dead}, and {self._name} {state}",
            where=run.tags.get(retry_policies.JURISDICTION, self._name),
            do="run the command again",
        )

    def _is_alive(self, run: dg.DagsterRun, running_s: float) -> bool:
        """Return whether the process of a run is alive; it locks a moment after the start of the run."""
        return running_s < LOCKS_WITHIN_S or bool(process_locks.living(self.submission.database, [run.run_id]))
