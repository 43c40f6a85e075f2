"""What a portal does to its rows without changing anything: promise 5 says that it must not be seen; respelled codes
are seen, but are no rezonings.

Coordinates stay as they are to the last bit: moved by however little, one of them would cross a line of the grid.
"""

from typing import Literal

import numpy as np

from zoning_assets.simulation.county.county_table import Table
from zoning_assets.simulation.portal.polygon_arrays import Ints, Shapes, offsets, ranges


def shuffled(table: Table, rng: np.random.Generator) -> Table:
    """The same rows in another order, drawn from other corners; what the server computes is computed anew."""
    other = table.taken(rng.permutation(len(table)))
    return other.shaped(redrawn(other.shapes, rng)).published(rng)


def respelled(zoning: Table, by: Literal["codes", "rows"], rng: np.random.Generator) -> Table:
    """Codes without their hyphen (`R-1`, `R1`): in all districts of half of the codes, or in half of all districts."""
    codes = zoning.columns["ZONE_CODE"].astype(str)
    units = codes if by == "codes" else np.arange(len(codes))
    can = np.unique(units[np.char.find(codes, "-") > 0])
    chosen = np.isin(units, rng.choice(can, len(can) // 2, replace=False))
    return zoning.having(ZONE_CODE=np.where(chosen, np.char.replace(codes, "-", ""), codes).astype(object))


def redrawn(shapes: Shapes, rng: np.random.Generator) -> Shapes:
    """Half of the rings from another corner, a third of the lone rings backwards, a tenth with a corner repeated.

    Rings of features that have several keep their direction, by which most clients tell holes from shells.
    """
    lengths = np.diff(shapes.rings)
    corners, count = lengths - 1, len(lengths)
    lone = np.diff(shapes.features)[shapes.ring_owners()] == 1
    start = np.where(rng.random(count) < 0.5, rng.integers(0, 1 << 30, count) % np.maximum(corners, 1), 0)
    direction = np.where(lone & (rng.random(count) < 1 / 3), -1, 1)
    order = _walk(shapes.rings[:-1], lengths, start, direction)
    twice = np.ones(len(order), dtype=np.int64)
    chosen = rng.random(count) < 0.1
    twice[shapes.rings[:-1][chosen] + 1] = 2
    return Shapes(
        np.repeat(shapes.points[order], twice, axis=0), offsets(lengths + chosen), shapes.features, shapes.null
    )


def _walk(first: Ints, lengths: Ints, start: Ints, direction: Ints) -> Ints:
    """Indices of each closed ring's points, from another corner and in another direction; closed again."""
    step = ranges(np.zeros(len(lengths), dtype=np.int64), lengths)
    corners = np.repeat(lengths - 1, lengths)
    moved = (np.repeat(start, lengths) + np.repeat(direction, lengths) * step) % corners
    return np.asarray(np.repeat(first, lengths) + moved, dtype=np.int64)
