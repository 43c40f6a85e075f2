"""Where the lots and the zoning districts lie: towns of blocks, blocks of lots, streets between.

Everything is drawn in a town's own frame (feet, x along the blocks) and then turned and moved to EPSG:2249
(NAD83 / Massachusetts Mainland, US survey feet), on a grid of a thousandth of a foot. Neighbours share their corners.
"""

import math
from dataclasses import dataclass

import numpy as np

from zoning_assets.simulation.portal.polygon_arrays import Floats, Ints, Shapes, offsets

EPSG = 2249
METRES_PER_FOOT = 1200 / 3937  # of the US survey
CENTRE_FT = (629_114.0, 2_934_364.0)  # longitude -71.6, latitude 42.3
ALONG, DEEP = 8, 2  # lots in a block
LOT_FT = (65.0, 115.0)
STREET_FT = 50.0
PITCH_FT = (ALONG * LOT_FT[0] + STREET_FT, DEEP * LOT_FT[1] + STREET_FT)  # from block to block
TOWN_LOTS = 40_000  # a town has about this many lots at most; more lots, more towns
TOWN_SPACING_FT = 30_000.0
MARGIN_FT = 400.0  # open land about a town, zoned but not yet parcelled
CROSSED = 3  # the column of lots that a zoning line through a block cuts
#: From that column's west side, in feet: between 5% and 45% of a lot, whatever its corners do.
CROSSED_AT_FT = 15.0


@dataclass(frozen=True)
class Town:
    """One town's frame: its blocks, and the lines between its zoning districts."""

    number: int
    lots: int
    centre: tuple[float, float]  # feet, EPSG:2249
    angle: float  # radians, counter-clockwise
    blocks: tuple[int, int]  # across, up
    lines: tuple[Floats, Floats]  # x of the upright lines, y of the level ones; feet, town frame
    cut: Ints  # blocks across through which an upright line runs

    def to_world(self, points: Floats) -> Floats:
        """From the town's frame to EPSG:2249, on the grid."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        middle = (self.blocks[0] * PITCH_FT[0] / 2, self.blocks[1] * PITCH_FT[1] / 2)
        x, y = points[..., 0] - middle[0], points[..., 1] - middle[1]
        turned = np.stack([self.centre[0] + c * x - s * y, self.centre[1] + s * x + c * y], axis=-1)
        return np.round(turned, 3)


def towns(parcels: int) -> list[Town]:
    """Towns for so many lots, the first the largest."""
    count = max(2, math.ceil(parcels / TOWN_LOTS))
    weights = np.linspace(1.2, 0.8, count)
    ends = np.round(np.cumsum(weights) / count * parcels).astype(int)
    return [_town(number, int(lots), count) for number, lots in enumerate(np.diff(ends, prepend=0))]


def _town(number: int, lots: int, count: int) -> Town:
    wide = math.ceil(math.sqrt(count))
    column, row = number % wide, number // wide
    east = (column - (wide - 1) / 2) * TOWN_SPACING_FT
    north = (row - (math.ceil(count / wide) - 1) / 2) * TOWN_SPACING_FT
    blocks = math.ceil(lots / (ALONG * DEEP))
    across = math.ceil(math.sqrt(blocks * PITCH_FT[1] / PITCH_FT[0]))
    up = math.ceil(blocks / across)
    upright, cut = _upright_lines(across)
    centre = (CENTRE_FT[0] + east, CENTRE_FT[1] + north)
    angle = math.radians((7.0, -16.0, 0.0, 11.0)[number % 4])
    return Town(number, lots, centre, angle, (across, up), (upright, _lines(up, PITCH_FT[1])), cut)


def _lines(blocks: int, pitch: float) -> Floats:
    """District lines in the middle of every so many streets, and about the town's margin."""
    step = max(3, math.ceil(blocks / 12))
    inner = np.arange(step, blocks - step / 2, step) * pitch - STREET_FT / 2
    return np.concatenate([[-MARGIN_FT], inner, [blocks * pitch + MARGIN_FT]])


def _upright_lines(blocks: int) -> tuple[Floats, Ints]:
    """The same, but every second inner line runs through a column of blocks, and so through lots."""
    lines = _lines(blocks, PITCH_FT[0])
    moved = np.arange(1, len(lines) - 1, 2)
    cut = np.round((lines[moved] + STREET_FT / 2) / PITCH_FT[0]).astype(np.int64)
    lines[moved] = cut * PITCH_FT[0] + CROSSED * LOT_FT[0] + CROSSED_AT_FT
    return lines, cut


