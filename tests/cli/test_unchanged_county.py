"""`zoning sync` of a county that did not change: no Dagster, no worker, no run, and few requests; else as ever."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.arcgis_process import BenchPortal, serving
from benchmarks.contestants import CONTESTANTS, ID, OURS, BenchSetup
from benchmarks.variants import VARIANTS
from tests.conftest import rows
from tests.support.databases import continued, copied

PARCELS, PAGE = 1000, 200
PAGES = PARCELS // PAGE
#: Runs a command, and then writes its top-level modules and whether it started processes to the file named first.
RUN = """
import os, sys
from pathlib import Path
seen, sys.argv = Path(sys.argv[1]), ["zoning", *sys.argv[2:]]
from zoning_assets.cli import main
try:
    main()
finally:
    folders = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    parents = [each.joinpath("stat").read_text().rpartition(")")[2].split()[1] for each in folders if each.exists()]
    names = {each.partition(".")[0] for each in sys.modules}
    seen.write_text("\\n".join({*names, *(["a process"] if str(os.getpid()) in parents else [])}))
"""


@dataclass
class County:
    """A county that the benchmark's server serves, and where it is published."""

    portal: BenchPortal
    environ: dict[str, str]
    url: str
    folder: Path
    before: dict[str, int] = field(default_factory=dict)
    progress: list[str] = field(default_factory=list)

    def sync(self, *words: str) -> tuple[dict[str, Any], set[str]]:
        """`zoning sync`: its document, and what its process had when it ended."""
        seen = self.folder / "seen"
        command = [sys.executable, "-c", RUN, str(seen), "sync", ID, "--json", *words]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        self.progress = done.stderr.splitlines()
        return json.loads(done.stdout), set(seen.read_text().splitlines())

    def asked(self) -> dict[str, int]:
        """Requests since the last call, by layer."""
        before, now = self.before, {name: each["requests"] for name, each in self.portal.counts().items()}
        self.before = now
        return {name: now[name] - before.get(name, 0) for name in now}

    def runs(self) -> int:
        return int(rows(self.url, "SELECT count(*) FROM zoning_dagster.runs")[0][0])


@dataclass
class Published:
    """The county as its first sync left it.

    Attributes:
        portal: its server; only the last test edits its rows.
        folder: with the home.
        database: the name of its database.
        report: the document of the first sync.
        modules: what its process had.
        asked: requests of it, by layer.
    """

    portal: BenchPortal
    folder: Path
    database: str
    report: dict[str, Any]
    modules: set[str]
    asked: dict[str, int]


def county_of(portal: BenchPortal, variant: str, url: str, folder: Path) -> County:
    _, environ = CONTESTANTS[OURS].command(BenchSetup(portal.service, VARIANTS[variant], PAGE, url, folder))
    found = County(portal, {**environ, "DAGSTER_HOME": str(folder / "home" / "dagster")}, url, folder)
    found.asked()
    return found


@pytest.fixture(scope="module")
def published(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("published")
    with serving(PARCELS, PAGE, "tracked") as portal, copied(server, template) as (name, url):
        county = county_of(portal, "tracked", url, folder)
        report, modules = county.sync()
        yield Published(portal, folder, name, report, modules, county.asked())


@pytest.fixture
def county(published: Published, server: str, tmp_path: Path) -> Iterator[County]:
    """A copy of it for one test."""
    shutil.copytree(published.folder, tmp_path, dirs_exist_ok=True)
    with continued(server, published.database) as url:
        yield county_of(published.portal, "tracked", url, tmp_path)


def without_costs(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("requests", "bytes", "seconds")}


@pytest.mark.slow
def test_a_layer_that_says_nothing_of_changes_is_fetched_at_no_more_requests(
    server: str, template: str, tmp_path: Path
) -> None:
    """The look asks what the run would have asked first."""
    with serving(PARCELS, PAGE, "plain") as portal, copied(server, template) as (_, url):
        county = county_of(portal, "plain", url, tmp_path)
        county.sync()
        cold = county.asked()
        again, found = county.sync()
        assert "dagster" in found
        assert county.asked() == cold
        assert sum(each["requests"] for each in again["harvests"]) == sum(cold.values())


def test_of_one_feed_that_did_not_change_no_run_is_needed(county: County) -> None:
    _, found = county.sync("--feed", "zoning")
    assert "dagster" not in found


@pytest.mark.slow
def test_force_and_one_tile_are_runs(county: County, published: Published) -> None:
    for words in (["--force"], ["--tile", published.report["harvests"][0]["tile"]]):
        _, found = county.sync(*words)
        assert "dagster" in found


def test_a_storage_of_dagster_that_is_new_learns_the_tiles(county: County) -> None:
    """It may be newer than what is published, or lack a tile; the portal is not asked twice for it."""
    keys = "SELECT partition FROM zoning_dagster.dynamic_partitions ORDER BY 1"
    known = rows(county.url, keys)
    assert known
    rows(county.url, "DELETE FROM zoning_dagster.dynamic_partitions RETURNING 1")
    _, found = county.sync()
    assert "dagster" in found
    assert rows(county.url, keys) == known
    assert county.asked() == {"Parcels": 3, "Zoning": 3}
    _, found = county.sync()
    assert "dagster" not in found


def test_a_county_that_did_not_change_needs_no_run(county: County, published: Published) -> None:
    """And its report is that of a run. Of 10 edited rows the run takes what the look was told."""
    first, runs = published.report, county.runs()
    assert "dagster" in published.modules
    assert published.asked == {"Parcels": PAGES + 5, "Zoning": 6}

    second, found = county.sync()
    asked = county.asked()
    assert max(asked.values()) <= 4
    assert not found & {"dagster", "dagster_postgres", "sqlalchemy", "alembic", "structlog", "a process"}
    assert county.runs() == runs
    feeds = [f"{ID} {feed}: checking whether it changed ..." for feed in ("parcels", "zoning")]
    assert county.progress == ["Starting ...", *feeds]
    assert [each["requests"] for each in second["harvests"] if each["requests"]] == list(asked.values())
    nothing = {"added": 0, "changed": 0, "retired": 0}
    as_before = [
        {**without_costs(each), **nothing, "unchanged": each["added"] + each["changed"] + each["unchanged"]}
        for each in first["harvests"]
    ]
    assert list(map(without_costs, second["harvests"])) == as_before
    assert [each.keys() for each in second["harvests"]] == [each.keys() for each in first["harvests"]]
    assert second["changes"][0] | {"since": "", "is_first": True} == first["changes"][0] | {"since": ""}

    county.portal.edit(10)
    third, found = county.sync()
    asked = county.asked()
    assert "dagster" in found
    assert sum(each["changed"] for each in third["harvests"]) == 10
    assert asked["Parcels"] <= PAGES + 5
    assert asked["Zoning"] <= 4
    assert sum(each["requests"] for each in third["harvests"]) == sum(asked.values())
    assert county.runs() == runs + 3, "tiles, parcels, shares with changes; none of the map"
