"""Two code locations for real: `zoning up` with a group of jurisdictions each."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.processes import ROOT, environment
from tests.conftest import rows
from tests.support.databases import copied
from tests.support.pgbouncer import free_port
from tests.support.waiting import until
from zoning_assets.defs import build
from zoning_assets.defs.webserver import Webserver
from zoning_assets.jurisdictions.locations import Location
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

FIRST, SECOND = "us-xa-one", "us-xb-two"
GROUPS = f'[locations]\neast = ["{FIRST}"]\nwest = ["*"]\n'
_ENTRIES = """
{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  ... on RepositoryLocation { repositories { sensors { name } assetNodes {
    assetKey { path } partitionKeysByDimension { partitionKeys } } } }
  ... on PythonError { message } } } } } }
"""
_RUNS = """
{ runsOrError { ... on Runs { results { jobName status tags { key value }
  repositoryOrigin { repositoryLocationName } } } } }
"""


@contextmanager
def up(environ: dict[str, str], folder: Path) -> Iterator[Webserver]:
    """`zoning up` while the block runs."""
    command = [sys.executable, "-m", "zoning_assets.cli", "up", "--json", "--port", str(free_port())]
    with (folder / "up.log").open("wb") as log, subprocess.Popen(
        command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            text = b""
            while not text.rstrip().endswith(b"}"):
                line = process.stdout.readline()
                assert line, (folder / "up.log").read_text()[-1000:]
                text += line
            yield Webserver(int(json.loads(text)["ui"].rpartition(":")[2]))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """The files of two counties, and of their groups."""
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "groups.toml").write_text(GROUPS)
    with serving(300) as portal:
        for each in (FIRST, SECOND):
            (folder / f"{each}.toml").write_text(county_toml(portal).replace(f'id = "{ID}"', f'id = "{each}"'))
        yield folder


def test_each_location_harvests_its_own_county(server: str, template: str, tmp_path: Path, files: Path) -> None:
    """Each sees only its jurisdictions; its sensors harvest them, once; `zoning sync` finds the right one."""
    with copied(server, template) as (_, url):
        environ = {**environment(files, url), "ZONING_LOCATIONS": str(tmp_path / "groups.toml")}
        with up(environ, tmp_path) as web:
            seen = _seen(web)
            assert seen["east"]["jurisdictions"] == {FIRST}
            assert seen["west"]["jurisdictions"] > {SECOND}  # and the packaged examples, which no sensor harvests
            assert FIRST not in seen["west"]["jurisdictions"]
            assert not seen["east"]["assets"] & seen["west"]["assets"]
            assert [sum("run_lost" in each["sensors"] for each in seen.values())] == [1]
            assert all("feed_changed" in each["sensors"] for each in seen.values())
            until(lambda: _found(web), "the tiles of both counties", most_s=1500, every_s=2)
            runs = _runs(web)
            assert {each[1:3] for each in runs if each[1]} == {(FIRST, "east"), (SECOND, "west")}
            for each in (FIRST, SECOND):
                assert sum(run[:2] == ("find_tiles", each) for run in runs) == 1, runs
            done = subprocess.run(
                [sys.executable, "-m", "zoning_assets.cli", "sync", SECOND, "--force", "--json"],
                env=environ,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-2000:]
            assert "The daemon of `zoning up` executes the runs" in done.stderr
            assert {each[2] for each in _runs(web) if each[1] == SECOND} == {"west"}
        names = "SELECT DISTINCT partitions_def_name FROM zoning_dagster.dynamic_partitions ORDER BY 1"
        assert rows(url, names) == [("tiles_east",), ("tiles_west",)]
        assert rows(url, "SELECT count(*) > 200 FROM zoning.parcel WHERE jurisdiction = %s", SECOND) == [(True,)]


def test_a_sync_alone_makes_the_runs_of_its_group(server: str, template: str, tmp_path: Path, files: Path) -> None:
    """Without `zoning up` the command makes them in its own process, under the names of the group."""
    with copied(server, template) as (_, url):
        environ = {**environment(files, url), "ZONING_LOCATIONS": str(tmp_path / "groups.toml")}
        command = [sys.executable, "-m", "zoning_assets.cli", "sync", FIRST, "--json"]
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert all(each["complete"] for each in json.loads(done.stdout)["harvests"])
        assert {each["feed"] for each in json.loads(done.stdout)["harvests"]} == {"parcels", "zoning"}
        names = "SELECT DISTINCT partitions_def_name FROM zoning_dagster.dynamic_partitions"
        assert rows(url, names) == [("tiles_east",)]
        keys = "SELECT DISTINCT asset_key FROM zoning_dagster.asset_keys ORDER BY 1"
        assert all(key.startswith('["east", ') for (key,) in rows(url, keys))


def _seen(web: Webserver) -> dict[str, dict[str, set[str]]]:
    entries = web.graphql(_ENTRIES, timeout_s=120)["workspaceOrError"]["locationEntries"]
    found = {}
    for entry in entries:
        (repository,) = entry["locationOrLoadError"]["repositories"]
        nodes = repository["assetNodes"]
        tiles = next(each for each in nodes if each["assetKey"]["path"][-1] == "tiles")
        found[entry["name"]] = {
            "assets": {"/".join(each["assetKey"]["path"]) for each in nodes},
            "jurisdictions": set(tiles["partitionKeysByDimension"][0]["partitionKeys"]),
            "sensors": {each["name"] for each in repository["sensors"]},
        }
    return found


def _runs(web: Webserver) -> list[tuple[str, str, str, str]]:
    """Job, jurisdiction, code location and status of each run, newest first."""
    found = []
    for each in web.graphql(_RUNS)["runsOrError"]["results"]:
        tags = {tag["key"]: tag["value"] for tag in each["tags"]}
        place = (each["repositoryOrigin"] or {}).get("repositoryLocationName", "")
        found.append((each["jobName"], tags.get("zoning/jurisdiction", ""), place, each["status"]))
    return found


def _found(web: Webserver) -> bool:
    """Whether the sensors of both locations have had the tiles of their county found."""
    runs = _runs(web)
    assert not [run for run in runs if run[3] == "FAILURE"], runs
    return {run[1] for run in runs if (run[0], run[3]) == ("find_tiles", "SUCCESS")} == {FIRST, SECOND}


def test_definitions_of_a_group_name_their_own_keys(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZONING_LOCATIONS", str(tmp_path / "groups.toml"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(files))
    settings = Settings.of(os.environ)
    graphs = [build.definitions(settings, location=Location(name)).resolve_asset_graph() for name in ("east", "west")]
    keys = [set(graph.get_all_asset_keys()) for graph in graphs]
    assert len(set.union(*keys)) == sum(map(len, keys))
    parcels = graphs[0].get(dg.AssetKey(["east", "parcels"])).partitions_def
    assert isinstance(parcels, dg.DynamicPartitionsDefinition)
    assert parcels.name == "tiles_east"
