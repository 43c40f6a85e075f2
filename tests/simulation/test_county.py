"""The simulated county: always the same, as wrong as it says, and changed exactly as it says."""

import tomllib

import numpy as np
import pyproj
import pytest
import shapely

from zoning_assets.simulation.county import county as counties
from zoning_assets.simulation.county.county import BOUNDS, County, county_toml
from zoning_assets.simulation.county.county_changes import Plan
from zoning_assets.simulation.county.harmless_noise import redrawn
from zoning_assets.simulation.portal.polygon_arrays import Shapes
from zoning_assets.transform.geometry import validity

SERVER_MADE = ("OBJECTID", "GlobalID")


@pytest.fixture(scope="module")
def county():
    return County.build()


@pytest.fixture(scope="module")
def later(county):
    return county.after_changes()


def same(one, other):
    """Whether two tables hold the same values in the same order."""
    shapes = [np.array_equal(getattr(one.shapes, n), getattr(other.shapes, n)) for n in ("points", "rings", "features")]
    columns = [one.columns[name].tolist() == other.columns[name].tolist() for name in one.columns]
    return all(shapes) and all(columns)


def normal(shapes):
    """Shapes in the form in which equal ones are equal: mended as a harvest mends them."""
    return validity.repair_shapes(shapes.to_shapely(), 1e-3).geometry


def published(table):
    """PIN -> its rows' columns and canonical shapes, without what a server makes up; as a harvest would see them."""
    shapes = normal(table.shapes)
    names = [name for name in table.columns if name not in (*SERVER_MADE, "Shape_Area", "Shape_Length")]
    rows = {}
    for i, pin in enumerate(table.columns["PIN"]):
        if pin and pin.strip() and shapes[i] is not None:
            rows.setdefault(pin, []).append((*(str(table.columns[name][i]) for name in names), shapes[i].wkb))
    return {pin: sorted(each) for pin, each in rows.items()}


def areas_by_code(county):
    """For each parcel row the area it has in each code, square feet."""
    shapes = county.parcels.shapes.to_shapely()
    shapes[~shapely.is_valid(shapes)] = shapely.make_valid(shapes[~shapely.is_valid(shapes)])
    zones, codes = county.zoning.shapes.to_shapely(), county.zoning.columns["ZONE_CODE"]
    rows, districts = shapely.STRtree(zones).query(shapes, predicate="intersects")
    parts = shapely.area(shapely.intersection(shapes[rows], zones[districts]))
    shares = [{} for _ in shapes]
    for row, district, area in zip(rows, districts, parts, strict=True):
        shares[row][codes[district]] = shares[row].get(codes[district], 0.0) + area
    return shares, shapely.area(shapes)


def test_the_same_numbers_give_the_same_county(county, later):
    again = County.build()
    assert same(county.parcels, again.parcels)
    assert same(county.zoning, again.zoning)
    assert same(later.parcels, again.after_changes().parcels)
    assert later.truth == again.after_changes().truth


def test_another_seed_gives_another_county(county):
    assert not same(county.parcels, County.build(seed=8).parcels)


@pytest.mark.parametrize("parcels", [200, 777, 3000, 20_001])
def test_it_has_as_many_rows_as_asked_for(parcels):
    county = County.build(parcels)
    assert len(county.parcels) == parcels
    assert sum(county.parcels_by_policy().values()) > 0


def test_too_small_a_county_is_refused():
    with pytest.raises(ValueError, match="at least 200"):
        County.build(199)


@pytest.mark.parametrize("parcels", [200, 3000])
def test_the_declared_flaws_are_there(parcels):
    county = County.build(parcels)
    flaws, shapes, counts = county.flaws, county.parcels.shapes.to_shapely(), np.diff(county.parcels.shapes.features)
    there = np.array([each is not None and not each.is_empty for each in shapes])
    assert (~shapely.is_valid(shapes[there])).sum() == flaws["invalid"]
    assert county.parcels.shapes.null.sum() == flaws["null_geometry"]
    assert (~there).sum() == flaws["null_geometry"] + flaws["empty_rings"]
    assert (shapely.get_type_id(shapes) == 6).sum() == flaws["multipolygons"]
    assert (counts > 1).sum() == flaws["multipolygons"] + flaws["holes"]
    pins = [pin for pin in county.parcels.columns["PIN"] if pin and pin.strip()]
    assert parcels - len(pins) == flaws["null_keys"]
    _, repeats = np.unique(np.array(pins), return_counts=True)
    assert (repeats > 1).sum() == flaws["repeated_keys"]
    assert repeats[repeats > 1].sum() == flaws["repeated_rows"]
    assert county.parcels_by_policy()["dissolve"] == len(published(county.parcels))


def test_some_repeated_keys_lie_in_two_towns(county):
    pins, town = county.parcels.columns["PIN"], county.parcels.hidden["town"]
    towns = {}
    for pin, each in zip(pins, town, strict=True):
        towns.setdefault(pin, set()).add(int(each))
    both = [pin for pin, each in towns.items() if pin and pin.strip() and len(each) > 1]
    assert len(both) == county.flaws["far_keys"] > 0


def test_split_zoned_lots_are_split_and_the_code_on_the_parcel_is_the_largest(county, later):
    for release in (county, later):
        shares, areas = areas_by_code(release)
        split = [
            each for each, area in zip(shares, areas, strict=True) if sorted([0, 0, *each.values()])[-2] > area / 50
        ]
        largest = [max(each, key=each.get) if each else None for each in shares]
        assert [c for c in largest if c] == [
            c for c, top in zip(release.parcels.columns["ZONE"], largest, strict=True) if top
        ]
        added = 0 if release is county else len(later.truth.partly_rezoned)
        assert len(split) == county.flaws["split_zoned"] + added


