"""A run that is told to stop (SIGTERM) ends soon and loses nothing; the same command does the rest."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import read_toml, rows, sync
from zoning_assets.errors import Stopping
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county import ID, county_toml
from zoning_assets.simulation.process import serving


def slow(portal: str, per_minute: int) -> str:
    return county_toml(portal).replace("requests_per_minute = 60000", f"requests_per_minute = {per_minute}")


def test_a_stopped_run_says_so_of_every_place_and_the_next_does_the_rest(pipeline: Pipeline, tmp_path: Path) -> None:
    """SIGTERM ends those in line and those not begun with Stopping; places that were done stay done."""
    outcomes: list[Outcome] = []

    def stop(outcome: Outcome) -> None:
        outcomes.append(outcome)
        os.kill(os.getpid(), signal.SIGTERM)

    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with serving(1000) as portal:
            county = read_toml(tmp_path, county_toml(portal, tile_resolution=9), ID)
            tiles = sorted(asyncio.run(pipeline.find_cover(county)).tiles)
            assert len(tiles) > 10
            places = [Place(ID, tile) for tile in tiles]
            asyncio.run(pipeline.run({ID: county}, places, PARCELS, STAGES, stop))
            done = [outcome for outcome in outcomes if outcome.error is None]
            again = sync(pipeline, county)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [outcome.place for outcome in outcomes if outcome.place not in places] == []
    assert len(outcomes) == len(places)
    assert 0 < len(done) < len(places)
    assert {type(outcome.error) for outcome in outcomes if outcome.error} == {Stopping}
    assert seen == [signal.SIGTERM]
    assert [outcome.error for outcome in again] == [None] * len(places)
    assert sum(outcome.batch is None for outcome in again) == len(done)


@pytest.mark.slow
def test_sigterm_ends_a_sync(tmp_path: Path, database: str) -> None:
    """Through Dagster: nothing is asked any more, the exit status says so, and the next sync publishes everything."""
    with serving(2000) as portal:
        file = tmp_path / "jurisdictions" / f"{ID}.toml"
        file.parent.mkdir()
        file.write_text(slow(portal, 120))
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ZONING_HOME": str(tmp_path / "home"),
            "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
            "ZONING_JURISDICTIONS": str(file.parent),
            "ZONING_DATABASE_URL": database,
        }
        command = [sys.executable, "-m", "zoning_assets.cli", "sync", ID]
        process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 400
        while not rows(database, "SELECT 1 FROM zoning.host_budget WHERE asked > 7") and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=500)[1].decode()
        assert time.monotonic() - begun < 30
        assert process.returncode == 130, said
        assert "the same command does the rest" in said
        (asked,) = rows(database, "SELECT asked FROM zoning.host_budget")[0]
        assert asked < 15
        before = rows(database, "SELECT count(*) FROM zoning.parcel")[0][0]
        file.write_text(county_toml(portal))
        subprocess.run(command, env=environ, check=True, timeout=500, capture_output=True)
    after = rows(database, "SELECT count(*) FROM zoning.parcel")[0][0]
    assert before < after
