"""Whatever runs side by side on one home touches only its own county; kills in between lose nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.support.shared_data import need
from zoning_assets.cli import bootstrap
from zoning_assets.defs import partitions

_OTHER = [f"{number:03}" for number in range(320)]
#: Registers other tiles of a county again and again.
_CHANGING = """
import itertools, sys
from zoning_assets.cli import bootstrap
from zoning_assets.defs import partitions
with bootstrap.dagster_instance() as instance:
    for number in itertools.count():
        partitions.register(instance, "us-aa", [str(each) for each in range(100 + number % 2, 140 + number % 3)])
        if number == 3:
            print("ready", flush=True)
"""
_FILE = """
id = "{id}"
name = "{id}"
bounds = [-71.35, 42.15, -70.85, 42.60]
tile_resolution = 9
[feeds.parcels]
type = "download"
url = "{file}"
key = "PIN"
  [feeds.parcels.fields]
  address = "ADDR"
  zoning_code = "ZONE_CODE"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Path:
    """A home whose Dagster keeps its storage beside our tables."""
    monkeypatch.setenv("ZONING_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    return tmp_path


def _numbered() -> dict[str, int]:
    """Each registered key, and the number of its row: a row that was written anew has another one."""
    return dict(rows(os.environ["ZONING_DAGSTER_DATABASE_URL"], "SELECT partition, id FROM dynamic_partitions"))


@pytest.mark.usefixtures("home")
def test_registering_a_county_touches_no_other_one() -> None:
    """Not one row of another county's tiles is written, whichever of the two sorts first."""
    with bootstrap.dagster_instance() as instance:
        partitions.register(instance, "us-mm", _OTHER)
        before = _numbered()
        for county, tiles in (("us-aa", "5"), ("us-zz", "57"), ("us-aa", "4567"), ("us-zz", "8"), ("us-aa", "")):
            partitions.register(instance, county, list(tiles))
        after = _numbered()
    assert {key: number for key, number in after.items() if key in before} == before
    assert set(after) - set(before) == {"us-zz:8"}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_others_see_all_keys_at_any_moment_and_a_kill_loses_none(kills: int) -> None:
    """While a process registers, and after it was killed doing so, another county has all of its tiles, and this one
    those of before or of after."""
    with bootstrap.dagster_instance() as instance:
        partitions.register(instance, "us-mm", _OTHER)
        before = _numbered()
        for _ in range(kills):
            with subprocess.Popen([sys.executable, "-c", _CHANGING], stdout=subprocess.PIPE) as changing:
                assert changing.stdout is not None
                assert changing.stdout.readline() == b"ready\n"
                seen = [_numbered() for _ in range(20)]
                changing.send_signal(signal.SIGKILL)
            seen.append(_numbered())
            assert [{key: each[key] for key in before} for each in seen] == [before] * len(seen)
            assert all(38 <= len(each) - len(before) <= 42 for each in seen)


@pytest.mark.usefixtures("home")
def test_two_processes_register_the_same_county() -> None:
    """Both end well, and its keys are there once."""
    program = (
        "from zoning_assets.cli import bootstrap\nfrom zoning_assets.defs import partitions\n"
        "with bootstrap.dagster_instance() as instance:\n"
        " for number in range(10):\n"
        "  partitions.register(instance, 'us-aa', [str(each) for each in range(number, number + 30)])\n"
    )
    with bootstrap.dagster_instance() as instance:
        partitions.register(instance, "us-mm", _OTHER)
        both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(2)]
        said = [each.communicate(timeout=120)[1] for each in both]
        assert [each.returncode for each in both] == [0, 0], said
        assert len(partitions.keys_of(instance, "us-mm")) == len(_OTHER)
        assert sorted(partitions.keys_of(instance, "us-aa")) == sorted(f"us-aa:{each}" for each in range(9, 39))


@pytest.fixture
def counties(tmp_path: Path, database: str) -> dict[str, str]:
    """Case 50: a county of 320 tiles and a small one that sorts before it; the environment of their commands."""
    case, folder = need("../cases/50"), tmp_path / "jurisdictions"
    folder.mkdir()
    for county, file in (("us-zz-many", "many.geojson"), ("us-aa-new5", "few.geojson")):
        (folder / file).write_bytes((case / file).read_bytes())
        (folder / f"{county}.toml").write_text(_FILE.format(id=county, file=file))
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ZONING_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path / "home" / "dagster"),
        "ZONING_JURISDICTIONS": str(folder),
        "ZONING_DATABASE_URL": database,
    }


def _sync(environ: dict[str, str], county: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "zoning_assets.cli", "sync", county, "--json"]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _done(process: "subprocess.Popen[bytes]") -> list[dict]:
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err
    return json.loads(out)["harvests"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_county_beside_another_ones_sync(counties: dict[str, str], database: str) -> None:
    """Case 50, both ways: the new one is begun while the other is under way, and the other way round."""
    whole = _done(_sync(counties, "us-zz-many"))
    tiles = {each["tile"] for each in whole}
    assert len(tiles) > 300
    for first, second in (("us-zz-many", "us-aa-new5"), ("us-aa-new5", "us-zz-many")):
        for file in Path(counties["ZONING_JURISDICTIONS"]).glob("*.geojson"):
            os.utime(file, (time.time(), time.time()))
        both = {county: _sync(counties, county) for county in (first, second)}
        found = {county: _done(process) for county, process in both.items()}
        assert {each["tile"] for each in found["us-zz-many"]} == tiles
        assert all(each["complete"] for reports in found.values() for each in reports)
    assert rows(database, "SELECT count(DISTINCT tile) FROM zoning.parcel WHERE jurisdiction = 'us-zz-many'") == [
        (len(tiles),)
    ]
