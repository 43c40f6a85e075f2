"""True curves, which we ask servers not to send: drawn as chords that stay within a stated distance of the curve."""

from math import cos, hypot, pi, radians, sin

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.support.effort import assert_cost
from zoning_assets.transform.decode.esri import esri_curves, esri_json
from zoning_assets.transform.decode.esri.esri_curves import VertexBudget

radii = st.floats(0.1, 1e5)
angles = st.floats(-pi, pi)
turns = st.floats(0.01, 2 * pi - 0.01)


def on_circle(radius, angle, ratio=1.0, rotation=0.0):
    """A point of an ellipse about (1000, 2000)."""
    x, y = radius * cos(angle), radius * ratio * sin(angle)
    return [1000 + x * cos(rotation) - y * sin(rotation), 2000 + x * sin(rotation) + y * cos(rotation)]


def distances(corners):
    """How far corners, and the middles of the chords between them, lie from (1000, 2000)."""
    points = np.array(corners) - [1000, 2000]
    middles = (points[1:] + points[:-1]) / 2
    return np.hypot(*points.T), np.hypot(*middles.T)


@given(radii, angles, turns, st.floats(0.05, 0.95), st.booleans())
def test_a_circular_arc_runs_through_its_inner_point(radius, angle, turn, part, clockwise):
    """All corners lie on the circle, all chords within 1e-5 of its radius, and the arc takes the inner point's way."""
    turn = -turn if clockwise else turn
    start, end, inner = (on_circle(radius, angle + each) for each in (0, turn, turn * part))
    corners = esri_curves.linearize_ring([start, {"c": [end, inner]}], VertexBudget())
    assert (corners[0], corners[-1]) == (start, end)
    far, middle = distances(corners)
    assert far == pytest.approx(radius, rel=1e-4 / min(abs(turn), 2 * pi - abs(turn)) ** 2 * 1e-6, abs=1e-6)
    assert (middle > radius * (1 - 1.5e-5) - 1e-6).all()
    way = shapely.LineString(corners)
    assert way.distance(shapely.Point(inner)) < 2e-5 * radius + 1e-6
    assert way.length == pytest.approx(radius * abs(turn), rel=1e-4)


@given(radii, angles, turns, st.floats(0.1, 1.0), angles, st.booleans())
def test_an_elliptic_arc_keeps_to_its_ellipse(axis, angle, turn, ratio, rotation, clockwise):
    """All corners lie on the turned and flattened circle, in the stated direction from start to end."""
    turn = -turn if clockwise else turn
    start, end = (on_circle(axis, angle + each, ratio, rotation) for each in (0, turn))
    minor = abs(turn) < pi
    curve = {"a": [end, [1000, 2000], int(minor), int(clockwise), rotation, axis, ratio]}
    corners = esri_curves.linearize_ring([start, curve], VertexBudget())
    assert (corners[0], corners[-1]) == (start, end)
    back = [(complex(*each) - complex(1000, 2000)) / complex(cos(rotation), sin(rotation)) for each in corners]
    assert [hypot(each.real, each.imag / ratio) for each in back] == pytest.approx([axis] * len(back), rel=1e-6)
    seen = np.unwrap([np.angle(complex(each.real, each.imag / ratio)) for each in back])
    assert seen[-1] - seen[0] == pytest.approx(turn, abs=1e-5)


@given(st.lists(st.tuples(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000)), min_size=4, max_size=4))
def test_a_bezier_curve_stays_near(points):
    """No point of the curve is further from its chords than 1e-5 of its control polygon's length."""
    p0, p1, p2, p3 = (np.array(each) for each in points)
    corners = esri_curves.linearize_ring([list(p0), {"b": [list(p3), list(p1), list(p2)]}], VertexBudget())
    t = np.linspace(0, 1, 301)[:, None]
    curve = (1 - t) ** 3 * p0 + 3 * t * (1 - t) ** 2 * p1 + 3 * t**2 * (1 - t) * p2 + t**3 * p3
    length = sum(np.hypot(*(b - a)) for a, b in ((p0, p1), (p1, p2), (p2, p3)))
    off = shapely.distance(shapely.points(curve), shapely.LineString(corners))
    assert off.max() <= 1e-5 * length + 1e-9


