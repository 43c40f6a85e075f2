"""Rings to polygons, all rows of a page at once.

Esri's rings do not say which is a hole of which, and real portals get their direction and order wrong
(docs/explanation/portals.md, rows 15-18): they are put together by containment. GeoJSON's say it, and are taken at
their word. Either way odd rings cost their own row only, and the work is bounded, whatever a portal sends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import GEOSException

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

#: What may be odd about a row's rings.
NOT_NUMBERS = "coordinates are not numbers"
SHED = "a ring of fewer than three corners was shed"
TANGLED = "too many rings within rings to tell shells from holes"

#: A page's pairs of rings in one row, and the corners of rings that lie within another's box: some seconds of work.
_MOST_PAIRS, _MOST_CORNERS = 100_000_000, 50_000_000
_PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Rings:
    """All rings of a page, flat, row after row; x, y in the layer's CRS.

    `polygon` numbers the polygons that the portal declares, in ascending order, the first ring of each its shell; None
    where it declares none.
    """

    points: Floats  # (n, 2): the corners of one ring after the other; NaN where the portal gave no number
    lengths: Ints  # corners of each ring
    owner: Ints  # row of each ring, ascending
    polygon: Ints | None = None


def shapes_of(rings: Rings, rows: int) -> tuple[Geometries, dict[int, str]]:
    """A MultiPolygon for each of so many rows, None where it has no rings; and what was odd, by row.

    By containment, a ring at even depth is a shell and one at odd depth a hole of its parent. Rings that cross one
    another stand beside each other as shells, which makes an invalid shape that is judged later.
    """
    fine, flaws = _sound(rings)
    owner = rings.owner[fine]
    points, lengths = _closed(rings, fine)
    if rings.polygon is not None:
        polygon, order = rings.polygon[fine], np.arange(len(owner))
    else:
        polygon, order, tangled = _by_containment(points, lengths, owner)
        flaws |= dict.fromkeys(tangled.tolist(), TANGLED)
    shapes = np.full(rows, None, dtype=object)
    if len(order):
        moved = points[ranges(offsets(lengths)[order], lengths[order])]
        _assemble(shapes, moved, lengths[order], owner[order], polygon[order])
    return shapes, flaws


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """The numbers start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def offsets(lengths: Ints) -> Ints:
    """Where each of several runs begins, and behind them the end of all."""
    return np.concatenate([[0], np.cumsum(lengths)])


def _firsts(values: Ints) -> Bools:
    """Where a run of equal values begins."""
    return np.asarray(np.diff(values, prepend=values[:1] - 1) != 0, dtype=np.bool_)


def _sound(rings: Rings) -> tuple[Bools, dict[int, str]]:
    """Which rings can be drawn; and the rows that lost some or all of theirs."""
    row_of_point = np.repeat(rings.owner, rings.lengths)
    broken = np.unique(row_of_point[~np.isfinite(rings.points).all(axis=1)])
    shed = rings.lengths < 4
    shed[shed] = ~_is_open_triangle(rings, shed)
    flaws = dict.fromkeys(rings.owner[shed].tolist(), SHED) | dict.fromkeys(broken.tolist(), NOT_NUMBERS)
    if rings.polygon is not None:  # without its shell a hole is nothing
        shed |= np.isin(rings.polygon, rings.polygon[shed & _firsts(rings.polygon)])
    return ~shed & ~np.isin(rings.owner, broken), flaws


def _is_open_triangle(rings: Rings, which: Bools) -> Bools:
    """Of these rings, which have three corners and do not end where they began."""
    start, length = offsets(rings.lengths)[:-1][which], rings.lengths[which]
    triangle: Bools = length == 3
    triangle[triangle] = (rings.points[start[triangle]] != rings.points[start[triangle] + 2]).any(axis=1)
    return triangle


def _closed(rings: Rings, which: Bools) -> tuple[Floats, Ints]:
    """Points and lengths of these rings, each ending where it begins."""
    start, length = offsets(rings.lengths)[:-1][which], rings.lengths[which]
    is_open = (rings.points[start] != rings.points[start + length - 1]).any(axis=1)
    if not is_open.any() and which.all():
        return rings.points, rings.lengths
    step = ranges(np.zeros(len(start), dtype=np.int64), length + is_open)
    at = np.repeat(start, length + is_open) + step % np.repeat(length, length + is_open)
    return rings.points[at], length + is_open


