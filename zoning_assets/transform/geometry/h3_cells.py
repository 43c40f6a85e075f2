"""Which H3 cell is a point in, and what does a cell cover? Which tile a row is assigned to: row_tiles.py.

A tile is a coarse cell. Ownership is decided at the finest resolution and inherited upwards, so that it nests: the
owner of a point at any resolution is the ancestor of its finest cell. A coarse cell does not contain all of its
descendants' area (H3 is aperture 7, and each level is rotated by 19.1 degrees). So whatever a tile owns lies within the
padded outline of its descendants, `envelope`. Points are longitude, latitude; degrees; EPSG:4326.
"""

import math
from collections.abc import Collection, Iterable
from functools import lru_cache

import h3.api.numpy_int as h3n
import numpy as np
import numpy.typing as npt
import shapely
from h3 import api as _api

from zoning_assets.model import Bounds

h3s = _api.basic_str

FINEST = 15
#: The cell of a row without coordinates.
NO_CELL = np.uint64(0)
#: Larger than every cell: the initial value of a minimum.
LAST = (1 << 64) - 1
#: A coordinate outside the globe, to replace NaN.
OFF_GLOBE = 1e9
#: How many levels of descendants the outline includes; padding covers the rest.
_OUTLINE_LEVELS = 2
#: A descendant lies outside its ancestor by at most 0.156 of the ancestor's longest edge, measured at all resolutions;
#: at pentagons of odd resolutions, whose edges are bent in the middle, by 0.19 of the half edge (test_h3_cells.py). The
#: padding is a quarter of the edge, and some metres for datum shifts and for edges that are straight in another CRS.
_PAD_EDGES, _PAD_M = 0.25, 10.0
_METRES_PER_DEGREE = 111_320.0
#: One of a hexagon's three edge directions is within 30 degrees of north, so that the longest edge is at most this
#: factor longer than the largest north-south extent of an edge.
_LONGEST_TO_TALLEST = 1.16
#: Beyond this latitude, or if it is wider than this, a tile's envelope is a polar cap. Degrees.
_POLAR, _WIDEST = 89.9, 170.0


