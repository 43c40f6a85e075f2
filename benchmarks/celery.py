"""Many counties of one portal by 1, 2 and 4 Celery workers; and the portal's budget, kept by all workers together.

The portal answers each request after 300 ms. All workers run on this machine and share its cores, as does everything
else: PostgreSQL, Redis, `zoning up` and the portal.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import slow_portal
from benchmarks.debian_packages import unpacked
from benchmarks.processes import ROOT, databases, environment
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.storage.postgis import database

#: The goal: the speed of four workers divided by that of one.
LEAST_SPEED_UP = 3.0
_DELAY_S = 0.3
#: 25 pages, as a county of 50,000 parcels has at 2,000 rows a page.
_PARCELS, _PAGE_ROWS = 400, 16
#: The limits of a jurisdiction file where it states none (docs/explanation/politeness.md).
_PER_MINUTE, _CONNECTIONS = 30, 2
#: The raised limits: the most that a jurisdiction file can state, so that they do not limit four workers. (With 8
#: connections in all, the pages of a county took 3.4 s with one worker and 6.0 s with four.)
_RAISED = (60_000, 64)
_BUDGET_COUNTIES, _BUDGET_WORKERS = 3, 4
_READY_S = 180.0
#: Counties that are in progress at the same time, for each worker.
_AT_ONCE = 2


def measure(
    server: str, home: Path, say: Callable[[str], None], *, workers: Sequence[int] = (1, 2, 4), counties: int = 16
) -> dict[str, Any]:
    """Time `counties` counties with each number of workers, then count the requests of four workers within a budget.

    Args:
        server: URL of a PostGIS whose user may create databases.
        home: a directory for temporary files.
        say: receives progress messages.
        workers: numbers of workers.
        counties: how many counties the portal has.

    Returns:
        `work` (for each number: workers, seconds, speed_up compared with the first number, ready_s of the workers,
        runs, start_s from request to start of a run, run_s by job), `budget` (workers, requests, seconds,
        most_a_minute, most_at_once, kept), `reached` (None without 1 and 4 workers).

    Raises:
        RuntimeError: a run failed.
    """
    folder = home / "bench" / f"celery-{os.getpid()}"
    folder.mkdir(parents=True)
    kept_limits = (_PER_MINUTE, _CONNECTIONS)
    work = list[dict[str, Any]]()
    try:
        with _redis(folder) as broker:
            for number in workers:
                say(f"{number} workers: {counties} counties of {_PARCELS} parcels")
                found = _measured(Place(server, folder, broker, number), counties, _RAISED)
                work.append({"workers": number, **found, "speed_up": 1.0})
                work[-1]["speed_up"] = round(work[0]["seconds"] / found["seconds"], 2)
                say(f"{number} workers: {found['seconds']:.1f} s, {work[-1]['speed_up']} times the speed of the first")
            say(f"{_BUDGET_WORKERS} workers within {_PER_MINUTE} requests a minute")
            kept = _measured(Place(server, folder, broker, _BUDGET_WORKERS), _BUDGET_COUNTIES, kept_limits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    by_number = {each["workers"]: each["speed_up"] for each in work}
    reached = by_number[4] >= LEAST_SPEED_UP if {1, 4} <= set(by_number) and workers[0] == 1 else None
    return {"delay_s": _DELAY_S, "counties": counties, "work": work, "budget": _budget(kept), "reached": reached}


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table of workers."""
    names = ("workers", "seconds", "speed_up", "ready_s", "runs", "start_s")
    return [{**{name: each[name] for name in names}, **each["run_s"]} for each in found["work"]]


def _budget(found: Mapping[str, Any]) -> dict[str, Any]:
    kept = found["most_a_minute"] <= _PER_MINUTE and found["most_at_once"] <= _CONNECTIONS
    names = ("seconds", "requests", "most_a_minute", "most_at_once")
    return {"workers": _BUDGET_WORKERS, **{name: found[name] for name in names}, "kept": kept}


