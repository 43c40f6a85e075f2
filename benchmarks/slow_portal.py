"""A simulated county portal that answers each request after a delay, and records when requests came and went.

As a program: `python -m benchmarks.slow_portal --parcels N --delay S --log FILE`. It prints its address, and ends with
standard input. The log has a line for each request: seconds since the epoch at its arrival and at its answer.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from aiohttp import web

from benchmarks.processes import ROOT
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal


@contextmanager
def serving(parcels: int, page_rows: int, delay_s: float, log: Path) -> Iterator[str]:
    """Serve while the block runs; yield the address."""
    options = {"parcels": parcels, "page-rows": page_rows, "delay": delay_s, "log": log}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.slow_portal", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            yield str(json.loads(process.stdout.readline() if process.stdout else b"")["address"])
        finally:
            if process.stdin:
                process.stdin.close()


def requests(log: Path) -> list[tuple[float, float]]:
    """The arrival and the answer of each request, in the order of arrival."""
    return sorted((float(came), float(went)) for came, went in map(str.split, log.read_text().splitlines()))


def most_within(times: list[tuple[float, float]], window_s: float) -> int:
    """The largest number of requests that arrived in a window of that length, wherever it begins."""
    most = first = 0
    for last, (came, _) in enumerate(times):
        while came - times[first][0] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_at_once(times: list[tuple[float, float]]) -> int:
    """The largest number of requests in progress at one moment."""
    moments = sorted([(came, 1) for came, _ in times] + [(went, -1) for _, went in times])
    count = most = 0
    for _, step in moments:
        count += step
        most = max(most, count)
    return most


async def _serve(parcels: int, page_rows: int, delay_s: float, log: TextIO) -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        came = time.time()
        await asyncio.sleep(delay_s)
        answer = await portal.answered(request)
        log.write(f"{came:.4f} {time.time():.4f}\n")
        log.flush()
        return answer

    portal = county_portal(CountyReleases(parcels, page_rows=page_rows), fault=late)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with portal.running() as address:
        sys.stdout.write(json.dumps({"address": address}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Serve until the end of standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, required=True)
    parser.add_argument("--page-rows", type=int, default=2000)
    parser.add_argument("--delay", type=float, default=0.3)
    parser.add_argument("--log", type=Path, required=True)
    given = parser.parse_args()
    with given.log.open("a") as log:
        asyncio.run(_serve(given.parcels, given.page_rows, given.delay, log))


if __name__ == "__main__":
    main()
