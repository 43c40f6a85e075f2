"""How far a release was drawn beside the one before, and how thin a strip may then be to mean anything.

The drift is estimated from the boundaries that did not change: points along the old boundaries are measured to the
nearest new boundary, and those that found none nearby belong to what did change. Frame: equal-area, metres.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.transform.geometry.polygon_overlay import NOISE_M, polygons

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]

#: Along a boundary, metres between the points that are measured; and how many are enough for a county.
_STEP_M, _MOST_POINTS = 15.0, 200_000
#: Farther than this from any new boundary a point's boundary is gone, not redrawn.
CEILING_M = 6.0
#: The part of the boundary that lies within the drift.
_WITHIN = 0.99
#: A strip counts where it is wider than this many drifts (docs/explanation/change-detection.md: opened by 3 m, a drift
#: of 3 m leaves 309 false changes; opened by 6 m, none; an eighth more, as 99% of a boundary lie within less than the
#: largest drift), and never where it is thinner than the floor: two files of one map differ by their grids, in
#: Cambridge by 0.8 m.
_TIMES, FLOOR_M = 2.25, 1.0
#: A map is redrawn where more of its boundary than this moved by more than the rounding of its corners.
_REDRAWN_SHARE = 0.25


@dataclass(frozen=True)
class Drift:
    """What was measured, in metres, and what follows from it."""

    drift_m: float = 0.0  # 99% of the boundary that stayed moved by less
    moved: float = 0.0  # share of the boundary that stayed and moved by more than NOISE_M
    gone: float = 0.0  # share of the boundary that has no new one nearby

    @property
    def tolerance_m(self) -> float:
        """A changed strip thinner than this says nothing by itself."""
        return max(FLOOR_M, min(_TIMES * self.drift_m, _TIMES * CEILING_M))

    @property
    def is_redrawn(self) -> bool:
        """Whether the whole map was drawn anew."""
        return self.moved > _REDRAWN_SHARE


def drift(before: Geometries, after: Geometries, *, still: float = 0.0) -> Drift:
    """Measure how far `after` was drawn beside `before`; polygons of one map each, equal-area frame.

    `still`: the share of the map that is not handed in, as it is known to be the same.
    """
    points, lines = _along(polygons(before)), _segments(polygons(after))
    if not len(points) or not len(lines):
        return Drift()
    _, distances = shapely.STRtree(lines).query_nearest(
        points, max_distance=CEILING_M, return_distance=True, all_matches=False
    )
    gone = round((1 - len(distances) / len(points)) * (1 - still), 4)
    if not len(distances):
        return Drift(gone=gone)
    within = max(_WITHIN - still, 0) / (1 - still)  # what stands still lies within any drift
    drift_m = float(np.quantile(distances, within)) if within else 0.0
    return Drift(round(drift_m, 4), round(float((distances > NOISE_M).mean()) * (1 - still), 4), gone)


def _along(shapes: Geometries) -> Geometries:
    """Points along the boundaries, evenly."""
    corners = shapely.get_coordinates(shapely.segmentize(shapely.boundary(shapes), _STEP_M))
    every = max(1, len(corners) // _MOST_POINTS)
    points: Geometries = shapely.points(np.unique(corners, axis=0)[::every])
    return points


def _segments(shapes: Geometries) -> Geometries:
    """Each straight piece of the boundaries: a tree of short pieces finds the nearest at once."""
    rings = shapely.get_parts(shapely.boundary(shapes))
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    inside = np.flatnonzero(ring[1:] == ring[:-1])
    segments: Geometries = shapely.linestrings(np.stack([corners[inside], corners[inside + 1]], axis=1))
    return segments
