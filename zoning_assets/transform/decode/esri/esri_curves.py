"""Esri's true curves as chords: circular and elliptic arcs, and cubic Bezier curves, in the plane of the layer's CRS.

We ask for none (`returnTrueCurves=false`); some servers send them all the same (docs/explanation/portals.md, row 14).
A chord leaves its curve by at most 1e-5 of the arc's radius, or of the length of the Bezier curve's control polygon: 1
mm in 100 m.
Source: ArcGIS REST API, "Geometry objects", "JSON curve object".
"""

from cmath import exp, isfinite, phase
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, pi, radians, sqrt
from typing import Any

_TOLERANCE = 1e-5
_STEP = radians(0.5)  # a chord of half a degree leaves its circle by 0.95e-5 of the radius

Point = list[float]


@dataclass
class Budget:
    """Corners that a page's curves may still be drawn with. What fails is paid for too: it has taken its time."""

    corners: int = 2_000_000

    def pay(self, corners: int) -> None:
        """Draw so many.

        Raises:
            ValueError: nothing is left.
        """
        self.corners -= corners
        if self.corners < 0:
            self.corners = 0
            message = "the curves of a page have too many corners"
            raise ValueError(message)


def drawn(ring: Any, budget: Budget) -> list[Point]:
    """A ring of points and curve objects as a ring of points; z and m are left behind.

    Args:
        ring: its first element is a point, each other one a point or a curve that begins where the one before ends.
        budget: what the ring is paid from.

    Raises:
        ValueError: a curve is none that is known, or there would be too many corners.
    """
    if not isinstance(ring, list):
        message = "a ring is no list"
        raise ValueError(message)  # noqa: TRY004 - whatever is wrong with it, the ring cannot be drawn
    corners: list[complex] = []
    try:
        for each in ring:
            more = _drawn(corners[-1], each) if isinstance(each, Mapping) else [_point(each)]
            budget.pay(len(more))
            corners += more
    except (TypeError, KeyError, IndexError, ArithmeticError) as error:
        message = "a curve cannot be drawn"
        raise ValueError(message) from error
    if not all(map(isfinite, corners)):
        message = "a curve leaves all bounds"
        raise ValueError(message)
    return [[corner.real, corner.imag] for corner in corners]


def _drawn(start: complex, curve: Mapping[str, Any]) -> list[complex]:
    """The corners behind the start, the curve's end among them."""
    [(kind, (end, *rest))] = curve.items()
    return [*_KINDS[kind](start, _point(end), *rest), _point(end)]


def _point(raw: Any) -> complex:
    return complex(float(raw[0]), float(raw[1]))


def _circular(start: complex, end: complex, inner: Any) -> list[complex]:
    """Through a point in between; a whole circle where it ends as it begins, the point lying opposite."""
    through = _point(inner)
    if start == end:
        return _arc((start + through) / 2, start, 2 * pi)
    ratio = (through - start) / (end - start)
    if abs(ratio.imag) < 1e-12:  # three points in a row: a line
        return []
    centre = start - (start - end) * (ratio - abs(ratio) ** 2) / (2j * ratio.imag)
    sweep, part = (_turn(start - centre, each - centre) for each in (end, through))
    return _arc(centre, start, sweep if part < sweep else sweep - 2 * pi)


def _elliptic(  # noqa: PLR0913 - the seven parts of an Esri arc
    start: complex,
    end: complex,
    centre: Any,
    minor: Any,
    clockwise: Any,
    rotation: float = 0.0,
    _axis: float = 0.0,
    ratio: float = 1.0,
) -> list[complex]:
    """About a centre, in a direction; the older form of four parts is a circle. `rotation` turns the major axis, in
    radians, counter-clockwise; `ratio` is minor to major. Where it ends as it begins it is whole unless `minor`."""
    turned, middle = exp(1j * rotation), _point(centre)

    def flat(point: complex) -> complex:
        """On the circle that the ellipse was before it was pressed and turned."""
        back = (point - middle) / turned
        return complex(back.real, back.imag / ratio)

    sweep = _turn(flat(start), flat(end)) - (2 * pi if clockwise else 0)
    if start == end:
        sweep = 0.0 if minor else 2 * pi
    circle = _arc(0j, flat(start), sweep)
    return [middle + complex(each.real, each.imag * ratio) * turned for each in circle]


def _bezier(start: complex, end: complex, first: Any, second: Any) -> list[complex]:
    """Cubic, with two control points."""
    p0, p1, p2, p3 = start, _point(first), _point(second), end
    length = abs(p1 - p0) + abs(p2 - p1) + abs(p3 - p2)
    bend = max(abs(p0 - 2 * p1 + p2), abs(p1 - 2 * p2 + p3))
    steps = ceil(sqrt(0.75 * bend / (_TOLERANCE * length))) if bend else 1
    along = [step / steps for step in range(1, steps)]
    return [(1 - t) ** 3 * p0 + 3 * t * (1 - t) ** 2 * p1 + 3 * t**2 * (1 - t) * p2 + t**3 * p3 for t in along]


_KINDS: Mapping[str, Callable[..., list[complex]]] = {"c": _circular, "a": _elliptic, "b": _bezier}


def _turn(one: complex, other: complex) -> float:
    """The angle from one direction to another, counter-clockwise, 0 to 2 pi."""
    return phase(other / one) % (2 * pi)


def _arc(centre: complex, start: complex, sweep: float) -> list[complex]:
    """Corners between the ends of a circular arc."""
    steps: Sequence[int] = range(1, ceil(abs(sweep) / _STEP))
    return [centre + (start - centre) * exp(1j * sweep * step / (len(steps) + 1)) for step in steps]
