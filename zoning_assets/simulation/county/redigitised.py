"""A layer that was digitised again: each corner has moved a little, although nothing on the ground has changed.

Corners that features share are still shared. Coordinates: EPSG:2249, US survey feet, x before y, on a grid of 0.001 ft.
"""

import numpy as np
import shapely

from zoning_assets.simulation.county.county_table import CountyTable
from zoning_assets.simulation.county.plat import METRES_PER_FOOT
from zoning_assets.simulation.portal.polygon_arrays import Shapes, offsets, ranges

_LONGEST_FT = 60.0 / METRES_PER_FOOT  # longer edges get additional corners, 30 to 60 m apart
_LEAST = 0.8  # the least displacement of a corner, as a share of the drift
_GRID_FT = 0.001


def drifted(table: CountyTable, drift_m: float, rng: np.random.Generator) -> CountyTable:
    """Move each distinct corner by at most `drift_m` metres, and by at least 0.8 of it in most cases.

    If a valid shape would intersect itself, the move of its corners is halved, repeatedly if necessary; also for the
    neighbours that share them.
    """
    if not drift_m:
        return table
    shapes = densified(table.shapes)
    corners, which = np.unique(np.round(shapes.points / _GRID_FT).astype(np.int64), axis=0, return_inverse=True)
    angle = rng.uniform(0, 2 * np.pi, len(corners))
    length = (drift_m / METRES_PER_FOOT - _GRID_FT) * rng.uniform(_LEAST, 1.0, len(corners))
    moves = np.stack([np.cos(angle), np.sin(angle)], axis=1) * length[:, None]
    was_valid, single = shapely.is_valid(shapes.to_shapely()), np.diff(shapes.features) == 1
    owners = np.repeat(shapes.ring_owners(), np.diff(shapes.rings))
    while True:  # ends, because a move that is halved often enough is rounded to zero
        moved = Shapes(np.round(shapes.points + moves[which], 3), shapes.rings, shapes.features, shapes.null)
        crossed = was_valid & ~shapely.is_valid(moved.to_shapely())
        if not crossed.any():
            return table.with_shapes(moved)
        # A district is mostly invalid because the ring of an island in it crosses its own; then only the island is
        # changed.
        to_halve = crossed & single if (crossed & single).any() else crossed
        moves[np.unique(which[to_halve[owners]])] *= 0.5


def densified(shapes: Shapes) -> Shapes:
    """Add corners to long edges, the same ones for both features that share an edge."""
    here, ahead = shapes.points, np.roll(shapes.points, -1, axis=0)
    pieces = np.maximum(1, np.ceil(np.hypot(*(ahead - here).T) / _LONGEST_FT)).astype(np.int64)
    pieces[shapes.rings[1:] - 1] = 1  # the last corner closes the ring
    owner = np.repeat(np.arange(len(here)), pieces)
    step = ranges(np.zeros(len(pieces), dtype=np.int64), pieces)
    backwards = ((here[:, 0] > ahead[:, 0]) | ((here[:, 0] == ahead[:, 0]) & (here[:, 1] > ahead[:, 1])))[owner]
    low = np.where(backwards[:, None], ahead[owner], here[owner])
    high = np.where(backwards[:, None], here[owner], ahead[owner])
    part = np.where(backwards, pieces[owner] - step, step) / pieces[owner]
    points = np.where(step[:, None] == 0, here[owner], np.round(low + (high - low) * part[:, None], 3))
    return Shapes(points, offsets(pieces)[shapes.rings], shapes.features, shapes.null)
