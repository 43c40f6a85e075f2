"""Build polygons from rings, for all rows of a page at once.

Esri JSON does not say which ring is a hole of which, and real portals send wrong directions and orders (holes wound
like their shells, holes before their shells, several counter-clockwise shells; terraformer#101, koop#378). These
rings are nested by containment. GeoJSON declares shells and holes, and its declaration is used. In both cases an
invalid ring affects its own row only, and the work is bounded for any input.
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

#: Remarks on a row's rings.
NOT_NUMBERS = "coordinates are not numbers"
RING_REMOVED = "a ring of fewer than three corners was removed"
TOO_NESTED = "too many nested rings to tell shells from holes"

#: Limits a page: pairs of rings of one row, and vertices of rings within another ring's box. They are seconds of work.
_MAX_PAIRS, _MAX_VERTICES = 100_000_000, 50_000_000
_PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Rings:
    """All rings of a page, flat, row after row; x, y in the layer's CRS.

    `polygon` numbers the polygons that the portal declares, ascending; the first ring of each is its shell. None if the
    portal declares none.
    """

    points: Floats  # (n, 2): the vertices, ring after ring; NaN where the portal sent no number
    lengths: Ints  # vertices of each ring
    owner: Ints  # row of each ring, ascending
    polygon: Ints | None = None


def shapes_of(rings: Rings, rows: int) -> tuple[Geometries, dict[int, str]]:
    """Build a MultiPolygon for each row.

    Without declared polygons, a ring at even depth is a shell, and one at odd depth is a hole of its parent. Rings that
    cross become shells side by side; the invalid shape is repaired later.

    Args:
        rings: of all rows.
        rows: the number of rows.

    Returns:
        Shapes (None for rows without rings), and remarks by row.
    """
    fine, flaws = _usable(rings)
    owner = rings.owner[fine]
    points, lengths = _closed(rings, fine)
    if rings.polygon is not None:
        polygon, order = rings.polygon[fine], np.arange(len(owner))
    else:
        polygon, order, skipped = _by_containment(points, lengths, owner)
        flaws |= dict.fromkeys(skipped.tolist(), TOO_NESTED)
    shapes = np.full(rows, None, dtype=object)
    if len(order):
        ordered = points[ranges(offsets(lengths)[order], lengths[order])]
        _assemble(shapes, ordered, lengths[order], owner[order], polygon[order])
    return shapes, flaws


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """The numbers start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def offsets(lengths: Ints) -> Ints:
    """The start of each of several runs, and finally the end of all."""
    return np.concatenate([[0], np.cumsum(lengths)])


def _firsts(values: Ints) -> Bools:
    """Where each run of equal values begins."""
    return np.asarray(np.diff(values, prepend=values[:1] - 1) != 0, dtype=np.bool_)


def _usable(rings: Rings) -> tuple[Bools, dict[int, str]]:
    """Which rings can be drawn, and remarks on the rows that lost rings."""
    row_of_point = np.repeat(rings.owner, rings.lengths)
    not_finite = np.unique(row_of_point[~np.isfinite(rings.points).all(axis=1)])
    removed = rings.lengths < 4
    removed[removed] = ~_is_open_triangle(rings, removed)
    flaws = dict.fromkeys(rings.owner[removed].tolist(), RING_REMOVED) | dict.fromkeys(not_finite.tolist(), NOT_NUMBERS)
    if rings.polygon is not None:  # a hole without its shell is removed
        removed |= np.isin(rings.polygon, rings.polygon[removed & _firsts(rings.polygon)])
    return ~removed & ~np.isin(rings.owner, not_finite), flaws


def _is_open_triangle(rings: Rings, which: Bools) -> Bools:
    """Which of these rings have three vertices and are not closed."""
    start, length = offsets(rings.lengths)[:-1][which], rings.lengths[which]
    triangle: Bools = length == 3
    triangle[triangle] = (rings.points[start[triangle]] != rings.points[start[triangle] + 2]).any(axis=1)
    return triangle


def _closed(rings: Rings, which: Bools) -> tuple[Floats, Ints]:
    """Points and lengths of these rings, each closed."""
    start, length = offsets(rings.lengths)[:-1][which], rings.lengths[which]
    is_open = (rings.points[start] != rings.points[start + length - 1]).any(axis=1)
    if not is_open.any() and which.all():
        return rings.points, rings.lengths
    step = ranges(np.zeros(len(start), dtype=np.int64), length + is_open)
    at = np.repeat(start, length + is_open) + step % np.repeat(length, length + is_open)
    return rings.points[at], length + is_open