def _by_containment(points: Floats, lengths: Ints, owner: Ints) -> tuple[Ints, Ints, Ints]:
    """Each ring's polygon (the number of its shell), the rings in the order of their polygons with shells first, and
    the rows that would take too long, whose rings are left out."""
    polygon, hole = np.arange(len(owner)), np.zeros(len(owner), dtype=bool)
    tangled = np.zeros(0, dtype=np.int64)
    crowd = np.flatnonzero(np.bincount(owner)[owner] > 1) if len(owner) else polygon
    if len(crowd):
        faces = _faces(points[ranges(offsets(lengths)[crowd], lengths[crowd])], lengths[crowd])
        with np.errstate(over="ignore", invalid="ignore"):  # absurd sizes are judged later
            largest_first = np.lexsort((-shapely.area(faces), owner[crowd]))
        crowd, faces = crowd[largest_first], faces[largest_first]
        parents, tangled = _parents(faces, owner[crowd])
        odd = np.flatnonzero(_depths(parents) % 2 == 1)
        hole[crowd[odd]], polygon[crowd[odd]] = True, crowd[parents[odd]]
    order = np.lexsort((hole, polygon))
    return polygon, order[~np.isin(owner[order], tangled)] if len(tangled) else order, tangled


def _faces(points: Floats, lengths: Ints) -> Geometries:
    """Each ring as a polygon without holes."""
    each = np.arange(len(lengths) + 1)
    faces: Geometries = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (offsets(lengths), each))
    return faces


def _parents(faces: Geometries, row: Ints) -> tuple[Ints, Ints]:
    """For each face (row after row, largest first) the smallest one of its row that covers it, -1 where none does; and
    the rows where that would take too long."""
    parents, bounds, corners = np.full(len(faces), -1), shapely.bounds(faces), shapely.get_num_coordinates(faces)
    larger = _larger(row)
    dear = _dear(row, larger, _MOST_PAIRS)
    work = np.zeros(len(faces), dtype=np.int64)
    for inner, _ in _boxed(bounds, np.where(dear, 0, larger)):
        work += np.bincount(inner, minlength=len(faces)) * corners
    dear |= _dear(row, work, _MOST_CORNERS)
    for inner, outer in _boxed(bounds, np.where(dear, 0, larger)):
        covers = _covers(faces, outer, inner)
        np.maximum.at(parents, inner[covers], outer[covers])  # the smallest is the latest
    return parents, np.unique(row[dear])


def _dear(row: Ints, work: Ints, most: int) -> Bools:
    """Whether each face's row costs too much, where the rows that cost least are served first."""
    totals = np.bincount(row, weights=work)
    cheap_first = np.argsort(totals)
    return np.isin(row, cheap_first[np.cumsum(totals[cheap_first]) > most])


def _larger(row: Ints) -> Ints:
    """How many faces of the same row stand before each."""
    first = np.flatnonzero(_firsts(row))
    return np.arange(len(row)) - np.repeat(first, np.diff(np.append(first, len(row))))


def _boxed(bounds: Floats, larger: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of faces of one row, the smaller and the larger one, where the larger one's box holds the other's."""
    ends = np.searchsorted(np.cumsum(larger), np.arange(1, larger.sum() // _PAIRS_AT_ONCE + 2) * _PAIRS_AT_ONCE)
    for start, stop in zip(np.append(0, ends), np.append(ends, len(larger)), strict=False):
        which = np.arange(start, stop)
        inner, outer = np.repeat(which, larger[which]), ranges(which - larger[which], larger[which])
        low = (bounds[outer, :2] <= bounds[inner, :2]).all(axis=1)
        boxed = low & (bounds[outer, 2:] >= bounds[inner, 2:]).all(axis=1)
        if boxed.any():
            yield inner[boxed], outer[boxed]


def _covers(faces: Geometries, outer: Ints, inner: Ints) -> Bools:
    """Whether one covers the other; a ring that crosses itself in a way that GEOS refuses covers nothing."""
    shapely.prepare(faces[np.unique(outer)])
    try:
        covers: Bools = shapely.covers(faces[outer], faces[inner])
    except GEOSException:
        return np.array([_covers_one(faces[i], faces[j]) for i, j in zip(outer, inner, strict=True)], dtype=bool)
    return covers


def _covers_one(outer: shapely.Polygon, inner: shapely.Polygon) -> bool:
    try:
        return bool(shapely.covers(outer, inner))
    except GEOSException:
        return False


def _depths(parents: Ints) -> Ints:
    """In how many others each face lies."""
    depth, at, who = np.zeros(len(parents), dtype=np.int64), parents, np.arange(len(parents))
    while len(who):
        who, at = who[at >= 0], at[at >= 0]
        depth[who] += 1
        at = parents[at]
    return depth


def _assemble(shapes: Geometries, points: Floats, lengths: Ints, owner: Ints, polygon: Ints) -> None:
    """MultiPolygons into their rows, from closed rings in the order of rows and polygons, shells first."""
    shells = np.flatnonzero(_firsts(polygon))
    first = np.flatnonzero(_firsts(owner[shells]))
    runs = (offsets(lengths), np.append(shells, len(polygon)), np.append(first, len(shells)))
    shapes[owner[shells[first]]] = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, points, runs)
