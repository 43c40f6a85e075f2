"""Many polygons as flat arrays: points, the start of each ring, the start of each feature.

Rings are closed. Shells are clockwise and holes counter-clockwise, as Esri writes them. x, y in the CRS of the layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rings = Sequence[Floats]  # one feature's: each (k, 2), closed


def ranges(starts: Ints, lengths: Ints) -> Ints:
    """The integers start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def offsets(lengths: npt.ArrayLike) -> Ints:
    """The start of each of several runs, followed by the end of the last one."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


@dataclass(frozen=True)
class Shapes:
    """Polygons, one entry for each feature. A feature without rings is empty, or null if `null` is true.

    Attributes:
        points: (p, 2); x, y.
        rings: ring k is points[rings[k]:rings[k + 1]].
        features: feature i has the rings features[i]:features[i + 1].
        null: whether a feature is null.
    """

    points: Floats
    rings: Ints
    features: Ints
    null: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.features) - 1

    @classmethod
    def from_rings(cls, shapes: Sequence[Rings | None]) -> "Shapes":
        """From lists of rings; None is null, an empty list is empty."""
        rings = [ring for shape in shapes for ring in shape or ()]
        points = np.concatenate(rings) if rings else np.empty((0, 2))
        counts = [len(shape or ()) for shape in shapes]
        null = np.array([shape is None for shape in shapes], dtype=bool)
        return cls(points, offsets([len(ring) for ring in rings]), offsets(counts), null)

    @classmethod
    def from_shapely(cls, shapes: npt.NDArray[np.object_]) -> "Shapes":
        """From polygons and multipolygons, whatever the direction of their rings."""
        turned = shapely.orient_polygons(shapely.force_2d(shapes), exterior_cw=True)
        parts, owner = shapely.get_parts(turned, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        counts = np.bincount(owner[part], minlength=len(shapes))
        points = shapely.get_coordinates(rings)
        return cls(points, offsets(shapely.get_num_coordinates(rings)), offsets(counts), shapely.is_missing(shapes))

    def rings_of(self, feature: int) -> list[Floats]:
        """The rings of a feature."""
        first, last = self.features[feature : feature + 2]
        return [self.points[self.rings[k] : self.rings[k + 1]] for k in range(first, last)]

    def taken(self, rows: npt.NDArray[np.integer]) -> "Shapes":
        """The features of these rows, in this order; a row may be taken more than once."""
        counts = np.diff(self.features)[rows]
        which = ranges(self.features[rows], counts)
        lengths = np.diff(self.rings)[which]
        points = self.points[ranges(self.rings[which], lengths)]
        return Shapes(points, offsets(lengths), offsets(counts), self.null[rows])

    def joined(self, other: "Shapes") -> "Shapes":
        """These features, followed by the others."""
        return Shapes(
            np.concatenate([self.points, other.points]),
            np.concatenate([self.rings, other.rings[1:] + self.rings[-1]]),
            np.concatenate([self.features, other.features[1:] + self.features[-1]]),
            np.concatenate([self.null, other.null]),
        )

    def replaced(self, rows: Sequence[int] | Ints, shapes: Sequence[Rings | None]) -> "Shapes":
        """With other shapes in these rows."""
        order = np.arange(len(self))
        order[rows] = len(self) + np.arange(len(rows))
        return self.joined(Shapes.from_rings(shapes)).taken(order)

    def ring_owners(self) -> Ints:
        """The feature of each ring."""
        return np.repeat(np.arange(len(self)), np.diff(self.features))

    def areas(self) -> Floats:
        """Each feature's area in square units of the CRS: shells minus holes, by their directions."""
        x, y = self.points[:, 0], self.points[:, 1]
        x, y = x - (x.mean() if len(x) else 0), y - (y.mean() if len(y) else 0)
        return np.abs(self._sums(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2

    def lengths(self) -> Floats:
        """Each feature's perimeter in units of the CRS."""
        return self._sums(np.hypot(*np.diff(self.points, axis=0).T))

    def _sums(self, steps: Floats) -> Floats:
        """Sum values of the steps between points by feature; steps between two rings are not counted."""
        steps = np.append(steps, 0.0)[: len(self.points)]
        steps[self.rings[1:] - 1] = 0.0
        owner = np.repeat(self.ring_owners(), np.diff(self.rings))
        return np.asarray(np.bincount(owner, weights=steps, minlength=len(self)), dtype=np.float64)

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """West, south, east, north of all points; zeros if there are none. Cached, as each response about a layer has
        it."""
        if not len(self.points):
            return 0.0, 0.0, 0.0, 0.0
        (west, south), (east, north) = self.points.min(axis=0), self.points.max(axis=0)
        return float(west), float(south), float(east), float(north)

    def to_shapely(self) -> npt.NDArray[np.object_]:
        """The features as polygons and multipolygons; null is None. A hole belongs to the shell before it."""
        shapes = np.full(len(self), None, dtype=object)
        counts = np.diff(self.features)
        shapes[(counts == 0) & ~self.null] = shapely.Polygon()
        if len(self.rings) > 1:
            owner = np.repeat(np.arange(len(self.rings) - 1), np.diff(self.rings))
            linear = shapely.linearrings(self.points, indices=owner)
            shapes[counts == 1] = shapely.polygons(linear[self.features[:-1][counts == 1]])
            for row in np.flatnonzero(counts > 1):
                shapes[row] = _polygon(linear[self.features[row] : self.features[row + 1]])
        return shapes


def _polygon(rings: npt.NDArray[np.object_]) -> shapely.Geometry:
    parts: list[tuple[shapely.LinearRing, list[shapely.LinearRing]]] = []
    for ring, counter_clockwise in zip(rings, shapely.is_ccw(rings), strict=True):
        if counter_clockwise and parts:
            parts[-1][1].append(ring)
        else:
            parts.append((ring, []))
    polygons = [shapely.Polygon(shell, holes) for shell, holes in parts]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
