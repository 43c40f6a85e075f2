"""Rings become polygons with bounded work, whatever a portal sends; what is odd costs its own row only."""

import numpy as np
import pytest
import shapely

from tests.support.effort import assert_cost
from zoning_assets.transform.geometry import rings
from zoning_assets.transform.geometry.rings import Rings, shapes_of


def square(size, at=0.0):
    """A closed ring about (at, 0)."""
    return [[at - size, -size], [at - size, size], [at + size, size], [at + size, -size], [at - size, -size]]


def page(*rows, polygon=None):
    """Rings of several rows, each a list of rings."""
    flat = [ring for row in rows for ring in row]
    owner = [i for i, row in enumerate(rows) for _ in row]
    points = np.array([point for ring in flat for point in ring], dtype=np.float64).reshape(-1, 2)
    whole = [np.array(each, dtype=np.int64) for each in ([len(ring) for ring in flat], owner)]
    return shapes_of(Rings(points, *whole, None if polygon is None else np.array(polygon)), len(rows))


def test_rows_of_one_ring_and_of_many_stand_side_by_side():
    """Each row gets its own rings: lone ones, a hole before its shell, an island in a hole, two parts, none."""
    shapes, flaws = page(
        [square(1)], [square(1), square(3)], [], [square(2), square(1), square(4)], [square(1), square(1, at=9)]
    )
    assert flaws == {}
    assert [None if each is None else each.area for each in shapes] == [4, 32, None, 64 - 16 + 4, 8]
    assert shapely.is_valid(shapes[[0, 1, 3, 4]]).all()


def test_declared_polygons_are_taken_at_their_word():
    """A ring that is declared a shell is one, though it lies within another; holes belong to the shell before them."""
    shapes, _ = page([square(3), square(2), square(1)], [square(1)], polygon=[0, 0, 1, 2])
    assert [len(shapely.get_parts(each)) for each in shapes] == [2, 1]
    assert shapely.area(shapes).tolist() == [36 - 16 + 4, 4]


def test_a_polygon_without_its_shell_is_shed_with_its_holes():
    """Where a shell has two corners its holes are no land; the row's other polygons stay."""
    shapes, flaws = page([[[0, 0], [1, 1]], square(1), square(2, at=9)], polygon=[0, 0, 1])
    assert (shapes[0].area, flaws) == (16, {0: rings.RING_REMOVED})


def test_broken_and_short_rings_cost_their_own_row():
    """NaN takes the row's shape; a ring of too few corners is left out; an open triangle is one."""
    triangle = [[0, 0], [0, 2], [2, 0]]
    shapes, flaws = page(
        [square(1), [[np.nan, 0], *square(1)]], [triangle], [[*triangle[:2], triangle[0]]], [[], square(1)], [[[0, 0]]]
    )
    assert [None if each is None else each.area for each in shapes] == [None, 2, None, 4, None]
    assert flaws == {0: rings.NOT_NUMBERS, 2: rings.RING_REMOVED, 3: rings.RING_REMOVED, 4: rings.RING_REMOVED}


def test_rings_of_equal_size_are_land_and_hole_by_turns():
    """A ring that stands twice is a hole in itself; thrice, land again."""
    for times, area in ((2, 0), (3, 4)):
        (shape,), _ = page([square(1)] * times)
        assert shape.area == area


def test_a_thousand_rings_within_rings_are_told_apart():
    """Depth is found for each of 1,500 rings in one row, in a second or so."""
    (shape,), flaws = page([square(size) for size in range(1, 1501)])
    assert flaws == {}
    assert shape.area == sum(4 * s * s * (-1) ** s for s in range(1, 1501))


@pytest.mark.parametrize("limit", ["_MAX_PAIRS", "_MAX_VERTICES"])
def test_too_many_rings_within_rings_are_named(monkeypatch, limit):
    """Where telling shells from holes would take too long the row has no shape and says why; other rows have theirs."""
    monkeypatch.setattr(rings, limit, 40)
    crowd = [square(size) for size in range(1, 12)]
    shapes, flaws = page([square(2), square(1)], crowd, [square(1)])
    assert [None if each is None else each.area for each in shapes] == [12, None, 4]
    assert flaws == {1: rings.TOO_NESTED}


def test_a_hostile_crowd_ends_in_time():
    """30,000 rings one upon the other would be half a billion comparisons: they are refused, at once."""

    def one_upon_the_other() -> None:
        (shape,), flaws = page([square(1)] * 30_000)
        assert (shape, flaws) == (None, {0: rings.TOO_NESTED})

    def a_row_each() -> None:
        _, flaws = page(*[[square(1)]] * 30_000)
        assert flaws == {}

    assert_cost(one_upon_the_other, a_row_each, at_most=5)


def test_pairs_are_looked_at_in_pieces(monkeypatch):
    """However few pairs are looked at a time, the same shapes come out."""
    rows = [[square(size, at) for size in (3, 1, 2)] for at in range(0, 200, 10)]
    whole, _ = page(*rows)
    monkeypatch.setattr(rings, "_PAIRS_AT_ONCE", 2)
    pieces, _ = page(*rows)
    assert shapely.equals_identical(whole, pieces).all()


@pytest.mark.parametrize("size", [1e-320, 1e154, 1e300])
def test_absurd_sizes_do_no_harm(size):
    """Rings too small or too large to have an area are read, with no warning; they are judged later."""
    shapes, flaws = page([square(size), square(size / 2)], [square(1)])
    assert shapes[1].area == 4
    assert flaws == {}
