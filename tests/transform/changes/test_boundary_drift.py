"""How far a release was drawn beside the one before is read from the boundaries that stayed."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.transform.maps import CELLS, districts, few, grid, moved, shuffled
from zoning_assets.transform.changes.boundary_drift import CEILING_M, FLOOR_M, Drift, drift

ROWS = [["A", "B", "C", "D"] * 4] * 16


def between(before, after):
    return drift(before.geometry.to_numpy(), after.geometry.to_numpy())


@few
@given(CELLS, st.randoms())
def test_the_same_map_in_another_order_has_no_drift(cells, random):
    assert between(grid(cells), shuffled(grid(cells), random)) == Drift()


@few
@given(st.floats(0.05, 5.5), st.randoms())
def test_a_map_that_was_moved_drifts_by_that(east_m, random):
    """All boundaries that run north are beside the old ones by just as much, whatever the order of rows."""
    before, after = grid(ROWS), moved(grid(ROWS), east_m)
    found = between(before, after)
    assert found.drift_m == pytest.approx(east_m, abs=1e-3)
    assert found.is_redrawn
    assert found.tolerance_m > found.drift_m
    assert between(shuffled(before, random), shuffled(after, random)) == found


def test_what_moved_farther_than_any_drift_is_gone_and_does_not_count():
    before = grid(ROWS)
    far = drift(before.geometry.to_numpy(), shapely.transform(before.geometry.to_numpy(), lambda xy: xy + 10_000))
    assert (far.lost, far.drift_m, far.tolerance_m) == (1.0, 0.0, FLOOR_M)


def test_a_few_boundaries_that_really_moved_are_no_drift():
    """One district of 256 grows by 4 m: less than a hundredth of the boundary."""
    before = grid(ROWS)
    shapes = before.geometry.to_numpy().copy()
    west, south, east, north = shapely.bounds(shapes[100])
    shapes[100], shapes[101] = shapely.box(west, south, east + 4, north), shapely.box(east + 4, south, east + 40, north)
    found = between(before, before.set_geometry(shapes))
    assert (found.drift_m, found.tolerance_m) == (0.0, FLOOR_M)
    assert 0 < found.moved < 0.01


def test_what_is_known_to_stand_still_counts_too():
    """Of a layer, only the shapes that differ are handed in: the others have not moved."""
    before, after = districts(("A", (0, 0, 20, 30))), districts(("A", (0, 0, 24, 30)))
    shapes = before.geometry.to_numpy(), after.geometry.to_numpy()
    assert drift(*shapes).drift_m == pytest.approx(4.0, abs=0.5)
    assert drift(*shapes, unchanged=0.995).drift_m == 0.0
    assert drift(*shapes, unchanged=0.5).drift_m > 3
    assert drift(*shapes, unchanged=0.5).moved == pytest.approx(drift(*shapes).moved / 2, abs=1e-3)


@few
@given(st.floats(0, 1e6))
def test_the_tolerance_has_a_floor_and_a_ceiling(drift_m):
    assert FLOOR_M <= Drift(drift_m).tolerance_m <= Drift(CEILING_M).tolerance_m


@pytest.mark.parametrize("empty", [np.empty(0, dtype=object), np.array([shapely.MultiPolygon()])])
def test_nothing_drifts_from_nothing(empty):
    some = grid(ROWS).geometry.to_numpy()
    assert drift(empty, some) == drift(some, empty) == drift(empty, empty) == Drift()
