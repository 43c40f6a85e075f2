"""A command as a process of its own: started, waited for until something has happened, sent one signal."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

#: A test that waits so long for something has failed; no promise.
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Ended:
    """How a command ended after a signal."""

    status: int
    out: str
    err: str
    seconds: float
    left: frozenset[int]  # processes of it that live on


class Command:
    """A running command; the leader of a process group, as a shell starts it."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.out, self.err = folder / "out", folder / "err"
        command = [sys.executable, "-P", "-m", "zoning_assets.cli", *words]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command, env=environ, stdout=out, stderr=err, start_new_session=True, cwd=folder
            )

    def until(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened; the command must not have ended before."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert self.process.poll() is None, f"it ended before: {self.err.read_text()}{self.out.read_text()}"
            assert time.monotonic() < deadline, f"it never happened: {self.err.read_text()}"
            select.select([], [], [], 0.02)

    def stopped(self, number: int, *, group: bool) -> Ended:
        """Send one signal to the process, or (as a terminal does) to its whole group, and wait for its end."""
        family = descendants(self.process.pid)
        began = time.monotonic()
        (os.killpg if group else os.kill)(self.process.pid, number)
        status = self.process.wait(PATIENCE_S)
        seconds = time.monotonic() - began
        left = frozenset(pid for pid in family if not _gone(pid))
        return Ended(status, self.out.read_text(), self.err.read_text(), seconds, left)

    def end(self) -> None:
        """Leave nothing behind, whatever the test found."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def started(words: Sequence[str], environ: Mapping[str, str], folder: Path) -> Iterator[Command]:
    """A command that is ended with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    command = Command(words, environ, folder)
    try:
        yield command
    finally:
        command.end()


def _gone(pid: int) -> bool:
    """Whether a process ends within the moment that the kernel needs to tell its children of a death."""
    deadline = time.monotonic() + 5
    while _lives(pid):
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.02)
    return True


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """What a process started, and what those started; no PostgreSQL, which a private cluster leaves running."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name, _, rest = (entry / "stat").read_text().rpartition(")")
                if "(postgres" not in name:
                    parents[int(entry.name)] = int(rest.split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return {*found[1:]}


def judged(ended: Ended, number: int, *, as_json: bool) -> None:
    """What is promised of every command that gets a signal."""
    assert ended.status == 128 + number, ended
    assert ended.left == frozenset(), ended
    assert "Traceback" not in ended.err, ended.err
    assert "Exception ignored" not in ended.err, ended.err
    assert "leaked" not in ended.err, ended.err
    last = ended.err.splitlines()[-1]
    assert last.endswith("zoning: stopped; run the same command again to continue"), ended.err
    assert ended.err.count("stopped; run the same command") == 1, ended.err
    if as_json:
        told = json.loads(ended.out)
        assert told["exit_status"] == 128 + number
        assert told["error"] == "stopped; run the same command again to continue"


@contextlib.contextmanager
def table_locked(url: str, table: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[Callable[[], bool]]:
    """Nobody else can use a table; whether somebody waits for it."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as looker:
        holder.execute(f"LOCK TABLE {table} IN {mode} MODE")

        def waited_for() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
            row = looker.execute(query, [table]).fetchone()
            return bool(row and row[0])

        yield waited_for
        holder.rollback()