@pytest.mark.parametrize(
    "curve",
    [
        {"c": [[0, 0], [20, 0]]},
        {"a": [[0, 0], [10, 0], 0, 1]},
        {"a": [[0, 0], [10, 0], 0, 0, 0.0, 10.0, 1.0]},
    ],
)
def test_a_whole_circle_is_a_ring(curve):
    """A curve that ends where it begins is a whole circle, in either form."""
    shapes, flaws = esri_json.shapes_of([{"curveRings": [[[0, 0], curve]]}])
    assert flaws == {0: esri_json.CURVES_LINEARIZED}
    assert shapes[0].area == pytest.approx(100 * pi, rel=2e-5)
    assert shapes[0].is_valid


def test_straight_arcs_and_mixed_rings():
    """An arc through three points in a row is a line; points and curves may follow each other; z and m are dropped."""
    ring = [[0, 0, 5], {"c": [[0, 10, 5, 1], [0, 5]]}, [10, 10], {"a": [[10, 0], [10, 5], 1, 1]}, [0, 0]]
    (shape,), _ = esri_json.shapes_of([{"curveRings": [ring]}])
    assert shape.area == pytest.approx(100 + 12.5 * pi, rel=2e-5)
    assert esri_curves.linearize_ring(ring[:2], VertexBudget()) == [[0, 0], [0, 10]]


def test_a_step_is_half_a_degree():
    """The corners of an arc are as many as the tolerance asks for."""
    corners = esri_curves.linearize_ring([[1, 0], {"c": [[-1, 0], [cos(radians(90)), 1]]}], VertexBudget())
    assert len(corners) == 361


@pytest.mark.parametrize(
    "ring",
    [
        "0123",
        None,
        [{"c": [[0, 0], [1, 1]]}],
        [[0, 0], {}],
        [[0, 0], {"c": [[1, 1], [0, 1]], "b": 1}],
        [[0, 0], {"d": [[1, 1], [0, 1]]}],
        [[0, 0], {"c": [[1, 1]]}],
        [[0, 0], {"c": 5}],
        [[0, 0], {"a": [[1, 1], [0, 0], 1, 1]}],
        [[0, 0], {"a": [[1, 1], [0, 1], 1, 1, 0, 1, 0]}],
        [[0, 0], {"a": [[1, 1], [0, 1], 1, 1, "x", 1, 1]}],
        [[0, 0], {"a": [[1, 1], [0, 1], 1, 1, float("inf"), 1, 1]}],
        [[0, 0], {"b": [[1, 1], [0, 1], [float("nan"), 0]]}],
        [[0, 0], {"b": [[1e300, 1e300], [-1e308, 0], [1e308, 0]]}],
        [[0, 0], {"c": [[1e308, 1e308], [-1.7e308, 1.7e308]]}],
        [[0, 0], {"c": [[10**400, 1], [1, 1]]}],
        [[0, 0], {"c": [[0, 0], [0, 0]]}, [[1]]],
    ],
)
def test_what_cannot_be_drawn_is_one_error(ring):
    """A curve of a stranger that cannot be drawn is refused by one kind of error, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        esri_curves.linearize_ring(ring, VertexBudget())


def test_curves_cannot_fill_the_memory():
    """A ring of a million whole circles ends at the limit, and its row is held back as a curve."""
    circles = [[0, 0], *[{"c": [[0, 0], [20, 0]]}] * 100_000]
    with pytest.raises(ValueError, match="too many vertices"):
        esri_curves.linearize_ring(circles, VertexBudget(5_000))
    _, flaws = esri_json.shapes_of([{"curveRings": [circles[:2]]}, {"curveRings": [circles]}])
    assert flaws == {0: esri_json.CURVES_LINEARIZED, 1: esri_json.CURVE}


def test_curves_cannot_fill_the_time():
    """What could not be drawn is paid for too: 500 rows that end badly cost no more than the page's budget."""
    circles = [[0, 0], *[{"c": [[0, 0], [20, 0]]}] * 1000]

    def rows_that_end_badly() -> None:
        _, flaws = esri_json.shapes_of([{"curveRings": [[*circles, "no point"]]}] * 500)
        assert flaws == dict.fromkeys(range(500), esri_json.CURVE)

    def one_row_that_spends_the_budget() -> None:
        _, flaws = esri_json.shapes_of([{"curveRings": [circles * 100]}])
        assert flaws == {0: esri_json.CURVE}

    assert_cost(rows_that_end_badly, one_row_that_spends_the_budget, at_most=3)
