"""A run killed anywhere and started again ends in the same database as one that never died (promise 2)."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import rows
from tests.support.databases import copied
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.postgis.database import as_role

_PARCELS = 6000

#: What must be the same: everything but ids and times.
TABLES = {
    "parcels": "SELECT parcel_id, tile, content_hash, ST_AsEWKB(geom) FROM zoning.parcel ORDER BY 1",
    "versions": "SELECT parcel_id, content_hash FROM zoning.parcel_version ORDER BY 1, 2",
    "districts": "SELECT district_id, code, content_hash FROM zoning.district ORDER BY 1",
    "old districts": "SELECT district_id, content_hash FROM zoning.district_version ORDER BY 1, 2",
    "rejections": "SELECT tile, feed, reason, raw::text FROM zoning.rejection WHERE state = 'open' ORDER BY 1, 2, 3, 4",
    "batches": "SELECT tile, feed, harvest, counts::text FROM zoning.batch ORDER BY 1, 2, 3",
}


class Runs:
    """Runs of one county into one store and one database."""

    def __init__(self, folder: Path, portal: str, database: str) -> None:
        self.store, self.database = folder / "store", database
        self.file = folder / f"{ID}.toml"
        self.file.write_text(county_toml(portal))
        words = [str(self.file), str(self.store), database, str(folder / "scratch")]
        self._command = [sys.executable, "-m", "tests.support.kill_child", *words]

    def whole(self) -> None:
        subprocess.run(self._command, check=True, timeout=500)

    def killed_when(self, reached: Callable[[], bool]) -> None:
        """Start a run, and kill all of its processes at once when it has reached a point."""
        process = subprocess.Popen(self._command, start_new_session=True, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 400
        while process.poll() is None and time.monotonic() < deadline and not reached():
            time.sleep(0.001)
        assert process.poll() is None, "the run ended before it reached the point"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def tiles(self) -> dict[str, list[str]]:
        """The content of each tile."""
        query = "SELECT tile, array_agg(content_hash::text ORDER BY parcel_id) FROM zoning.parcel GROUP BY 1"
        return dict(rows(self.database, query))

    def state(self) -> dict[str, list[tuple]]:
        return {name: rows(self.database, query) for name, query in TABLES.items()}


@pytest.fixture(scope="module")
def published(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, str]]:
    """The county's first release, published once; then the county changed: its portal, its folder, its database."""
    folder = tmp_path_factory.mktemp("published")
    with serving(_PARCELS) as portal, copied(server, template) as (name, url):
        Runs(folder, portal, url).whole()
        switch_release(portal, 2)
        yield portal, folder, name


@pytest.fixture
def runs(tmp_path: Path, server: str, published: tuple[str, Path, str]) -> Iterator[Runs]:
    """Runs that go on from the published first release."""
    portal, folder, name = published
    shutil.copytree(folder / "store", tmp_path / "store")
    with copied(server, name) as (_, url):
        yield Runs(tmp_path, portal, url)


def _count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _copying(connection: psycopg.Connection) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY stage%'"
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, dict[str, list[tuple]]]:
    return {}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("stage", ["raw", "normalized", "validated", "copy"])
def test_a_killed_run_started_again_ends_as_if_undisturbed(
    runs: Runs, stage: str, undisturbed: dict[str, dict[str, list[tuple]]]
) -> None:
    """kill -9 of all processes in the middle of a stage, then the same command again: the same tables."""
    folder = runs.store / stage
    before, old = _count(folder), runs.tiles()
    with psycopg.connect(as_role(runs.database, None), autocommit=True) as watcher:
        runs.killed_when(lambda: _copying(watcher) if stage == "copy" else _count(folder) > before + 2)
    killed = runs.tiles()
    runs.whole()
    state, new = runs.state(), runs.tiles()
    for tile, content in killed.items():  # a parcel that moved has left its old tile when the new one is published
        assert content == new[tile] or {*content} <= {*old[tile]}, "a place is published whole or not at all"
    assert len(state["versions"]) > 0
    assert state == undisturbed.setdefault("state", state)


def test_an_undisturbed_run_ends_the_same(runs: Runs, undisturbed: dict[str, dict[str, list[tuple]]]) -> None:
    """The yardstick of the test above: a run that nobody killed."""
    runs.whole()
    assert runs.state() == undisturbed.setdefault("state", runs.state())
