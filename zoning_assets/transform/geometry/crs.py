"""Coordinate reference systems: the checks of a layer's CRS, and the frame for measurements.

First, the CRS that the jurisdiction file or the portal declares is used (the file overrides the portal). Then the rows,
in degrees, must lie within the jurisdiction's bounds; this detects swapped axes, and feet read as degrees. If nothing
is declared, degrees are assumed, and only accepted by that same check. All coordinates are x, y (longitude, latitude).
They are swapped only if the jurisdiction file says so (`axes`). The accuracy of datum shifts is checked in
datum_shifts.py.
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
#: How far outside its bounds a jurisdiction's rows may lie, as a share of the size of the bounds.
MARGIN = 0.25
#: The longest edge that is not divided before a transformation: degrees, and metres in EPSG:3857.
_EDGE_DEG, _EDGE_M = 0.001, 100.0
#: The message for rows that would lie within the bounds if x and y were swapped.
SWAPPED = "its axes are swapped"
#: If a larger share of the rows lies outside the bounds, the CRS is wrong, not the rows.
MOST_OUTSIDE = 0.5


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """A cached transformer with x, y order on both sides."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=64)
def is_same(one: str, other: str) -> bool:
    """Whether two names mean the same CRS, except for axis order."""
    return one == other or bool(pyproj.CRS(one).equals(pyproj.CRS(other), ignore_axis_order=True))


@lru_cache(maxsize=64)
def agree(one: str, other: str, bounds: Bounds) -> bool:
    """Whether a point in the middle of the bounds has the same coordinates in both CRS, to one part in a million."""
    if is_same(one, other):
        return True
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    here, there = (np.array(transformer(DEGREES, each).transform(x, y)) for each in (one, other))
    return bool(np.isfinite([here, there]).all() and np.allclose(here, there, rtol=1e-6, atol=1e-7))


def reproject(shapes: Geometries, source: str, target: str) -> Geometries:
    """The shapes in the CRS `target`. Coordinates that cannot be transformed become infinite."""
    if is_same(source, target):
        return shapes
    moved: Geometries = shapely.transform(shapes, transformer(source, target).transform, interleaved=False)
    return moved


def densified(shapes: Geometries, source: str) -> Geometries:
    """The shapes with vertices at least every 100 m, to be transformed.

    An edge of a kilometre that is straight in degrees is curved by centimetres in a metric frame. With more vertices, a
    boundary has the same place (to 0.1 mm) however many vertices the portal sends.
    """
    longest = _EDGE_DEG if is_same(source, DEGREES) else _EDGE_M
    west, south, east, north = shapely.bounds(shapes).T
    large = np.hypot(east - west, north - south) > longest  # no edge of the others can be longer
    found = shapes.copy()
    found[large] = shapely.segmentize(shapes[large], longest)
    return found


def x_first(shapes: Geometries, axes: str) -> Geometries:
    """The shapes with x before y, from shapes with the axis order `axes` (model.LON_LAT or LAT_LON)."""
    if axes == LON_LAT:
        return shapes
    swapped_shapes: Geometries = shapely.transform(shapes, lambda points: points[:, ::-1])
    return swapped_shapes


def metric_frame(bounds: Bounds) -> str:
    """The equal-area frame of a jurisdiction in metres: Lambert azimuthal equal-area around the middle of its bounds,
    WGS 84.
    """
    west, south, east, north = bounds
    return f"+proj=laea +lat_0={(south + north) / 2:.4f} +lon_0={(west + east) / 2:.4f} +ellps=WGS84 +units=m +no_defs"


def padded(bounds: Bounds, margin: float = MARGIN) -> Bounds:
    """The bounds, extended by a share of their size on each side, and limited to the globe. West, south, east, north;
    degrees.
    """
    west, south, east, north = bounds
    dx, dy = (east - west) * margin, (north - south) * margin
    return max(west - dx, -180), max(south - dy, -90), min(east + dx, 180), min(north + dy, 90)


def declared(layer_crs: str | None, feed_crs: str | None) -> str:
    """The CRS of the jurisdiction file, else of the portal, else EPSG:4326."""
    return feed_crs or layer_crs or DEGREES


def declared_for_people(layer_crs: str | None, feed_crs: str | None) -> str:
    """The declared CRS for messages; it says so if nothing was declared."""
    name = declared(layer_crs, feed_crs)
    return name if feed_crs or layer_crs else f"{name} because no CRS is declared (a shapefile declares it in its .prj)"


def outside(points: npt.NDArray[np.float64], bounds: Bounds) -> npt.NDArray[np.bool_]:
    """Which points (n, 2; longitude, latitude in degrees) lie outside the padded bounds. NaN counts as inside."""
    west, south, east, north = padded(bounds)
    x, y = points[:, 0], points[:, 1]
    return (x < west) | (x > east) | (y < south) | (y > north)


def check_bounds(
    points: npt.NDArray[np.float64], bounds: Bounds, *, crs: str, where: str, has_axes_key: bool = True
) -> None:
    """Check that the rows of a page lie within the jurisdiction.

    Args:
        points: (n, 2) longitude, latitude; degrees; NaN for rows without a shape.
        bounds: of the jurisdiction; degrees.
        crs: the CRS in which the rows were read, for messages.
        where: for messages.
        has_axes_key: whether the feed type has the key `axes` in the jurisdiction file.

    Raises:
        CrsRefused: most rows lie outside the bounds.
    """
    placed = points[~np.isnan(points).any(axis=1)]
    if len(placed) and outside(placed, bounds).mean() > MOST_OUTSIDE:
        swapped = not outside(placed[:, ::-1], bounds).mean() > MOST_OUTSIDE
        x, y = np.median(placed, axis=0)
        guess = SWAPPED if swapped else f"read as {crs}, they are at about {x:.4g}, {y:.4g} degrees"
        fix = f'set `axes = "{LAT_LON}"`' if swapped and has_axes_key else "set `crs`"
        raise CrsRefused(
            f"the rows do not lie in the jurisdiction's bounds: {guess}",
            where=where,
            do=f"{fix} of the feed (or `bounds`) in the jurisdiction file",
        )