@dataclass(frozen=True)
class Place:
    """Where a number of workers is measured."""

    server: str
    folder: Path
    broker: str
    workers: int


def _measured(where: Place, counties: int, limits: tuple[int, int]) -> dict[str, Any]:
    """Time the work of counties with workers that are ready, in a new database. `limits`: requests a minute, and
    connections."""
    workers, place = where.workers, where.folder / f"{where.workers}-{time.monotonic_ns()}"
    (place / "toml").mkdir(parents=True)
    log = place / "requests.log"
    with (
        databases(where.server, ["celery"]) as urls,
        slow_portal.serving(_PARCELS, _PAGE_ROWS, _DELAY_S, log) as portal,
        ExitStack() as stack,
    ):
        url = database.migrate(urls["celery"])
        environ = {
            **environment(place / "toml", url),
            "ZONING_HOME": str(place / "up"),
            "ZONING_STORE_URL": str(place / "store"),
            "ZONING_RUNS_ON": where.broker,
            "ZONING_MAX_RUNS": str(workers),
            "ZONING_MAX_RUNS_PER_HOST": str(workers),
        }
        ids = [f"{ID}-{number}" for number in range(counties)]
        _empty_broker(where.broker)
        stack.enter_context(_program("up", ["--port", str(_free_port())], environ, place))
        began = time.monotonic()
        for number in range(workers):
            stack.enter_context(_program("worker", [], {**environ, "ZONING_HOME": str(place / f"w{number}")}, place))
        ready_s = time.monotonic() - began
        for each in ids:
            _write(place / "toml" / f"{each}.toml", portal, each, limits)
        done = _driven(environ, ids, workers)
    times = slow_portal.requests(log)
    return {
        **done,
        "ready_s": round(ready_s, 1),
        "requests": len(times),
        "most_a_minute": slow_portal.most_within(times, 60.0),
        "most_at_once": slow_portal.most_at_once(times),
    }


def _driven(environ: Mapping[str, str], ids: Sequence[str], workers: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.celery_sync", "--at-once", str(_AT_ONCE * workers), *ids]
    done = subprocess.run(command, env=dict(environ), cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.returncode == 0 else {"errors": [done.stderr[-500:]]}
    if found["errors"]:
        raise RuntimeError(found["errors"][0])
    return dict(found)


def _write(file: Path, portal: str, county: str, limits: tuple[int, int]) -> None:
    text = county_toml(portal).replace(f'id = "{ID}"', f'id = "{county}"')
    head, _, _ = text.partition("[portal]")
    file.write_text(f"{head}[portal]\nrequests_per_minute = {limits[0]}\nconnections = {limits[1]}\n")


@contextmanager
def _program(word: str, options: list[str], environ: Mapping[str, str], folder: Path) -> Iterator[None]:
    """`zoning up` or `zoning worker` while the block runs; it is ready."""
    command = [sys.executable, "-m", "zoning_assets.cli", word, "--json", *options]
    path = folder / f"{word}.log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            command, env=dict(environ), stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True
        )
    try:
        if not any(line.startswith(b"}") for line in process.stdout or ()):
            message = f"`zoning {word}` did not start: {path.read_text()[-500:]}"
            raise RuntimeError(message)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Debian's Redis, on loopback."""
    tree = unpacked(ROOT / ".zoning" / "peers" / "redis", ("redis-server",), ("redis-tools",))
    inside = ":".join(sorted({str(path.parent) for path in tree.glob("usr/lib/*-linux-*/*.so*")}))
    port = _free_port()
    command = [str(tree / "usr/bin/redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    environ = {**os.environ, "LD_LIBRARY_PATH": inside}
    with subprocess.Popen(command, env=environ, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    message = "redis-server did not start"
    raise RuntimeError(message)


def _empty_broker(broker: str) -> None:
    import redis  # noqa: PLC0415 - an extra

    with redis.Redis.from_url(broker) as client:
        client.flushdb()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