def finest_cells(points: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """The finest H3 cell of each point (n, 2; longitude, latitude); NO_CELL for coordinates outside the globe."""
    on_globe = (np.abs(points[:, 0]) <= 180) & (np.abs(points[:, 1]) <= 90)
    cells = np.full(len(points), NO_CELL, dtype=np.uint64)
    to_cell = h3n.latlng_to_cell
    cells[on_globe] = [to_cell(lat, lon, FINEST) for lon, lat in points[on_globe].tolist()]
    return cells


def ancestors(cells: npt.NDArray[np.uint64], resolution: int) -> npt.NDArray[np.uint64]:
    """The ancestor of each finest cell at a resolution; NO_CELL stays.

    An H3 index has its resolution in bits 52-55, and three bits for each level below; unused levels are all ones
    (h3geo.org, "H3 index bit layout").
    """
    unused = (1 << 3 * (FINEST - resolution)) - 1
    parents = cells & ~np.uint64(15 << 52)
    parents |= np.uint64(resolution << 52 | unused)
    parents[cells == NO_CELL] = NO_CELL
    return parents


def to_int(tile: str) -> int:
    """The tile's 64-bit index."""
    return int(h3s.str_to_int(tile))


def to_str(tile: int) -> str:
    """The tile's usual text form."""
    return str(h3s.int_to_str(int(tile)))


def is_tile(text: str) -> bool:
    """Whether the text is the usual text form of an H3 cell."""
    return bool(h3s.is_valid_cell(text))


def contains(coarse: str, fine: str) -> bool:
    """Whether `coarse` is an ancestor of `fine`."""
    level = resolution_of(coarse)
    return level < resolution_of(fine) and h3s.cell_to_parent(fine, level) == coarse


def outermost(tiles: Collection[str]) -> list[str]:
    """The tiles that are in no other one, sorted."""
    return sorted(tile for tile in tiles if not any(contains(other, tile) for other in tiles))


def children(tile: str) -> list[str]:
    """The seven tiles (six for a pentagon) into which a tile is split."""
    return sorted(h3s.cell_to_children(tile))


def resolution_of(tile: str) -> int:
    """The tile's H3 resolution."""
    return int(h3s.get_resolution(tile))


def start_tiles(bounds: Bounds, finest: int = 6) -> list[str]:
    """The coarse tiles from which a split begins: few tiles that together own everything within `bounds` (degrees).

    Raises:
        ValueError: the bounds are not a box on the globe.
    """
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        message = f"not a box of degrees: {bounds}"
        raise ValueError(message)
    across_m = max((north - south), (east - west) * math.cos(math.radians((south + north) / 2))) * _METRES_PER_DEGREE
    fitting = [r for r in range(finest + 1) if h3s.average_hexagon_edge_length(r, unit="m") * 2 >= across_m]
    resolution = fitting[-1] if fitting else 0
    box = shapely.box(west, south, east, north)
    if resolution == 0:
        near = set(h3s.get_res0_cells())
    else:  # a tile may own points outside its own outline, in its neighbour's
        shape = h3s.geo_to_h3shape(shapely.geometry.mapping(box))
        met = h3s.h3shape_to_cells_experimental(shape, resolution, "overlap")
        near = {tile for each in met for tile in h3s.grid_disk(each, 1)}
    return sorted(tile for tile in near if envelope(tile).intersects(box))


@lru_cache(maxsize=4096)
def envelope(tile: str) -> shapely.Polygon | shapely.MultiPolygon:
    """The area in which everything lies that a tile owns: the padded outline of its descendants.

    At the antimeridian it is cut in two. A tile that reaches a pole has all longitudes from its lowest latitude to the
    pole.

    Returns:
        A shape in longitude, latitude; degrees, EPSG:4326.
    """
    level = min(resolution_of(tile) + _OUTLINE_LEVELS, FINEST)
    rings = _boundaries(h3s.cell_to_children(tile, level), h3s.cell_to_latlng(tile)[1])
    edge_deg = float(np.max(np.abs(np.diff(rings[..., 1], axis=1)))) * _LONGEST_TO_TALLEST
    pad_deg = _PAD_EDGES * edge_deg + _PAD_M / _METRES_PER_DEGREE
    west, south, east, north = np.concatenate([np.min(rings, axis=(0, 1)), np.max(rings, axis=(0, 1))])
    south, north = south - pad_deg, north + pad_deg
    highest = max(-south, north)
    stretch = 1 / math.cos(math.radians(highest)) if highest < _POLAR else math.inf
    if east - west + 2 * pad_deg * stretch > _WIDEST:
        return shapely.box(-180, -90 if south < 0 else south, 180, 90 if north > 0 else north)
    return _cut(_padded(shapely.polygons(rings), pad_deg, stretch))


def _cut(shape: shapely.Polygon) -> shapely.Polygon | shapely.MultiPolygon:
    """The shape with all longitudes within 180 degrees: parts beyond the antimeridian are moved to its other side."""
    west, _, east, _ = shape.bounds
    if west > -180 and east < 180:
        return shape
    globe = shapely.box(-180, -90, 180, 90)
    moved = [shapely.transform(shape, lambda c, turn=turn: c + np.array([turn, 0.0])) for turn in (-360.0, 0.0, 360.0)]
    return shapely.union_all(shapely.intersection(moved, globe))


def _boundaries(cells: Iterable[str], near_lon: float) -> npt.NDArray[np.float64]:
    """Each cell's ring as (n, 11, 2) longitude, latitude, on the same side of the antimeridian as `near_lon`."""
    rings = []
    for cell in cells:
        ring = [(lon, lat) for lat, lon in h3s.cell_to_boundary(cell)]
        rings.append(ring + [ring[0]] * (11 - len(ring)))  # pentagons and edge crossings have up to ten vertices
    array = np.array(rings)
    array[..., 0] -= 360 * np.round((array[..., 0] - near_lon) / 360)
    return array


def _padded(cells: npt.NDArray[np.object_], pad_deg: float, stretch: float) -> shapely.Polygon:
    """The cells as one polygon, padded by the same distance in both directions: longitudes are shrunk before and
    stretched after.
    """
    squeezed = shapely.transform(cells, lambda c: c / (stretch, 1.0))
    grown = shapely.buffer(squeezed, pad_deg, quad_segs=1, join_style="mitre")
    whole = shapely.simplify(shapely.union_all(grown), pad_deg / 20)
    return shapely.Polygon(shapely.transform(whole, lambda c: c * (stretch, 1.0)).exterior)


def count_by(cells: npt.NDArray[np.uint64], resolution: int) -> dict[str, int]:
    """The number of finest cells in each tile of a resolution; NO_CELL is not counted."""
    found, counts = np.unique(ancestors(cells, resolution), return_counts=True)
    return {to_str(tile): int(n) for tile, n in zip(found, counts, strict=True) if tile != NO_CELL}
