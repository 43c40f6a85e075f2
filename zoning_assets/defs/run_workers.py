"""Detects runs on this machine whose process died.

Dagster's launcher detects a dead run only while the server that started it is alive. After the daemon was killed, the
run would stay in progress forever. Each run therefore records its process in a tag. The sensor run_lost marks a run as
failed if its process is gone, and Dagster then restarts it (`run_retries`).
"""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from zoning_assets.defs.retry_policies import COMMAND, is_submitted

#: The tag that names a run's process: host, process id, start time of the process, and run id. The run id is needed
#: because a restarted run inherits the tags of the dead one. Dagster's prefix hides the tag in the list of runs.
WORKER = "dagster/zoning-worker"
#: A run sets the tag within this many seconds after its start. If the tag is missing later, the run was killed.
SAYS_WITHIN_S = 120.0

#: Statuses of a run that has no process yet, so that it can be canceled in the storage.
WITHOUT_PROCESS = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED)
#: Why such a run is canceled.
COMMAND_ENDED = "Its command ended."

#: Dagster's tags for a run that it will restart, and for the id of the new run.
WILL_RETRY, RETRIED_AS = "dagster/will_retry", "dagster/auto_retry_run_id"
#: Seconds. Dagster restarts a failed run within the first; after the second the run is ignored.
RETRIED_WITHIN, LATEST = timedelta(minutes=1), timedelta(hours=1)


def this_process(id_: str) -> str:
    """Return this process in the format of the tag. `id_`: the id of the run, or of a command."""
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())} {id_}"


def why_dead(run: dg.DagsterRun, running_s: float) -> str | None:
    """Return why the process of a run must be dead, or None. A run on another machine is never reported.

    Args:
        run: a run in progress.
        running_s: seconds since the run started.
    """
    fields = run.tags.get(WORKER, "").split()
    if len(fields) != 4 or fields[3] != run.run_id:
        return "it never recorded its process" if running_s > SAYS_WITHIN_S else None
    return f"its process {fields[1]} is gone" if _is_gone(*fields[:3]) else None


def cancel_abandoned(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Cancel the queued runs of commands whose process is gone, and return them. A command cannot cancel its runs if it
    is killed, or if the database stops together with `zoning up`. Nobody expects the runs later."""
    found = []
    for run in instance.get_runs(dg.RunsFilter(statuses=list(WITHOUT_PROCESS))):
        fields = run.tags.get(COMMAND, "").split()
        if len(fields) == 5 and is_submitted(run) and _is_gone(*fields[1:4]):
            instance.report_run_canceled(run, COMMAND_ENDED)
            found.append(run)
    return found


def dead(instance: dg.DagsterInstance, now: datetime) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Return runs in progress whose process is gone. A run records its final status before its process ends, so the
    status is read again after the process was found dead."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        why = why_dead(record.dagster_run, now.timestamp() - (record.start_time or now.timestamp()))
        run = instance.get_run_by_id(record.dagster_run.run_id) if why else None
        if run and why and run.status == dg.DagsterRunStatus.STARTED:
            yield run, why


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


def _is_gone(host: str, pid: str, began: str) -> bool:
    """Return whether a process of this machine has ended."""
    return host == socket.gethostname() and _began(int(pid)) != began


def _began(pid: int) -> str:
    """Return a process's start time in ticks since boot, or empty text if there is none. Process ids are reused."""
    proc = Path("/proc")
    if proc.is_dir():
        try:
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]  # a zombie process counts as dead
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
