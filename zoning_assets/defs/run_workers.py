"""Runs on this machine whose process died are found, though what started it died too.

Dagster's own launcher finds a dead run while the server that started it lives; after the daemon was killed nobody does.
So each run says in a tag which process it is, and the sensor run_lost fails a run whose process is gone; Dagster then
starts it again (`run_retries`).
"""

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

#: The tag that says which process a run is: host, process id, when that began, and the run; one that is started again
#: inherits the tags of the dead one. By Dagster's prefix the list of runs leaves it out; "View all tags" has it.
WORKER = "dagster/zoning-worker"
#: A run that began says within so many seconds which process it is; one that was killed before it did never will.
SAYS_WITHIN_S = 120.0

#: What Dagster says of a run that it will start again, and which run that is then.
WILL_RETRY, RETRIED_AS = "dagster/will_retry", "dagster/auto_retry_run_id"
#: A run that failed is started again within the first; after the second nobody waits for it any more.
RETRIED_WITHIN, LATEST = timedelta(minutes=1), timedelta(hours=1)


def this_process(run_id: str) -> str:
    """This process, as the tag of a run says it."""
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())} {run_id}"


def why_dead(run: dg.DagsterRun, running_s: float) -> str | None:
    """Why the process of a run must be dead, or None. Of a run on another machine nothing is known.

    Args:
        run: a run that has begun and not ended.
        running_s: seconds since it began.
    """
    said = run.tags.get(WORKER, "").split()
    if len(said) != 4 or said[3] != run.run_id:
        return "it never said which process it is" if running_s > SAYS_WITHIN_S else None
    host, pid, began, _ = said
    return f"its process {pid} is gone" if host == socket.gethostname() and _began(int(pid)) != began else None


def dead(instance: dg.DagsterInstance, now: datetime) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Runs that go on, and whose process is gone. What a run ends as stands before its process ends, so it is read
    again after that."""
    for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        why = why_dead(record.dagster_run, now.timestamp() - (record.start_time or now.timestamp()))
        run = instance.get_run_by_id(record.dagster_run.run_id) if why else None
        if run and why and run.status == dg.DagsterRunStatus.STARTED:
            yield run, why


def forgotten(instance: dg.DagsterInstance, now: datetime) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Runs that Dagster was to start again and did not. Its daemon reads a failure once, and its event stands a moment
    before the run's status: a daemon that looks between never looks again, unless the failure is reported once more."""
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY: "true"}, updated_after=now - LATEST
    )
    for record in instance.get_run_records(failed):
        ended = datetime.fromtimestamp(record.end_time or now.timestamp(), UTC)
        if RETRIED_AS not in record.dagster_run.tags and now - ended > RETRIED_WITHIN:
            yield record.dagster_run, "it failed, and was not started again"


def unsubmitted(instance: dg.DagsterInstance, now: datetime) -> Iterator[tuple[dg.DagsterRun, str]]:
    """Runs that Dagster made to start a dead one again, and did not queue: its code server was gone. It does not look
    at them again, unless they fail."""
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY: "false"}, updated_after=now - LATEST
    )
    for run in instance.get_runs(failed):
        successor = instance.get_run_by_id(run.tags.get(RETRIED_AS, ""))
        if successor and successor.status == dg.DagsterRunStatus.NOT_STARTED:
            yield successor, "it was not queued"


def _began(pid: int) -> str:
    """When a process began, in ticks since this machine did; empty: there is none. Process ids are given out again."""
    proc = Path("/proc")
    if proc.is_dir():
        try:
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]  # a zombie is dead, too
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
