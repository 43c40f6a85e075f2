"""Overlay of polygons on a precision grid: intersection, difference, union and erosion that never fail.

All operands are polygons in one metric frame. Overlay in floating point can return ground that neither operand has,
where two boundaries almost coincide, and GEOS refuses a collection of polygons and lines beside an empty polygon. So
each operation takes polygons only, nodes them by snap rounding on GRID_M, and returns polygons only.
"""

from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely.errors import GEOSException

from zoning_assets.transform.geometry.validity import polygons_only

Geometries = npt.NDArray[np.object_]

#: Metres. Far above float noise (1e-9 within a county), far below the stored precision (1.1 mm, canonical.GRID).
GRID_M = 1e-5
#: Metres. A map whose corners were rounded once more differs by strips up to 2 mm wide; they are no ground.
NOISE_M = 0.005

_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
#: Coordinates beyond are no metres of this earth, and no grid holds them.
_FARTHEST_M = 1e9


def polygons(shapes: Geometries) -> Geometries:
    """Each shape's valid polygons; an empty polygon where there is none, or a coordinate is not finite."""
    found = areal(shapes)
    bounds = np.abs(shapely.bounds(found))
    lost = ~shapely.is_empty(found) & ~(bounds < _FARTHEST_M).all(axis=1)
    wrong = lost | ~shapely.is_valid(found)
    if not wrong.any():
        return found
    found = found.copy()
    found[lost] = shapely.Polygon()
    found[wrong] = _mended(found[wrong])
    return found


def polygonal(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The same rows with `polygons` of their shapes."""
    shapes = rows.geometry.to_numpy()
    found = polygons(shapes)
    return rows if found is shapes else rows.set_geometry(gpd.GeoSeries(found, rows.index, rows.crs))


def _mended(shapes: Geometries) -> Geometries:
    """Valid polygons; where GEOS leaves two that share an edge, which no MultiPolygon may, they are noded once more."""
    mended = areal(shapely.make_valid(shapes, method="structure", keep_collapsed=False))
    again = ~shapely.is_valid(mended)
    mended[again] = areal(shapely.set_precision(mended[again], GRID_M))
    return mended


def areal(shapes: Geometries) -> Geometries:
    """Each shape without its points and lines; an empty polygon where nothing is left."""
    mixed = ~np.isin(shapely.get_type_id(shapes), _POLYGONAL)
    if not mixed.any():
        return shapes
    areas = shapes.copy()
    areas[mixed] = polygons_only(shapes[mixed])
    areas[shapely.is_missing(areas)] = shapely.Polygon()
    return areas


def intersection(one: Geometries, two: Geometries) -> Geometries:
    """The ground of both, pair by pair."""
    return _overlaid(shapely.intersection, one, two)


def difference(one: Geometries, two: Geometries) -> Geometries:
    """The ground of the first that the second has not, pair by pair."""
    return _overlaid(shapely.difference, one, two)


def symmetric_difference(one: Geometries, two: Geometries) -> Geometries:
    """The ground that only one of both has, pair by pair."""
    return _overlaid(shapely.symmetric_difference, one, two)


def union(shapes: Any) -> Any:
    """The ground of all as one shape; an empty polygon for none."""
    parts = areal(_array(shapes))
    try:
        whole = shapely.union_all(parts, grid_size=GRID_M)
    except GEOSException:
        whole = shapely.union_all(_on_grid(parts), grid_size=GRID_M)
    return areal(_array([whole]))[0]


def union_by(parts: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row for each combination of `by`: its ground, counted once where its parts overlap."""
    groups = parts.groupby(by, sort=True, dropna=False)
    firsts = groups.head(1).sort_values(by, ignore_index=True)
    number = groups.ngroup().to_numpy()
    several = np.flatnonzero(np.bincount(number) > 1) if len(number) else number
    shapes, order = parts["geometry"].to_numpy(), np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], several)
    ends = np.searchsorted(number[order], several, side="right")
    geometry = firsts["geometry"].to_numpy(copy=True)
    geometry[several] = [union(shapes[order[a:b]]) for a, b in zip(starts, ends, strict=True)]
    return firsts.assign(geometry=pd.Series(geometry, dtype=object))


def eroded(shapes: Geometries, by_m: float) -> Geometries:
    """Each shape without the ground nearer than `by_m` to its boundary."""
    return buffered(shapes, -by_m)


def buffered(shapes: Geometries, by_m: float) -> Geometries:
    """Each shape grown by `by_m`, or shrunk where that is negative."""
    with np.errstate(invalid="ignore"):  # of a ring without area
        try:
            found = shapely.buffer(areal(shapes), by_m)
        except GEOSException:
            found = shapely.buffer(_on_grid(shapes), by_m)
    return areal(found)


def is_wider(shapes: Geometries, width_m: float) -> npt.NDArray[np.bool_]:
    """Whether a circle of this diameter finds room in each shape."""
    area, length = shapely.area(shapes), shapely.length(shapes)
    wide: npt.NDArray[np.bool_] = 2 * area > width_m * length  # the inscribed circle is at least area / length
    doubtful = np.flatnonzero(~wide & (area > np.pi * width_m**2 / 4))
    wide[doubtful] = ~shapely.is_empty(eroded(shapes[doubtful], width_m / 2))
    return wide


def _overlaid(operation: Callable[..., Any], one: Geometries, two: Geometries) -> Geometries:
    one, two = areal(one), areal(two)
    try:
        found = operation(one, two, grid_size=GRID_M)
    except GEOSException:  # a shape that is not valid
        found = operation(_on_grid(one), _on_grid(two), grid_size=GRID_M)
    return areal(found)


def _on_grid(shapes: Geometries) -> Geometries:
    """Valid polygons whose corners lie on the grid."""
    return polygons(shapely.set_precision(polygons(shapes), GRID_M))


def _array(shapes: Any) -> Geometries:
    array = np.empty(len(shapes), dtype=object)
    array[:] = shapes
    return array
