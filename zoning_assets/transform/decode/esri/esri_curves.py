"""Replace Esri's true curves (circular arcs, elliptic arcs, cubic Bezier curves) by chords, in the layer's CRS.

Queries set `returnTrueCurves=false`, but some servers send curves all the same (docs/explanation/portals.md, row 14).
The largest distance between a chord and its curve is 1e-5 of the arc's radius, or 1e-5 of the length of the Bezier
curve's control polygon: 1 mm in 100 m. Source: ArcGIS REST API, "Geometry objects", "JSON curve object".
"""

from cmath import exp, isfinite, phase
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, pi, radians, sqrt
from typing import Any

_TOLERANCE = 1e-5
_STEP = radians(0.5)  # the distance between a chord of half a degree and its circle is 0.95e-5 of the radius

Point = list[float]


@dataclass
class VertexBudget:
    """The number of vertices that the curves of one page may still produce.

    Curves that fail count too, because they also cost time.
    """

    vertices: int = 2_000_000

    def spend(self, vertices: int) -> None:
        """Subtract from the budget.

        Raises:
            ValueError: the budget is used up.
        """
        self.vertices -= vertices
        if self.vertices < 0:
            self.vertices = 0
            message = "the curves of the page have too many vertices"
            raise ValueError(message)


def linearize_ring(ring: Any, budget: VertexBudget) -> list[Point]:
    """Convert a ring of points and curve objects to a ring of points (x, y); z and m are dropped.

    Args:
        ring: its first element is a point. Every other element is a point or a curve; a curve starts at the end of the
            element before it.
        budget: the vertices that are left for the page.

    Raises:
        ValueError: the ring is malformed, a curve has an unknown type, or the budget is used up.
    """
    if not isinstance(ring, list):
        message = "a ring is not a list"
        raise ValueError(message)  # noqa: TRY004 - callers handle every malformed ring as a ValueError
    vertices: list[complex] = []
    try:
        for each in ring:
            more = _linearize(vertices[-1], each) if isinstance(each, Mapping) else [_point(each)]
            budget.spend(len(more))
            vertices += more
    except (TypeError, KeyError, IndexError, ArithmeticError) as error:
        message = "a curve is malformed"
        raise ValueError(message) from error
    if not all(map(isfinite, vertices)):
        message = "a curve has coordinates that are not finite"
        raise ValueError(message)
    return [[vertex.real, vertex.imag] for vertex in vertices]


def _linearize(start: complex, curve: Mapping[str, Any]) -> list[complex]:
    """Return the vertices after the start, including the curve's end."""
    [(kind, (end, *rest))] = curve.items()
    return [*_CURVE_READERS[kind](start, _point(end), *rest), _point(end)]


def _point(raw: Any) -> complex:
    return complex(float(raw[0]), float(raw[1]))


def _circular_arc(start: complex, end: complex, inner: Any) -> list[complex]:
    """An arc through an inner point. If start and end are equal, it is a full circle; the inner point is opposite."""
    through = _point(inner)
    if start == end:
        return _arc_vertices((start + through) / 2, start, 2 * pi)
    ratio = (through - start) / (end - start)
    if abs(ratio.imag) < 1e-12:  # the three points are collinear
        return []
    centre = start - (start - end) * (ratio - abs(ratio) ** 2) / (2j * ratio.imag)
    sweep, part = (_angle_between(start - centre, each - centre) for each in (end, through))
    return _arc_vertices(centre, start, sweep if part < sweep else sweep - 2 * pi)


def _elliptic_arc(  # noqa: PLR0913 - the seven parts of an Esri arc
    start: complex,
    end: complex,
    centre: Any,
    minor: Any,
    clockwise: Any,
    rotation: float = 0.0,
    _axis: float = 0.0,
    ratio: float = 1.0,
) -> list[complex]:
    """An arc around a centre; the older form with four parts is a circular arc.

    rotation: of the major axis, in radians, counter-clockwise. ratio: minor axis / major axis. If start and end are
    equal, the arc is a full ellipse unless `minor` is set.
    """
    axis, middle = exp(1j * rotation), _point(centre)

    def on_circle(point: complex) -> complex:
        """Map a point of the ellipse to a circle around the origin."""
        back = (point - middle) / axis
        return complex(back.real, back.imag / ratio)

    sweep = _angle_between(on_circle(start), on_circle(end)) - (2 * pi if clockwise else 0)
    if start == end:
        sweep = 0.0 if minor else 2 * pi
    circle = _arc_vertices(0j, on_circle(start), sweep)
    return [middle + complex(each.real, each.imag * ratio) * axis for each in circle]


def _bezier_curve(start: complex, end: complex, first: Any, second: Any) -> list[complex]:
    """A cubic Bezier curve with two control points."""
    p0, p1, p2, p3 = start, _point(first), _point(second), end
    length = abs(p1 - p0) + abs(p2 - p1) + abs(p3 - p2)
    bend = max(abs(p0 - 2 * p1 + p2), abs(p1 - 2 * p2 + p3))
    steps = ceil(sqrt(0.75 * bend / (_TOLERANCE * length))) if bend else 1
    along = [step / steps for step in range(1, steps)]
    return [(1 - t) ** 3 * p0 + 3 * t * (1 - t) ** 2 * p1 + 3 * t**2 * (1 - t) * p2 + t**3 * p3 for t in along]


_CURVE_READERS: Mapping[str, Callable[..., list[complex]]] = {
    "c": _circular_arc,
    "a": _elliptic_arc,
    "b": _bezier_curve,
}


def _angle_between(one: complex, other: complex) -> float:
    """The angle from one direction to the other, counter-clockwise, 0 to 2 pi."""
    return phase(other / one) % (2 * pi)


def _arc_vertices(centre: complex, start: complex, sweep: float) -> list[complex]:
    """The vertices of a circular arc between its two ends."""
    steps: Sequence[int] = range(1, ceil(abs(sweep) / _STEP))
    return [centre + (start - centre) * exp(1j * sweep * step / (len(steps) + 1)) for step in steps]
