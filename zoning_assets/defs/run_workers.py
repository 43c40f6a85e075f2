"""Detects runs and commands whose process died, on any machine.

Dagster's launchers detect a dead run only while the server that started it is alive, or not at all. After the daemon or
a machine was lost, the run would stay in progress forever. Each run therefore holds a lock in the database while its
process lives (process_locks.py). The sensor run_lost marks a run without a lock as failed, and Dagster then restarts it
(`run_retries`). A command that submitted runs holds such a lock, too.
"""

import json
import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from zoning_assets.defs.retry_policies import COMMAND, is_submitted
from zoning_assets.storage.postgis.process_locks import LOCKED_AGAIN_WITHIN_S

#: The tag that shows a run's process to people: host, process id, and run id, because a restarted run inherits the
#: tags of the dead one. Dagster's prefix hides the tag in the list of runs.
WORKER = "dagster/zoning-worker"
#: A run locks within this many seconds after its start. If it has no lock later, it was killed.
LOCKS_WITHIN_S = 60.0

#: Statuses of a run that has no process yet, so that it can be canceled in the storage.
WITHOUT_PROCESS = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED)
#: Why such a run is canceled.
COMMAND_ENDED = "Its command ended."

#: Dagster's tags for a run that it will restart, and for the id of the new run.
WILL_RETRY, RETRIED_AS = "dagster/will_retry", "dagster/auto_retry_run_id"
#: Seconds. Dagster restarts a failed run within the first; after the second the run is ignored.
RETRIED_WITHIN, LATEST = timedelta(minutes=1), timedelta(hours=1)


#: Returns those of the names whose process is alive (process_locks.living).
Living = Callable[[Collection[str]], set[str]]


def this_process(run_id: str) -> str:
    """Return this process in the format of the tag."""
    return f"{socket.gethostname()} {os.getpid()} {run_id}"


def was_taken(run: dg.DagsterRun) -> bool:
    """Whether a process has taken the run: it tags the run at the moment at which it locks."""
    return run.tags.get(WORKER, "").split()[2:] == [run.run_id]


def starting(instance: dg.DagsterInstance) -> tuple[list[dg.DagsterRun], list[dg.DagsterRun]]:
    """Return the runs that are starting: those that the process of a worker took, which locked before it set the tag,
    and all others, whose process may not exist yet."""
    runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
    taken = [run for run in runs if was_taken(run)]
    return taken, [run for run in runs if run not in taken]


class LastLook:
    """What a look has found, for the cursor of the sensor: since when names have no lock, or runs no message.

    Args:
        cursor: of the last look.
        now: seconds since the epoch.
    """

    def __init__(self, cursor: str | None, now: float) -> None:
        self._before: Mapping[str, float] = json.loads(cursor or "{}")
        self._missing = dict[str, float]()
        self._now = now

    def is_dead(self, name: str) -> bool:
        """Record that a name has no lock. Return whether it has had none for so long that its process must be dead. A
        living process may have lost its lock for a moment with a restart of the database. So may a message be on its
        way from the broker to the process."""
        self._missing[name] = self._before.get(name, self._now)
        return self._now - self._missing[name] >= LOCKED_AGAIN_WITHIN_S

    @property
    def cursor(self) -> str:
        """Return the cursor for the next look."""
        return json.dumps(self._missing)


def cancel_abandoned(
    instance: dg.DagsterInstance, living: Living, is_dead: Callable[[str], bool] = lambda _: True
) -> list[dg.DagsterRun]:
    """Cancel the queued runs of commands whose process is gone, and return them. A command cannot cancel its runs if it
    is killed, or if the database stops together with `zoning up`. Nobody expects the runs later.

    Args:
        instance: where the runs are recorded.
        living: finds the commands that are alive.
        is_dead: whether a command without a lock is dead.
    """
    runs = [run for run in instance.get_runs(dg.RunsFilter(statuses=list(WITHOUT_PROCESS))) if is_submitted(run)]
    commands = {run.tags[COMMAND] for run in runs}
    dead = {each for each in sorted(commands - living(commands)) if is_dead(each)}
    abandoned = [run for run in runs if run.tags[COMMAND] in dead]
    for run in abandoned:
        instance.report_run_canceled(run, COMMAND_ENDED)
    return abandoned


def lost(
    instance: dg.DagsterInstance, living: Living, is_dead: Callable[[str], bool], now: datetime
) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Return runs in progress whose process is gone, also before it executed anything. A run records its final status
    before its process ends, so the status is read again after the process was found dead."""
    started = {
        record.dagster_run.run_id
        for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        if now.timestamp() - (record.start_time or now.timestamp()) > LOCKS_WITHIN_S
    }
    locked = started | {run.run_id for run in starting(instance)[0]}
    for run_id in sorted(locked - living(locked)):
        run = instance.get_run_by_id(run_id) if is_dead(run_id) else None
        if run and run.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING):
            yield run, "its process is gone"


def forgotten(instance: dg.DagsterInstance, now: datetime) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Return failed runs that Dagster should have restarted and did not. Dagster writes the failure event before the
    run's status, and its daemon reads the event only once. If the daemon reads between the two writes, it misses the
    run until the failure is reported again."""
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY: "true"}, updated_after=now - LATEST
    )
    for record in instance.get_run_records(failed):
        ended = datetime.fromtimestamp(record.end_time or now.timestamp(), UTC)
        if RETRIED_AS not in record.dagster_run.tags and now - ended > RETRIED_WITHIN:
            yield record.dagster_run, "it failed and was not restarted"


def unsubmitted(instance: dg.DagsterInstance, now: datetime) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Return runs that Dagster created to replace a dead run but did not queue, because its code server was gone.
    Dagster ignores such runs until they fail."""
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY: "false"}, updated_after=now - LATEST
    )
    for run in instance.get_runs(failed):
        successor = instance.get_run_by_id(run.tags.get(RETRIED_AS, ""))
        if successor and successor.status == dg.DagsterRunStatus.NOT_STARTED:
            yield successor, "it was not queued"
