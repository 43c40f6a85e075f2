"""Peak memory and processor time of a process and all that it started, read from /proc; Linux only.

The sum of the processes' resident sets: pages that several of them share (libraries) are counted once for each, so the
true figure is somewhat lower.
"""

import os
import threading
from pathlib import Path
from typing import Self

_EVERY_S = 0.1
_LOOK_FOR_CHILDREN_EVERY = 10  # samples
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class Peak:
    """Samples in a thread of its own while the block runs; `bytes` is the highest sum seen, `cpu_s` what all used."""

    def __init__(self, pid: int) -> None:
        self.bytes, self.processes = 0, 1
        self._cpu_s: dict[int, float] = {}
        self._pid, self._stop = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        number, family = 0, {self._pid}
        while not self._stop.wait(_EVERY_S):
            if number % _LOOK_FOR_CHILDREN_EVERY == 0:
                family = descendants(self._pid)
            number += 1
            self.bytes = max(self.bytes, sum(map(resident, family)))
            self.processes = max(self.processes, len(family))
            self._cpu_s |= {pid: used for pid in family if (used := cpu_s(pid))}

    @property
    def cpu_s(self) -> float:
        """Processor seconds, also of processes that have ended; of each up to the last sample."""
        return round(sum(self._cpu_s.values()), 2)


def descendants(pid: int) -> set[int]:
    """The process and everything it started, directly or not."""
    parents = {int(each.name): _parent(each) for each in _PROC.iterdir() if each.name.isdigit()}
    family, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return family


def resident(pid: int) -> int:
    """Bytes of a process that are in memory; 0 where it has ended."""
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def cpu_s(pid: int) -> float:
    """Seconds of a processor that a process used, its children's not among them; 0 where it has ended."""
    try:
        user, system = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
    except (OSError, ValueError):
        return 0.0
    return (int(user) + int(system)) / _TICKS


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0
