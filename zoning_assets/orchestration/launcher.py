"""Runs on this machine whose process died are found, though what started it died too.

Dagster's own launcher finds a dead run while the server that started it lives; after the daemon was killed nobody does.
So each run says which process it is, and Dagster's run monitoring looks whether that still lives.
"""

import os
import socket
import time
from pathlib import Path

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

#: The tag that says which process a run is: host, process id, when that began, and the run; one that is started again
#: inherits the tags of the dead one. By Dagster's prefix the list of runs leaves it out; "View all tags" has it.
WORKER = "dagster/zoning-worker"


def this_process(run_id: str) -> str:
    """This process, as the tag of a run says it."""
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())} {run_id}"


class WatchedRunLauncher(dg.DefaultRunLauncher):
    """Dagster's default, and it knows whether a run's process lives."""

    #: A run that began says within so many seconds which process it is; one that was killed before it did never will.
    says_within_s = 120.0

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether its process lives; of a run on another machine nothing is known."""
        said = run.tags.get(WORKER, "").split()
        if len(said) != 4 or said[3] != run.run_id:
            return self._silent(run)
        if said[0] != socket.gethostname():
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        pid, began = said[1:3]
        if _began(int(pid)) == began:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"its process {pid} is gone")

    def _silent(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Of a run that has not said which process it is."""
        record = self._instance.get_run_record_by_id(run.run_id)
        if record and record.start_time and time.time() - record.start_time > self.says_within_s:
            return CheckRunHealthResult(WorkerStatus.FAILED, "it never said which process it is")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


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
