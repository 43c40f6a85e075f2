"""Where the lots and zoning districts are: towns of blocks, blocks of lots, and streets between them.

Everything is drawn in the frame of a town (feet, x along the blocks), then rotated and moved to EPSG:2249 (NAD83 /
Massachusetts Mainland, US survey feet, x before y), on a grid of 0.001 ft. Neighbours share their corners.
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
TOWN_LOTS = 40_000  # about the most lots of a town; for more lots exists are more towns
TOWN_SPACING_FT = 30_000.0
MARGIN_FT = 400.0  # open land around a town, with zoning but without parcels
CROSSED = 3  # the column of lots in a block that a zoning line crosses
#: The distance of that line from the west side of the column, in feet: between 5% and 45% of an irregular lot.
CROSSED_AT_FT = 15.0


@dataclass(frozen=True)
class Town:
    """One town: its blocks, and the lines between its zoning districts.

    Attributes:
        number: of the town, from 0.
        lots: how many it has.
        centre: x, y in EPSG:2249, feet.
        angle: radians, counter-clockwise.
        blocks: in x and in y direction.
        lines: x of the vertical lines and y of the horizontal ones; feet, town frame.
        cut: the columns of blocks that a vertical line crosses.
    """

    number: int
    lots: int
    centre: tuple[float, float]
    angle: float
    blocks: tuple[int, int]
    lines: tuple[Floats, Floats]
    cut: Ints

    def to_world(self, points: Floats) -> Floats:
        """Convert points from the frame of the town to EPSG:2249, on the grid."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        middle = (self.blocks[0] * PITCH_FT[0] / 2, self.blocks[1] * PITCH_FT[1] / 2)
        x, y = points[..., 0] - middle[0], points[..., 1] - middle[1]
        turned = np.stack([self.centre[0] + c * x - s * y, self.centre[1] + s * x + c * y], axis=-1)
        return np.round(turned, 3)


def towns(parcels: int) -> list[Town]:
    """Towns that together have so many lots; the first is the largest."""
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
    vertical, cut = _upright_lines(across)
    centre = (CENTRE_FT[0] + east, CENTRE_FT[1] + north)
    angle = math.radians((7.0, -16.0, 0.0, 11.0)[number % 4])
    return Town(number, lots, centre, angle, (across, up), (vertical, _lines(up, PITCH_FT[1])), cut)


def _lines(blocks: int, pitch: float) -> Floats:
    """District lines in the middle of streets at regular distances, and around the margin of the town."""
    step = max(3, math.ceil(blocks / 12))
    inner = np.arange(step, blocks - step / 2, step) * pitch - STREET_FT / 2
    return np.concatenate([[-MARGIN_FT], inner, [blocks * pitch + MARGIN_FT]])


def _upright_lines(blocks: int) -> tuple[Floats, Ints]:
    """Vertical lines like `_lines`, but every second inner line crosses a column of blocks, and so some lots."""
    lines = _lines(blocks, PITCH_FT[0])
    moved = np.arange(1, len(lines) - 1, 2)
    cut = np.round((lines[moved] + STREET_FT / 2) / PITCH_FT[0]).astype(np.int64)
    lines[moved] = cut * PITCH_FT[0] + CROSSED * LOT_FT[0] + CROSSED_AT_FT
    return lines, cut


@dataclass(frozen=True)
class Cells:
    """Polygons of 4 to 12 corners that fill a mesh; corners and order as in `mesh`. EPSG:2249.

    Attributes:
        shapes: the polygons.
        corners: (n, 4, 2): south-west, north-west, north-east, south-east in the frame of the town.
    """

    shapes: Shapes
    corners: Floats