def _by_containment(points: Floats, lengths: Ints, owner: Ints) -> tuple[Ints, Ints, Ints]:
    """Nest rings by containment.

    Returns:
        Each ring's polygon (the number of its shell); the rings in the order of their polygons, shells first; and the
            rows that would take too long, whose rings are left out.
    """
    polygon, hole = np.arange(len(owner)), np.zeros(len(owner), dtype=bool)
    skipped = np.zeros(0, dtype=np.int64)
    several = np.flatnonzero(np.bincount(owner)[owner] > 1) if len(owner) else polygon
    if len(several):
        faces = _faces(points[ranges(offsets(lengths)[several], lengths[several])], lengths[several])
        with np.errstate(over="ignore", invalid="ignore"):  # extreme sizes are validated later
            largest_first = np.lexsort((-shapely.area(faces), owner[several]))
        several, faces = several[largest_first], faces[largest_first]
        parents, skipped = _parents(faces, owner[several])
        odd = np.flatnonzero(_depths(parents) % 2 == 1)
        hole[several[odd]], polygon[several[odd]] = True, several[parents[odd]]
    order = np.lexsort((hole, polygon))
    return polygon, order[~np.isin(owner[order], skipped)] if len(skipped) else order, skipped


def _faces(points: Floats, lengths: Ints) -> Geometries:
    """Each ring as a polygon without holes."""
    each = np.arange(len(lengths) + 1)
    faces: Geometries = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (offsets(lengths), each))
    return faces


def _parents(faces: Geometries, row: Ints) -> tuple[Ints, Ints]:
    """For each face (row after row, largest first) the smallest face of its row that covers it, or -1; and the rows
    that would take too long.
    """
    parents, bounds, vertices = np.full(len(faces), -1), shapely.bounds(faces), shapely.get_num_coordinates(faces)
    larger = _larger(row)
    costly = _too_costly(row, larger, _MAX_PAIRS)
    work = np.zeros(len(faces), dtype=np.int64)
    for inner, _ in _boxed(bounds, np.where(costly, 0, larger)):
        work += np.bincount(inner, minlength=len(faces)) * vertices
    costly |= _too_costly(row, work, _MAX_VERTICES)
    for inner, outer in _boxed(bounds, np.where(costly, 0, larger)):
        covers = _covers(faces, outer, inner)
        np.maximum.at(parents, inner[covers], outer[covers])  # the smallest comes last
    return parents, np.unique(row[costly])


def _too_costly(row: Ints, work: Ints, most: int) -> Bools:
    """Whether each face belongs to a row beyond the limit, when rows are counted from the cheapest to the most
    expensive.
    """
    totals = np.bincount(row, weights=work)
    cheap_first = np.argsort(totals)
    return np.isin(row, cheap_first[np.cumsum(totals[cheap_first]) > most])


def _larger(row: Ints) -> Ints:
    """How many faces of the same row come before each face."""
    first = np.flatnonzero(_firsts(row))
    return np.arange(len(row)) - np.repeat(first, np.diff(np.append(first, len(row))))


def _boxed(bounds: Floats, larger: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of faces of one row (smaller, larger) where the larger one's box contains the other's."""
    ends = np.searchsorted(np.cumsum(larger), np.arange(1, larger.sum() // _PAIRS_AT_ONCE + 2) * _PAIRS_AT_ONCE)
    for start, stop in zip(np.append(0, ends), np.append(ends, len(larger)), strict=False):
        which = np.arange(start, stop)
        inner, outer = np.repeat(which, larger[which]), ranges(which - larger[which], larger[which])
        low = (bounds[outer, :2] <= bounds[inner, :2]).all(axis=1)
        boxed = low & (bounds[outer, 2:] >= bounds[inner, 2:]).all(axis=1)
        if boxed.any():
            yield inner[boxed], outer[boxed]


def _covers(faces: Geometries, outer: Ints, inner: Ints) -> Bools:
    """Whether `outer` covers `inner`; a ring that GEOS cannot process covers nothing."""
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
    """The number of faces that contain each face."""
    depth, at, who = np.zeros(len(parents), dtype=np.int64), parents, np.arange(len(parents))
    while len(who):
        who, at = who[at >= 0], at[at >= 0]
        depth[who] += 1
        at = parents[at]
    return depth


def _assemble(shapes: Geometries, points: Floats, lengths: Ints, owner: Ints, polygon: Ints) -> None:
    """Write MultiPolygons into their rows, from closed rings ordered by row and polygon, shells first."""
    shells = np.flatnonzero(_firsts(polygon))
    first = np.flatnonzero(_firsts(owner[shells]))
    runs = (offsets(lengths), np.append(shells, len(polygon)), np.append(first, len(shells)))
    shapes[owner[shells[first]]] = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, points, runs)
