"""Moments at which a command gets its signal: each makes it wait for something, and knows when it does."""

import contextlib
import fcntl
import http.client
import json
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.integration.signals.command import Command, table_locked
from tests.integration.signals.conftest import Place
from zoning_assets.simulation.county.county import ID
from zoning_assets.storage.postgis.database import as_role
from zoning_assets.storage.postgis.records import hold_records

#: What has happened when the moment has come, asked of the running command.
Happened = Callable[[Command], object]
Moment = Callable[[Place], contextlib.AbstractContextManager[Happened]]
_SIGTERM_BIT = 1 << 14
#: What `publish-amendment` sends.
AMENDMENT = json.dumps({"jurisdiction": ID, "case_numbers": ["Z-1"], "source": "https://example.org/z-1"})


@contextlib.contextmanager
def start(_: Place) -> Iterator[Happened]:
    """The first moment at which the program can answer: it has handlers, and imports nothing of what it needs yet."""

    def answers(command: Command) -> bool:
        status = Path(f"/proc/{command.process.pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) & _SIGTERM_BIT)

    yield answers


def portal(passed: int) -> Moment:
    """The portal has answered so many requests, and holds the next one."""

    @contextlib.contextmanager
    def held(place: Place) -> Iterator[Happened]:
        place.gate.close_after(passed)
        yield lambda _: place.gate.held.is_set()
        place.gate.close_after(None)

    return held


def table(name: str, mode: str = "ACCESS EXCLUSIVE") -> Moment:
    """It waits for a table that somebody else has locked."""

    @contextlib.contextmanager
    def locked(place: Place) -> Iterator[Happened]:
        with table_locked(as_role(place.database, None), name, mode) as waited_for:
            yield lambda _: waited_for()

    return locked


def text(words: str) -> Moment:
    """It has printed something."""

    @contextlib.contextmanager
    def printed(_: Place) -> Iterator[Happened]:
        yield lambda command: words in command.err.read_text() + command.out.read_text()

    return printed


def file(name: str) -> Moment:
    """A file under its home has something in it."""

    @contextlib.contextmanager
    def written(place: Place) -> Iterator[Happened]:
        path = Path(place.environ["ZONING_HOME"]) / name
        path.unlink(missing_ok=True)
        yield lambda _: path.exists() and path.stat().st_size

    return written


@contextlib.contextmanager
def paused(place: Place) -> Iterator[Happened]:
    """The county is paused; the command says so and waits."""
    hold_records.pause(place.database, jurisdiction=ID, host=None, reason="a storm", actor="test", until=None)
    yield lambda command: "a storm" in command.err.read_text()
    hold_records.resume(place.database, jurisdiction=ID, host=None, reason="over", actor="test")


@contextlib.contextmanager
def silent_database(place: Place) -> Iterator[Happened]:
    """The database's port answers nothing."""
    before, accepted = place.environ["ZONING_DATABASE_URL"], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])
                    accepted.set()

        threading.Thread(target=accept, daemon=True).start()
        place.environ["ZONING_DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/none"
        yield lambda _: accepted.is_set()
        place.environ["ZONING_DATABASE_URL"] = before
        server.shutdown(socket.SHUT_RDWR)
        for each in kept:
            each.close()


@contextlib.contextmanager
def unfinished_file(place: Place) -> Iterator[Happened]:
    """The file that it reads is a pipe into which nobody has written yet."""
    path, writers = place.folder.with_name("amendment.json"), list[int]()
    path.unlink()
    os.mkfifo(path)

    def opened(_: Command) -> bool:
        with contextlib.suppress(OSError):
            writers.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    yield opened
    for each in writers:
        os.close(each)
    path.unlink()
    path.write_text(AMENDMENT)


def locked_file(name: str) -> Moment:
    """It waits for the lock of a file under its home."""

    @contextlib.contextmanager
    def locked(place: Place) -> Iterator[Happened]:
        path = Path(place.environ["ZONING_HOME"]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield lambda command: path.resolve() in set(_open_files(command.process.pid))

    return locked


def _open_files(pid: int) -> Iterator[Path]:
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield each.readlink()


def scraped(name: str) -> Moment:
    """Prometheus asks for the metrics, which wait for a locked table; the port is in the command's first line."""

    @contextlib.contextmanager
    def asked(place: Place) -> Iterator[Happened]:
        with table_locked(as_role(place.database, None), name) as waited_for:
            begun: list[threading.Thread] = []

            def happened(command: Command) -> bool:
                line = next((each for each in command.err.read_text().split() if "/metrics" in each), "").strip(";")
                if line and not begun:
                    begun.append(threading.Thread(target=_read, args=(line,), daemon=True))
                    begun[0].start()
                return waited_for()

            yield happened

    return asked


def _read(url: str) -> None:
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):  # the command is killed meanwhile
        urllib.request.urlopen(url, timeout=60).read()  # noqa: S310 - of a server of ours
