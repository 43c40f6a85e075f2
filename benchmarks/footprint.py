"""Peak proportional set size (PSS) of a command: its main process, the processes that it started, and all of them.

PSS divides a shared page among its processes, so that libraries of forked workers are counted once. Linux only.
Processes of PostgreSQL are not counted.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_EVERY_S = 0.25
_SERVER = ("postgres", "postmaster")
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Peaks:
    """The highest PSS, in bytes.

    Attributes:
        main: of the main process.
        workers: of the other processes together.
        total: of all processes at one time.
    """

    main: int = 0
    workers: int = 0
    total: int = 0

    def with_sample(self, main: int, workers: int) -> "Peaks":
        """With one more sample."""
        return Peaks(max(self.main, main), max(self.workers, workers), max(self.total, main + workers))


class Footprint:
    """Samples a process and its descendants in a thread while the block runs."""

    def __init__(self, pid: int) -> None:
        self.peaks = Peaks()
        self._pid, self._stop = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        self.sample()
        while not self._stop.wait(_EVERY_S):
            self.sample()

    def sample(self) -> None:
        """Take one sample."""
        others = [pid for pid in descendants(self._pid) - {self._pid} if not _is_server(pid)]
        self.peaks = self.peaks.with_sample(pss(self._pid), sum(map(pss, others)))


def pss(pid: int) -> int:
    """The proportional set size of a process in bytes; 0 if it has ended."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process without its children; 0 if it has ended."""
    try:
        user, system = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
    except (OSError, ValueError):
        return 0.0
    return (int(user) + int(system)) / _TICKS


def descendants(pid: int) -> set[int]:
    """The process and all processes that it started, directly or not."""
    parents = {int(each.name): _parent(each) for each in _PROC.iterdir() if each.name.isdigit()}
    family, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return family


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _is_server(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip() in _SERVER
    except OSError:
        return False
