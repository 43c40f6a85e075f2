"""A layer digitised anew: each corner a little elsewhere, though nothing on the ground has moved.

Features that share a corner share it afterwards. Coordinates: EPSG:2249, US survey feet, on a grid of 0.001 ft.
"""

import numpy as np
import shapely

from zoning_assets.simulation.county.county_table import Table
from zoning_assets.simulation.county.plat import METRES_PER_FOOT
from zoning_assets.simulation.portal.polygon_arrays import Shapes, offsets, ranges

_LONGEST_FT = 60.0 / METRES_PER_FOOT  # longer edges get corners between, 30 to 60 m apart
_LEAST = 0.8  # of the drift, each corner's displacement
_GRID_FT = 0.001


def drifted(table: Table, drift_m: float, rng: np.random.Generator) -> Table:
    """The rows with one displacement for each distinct corner, `drift_m` at most and mostly not much less.

    Where a valid shape would cross itself, its corners go half as far, or less; for its neighbours too.
    """
    if not drift_m:
        return table
    shapes = densified(table.shapes)
    corners, which = np.unique(np.round(shapes.points / _GRID_FT).astype(np.int64), axis=0, return_inverse=True)
    angle = rng.uniform(0, 2 * np.pi, len(corners))
    length = (drift_m / METRES_PER_FOOT - _GRID_FT) * rng.uniform(_LEAST, 1.0, len(corners))
    moves = np.stack([np.cos(angle), np.sin(angle)], axis=1) * length[:, None]
    was_valid, lone = shapely.is_valid(shapes.to_shapely()), np.diff(shapes.features) == 1
    owners = np.repeat(shapes.ring_owners(), np.diff(shapes.rings))
    while True:  # ends: halved often enough, a move is rounded to none
        moved = Shapes(np.round(shapes.points + moves[which], 3), shapes.rings, shapes.features, shapes.null)
        crossed = was_valid & ~shapely.is_valid(moved.to_shapely())
        if not crossed.any():
            return table.shaped(moved)
        # A district is mostly crossed by the ring of an island in it; then the island alone is at fault.
        at_fault = crossed & lone if (crossed & lone).any() else crossed
        moves[np.unique(which[at_fault[owners]])] *= 0.5


def densified(shapes: Shapes) -> Shapes:
    """With corners on long edges, the same for both sides of an edge."""
    here, ahead = shapes.points, np.roll(shapes.points, -1, axis=0)
    pieces = np.maximum(1, np.ceil(np.hypot(*(ahead - here).T) / _LONGEST_FT)).astype(np.int64)
    pieces[shapes.rings[1:] - 1] = 1  # a ring's last corner closes it
    owner = np.repeat(np.arange(len(here)), pieces)
    step = ranges(np.zeros(len(pieces), dtype=np.int64), pieces)
    backwards = ((here[:, 0] > ahead[:, 0]) | ((here[:, 0] == ahead[:, 0]) & (here[:, 1] > ahead[:, 1])))[owner]
    low = np.where(backwards[:, None], ahead[owner], here[owner])
    high = np.where(backwards[:, None], here[owner], ahead[owner])
    part = np.where(backwards, pieces[owner] - step, step) / pieces[owner]
    points = np.where(step[:, None] == 0, here[owner], np.round(low + (high - low) * part[:, None], 3))
    return Shapes(points, offsets(pieces)[shapes.rings], shapes.features, shapes.null)
