"""Overlay never fails, returns polygons only, and neither invents ground nor loses it."""

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from tests.transform.maps import districts, lots
from tests.transform.strategies import wild_shapes
from zoning_assets.transform.changes.overlay import best_lots, leading_lots, shares
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.changes.zoning_changes import detect_zoning_changes
from zoning_assets.transform.geometry import polygon_overlay
from zoning_assets.transform.geometry.polygon_overlay import polygons

many, few = (settings(max_examples=examples(count), deadline=None) for count in (40, 8))
PAIRS = (polygon_overlay.intersection, polygon_overlay.difference, polygon_overlay.symmetric_difference)


def metric(shape: shapely.Geometry | None) -> shapely.Geometry | None:
    """Degrees about Cambridge as metres."""
    return None if shape is None else shapely.transform(shape, lambda xy: (xy - [-71.1, 42.37]) * 1e6)


BOX = shapely.box(0, 0, 60, 60)
NASTY = (
    shapely.Polygon([(0, 0), (60, 60), (60, 0), (0, 60)]),  # a bow-tie
    shapely.Polygon([(0, 0), (60, 0), (60, 60), (60, 90), (60, 60), (0, 60)]),  # with a spike
    shapely.Polygon([(0, 0), (0, 0), (60, 0), (60, 60), (60, 60), (0, 60)]),  # with corners said twice
    shapely.Polygon([(0, 0), (60, 1e-7), (60, 0)]),  # a sliver
    shapely.Polygon(BOX.exterior, [[(10, 10), (10, 50), (50, 50), (50, 10)], [(20, 20), (20, 40), (40, 40), (40, 20)]]),
    shapely.Polygon(BOX.exterior, [[(0, 0), (0, 30), (30, 0)]]),  # a hole along its edge
    shapely.MultiPolygon([BOX, shapely.box(30, 0, 90, 60), shapely.box(0, 0, 60, 60)]),
    shapely.GeometryCollection([BOX, shapely.LineString([(60, 0), (90, 0)]), shapely.Point(3, 3)]),
    shapely.GeometryCollection([shapely.GeometryCollection([shapely.GeometryCollection()]), shapely.Polygon()]),
    shapely.Polygon([(0, 0), (1, 2), (0, 1), (1, 0), (0, 2)]),
    *(shapely.Polygon(), shapely.MultiPolygon(), shapely.LineString([(0, 0), (60, 60)]), shapely.LinearRing(), None),
)
#: Broken rings, spikes, collections of anything within collections, empties, nothing.
SHAPES = st.lists(st.one_of(wild_shapes().map(metric), st.sampled_from(NASTY)), min_size=3, max_size=3)


def array(shapes: Any) -> Any:
    found = np.empty(len(shapes), dtype=object)
    found[:] = shapes
    return found


def polygonal(shapes: Any) -> bool:
    kinds = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    return bool(np.isin(shapely.get_type_id(shapes), kinds).all())


@given(SHAPES, SHAPES)
@many
def test_every_operation_takes_any_shapes_and_gives_polygons(one: list[Any], two: list[Any]) -> None:
    """As they come, and mended."""
    a, b = array(one), array(two)
    for first, second in ((a, b), (polygons(a), polygons(b))):
        assert all(polygonal(operation(first, second)) for operation in PAIRS)
        assert polygonal(array([polygon_overlay.union(first)]))
        assert polygonal(polygon_overlay.eroded(first, 1.0))
    assert shapely.is_valid(polygons(a)).all()


@given(SHAPES, SHAPES)
@many
def test_no_ground_is_invented_or_lost(one: list[Any], two: list[Any]) -> None:
    """What both have and what the second has not is the first, to the width of the grid along its boundary."""
    a, b = polygons(array(one)), polygons(array(two))
    both, rest = (shapely.area(operation(a, b)) for operation in PAIRS[:2])
    noise = 2 * polygon_overlay.GRID_M * (shapely.length(a) + shapely.length(b) + 1)
    assert (np.abs(both + rest - shapely.area(a)) <= noise).all()
    assert (shapely.area(polygon_overlay.symmetric_difference(a, a)) == 0).all()


LOTS = lots(*[(x, y, x + 20, y + 20) for x in range(0, 60, 20) for y in range(0, 60, 20)])


def zoned(shapes: list[Any]) -> Any:
    """A map of these shapes, whose codes lie upon one another."""
    plain = [(code, shapely.Point(0, 0)) for code in ("A", "B", "A")]
    return districts(*plain).set_geometry(list(shapes))


#: Ground that was lost, a polygon and a line, meets an empty polygon.
MIXED = shapely.GeometryCollection([shapely.box(0, 0, 30, 30), shapely.LineString([(30, 0), (60, 0)])])


@given(SHAPES, SHAPES)
@example([MIXED, shapely.box(0, 0, 60, 60), shapely.Polygon()], [shapely.Polygon(), shapely.box(10, 0, 60, 60), None])
@example([MIXED, MIXED, shapely.GeometryCollection()], [shapely.box(0, 0, 1, 1), MIXED, shapely.Point(3, 3)])
@few
def test_no_shape_ends_the_judging_of_a_map(one: list[Any], two: list[Any]) -> None:
    """Whatever the districts or the parcels are, a release is judged and the shares are found; and a map compared with
    itself is no event."""
    before, after = zoned(one), zoned(two)
    parcels = lots(*one).set_geometry(one)
    for known in (LOTS, parcels):
        assert polygonal(
            detect_zoning_changes(known, before, after, is_confirmed=True).changes["geometry"].dropna().to_numpy()
        )
        assert detect_zoning_changes(known, before, before, is_confirmed=True).changes.empty
    known, map_ = (side.set_geometry(polygons(side.geometry.to_numpy())) for side in (parcels, before))
    assert (shares(known, map_)["area_m2"] > 0).all()
    assert set(best_lots(leading_lots(known, map_.assign(district_id=["1", "2", "3"])))) <= {"1", "2", "3"}


@given(SHAPES, SHAPES)
@few
def test_no_shape_ends_the_judging_of_parcels(one: list[Any], two: list[Any]) -> None:
    """Lineage of any shapes; the same parcels again are no event."""
    before, after = lots(*one).set_geometry(one), lots(*two).set_geometry(two)
    assert not detect_parcel_changes(before, after, has_own_codes=False).changes["confidence"].isna().any()
    assert detect_parcel_changes(before, before, has_own_codes=False).changes.empty


@pytest.mark.parametrize("shape", [shapely.Point(np.nan, 1), shapely.box(0, 0, np.inf, 1), shapely.box(0, 0, 1e300, 1)])
def test_what_no_grid_holds_has_no_ground(shape: shapely.Geometry) -> None:
    """Coordinates that are not finite come from a projection that does not reach there."""
    assert shapely.area(polygons(array([shape, shapely.box(0, 0, 1, 1)]))).tolist() == [0.0, 1.0]