def test_lots_have_four_to_twelve_corners_and_are_not_all_alike(county):
    corners = np.diff(county.parcels.shapes.rings) - 1
    assert corners.min() == 4
    assert corners.max() <= 12
    assert len(np.unique(corners)) >= 5


def test_districts_tile_the_county_without_gaps_or_overlaps(later):
    shapes = later.zoning.shapes.to_shapely()
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(shapely.area(shapes).sum(), rel=1e-9)
    _, areas = areas_by_code(later)
    assert len(shapes) >= 20
    assert len(areas) == len(later.parcels)


def test_it_lies_about_its_centre_and_inside_its_bounds():
    for parcels in (3000, 300_000):
        box = shapely.box(*County.build(parcels).zoning.shapes.extent)
        to_degrees = pyproj.Transformer.from_crs(2249, 4326, always_xy=True)
        degrees = shapely.transform(box, to_degrees.transform, interleaved=False)
        assert shapely.box(*BOUNDS).contains(degrees)
        assert degrees.centroid.distance(shapely.Point(-71.6, 42.3)) < 0.02


def test_only_true_changes_change(county, later):
    """GlobalIDs, OBJECTIDs, order, start corners, directions and repeated corners are not seen."""
    before, after, truth = published(county.parcels), published(later.parcels), later.truth
    assert set(after) - set(before) == truth.new_keys
    assert set(before) - set(after) == truth.gone_keys
    assert {pin for pin in set(before) & set(after) if before[pin] != after[pin]} == truth.changed_keys
    assert min(map(len, truth.pins().values())) >= 1


def test_noise_is_there(county, later):
    assert not set(county.parcels.columns["GlobalID"]) & set(later.parcels.columns["GlobalID"])
    assert not np.array_equal(county.parcels.columns["PIN"][:50], later.parcels.columns["PIN"][:50])
    assert len(later.parcels.shapes.points) > len(county.parcels.shapes.points) + 100
    assert later.parcels.columns["OBJECTID"].tolist() == list(range(1, len(later.parcels) + 1))


def test_the_truth_about_rezonings_is_in_both_layers(county, later):
    truth = later.truth
    for release, which in ((county, 0), (later, 1)):
        zone = dict(zip(release.parcels.columns["PIN"], release.parcels.columns["ZONE"], strict=True))
        assert {pin: zone[pin] for pin in truth.rezoned} == {pin: codes[which] for pin, codes in truth.rezoned.items()}
    shares, areas = areas_by_code(later)
    rows = {pin: i for i, pin in enumerate(later.parcels.columns["PIN"])}
    for pin, (old, new) in truth.partly_rezoned.items():
        part = shares[rows[pin]].get(new, 0) / areas[rows[pin]]
        assert 0.02 < part < 0.5
        assert shares[rows[pin]][old] > 0


def test_splits_and_merges_keep_the_area(county, later):
    old = dict(zip(county.parcels.columns["PIN"], county.parcels.shapes.areas(), strict=True))
    new = dict(zip(later.parcels.columns["PIN"], later.parcels.shapes.areas(), strict=True))
    for parent, children in later.truth.split.items():
        assert sum(new[pin] for pin in children) == pytest.approx(old[parent], abs=0.5)
    for child, parents in later.truth.merged.items():
        assert sum(old[pin] for pin in parents) == pytest.approx(new[child], abs=0.5)


def test_releases_follow_one_another_by_a_plan(later):
    plan = Plan(districts=2, spots=20, partly=10, split=15, merged=15, renumbered=30, retired=5, added=4, edited=9)
    third = later.after_changes(plan)
    before, after = published(later.parcels), published(third.parcels)
    assert third.release == 3
    assert set(after) - set(before) == third.truth.new_keys
    assert set(before) - set(after) == third.truth.gone_keys
    assert {pin for pin in set(before) & set(after) if before[pin] != after[pin]} == third.truth.changed_keys
    assert len(third.truth.split) == 15


def test_a_plan_that_is_too_large_is_refused(county):
    with pytest.raises(ValueError, match="larger sample"):
        county.after_changes(Plan(retired=3000))


def test_redrawn_rings_are_the_same_rings():
    rng = np.random.default_rng(1)
    shapes = County.build(500).parcels.shapes
    other = redrawn(shapes, rng)
    assert not np.array_equal(shapes.points, other.points)
    assert shapely.to_wkb(normal(shapes)).tolist() == shapely.to_wkb(normal(other)).tolist()
    assert np.allclose(shapes.areas(), other.areas())


def test_shapes_survive_the_way_to_shapely_and_back():
    shapes = County.build(500).parcels.shapes
    back = Shapes.from_shapely(shapes.to_shapely())
    assert np.array_equal(back.features, shapes.features)
    assert np.array_equal(back.null, shapes.null)
    assert np.allclose(back.areas(), shapes.areas())
    whole = [shape is not None and shape.is_valid for shape in shapes.to_shapely()]
    assert np.allclose(shapes.areas()[whole], shapely.area(shapes.to_shapely()[whole]))


def test_the_jurisdiction_file_says_what_the_readme_says():
    document = tomllib.loads(county_toml("http://127.0.0.1:8123/"))
    assert document["id"] == counties.ID
    assert document["feeds"]["parcels"]["url"] == "http://127.0.0.1:8123/arcgis/rest/services/County/FeatureServer/0"
    assert document["feeds"]["parcels"]["on_repeated_key"] == "dissolve"
    assert document["feeds"]["zoning"]["fields"] == {"code": "ZONE_CODE", "effective": "EFFECTIVE"}
    assert document["portal"] == {"requests_per_minute": 60000, "connections": 8}
    assert tomllib.loads(county_toml("http://h", tile_resolution="auto"))["tile_resolution"] == "auto"
