"""The PostgreSQL processes of a data folder: a running server, or backends that a killed server left behind.

A process is identified by its working folder and its name, never by the number in postmaster.pid alone: after a kill -9
another process may have that number.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05


@dataclass(frozen=True)
class Postmaster:
    """A running server, according to its pid file."""

    pid: int
    port: int


def postmaster(data: Path) -> Postmaster | None:
    """The server that runs on this data folder; None: its pid file is missing, incomplete or stale."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        found = Postmaster(int(lines[0]), int(lines[3]))
    except (OSError, ValueError, IndexError):
        return None
    return found if found.pid in alive_in(data) else None


def alive_in(data: Path) -> set[int]:
    """The PostgreSQL processes whose working folder is this data folder."""
    real = os.path.realpath(data)
    pairs = _by_proc() if Path("/proc/self/cwd").exists() else _by_lsof()
    return {pid for pid, folder in pairs if folder == real}


def end_all(data: Path, *, each_s: float = 5.0) -> set[int]:
    """End the processes that a killed server left behind, with SIGQUIT and then SIGKILL; return those that still run.

    `each_s`: how long to wait after each signal, in seconds.
    """
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in alive_in(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if gone(data, each_s):
            return set()
    return alive_in(data)


def gone(data: Path, most_s: float) -> bool:
    """Wait until no process runs in the data folder; return False after `most_s` seconds."""
    for _ in range(max(1, int(most_s / POLL_S))):
        if not alive_in(data):
            return True
        time.sleep(POLL_S)
    return False


def _by_proc() -> Iterator[tuple[int, str]]:
    """Linux: the PostgreSQL processes and their working folders, from /proc."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text(encoding="utf-8", errors="replace").strip() in ("postgres", "postmaster"):
                yield int(entry.name), str((entry / "cwd").readlink())


def _by_lsof() -> Iterator[tuple[int, str]]:
    """MacOS: the same, from lsof, which prints a line `p<pid>` and then a line `n<folder>`."""
    if not shutil.which("lsof"):
        return
    command = ["lsof", "-w", "-a", "-d", "cwd", "-c", "postgres", "-Fpn"]
    listing = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    pid = 0
    for line in listing.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("n"):
            yield pid, line[1:]