def mesh(nodes: Floats, rng: np.random.Generator, *, bend: float, sway_ft: float) -> tuple[Floats, Floats]:
    """The cells between nodes, clockwise from the south-west. Neighbours share corners and bends.

    Args:
        nodes: (blocks, rows + 1, columns + 1, 2).
        rng: decides where the bends are.
        bend: the probability of each of the two possible bends of an edge.
        sway_ft: the largest distance of a bend from its edge, in feet.

    Returns:
        Points (blocks, rows, columns, 12, 2), and which of them exist (the four corners always do).
    """
    horizontal, horizontal_on = _bends(nodes[:, :, :-1], nodes[:, :, 1:], rng, bend, sway_ft)
    vertical, vertical_on = _bends(nodes[:, :-1], nodes[:, 1:], rng, bend, sway_ft)
    corner = np.ones(nodes[:, :-1, :-1].shape[:3], dtype=bool)
    points = [
        *(nodes[:, :-1, :-1], vertical[:, :, :-1, 0], vertical[:, :, :-1, 1]),
        *(nodes[:, 1:, :-1], horizontal[:, 1:, :, 0], horizontal[:, 1:, :, 1]),
        *(nodes[:, 1:, 1:], vertical[:, :, 1:, 1], vertical[:, :, 1:, 0]),
        *(nodes[:, :-1, 1:], horizontal[:, :-1, :, 1], horizontal[:, :-1, :, 0]),
    ]
    exists = [
        *(corner, vertical_on[:, :, :-1, 0], vertical_on[:, :, :-1, 1]),
        *(corner, horizontal_on[:, 1:, :, 0], horizontal_on[:, 1:, :, 1]),
        *(corner, vertical_on[:, :, 1:, 1], vertical_on[:, :, 1:, 0]),
        *(corner, horizontal_on[:, :-1, :, 1], horizontal_on[:, :-1, :, 0]),
    ]
    return np.stack(points, axis=3), np.stack(exists, axis=3)


def _bends(start: Floats, end: Floats, rng: np.random.Generator, bend: float, sway_ft: float) -> tuple[Floats, Floats]:
    thirds = np.array([1 / 3, 2 / 3])[:, None]
    points = start[..., None, :] * (1 - thirds) + end[..., None, :] * thirds
    points = points + rng.uniform(-sway_ft, sway_ft, points.shape)
    return points, rng.random(points.shape[:-1]) < bend


def cells(town: Town, points: Floats, exists: Floats) -> Cells:
    """The cells of a mesh as closed rings in EPSG:2249, in the order of the mesh."""
    world = town.to_world(points.reshape(-1, 12, 2))
    on = exists.reshape(-1, 12)
    closed = np.concatenate([world, world[:, :1]], axis=1)
    on_closed = np.concatenate([on, np.ones((len(on), 1), dtype=bool)], axis=1)
    counts = on_closed.sum(axis=1)
    null = np.zeros(len(on), dtype=bool)
    shapes = Shapes(closed[on_closed], offsets(counts), np.arange(len(on) + 1), null)
    return Cells(shapes, world[:, ::3])


def lots(town: Town, rng: np.random.Generator) -> Cells:
    """The lots of a town, block by block (rows of blocks from the south, each from the west), irregular as surveyed
    lots are."""
    across, up = town.blocks
    row, column = np.divmod(np.arange(across * up), across)
    origin = np.stack([column * PITCH_FT[0], row * PITCH_FT[1]], axis=-1)
    y, x = np.meshgrid(np.arange(DEEP + 1) * LOT_FT[1], np.arange(ALONG + 1) * LOT_FT[0], indexing="ij")
    nodes = origin[:, None, None] + np.stack([x, y], axis=-1)
    nodes = nodes + rng.uniform(-6.0, 6.0, nodes.shape)
    return cells(town, *mesh(nodes, rng, bend=0.3, sway_ft=4.0))


def districts(town: Town, rng: np.random.Generator) -> Cells:
    """The zoning districts of a town, row by row from the south-west."""
    y, x = np.meshgrid(town.lines[1], town.lines[0], indexing="ij")
    nodes = np.stack([x, y], axis=-1)[None]
    nodes = nodes + rng.uniform(-1.0, 1.0, nodes.shape)
    return cells(town, *mesh(nodes, rng, bend=0.5, sway_ft=1.0))
