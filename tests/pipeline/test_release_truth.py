"""A release is held for what it is, never for how it is counted: many codes, few districts, copies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from benchmarks import many_codes
from tests.conftest import read_toml, rows, sync
from zoning_assets.errors import AcceptanceNeeded
from zoning_assets.model import PARCELS, ZONING, Outcome
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.storage.postgis.records import release_profiles

ID = "us-xx-squares"
_TOML = """
id = "us-xx-squares"
name = "A town of squares"
bounds = [-71.2, 42.3, -71.0, 42.5]
tile_resolution = 6
[feeds.parcels]
type = "download"
url = "parcels.geojson"
key = "PIN"
  [feeds.parcels.fields]
  zoning_code = "ZONE"
[feeds.zoning]
type = "download"
url = "zoning.geojson"
key = "ID"
  [feeds.zoning.fields]
  code = "ZONE"
"""
_SIDE = 0.002


def square(number: int, wide: int = 1) -> shapely.Polygon:
    """About a hectare and a half, in rows of 40."""
    west, south = -71.18 + number % 40 * _SIDE, 42.31 + number // 40 * _SIDE
    return shapely.box(west, south, west + wide * _SIDE, south + _SIDE)


def publish(pipeline: Pipeline, folder: Path, feed: str, codes: Sequence[str], shapes: Sequence[Any] = ()) -> Outcome:
    """A release of squares, or of these shapes, with a code each; what became of its first place."""
    town = read_toml(folder, _TOML, ID)
    names = [str(number) for number in range(len(codes))]
    layer = {"PIN": names, "ID": names, "ZONE": codes}
    shown = gpd.GeoDataFrame(layer, geometry=[*(shapes or map(square, range(len(codes))))], crs="EPSG:4326")
    (folder / f"{feed}.geojson").write_text(shown.to_json(drop_id=True))
    return sync(pipeline, town, feed)[0]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("feed", "count"), [(ZONING, 700), (ZONING, 1509), (PARCELS, 2000)])
def test_a_code_for_each_and_one_changed_is_published(
    pipeline: Pipeline, tmp_path: Path, feed: str, count: int
) -> None:
    """However many codes a city has: nothing is held, nothing measured falls, and the next release passes too."""
    codes = [f"PD-{number}" for number in range(count)]
    for changed in (None, 7, 8):
        now = [f"PUD {number} NEW" if number == changed else code for number, code in enumerate(codes)]
        outcome = publish(pipeline, tmp_path, feed, now)
        assert outcome.error is None
    measured = "SELECT measured FROM zoning.survey WHERE state = 'passed' ORDER BY id"
    assert len(found := [each for (each,) in rows(pipeline.database, measured)]) == 3
    assert all(each[name] < 0.005 for each in found[1:] for name in ("count_drop", "code_entropy", "unknown_codes"))


def test_what_was_accepted_is_not_held_the_next_time(pipeline: Pipeline, tmp_path: Path) -> None:
    """A remap of 700 codes is accepted once; the map after it passes."""
    old, new = ([f"{name}-{n}" for n in range(700)] for name in ("PD", "R"))
    for codes in (old, new, [*new[:-1], "R-NEW"]):
        outcome = publish(pipeline, tmp_path, ZONING, codes)
        if codes is new:
            assert isinstance(outcome.error, AcceptanceNeeded)
            release_profiles.decide(
                pipeline.database, ID, ZONING, release_profiles.ACCEPTED, actor="ann", reason="a remap"
            )
            outcome = publish(pipeline, tmp_path, ZONING, codes)
        assert outcome.error is None


def test_fewer_districts_on_the_same_ground_are_no_fall(pipeline: Pipeline, tmp_path: Path) -> None:
    """Forty districts joined to ten pass; a map without most of its ground is held, and an empty one refused."""
    publish(pipeline, tmp_path, ZONING, [f"R-{n // 4}" for n in range(40)])
    joined = [square(n * 4, wide=4) for n in range(10)]
    assert publish(pipeline, tmp_path, ZONING, [f"R-{n}" for n in range(10)], joined).error is None
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.district") == [(10,)]
    outcome = publish(pipeline, tmp_path, ZONING, [f"R-{n}" for n in range(3)], joined[:3])
    assert isinstance(outcome.error, AcceptanceNeeded)
    assert "count_drop: 70.0% of the published area would be lost" in str(outcome.error)
    (tmp_path / "zoning.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (outcome,) = sync(pipeline, read_toml(tmp_path, _TOML, ID), ZONING)
    assert outcome.error is not None
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.district") == [(10,)]


def test_two_copies_of_a_district_are_one_district(pipeline: Pipeline, tmp_path: Path) -> None:
    """The ground stays zoned: one of them stands, the other counts as dissolved."""
    town = read_toml(tmp_path, _TOML, ID)
    shown = gpd.GeoDataFrame(
        {"OBJECTID": [1, 2, 3], "ID": ["a", "a", "b"], "ZONE": ["R-1", "R-1", "C-1"]},
        geometry=[square(0), square(0), square(1)],
        crs="EPSG:4326",
    )
    (tmp_path / "zoning.geojson").write_text(shown.to_json(drop_id=True))
    (outcome,) = sync(pipeline, town, ZONING)
    counts = outcome.counts
    assert (counts.fetched, counts.accepted, counts.rejected, counts.dissolved, counts.added) == (3, 3, 0, 1, 2)
    assert rows(pipeline.database, "SELECT code FROM zoning.district ORDER BY 1") == [("C-1",), ("R-1",)]


def test_a_map_sent_in_other_words_tells_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """From PostGIS to the feed: the same map with more corners, its rings turned, its rows in another order and all of
    it moved by less than the grid has no event."""
    count = 80
    publish(pipeline, tmp_path, PARCELS, ["x"] * count)
    shapes = [square(number) for number in range(count)]
    codes = [f"R-{number % 7}" for number in range(count)]
    ways = (
        shapes,
        [shapely.segmentize(each, _SIDE / 7) for each in shapes],
        [shapely.Polygon([*each.exterior.coords[2:], *each.exterior.coords[1:3]][::-1]) for each in shapes],
        [shapely.transform(each, lambda xy: xy + 4e-9) for each in shapes],
    )
    town = read_toml(tmp_path, _TOML, ID)
    for number, way in enumerate(ways):
        order = slice(None, None, -1 if number % 2 else 1)
        assert publish(pipeline, tmp_path, ZONING, codes[order], way[order]).error is None
        change_detection.update_parcel_zoning(pipeline.database, town)
        change_detection.detect_changes(pipeline.database, town)
    assert rows(pipeline.database, "SELECT kind, state, area_m2 FROM zoning.change") == []


CITY = """
id = "us-il-synthetic"
name = "A city of 1,500 codes"
bounds = [-87.95, 41.60, -87.50, 42.05]
[feeds.parcels]
type = "download"
url = "lots.geojson"
key = "PIN"
[feeds.zoning]
type = "download"
url = "map.geojson"
key = "ID"
  [feeds.zoning.fields]
  code = "ZONE"
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_city_of_1500_codes_and_14000_stacked_and_invalid_districts(pipeline: Pipeline, tmp_path: Path) -> None:
    """Published and judged: nothing is held, no alarm, and just what was rezoned is told. Seconds: `bench changes`."""
    city = read_toml(tmp_path, CITY, "us-il-synthetic")
    (tmp_path / "lots.geojson").write_text(many_codes.lots().to_json(drop_id=True))
    assert not [each.error for each in sync(pipeline, city) if each.error]
    told = None
    for release in (1, 2):
        (tmp_path / "map.geojson").write_text(many_codes.city(release).to_json(drop_id=True))
        (outcome,) = sync(pipeline, city, ZONING)
        assert outcome.error is None
        assert outcome.counts.fetched == outcome.counts.accepted
        change_detection.update_parcel_zoning(pipeline.database, city)
        told = change_detection.detect_changes(pipeline.database, city)
    assert told is not None
    assert told.alarms == ()
    events = told.changes[told.changes["state"] == "event"]
    assert {ids[0] for ids in events["parcel_ids"]} == set(many_codes.changed().astype(str))
