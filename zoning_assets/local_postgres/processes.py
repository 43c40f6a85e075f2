"""Who is alive in a data folder: a postmaster, or the children a killed one left behind.

A process is told by its working folder and its name, never by the number in postmaster.pid alone: after a kill -9 that
number may belong to anybody.
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
    """A running server, as its pid file tells."""

    pid: int
    port: int


def postmaster(data: Path) -> Postmaster | None:
    """The server that runs on this data folder; None when its pid file is missing, unfinished or stale."""
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
    """End what a killed postmaster left behind, first by asking, then by force; returns who would not go."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for pid in alive_in(data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if gone(data, each_s):
            return set()
    return alive_in(data)


def gone(data: Path, most_s: float) -> bool:
    """Wait until nobody is alive in the data folder."""
    for _ in range(max(1, int(most_s / POLL_S))):
        if not alive_in(data):
            return True
        time.sleep(POLL_S)
    return False


def _by_proc() -> Iterator[tuple[int, str]]:
    """Linux: PostgreSQL's processes and their working folders."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text(encoding="utf-8", errors="replace").strip() in ("postgres", "postmaster"):
                yield int(entry.name), str((entry / "cwd").readlink())


def _by_lsof() -> Iterator[tuple[int, str]]:
    """MacOS: the same, as lsof prints it: a line `p<pid>`, then a line `n<folder>`."""
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
