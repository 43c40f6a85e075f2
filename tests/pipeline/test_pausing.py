"""Ten pauses in one backfill by three processes: nothing is committed once `zoning pause` has returned, nobody asks
within a second, and all ends as if nothing had been."""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest
from aiohttp import web

from tests.conftest import rows
from tests.integration.test_kill import TABLES
from tests.support.databases import copied
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.storage.postgis.records import hold_records

LOTS, PROCESSES, PAUSES, HELD_S, TILES = 6000, 3, 10, 2.0, 400
_COMMITTED = "SELECT count(*), extract(epoch FROM max(committed))::float FROM zoning.batch"


@contextmanager
def portal() -> Iterator[tuple[str, list[float]]]:
    """A portal that writes down when each request came: its address, and the moments."""
    arrived: list[float] = []
    told: Queue[str] = Queue()
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    def note(_request: web.Request) -> None:
        arrived.append(time.time())

    async def serve() -> None:
        async with county_portal(CountyReleases(LOTS), fault=note).running() as address:
            told.put(address)
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield told.get(timeout=500), arrived
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


class Backfill:
    """Three processes, each with a third of the tiles."""

    def __init__(self, folder: Path, address: str, database: str, requests_per_minute: int) -> None:
        folder.mkdir()
        self.file, self.folder, self.database = folder / f"{ID}.toml", folder, database
        self.file.write_text(county_toml(address, tile_resolution=10).replace("60000", str(requests_per_minute)))

    def start(self) -> "list[subprocess.Popen[bytes]]":
        words = [str(self.file), str(self.folder / "store"), self.database]
        self.runs = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.support.backfill_child",
                    *words,
                    str(self.folder / f"{part}"),
                    str(part),
                    str(PROCESSES),
                ],
                stderr=subprocess.PIPE,
            )
            for part in range(PROCESSES)
        ]
        return self.runs

    def stop(self) -> None:
        for run in self.runs:
            run.kill()

    def state(self) -> dict[str, list[tuple]]:
        return {name: rows(self.database, query) for name, query in TABLES.items()}

    def pause(self, what: str) -> float:
        """`zoning pause` in a fourth process; when it had returned."""
        settings = {"ZONING_DATABASE_URL": self.database, "ZONING_HOME": str(self.folder / "home")}
        command = [sys.executable, "-m", "zoning_assets.cli", "pause", what, "--reason", "odd"]
        subprocess.run(command, check=True, timeout=500, env={**os.environ, **settings}, capture_output=True)
        return time.time()


def ended(runs: "list[subprocess.Popen[bytes]]") -> None:
    said = [run.communicate(timeout=300)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0] * PROCESSES, said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_pauses_of_a_backfill(
    database: str,
    server: str,
    template: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    rng, late, quiet = random.Random(7), [], []
    with portal() as (address, arrived), copied(server, template) as (_, other):
        undisturbed = Backfill(tmp_path / "undisturbed", address, other, 60_000)
        ended(undisturbed.start())
        tiles = rows(other, "SELECT count(DISTINCT tile) FROM zoning.batch")[0][0]
        assert tiles >= TILES
        mine = Backfill(tmp_path / "paused", address, database, 400)
        runs = mine.start()
        request.addfinalizer(mine.stop)
        before = 0
        for number in range(PAUSES):
            while rows(database, _COMMITTED)[0][0] < before + rng.randint(1, 6):
                assert [run.poll() for run in runs].count(None) > 0, "the backfill ended before its pauses"
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.3))
            what = ID if number % 2 else None
            returned = mine.pause(what or "--all")
            before, _ = rows(database, _COMMITTED)[0]
            time.sleep(HELD_S)
            (after, committed), last = rows(database, _COMMITTED)[0], max(arrived)
            assert after == before, "published under a hold"
            late.append(committed - returned)
            quiet.append(last - returned)
            assert None in [run.poll() for run in runs], f"all was done before pause {number}"
            hold_records.resume(database, jurisdiction=what, host=None, reason="mended", actor="bob")
        ended(runs)
        assert mine.state() == undisturbed.state()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{tiles} tiles, {PROCESSES} processes, {PAUSES} pauses of {HELD_S:g} s\n"
            f"last commit after `pause` returned: {max(late):.3f} s at most (below 0: before it)\n"
            f"last request after `pause` returned: {max(quiet):.3f} s at most\n"
        )
    assert max(late) <= 0
    assert max(quiet) < 1
