"""Coordinate reference systems: the three gates, and the frame in which measures are taken.

Gate 1: what the portal (or the jurisdiction file, which wins) declares. Gate 2: seen in degrees, the rows must lie in
the jurisdiction's bounds; this finds swapped axes and feet taken for degrees. Gate 3: where nothing is declared, an
audited default: degrees, and only if gate 2 agrees. All coordinates are x, y (longitude, latitude); they are swapped
only where the jurisdiction file says so (`axes`). How exact a datum's shift is: see `shifts`.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from zoning_assets.errors import CrsRefused
from zoning_assets.model import LAT_LON, LON_LAT, Bounds

Geometries = npt.NDArray[np.object_]

DEGREES = "EPSG:4326"
#: How far outside its bounds a jurisdiction's rows may lie, in parts of the bounds' size.
MARGIN = 0.25
#: The longest edge that is transformed by its ends alone: degrees, and metres of EPSG:3857.
_EDGE_DEG, _EDGE_M = 0.001, 100.0
#: What is said of rows that would lie in the bounds if their two numbers changed places.
SWAPPED = "its axes are swapped"
#: More rows than this outside the bounds and the CRS is doubted, not the rows.
MOST_OUTSIDE = 0.5


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """A transformer with x, y order on both sides."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=64)
def is_same(one: str, other: str) -> bool:
    """Whether two names mean the same CRS, axis order apart."""
    return one == other or bool(pyproj.CRS(one).equals(pyproj.CRS(other), ignore_axis_order=True))


@lru_cache(maxsize=64)
def agree(one: str, other: str, bounds: Bounds) -> bool:
    """Whether two names give a place in the middle of the bounds the same coordinates, to a part in a million."""
    if is_same(one, other):
        return True
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    here, there = (np.array(transformer(DEGREES, each).transform(x, y)) for each in (one, other))
    return bool(np.isfinite([here, there]).all() and np.allclose(here, there, rtol=1e-6, atol=1e-7))


def reproject(shapes: Geometries, source: str, target: str) -> Geometries:
    """The shapes in another CRS; what cannot be transformed gets infinite coordinates."""
    if is_same(source, target):
        return shapes
    moved: Geometries = shapely.transform(shapes, transformer(source, target).transform, interleaved=False)
    return moved


def densified(shapes: Geometries, source: str) -> Geometries:
    """The shapes with corners at least every 100 m or so, before they are transformed.

    An edge of a kilometre that is straight in degrees bends by centimetres in metres. With this, a boundary lies at the
    same place however many corners the portal gives it (to 0.1 mm). Shapes are valid.
    """
    longest = _EDGE_DEG if is_same(source, DEGREES) else _EDGE_M
    west, south, east, north = shapely.bounds(shapes).T
    large = np.hypot(east - west, north - south) > longest  # no edge of the others can be longer
    found = shapes.copy()
    found[large] = shapely.segmentize(shapes[large], longest)
    return found


def straight(shapes: Geometries, axes: str) -> Geometries:
    """The shapes with x first, of shapes whose axes come in that order (model.LON_LAT or LAT_LON)."""
    if axes == LON_LAT:
        return shapes
    turned: Geometries = shapely.transform(shapes, lambda points: points[:, ::-1])
    return turned


def metric_frame(bounds: Bounds) -> str:
    """The equal-area frame of a jurisdiction, in metres: Lambert azimuthal about the middle of its bounds (WGS 84)."""
    west, south, east, north = bounds
    return f"+proj=laea +lat_0={(south + north) / 2:.4f} +lon_0={(west + east) / 2:.4f} +ellps=WGS84 +units=m +no_defs"


def padded(bounds: Bounds, margin: float = MARGIN) -> Bounds:
    """The bounds, larger by a margin (in parts of their size) on each side, kept on the globe."""
    west, south, east, north = bounds
    dx, dy = (east - west) * margin, (north - south) * margin
    return max(west - dx, -180), max(south - dy, -90), min(east + dx, 180), min(north + dy, 90)


def declared(layer_crs: str | None, feed_crs: str | None) -> str:
    """Gates 1 and 3: what the jurisdiction file says, else the portal, else degrees."""
    return feed_crs or layer_crs or DEGREES


def spoken(layer_crs: str | None, feed_crs: str | None) -> str:
    """The same for people, who must know when nothing was declared."""
    name = declared(layer_crs, feed_crs)
    return name if feed_crs or layer_crs else f"{name} for want of a declaration (a shapefile's is its .prj)"


def outside(points: npt.NDArray[np.float64], bounds: Bounds) -> npt.NDArray[np.bool_]:
    """Which points (n, 2; degrees) lie outside the padded bounds; NaN counts as inside, having no place."""
    west, south, east, north = padded(bounds)
    x, y = points[:, 0], points[:, 1]
    return (x < west) | (x > east) | (y < south) | (y > north)


def gate(points: npt.NDArray[np.float64], bounds: Bounds, *, crs: str, where: str, may_turn: bool = True) -> None:
    """Gate 2, for the rows of a whole page. `may_turn`: whether the jurisdiction file may say the order of the axes.

    Raises:
        CrsRefused: most rows lie outside the jurisdiction's bounds.
    """
    placed = points[~np.isnan(points).any(axis=1)]
    if len(placed) and outside(placed, bounds).mean() > MOST_OUTSIDE:
        swapped = not outside(placed[:, ::-1], bounds).mean() > MOST_OUTSIDE
        x, y = np.median(placed, axis=0)
        guess = SWAPPED if swapped else f"read as {crs} the rows lie about {x:.4g}, {y:.4g} degrees"
        mend = f'set `axes = "{LAT_LON}"`' if swapped and may_turn else "set `crs`"
        raise CrsRefused(
            f"the rows do not lie in the jurisdiction's bounds: {guess}",
            where=where,
            do=f"{mend} of the feed (or `bounds`) in the jurisdiction file",
        )
