"""Whole commands as processes: seconds from start to exit, CPU time, memory; and their databases."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from benchmarks.footprint import Footprint, Peaks

ROOT = Path(__file__).parents[1]
_LAST_LINES = 3
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True)
class Ran:
    """The cost of a command.

    Attributes:
        seconds: from start to exit.
        cpu_s: of the command and all processes that it started; other systems than Linux leave out those for which it
            did not wait, such as workers of a fork server.
        peaks: of memory.
    """

    seconds: float
    cpu_s: float
    peaks: Peaks


def run(command: Sequence[str], environ: Mapping[str, str]) -> Ran:
    """Run a command to its end, in a session of its own.

    Raises:
        RuntimeError: it failed; the message has the last lines of its standard error.
    """
    with tempfile.TemporaryFile() as errors, _adopted_orphans():
        used, began = _children_cpu_s(), time.monotonic()
        with (
            subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=errors, env=environ, cwd=ROOT, start_new_session=True
            ) as process,
            Footprint(process.pid) as footprint,
        ):
            try:
                status = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            seconds = time.monotonic() - began
        _wait_for_orphans(process.pid)
        if status:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
            message = f"`{' '.join(command)[:200]}` failed with exit status {status}: {' / '.join(last)}"
            raise RuntimeError(message)
    return Ran(seconds, _children_cpu_s() - used, footprint.peaks)


@contextmanager
def _adopted_orphans() -> Iterator[None]:
    """Be the parent of processes whose parent ends during the block, so that their processor time can be read."""
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _wait_for_orphans(group: int) -> None:
    """Wait for the processes of a command that has ended; they end with it."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-group, 0)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def environment(folder: Path, database: str) -> dict[str, str]:
    """The environment of `zoning`: its home in `folder`, which has the jurisdiction files; no settings of the
    caller."""
    ours = {
        "ZONING_HOME": str(folder / "home"),
        "ZONING_DATABASE_URL": database,
        "ZONING_JURISDICTIONS": str(folder),
        "PYTHONPATH": str(ROOT),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    rest = {name: text for name, text in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    return {**rest, **ours}


@contextmanager
def databases(server: str, names: Collection[str]) -> Iterator[dict[str, str]]:
    """Create a new database with PostGIS for each name; yield the URLs. The databases are dropped at the end."""
    real = {name: f"bench_{name}_{os.getpid()}" for name in names}
    urls = {name: urlsplit(server)._replace(path=f"/{each}").geturl() for name, each in real.items()}
    with psycopg.connect(server, autocommit=True) as connection:
        try:
            for name, each in real.items():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(each)))
                with psycopg.connect(urls[name], autocommit=True) as fresh:
                    fresh.execute("CREATE EXTENSION postgis")
            yield urls
        finally:
            for each in real.values():
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(each)))


def settle(database: str) -> None:
    """Write a checkpoint, so that earlier work does not slow down the next measurement."""
    with psycopg.connect(database, autocommit=True) as connection, suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute("CHECKPOINT")
