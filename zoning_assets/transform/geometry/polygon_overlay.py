"""Overlay of polygons on a precision grid: intersection, difference, union and erosion that never fail.

All operands are polygons in one metric frame. If two boundaries almost coincide, overlay in floating point can return
area that neither operand has, and GEOS refuses a collection of polygons and lines together with an empty polygon.
Therefore each operation takes polygons only, uses snap rounding on GRID_M, and returns polygons only.
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

#: Metres. Far above float noise (1e-9 within a county), far below the stored precision (1.1 mm, content_hash.GRID).
GRID_M = 1e-5
#: Metres. If the vertices of a map are rounded again, it differs by strips up to 2 mm wide, which are not changes.
NOISE_M = 0.005

_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
#: Larger coordinates are not metres on the earth, and overflow the grid.
_MAX_COORDINATE_M = 1e9


def polygons(shapes: Geometries) -> Geometries:
    """Return each shape's valid polygons; an empty polygon if it has none, or a coordinate is not finite."""
    found = areal(shapes)
    bounds = np.abs(shapely.bounds(found))
    lost = ~shapely.is_empty(found) & ~(bounds < _MAX_COORDINATE_M).all(axis=1)
    wrong = lost | ~shapely.is_valid(found)
    if not wrong.any():
        return found
    found = found.copy()
    found[lost] = shapely.Polygon()
    found[wrong] = _repaired(found[wrong])
    return found


def polygonal(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Apply `polygons` to the shapes of the rows."""
    shapes = rows.geometry.to_numpy()
    found = polygons(shapes)
    return rows if found is shapes else rows.set_geometry(gpd.GeoSeries(found, rows.index, rows.crs))


def _repaired(shapes: Geometries) -> Geometries:
    """Return valid polygons. If GEOS leaves two that share an edge, which is invalid, they are rounded once more."""
    repaired = areal(shapely.make_valid(shapes, method="structure", keep_collapsed=False))
    again = ~shapely.is_valid(repaired)
    repaired[again] = areal(shapely.set_precision(repaired[again], GRID_M))
    return repaired


def areal(shapes: Geometries) -> Geometries:
    """Remove points and lines from each shape; an empty polygon if nothing is left."""
    mixed = ~np.isin(shapely.get_type_id(shapes), _POLYGONAL)
    if not mixed.any():
        return shapes
    areas = shapes.copy()
    areas[mixed] = polygons_only(shapes[mixed])
    areas[shapely.is_missing(areas)] = shapely.Polygon()
    return areas


def intersection(one: Geometries, two: Geometries) -> Geometries:
    """Return the area that both shapes of each pair have."""
    return _overlay(shapely.intersection, one, two)


def difference(one: Geometries, two: Geometries) -> Geometries:
    """Return the area that only the first shape of each pair has."""
    return _overlay(shapely.difference, one, two)


def symmetric_difference(one: Geometries, two: Geometries) -> Geometries:
    """Return the area that exactly one shape of each pair has."""
    return _overlay(shapely.symmetric_difference, one, two)


def union(shapes: Any) -> Any:
    """Return the area of all shapes as one shape; an empty polygon if there are none."""
    parts = areal(_array(shapes))
    try:
        merged = shapely.union_all(parts, grid_size=GRID_M)
    except GEOSException:
        merged = shapely.union_all(_on_grid(parts), grid_size=GRID_M)
    return areal(_array([merged]))[0]


def union_by(parts: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one row for each combination of `by`, with the union of its shapes."""
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
    """Shrink each shape by `by_m` metres."""
    return buffered(shapes, -by_m)


def buffered(shapes: Geometries, by_m: float) -> Geometries:
    """Grow each shape by `by_m` metres; shrink it if the number is negative."""
    with np.errstate(invalid="ignore"):  # for rings without area
        try:
            found = shapely.buffer(areal(shapes), by_m)
        except GEOSException:
            found = shapely.buffer(_on_grid(shapes), by_m)
    return areal(found)


def is_wider(shapes: Geometries, width_m: float) -> npt.NDArray[np.bool_]:
    """Whether a circle of this diameter fits into each shape."""
    area, length = shapely.area(shapes), shapely.length(shapes)
    wide: npt.NDArray[np.bool_] = 2 * area > width_m * length  # the inscribed circle is at least area / length
    doubtful = np.flatnonzero(~wide & (area > np.pi * width_m**2 / 4))
    wide[doubtful] = ~shapely.is_empty(eroded(shapes[doubtful], width_m / 2))
    return wide


def _overlay(operation: Callable[..., Any], one: Geometries, two: Geometries) -> Geometries:
    one, two = areal(one), areal(two)
    try:
        found = operation(one, two, grid_size=GRID_M)
    except GEOSException:  # a shape that is not valid
        found = operation(_on_grid(one), _on_grid(two), grid_size=GRID_M)
    return areal(found)


def _on_grid(shapes: Geometries) -> Geometries:
    """Return valid polygons whose vertices are on the grid."""
    return polygons(shapely.set_precision(polygons(shapes), GRID_M))


def _array(shapes: Any) -> Geometries:
    array = np.empty(len(shapes), dtype=object)
    array[:] = shapes
    return array
