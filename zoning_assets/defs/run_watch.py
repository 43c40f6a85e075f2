"""Watches a run that was submitted to a queue until it ends, and reports its progress, its pauses and its waiting."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from zoning_assets.defs import retry_policies, run_queue
from zoning_assets.defs.run_queue import RunQueue
from zoning_assets.defs.run_results import Progress
from zoning_assets.defs.run_workers import LOCKS_WITHIN_S, was_taken
from zoning_assets.errors import StoreError
from zoning_assets.graceful_stop import STOP
from zoning_assets.model import CHANGES, Jurisdiction
from zoning_assets.pipeline import holds
from zoning_assets.storage.postgis import process_locks

_log = logging.getLogger(__name__)

#: Seconds between two looks at a run, and between two looks at the daemon.
_LOOK_S, _LOOK_AT_DAEMON_S = 0.5, 5.0
#: A run that waits in the queue is reported after this time, and again each time it has doubled, seconds.
_REPORTED_AFTER_S = 20.0
_MOST_EVENTS = 500


@dataclass
class RunWatch:
    """Watches one run.

    Attributes:
        queue: the queue of the run.
        jurisdictions: by id.
        database: the URL of PostGIS, which has the pauses.
        run_id: the id of the run.
        asset: the last of its assets, whose partitions are reported to `progress`.
    """

    queue: RunQueue
    jurisdictions: Mapping[str, Jurisdiction]
    database: str
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
        active_holds = holds.ActiveHolds(self.database)
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
            STOP.wait(_LOOK_S)

    @property
    def _instance(self) -> dg.DagsterInstance:
        return self.queue.instance

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
        jurisdiction = self.jurisdictions[run.tags[retry_policies.JURISDICTION]]
        feed = run.tags[retry_policies.FEED]
        active_holds.refresh()
        active_holds.report(jurisdiction.id, holds.hosts_of(jurisdiction, None if feed == CHANGES else feed))

    def _stuck(self, run: dg.DagsterRun, started: float | None) -> str | None:
        """Check a run that has not ended. Return why it never will, or None; report that it waits in the queue.

        Raises:
            StoreError: the daemon is dead, so nothing would end the wait.
        """
        waited_s = time.monotonic() - self._began
        if run.status == dg.DagsterRunStatus.NOT_STARTED and waited_s > run_queue.QUEUED_WITHIN_S:
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
        filters = dg.RunsFilter(statuses=run_queue.UNFINISHED, tags={retry_policies.HOST: host})
        others = self._instance.get_runs_count(filters) - 1
        _log.warning(
            "%s has waited in the queue for %.0f s (other unfinished runs of %s: %d); see %s",
            self._name,
            waited_s,
            host,
            others,
            self.queue.link(self.run_id),
        )

    def _check_daemon(self, run: dg.DagsterRun, started: float | None) -> None:
        now = time.time()
        dead = self.queue.why_dead(now)
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
        """Return whether the process of a run is alive. It tags the run and locks a moment after its start."""
        may_lock_later = running_s < LOCKS_WITHIN_S and not was_taken(run)
        return may_lock_later or bool(process_locks.living(self.database, [run.run_id]))
