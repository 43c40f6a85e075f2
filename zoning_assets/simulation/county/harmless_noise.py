"""Changes that a portal makes to its rows although nothing has changed: they must not be detected as changes. Respelled
codes are detected, but are not rezonings.

Coordinates do not change: even a tiny move could cross a line of the grid on which content hashes are computed.
"""

from typing import Literal

import numpy as np

from zoning_assets.simulation.county.county_table import CountyTable
from zoning_assets.simulation.portal.polygon_arrays import Ints, Shapes, offsets, ranges


def shuffled(table: CountyTable, rng: np.random.Generator) -> CountyTable:
    """The same rows in another order, with rings that start at other corners and new server-side columns."""
    other = table.taken(rng.permutation(len(table)))
    return other.with_shapes(redrawn(other.shapes, rng)).with_server_columns(rng)


def respelled(zoning: CountyTable, by: Literal["codes", "rows"], rng: np.random.Generator) -> CountyTable:
    """Codes without their hyphen (`R-1`, `R1`): in all districts of half of the codes, or in half of all districts."""
    codes = zoning.columns["ZONE_CODE"].astype(str)
    units = codes if by == "codes" else np.arange(len(codes))
    possible = np.unique(units[np.char.find(codes, "-") > 0])
    chosen = np.isin(units, rng.choice(possible, len(possible) // 2, replace=False))
    return zoning.with_columns(ZONE_CODE=np.where(chosen, np.char.replace(codes, "-", ""), codes).astype(object))


def redrawn(shapes: Shapes, rng: np.random.Generator) -> Shapes:
    """Half of the rings start at another corner, a third of the single rings are reversed, a tenth repeat a corner.

    Rings of features with several rings keep their direction, because most clients tell holes from shells by it.
    """
    lengths = np.diff(shapes.rings)
    corners, count = lengths - 1, len(lengths)
    single = np.diff(shapes.features)[shapes.ring_owners()] == 1
    start = np.where(rng.random(count) < 0.5, rng.integers(0, 1 << 30, count) % np.maximum(corners, 1), 0)
    direction = np.where(single & (rng.random(count) < 1 / 3), -1, 1)
    order = _walk(shapes.rings[:-1], lengths, start, direction)
    twice = np.ones(len(order), dtype=np.int64)
    chosen = rng.random(count) < 0.1
    twice[shapes.rings[:-1][chosen] + 1] = 2
    return Shapes(
        np.repeat(shapes.points[order], twice, axis=0), offsets(lengths + chosen), shapes.features, shapes.null
    )


def _walk(first: Ints, lengths: Ints, start: Ints, direction: Ints) -> Ints:
    """The indices of each closed ring's points, from another corner and in another direction; closed again."""
    step = ranges(np.zeros(len(lengths), dtype=np.int64), lengths)
    corners = np.repeat(lengths - 1, lengths)
    moved = (np.repeat(start, lengths) + np.repeat(direction, lengths) * step) % corners
    return np.asarray(np.repeat(first, lengths) + moved, dtype=np.int64)
