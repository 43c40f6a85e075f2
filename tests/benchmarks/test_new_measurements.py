"""The measurements of `zoning bench all`: figures from costs that are given, and the file with 128 columns."""

from pathlib import Path

import geopandas as gpd
import pytest
from pyarrow import parquet

from benchmarks import backfill, many_counties, probes, startup, wide_file, wide_table
from benchmarks.footprint import Peaks
from benchmarks.processes import Ran
from zoning_assets.errors import SettingInvalid
from zoning_assets.sources.files import geoparquet


def values(figures: object) -> dict[str, float]:
    return {each["figure"]: each["value"] for each in figures}  # type: ignore[attr-defined]


def ran(seconds: float, cpu_s: float = 1.0) -> Ran:
    return Ran(seconds, cpu_s, Peaks(5, 6, 11_000_000))


def test_dagsters_share_is_what_the_control_does_not_take() -> None:
    costs = {"zoning sync": ran(50.0, 40.0), "without Dagster": ran(45.0, 30.0)}
    found = values(backfill._figures(costs, (2000, 1000), 12_000))
    assert found["Dagster's share"] == 10.0
    assert found["Dagster's share of the CPU"] == 25.0
    assert found["Dagster's events a tile"] == 12.0
    assert found["Dagster's seconds a tile"] == 0.005


def test_the_control_makes_the_calls_of_the_assets() -> None:
    """A stage that the assets get and the control lacks would be counted as Dagster's."""
    root = Path(backfill.__file__).parents[1]
    control = (root / "benchmarks" / "pipeline_only.py").read_text()
    assets = (root / "zoning_assets" / "defs" / "assets.py").read_text()
    for call in ("harvest(", "update_parcel_zoning(", "detect_changes("):
        assert call in control
        assert call in assets


@pytest.mark.parametrize(("slope", "kept"), [(0.0, True), (0.1, False)])
def test_counties_that_take_longer_and_longer_do_not_meet_the_target(slope: float, *, kept: bool) -> None:
    counties = [{"number": n, "seconds": 9.0 if n == 1 else 4 + slope * n, "rows_read": 100} for n in range(1, 51)]
    found = values(many_counties._figures(counties, 30.0, 5_000_000))
    assert found["slope from the second county on, seconds for each county before"] == pytest.approx(slope, abs=1e-6)
    assert (found["the last five, times the first five"] <= 1.2) == kept
    assert found["rows read, the last five, times the first five"] == 1.0
    assert {name for name in found if name.startswith("county ")} == {f"county {n}" for n in (1, 2, 10, 25, 50)}


def test_startup_is_told_in_times_of_the_import() -> None:
    costs = {name: [ran(seconds)] * 3 for name, seconds in {"import dagster": 0.8, "status": 0.4}.items()}
    found = values(startup._figures(costs))
    assert found["status: times import dagster"] == 0.5
    assert found["status: peak memory"] == 11.0
    assert "import dagster: times import dagster" not in found


def feed(jurisdiction: str, seconds: float, *, changed: bool | None = False) -> dict[str, object]:
    about = {"jurisdiction": jurisdiction, "feed": "parcels", "changed": changed, "why": "it has other rows"}
    return {**about, "requests": 2, "seconds": seconds}


def test_probes_are_counted_by_feed_type_and_by_county() -> None:
    types = [{"feeds": [feed("us-xx-probe-wfs", each)]} for each in (0.010, 0.030, 0.020)]
    assert values(probes._of_types(types)) == {"wfs: requests": 2, "wfs: a probe": 20.0}
    fleet = [{"feeds": [feed("a", 0.01), feed("b", 0.03)], "whole_s": 3.0}]
    assert values(probes._of_counties(fleet))["2 counties: a feed, highest"] == 30.0
    assert probes._changed(types) == []
    assert probes._changed([{"feeds": [feed("a", 0.1, changed=True)]}]) == ["a parcels: it has other rows"]


def test_the_wide_file_is_geoparquet_with_128_columns_whatever_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several batches, unique keys, lots that do not overlap, in the bounds of the jurisdiction file."""
    monkeypatch.setattr(wide_file, "_ROWS_PER_BATCH", 700)
    path = tmp_path / "wide.parquet"
    wide_file.write(path, 2000)
    assert geoparquet.describe(path, "wide").rows == 2000
    assert len(parquet.read_schema(path)) == wide_file.COLUMNS + 1
    found = gpd.read_parquet(path)
    assert found["BBL"].is_unique
    assert len(found.sindex.query(found.geometry, "intersects")[0]) == len(found)
    west, south, east, north = found.total_bounds
    assert wide_file.BOUNDS[0] < west < east < wide_file.BOUNDS[2]
    assert wide_file.BOUNDS[1] < south < north < wide_file.BOUNDS[3]


def test_the_largest_wide_file_is_within_the_bounds() -> None:
    west, south, east, north = wide_file._lots([1_839_999])[0].bounds
    assert north < wide_file.BOUNDS[3]
    assert east < wide_file.BOUNDS[2]
    assert west < east
    assert south < north


def test_a_disk_that_is_too_small_is_told_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"GB are free.*choose fewer with --parcels"):
        wide_table._check_disk(tmp_path, 10**12)