@dataclass(frozen=True)
class Cells:
    """Polygons of 4 to 12 corners that fill a mesh; corners and order as in `mesh`. World coordinates."""

    shapes: Shapes
    corners: Floats  # (n, 4, 2): south-west, north-west, north-east, south-east of the town's frame


def mesh(nodes: Floats, rng: np.random.Generator, *, bend: float, sway_ft: float) -> tuple[Floats, Floats]:
    """The cells between nodes, clockwise from the south-west; neighbours share corners and bends.

    Args:
        nodes: (blocks, rows + 1, columns + 1, 2).
        rng: where the bends are.
        bend: how likely each of an edge's two possible bends is.
        sway_ft: how far a bend lies off its edge, at most.

    Returns:
        Points (blocks, rows, columns, 12, 2), and which of them are there (the four corners always).

    """
    level, level_on = _bends(nodes[:, :, :-1], nodes[:, :, 1:], rng, bend, sway_ft)
    upright, upright_on = _bends(nodes[:, :-1], nodes[:, 1:], rng, bend, sway_ft)
    corner = np.ones(nodes[:, :-1, :-1].shape[:3], dtype=bool)
    points = [
        *(nodes[:, :-1, :-1], upright[:, :, :-1, 0], upright[:, :, :-1, 1]),
        *(nodes[:, 1:, :-1], level[:, 1:, :, 0], level[:, 1:, :, 1]),
        *(nodes[:, 1:, 1:], upright[:, :, 1:, 1], upright[:, :, 1:, 0]),
        *(nodes[:, :-1, 1:], level[:, :-1, :, 1], level[:, :-1, :, 0]),
    ]
    there = [
        *(corner, upright_on[:, :, :-1, 0], upright_on[:, :, :-1, 1]),
        *(corner, level_on[:, 1:, :, 0], level_on[:, 1:, :, 1]),
        *(corner, upright_on[:, :, 1:, 1], upright_on[:, :, 1:, 0]),
        *(corner, level_on[:, :-1, :, 1], level_on[:, :-1, :, 0]),
    ]
    return np.stack(points, axis=3), np.stack(there, axis=3)


def _bends(start: Floats, end: Floats, rng: np.random.Generator, bend: float, sway_ft: float) -> tuple[Floats, Floats]:
    thirds = np.array([1 / 3, 2 / 3])[:, None]
    points = start[..., None, :] * (1 - thirds) + end[..., None, :] * thirds
    points = points + rng.uniform(-sway_ft, sway_ft, points.shape)
    return points, rng.random(points.shape[:-1]) < bend


def cells(town: Town, points: Floats, there: Floats) -> Cells:
    """A mesh's cells as closed rings in the world, in the order of the mesh."""
    world = town.to_world(points.reshape(-1, 12, 2))
    on = there.reshape(-1, 12)
    closed = np.concatenate([world, world[:, :1]], axis=1)
    on_closed = np.concatenate([on, np.ones((len(on), 1), dtype=bool)], axis=1)
    counts = on_closed.sum(axis=1)
    null = np.zeros(len(on), dtype=bool)
    shapes = Shapes(closed[on_closed], offsets(counts), np.arange(len(on) + 1), null)
    return Cells(shapes, world[:, ::3])


def lots(town: Town, rng: np.random.Generator) -> Cells:
    """A town's lots, block by block (westernmost first, row by row), irregular as surveyed lots are."""
    across, up = town.blocks
    row, column = np.divmod(np.arange(across * up), across)
    origin = np.stack([column * PITCH_FT[0], row * PITCH_FT[1]], axis=-1)
    y, x = np.meshgrid(np.arange(DEEP + 1) * LOT_FT[1], np.arange(ALONG + 1) * LOT_FT[0], indexing="ij")
    nodes = origin[:, None, None] + np.stack([x, y], axis=-1)
    nodes = nodes + rng.uniform(-6.0, 6.0, nodes.shape)
    return cells(town, *mesh(nodes, rng, bend=0.3, sway_ft=4.0))


def districts(town: Town, rng: np.random.Generator) -> Cells:
    """A town's zoning districts, row by row from the south-west."""
    y, x = np.meshgrid(town.lines[1], town.lines[0], indexing="ij")
    nodes = np.stack([x, y], axis=-1)[None]
    nodes = nodes + rng.uniform(-1.0, 1.0, nodes.shape)
    return cells(town, *mesh(nodes, rng, bend=0.5, sway_ft=1.0))
