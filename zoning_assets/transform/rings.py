"""Rings to polygons, by containment: real portals get orientation and order wrong (FACTS 1, rows 15-18)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import GEOSException

Geometries = npt.NDArray[np.object_]


def polygon_of(rings: Sequence[shapely.LinearRing] | Geometries) -> shapely.Geometry:
    """One feature's rings as a Polygon or MultiPolygon: at even depth a shell, at odd depth a hole of its parent.

    Orientation and order of the rings play no part. Rings that cross one another stand beside each other as shells,
    which makes an invalid shape that is judged later.
    """
    faces = shapely.polygons(list(rings))
    faces = faces[np.argsort(-shapely.area(faces), kind="stable")]
    parents = _parents(faces)
    depth = np.zeros(len(faces), dtype=int)
    for i, parent in enumerate(parents):  # a parent is larger, hence earlier
        depth[i] = depth[parent] + 1 if parent >= 0 else 0
    shells = [_with_holes(faces[i], faces[parents == i]) for i in np.flatnonzero(depth % 2 == 0)]
    return shells[0] if len(shells) == 1 else shapely.multipolygons(shells)


def _with_holes(shell: shapely.Polygon, holes: Geometries) -> shapely.Polygon:
    return shapely.polygons(shapely.get_exterior_ring(shell), holes=shapely.get_exterior_ring(holes))


def _parents(faces: Geometries) -> npt.NDArray[np.int64]:
    """For each face (largest first) the smallest one that covers it, -1 where none does."""
    parents = np.full(len(faces), -1, dtype=np.int64)
    try:
        inner, outer = shapely.STRtree(faces).query(faces, predicate="covered_by")
    except GEOSException:  # a ring that crosses itself in a way the predicate refuses
        return parents
    proper = outer < inner
    np.maximum.at(parents, inner[proper], outer[proper])  # smallest = latest
    return parents
