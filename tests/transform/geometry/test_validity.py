"""Whatever a portal sends as a shape becomes a valid MultiPolygon on the grid, or has a reason why not."""

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from tests.transform.strategies import GRID, lots, wild_shapes
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.geometry.validity import NO_GEOMETRY, NOT_AN_AREA, repair_shapes

BOW_TIE = shapely.Polygon([(0, 0), (1e-5, 1e-5), (1e-5, 0), (0, 1e-5)])
SPIKE = shapely.Polygon([(0, 0), (1e-5, 0), (1e-5, 1e-5), (1e-5, 2e-5), (1e-5, 1e-5), (0, 1e-5)])
COLLAPSED = shapely.Polygon([(0, 0), (1e-5, 0), (0, 0)])
THIN = shapely.Polygon([(0, 0), (1e-5, 0), (1e-5, 4e-9)])  # thinner than the grid
ENDLESS = shapely.Polygon([(0, 0), (np.inf, 0), (1, 1)])
SQUARE = shapely.box(0, 0, 1e-5, 1e-5)


def array(*shapes: shapely.Geometry | None) -> np.ndarray:
    found = np.empty(len(shapes), dtype=object)
    found[:] = shapes
    return found


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(wild_shapes(), max_size=4))
@example([BOW_TIE, SPIKE, COLLAPSED, THIN])
@example([shapely.GeometryCollection([shapely.GeometryCollection([BOW_TIE, shapely.Point(0, 0)]), SQUARE])])
@example([shapely.MultiPolygon([SQUARE, SQUARE]), shapely.MultiPolygon([SQUARE, shapely.box(5e-6, 0, 2e-5, 1e-5)])])
def test_a_shape_is_sound_or_has_a_reason(shapes):
    """Each row out is a valid MultiPolygon in canonical form on the grid, or None with a reason; none is missing."""
    mended = repair_shapes(array(*shapes), GRID)
    assert len(mended.geometry) == len(mended.rejected) == len(mended.repaired) == len(shapes)
    for shape, reason in zip(mended.geometry, mended.rejected, strict=True):
        assert (shape is None) == (reason is not None)
        assert reason in (None, NO_GEOMETRY, NOT_AN_AREA)
        if shape is not None:
            assert shape.geom_type == "MultiPolygon"
            assert shape.is_valid
            assert shape.area > 0
            corners = shapely.get_coordinates(shape)
            assert (corners == np.round(corners, 8)).all()
            again = repair_shapes(array(shape), GRID)
            assert again.repaired[0] is None
            assert shapely.to_wkb(again.geometry[0]) == shapely.to_wkb(shape)


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(wild_shapes(), min_size=1, max_size=5), st.data())
def test_a_shape_is_mended_without_regard_to_its_neighbours(shapes, data):
    """What becomes of a shape does not depend on the rows beside it."""
    at = data.draw(st.integers(0, len(shapes) - 1))
    together, alone = repair_shapes(array(*shapes), GRID), repair_shapes(array(shapes[at]), GRID)
    assert shapely.to_wkb(together.geometry)[at] == shapely.to_wkb(alone.geometry)[0]
    assert (together.rejected[at], together.repaired[at]) == (alone.rejected[0], alone.repaired[0])


@given(lots())
def test_a_valid_shape_keeps_its_area(lot):
    """A valid shape on the grid is the same area after as before, and is not called repaired."""
    before = lot.shape()
    mended = repair_shapes(array(before), GRID)
    assert mended.repaired[0] is None
    assert mended.geometry[0].equals(before)
    assert mended.geometry[0].area == pytest.approx(before.area, rel=1e-12)


@given(lots())
def test_the_callers_shapes_are_left_alone(lot):
    """Mending changes neither the caller's array nor a shape in it."""
    shapes = array(lot.shape(), None, BOW_TIE)
    before = shapely.to_wkb(shapes).tolist()
    repair_shapes(shapes, GRID)
    assert shapely.to_wkb(shapes).tolist() == before


@pytest.mark.parametrize(
    ("shape", "repaired", "rejected", "area"),
    [
        (None, None, NO_GEOMETRY, None),
        (shapely.Polygon(), None, NO_GEOMETRY, None),
        (shapely.MultiPolygon(), None, NO_GEOMETRY, None),
        (shapely.Point(0, 0), None, NOT_AN_AREA, None),
        (shapely.LineString([(0, 0), (1, 1)]), None, NOT_AN_AREA, None),
        (COLLAPSED, "Too few points in geometry component", NOT_AN_AREA, None),
        (THIN, "Too few points in geometry component", NOT_AN_AREA, None),
        (ENDLESS, "Invalid Coordinate", NOT_AN_AREA, None),
        (BOW_TIE, "Self-intersection", None, 0.5e-10),
        (SPIKE, "Ring Self-intersection", None, 1e-10),
        (shapely.MultiPolygon([SQUARE, shapely.box(5e-6, 0, 2e-5, 1e-5)]), "Self-intersection", None, 2e-10),
        (SQUARE, None, None, 1e-10),
        (shapely.GeometryCollection([SQUARE, shapely.LineString([(0, 0), (1, 1)])]), None, None, 1e-10),
    ],
)  # fmt: skip
def test_each_flaw_has_its_verdict(shape, repaired, rejected, area):
    """Nothing, a point, a line, a collapsed ring and a bow-tie each have one stated end."""
    mended = repair_shapes(array(shape), GRID)
    assert (mended.repaired[0], mended.rejected[0]) == (repaired, rejected)
    assert area is None or mended.geometry[0].area == pytest.approx(area, rel=1e-6)


def test_no_rows_are_no_rows():
    """An empty page is mended to an empty page."""
    assert len(repair_shapes(array(), content_hash.GRID["EPSG:3857"]).geometry) == 0


@given(lots())
def test_the_grid_of_metres_is_a_millimetre(lot):
    """In EPSG:3857 the same rules hold on a grid of a thousandth of a metre."""
    metres = shapely.transform(lot.shape(), lambda c: c * 111_320)
    mended = repair_shapes(array(metres), content_hash.GRID["EPSG:3857"])
    assert mended.geometry[0].is_valid
    corners = shapely.get_coordinates(mended.geometry[0])
    assert (corners == np.round(corners, 3)).all()
    assert mended.geometry[0].area == pytest.approx(metres.area, rel=1e-2)
