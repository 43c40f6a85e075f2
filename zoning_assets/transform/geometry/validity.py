"""Validate shapes, and repair those that are invalid."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.transform.geometry import content_hash

Geometries = npt.NDArray[np.object_]
Texts = npt.NDArray[np.object_]  # str or None

NO_GEOMETRY, NOT_AN_AREA = "no_geometry", "not_an_area"


@dataclass(frozen=True)
class RepairedShapes:
    """One entry a shape. `geometry` is a valid MultiPolygon on the grid, or None if `rejected` has a reason."""

    geometry: Geometries
    repaired: Texts  # the fault, None if the shape was valid
    rejected: Texts  # NO_GEOMETRY (null or empty), NOT_AN_AREA


def repair_shapes(shapes: Geometries, grid: float) -> RepairedShapes:
    """Make valid MultiPolygons on the grid. Points and lines are removed; a shape without any area left is rejected.

    Validity depends on the stored coordinates, so it is checked on the grid of the target CRS. `make_valid` is applied
    to invalid shapes only.

    Args:
        shapes: in the target CRS; None where a row has none.
        grid: cell size in units of the target CRS, see content_hash.GRID.
    """
    open_ = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)
    rejected = _where(~open_, np.full(len(shapes), NO_GEOMETRY, dtype=object))
    snapped = _where(open_, content_hash.on_grid(shapes, grid))
    mixed = shapely.get_type_id(snapped) == shapely.GeometryType.GEOMETRYCOLLECTION
    # A collection may be valid while its polygons overlap; the MultiPolygon of them is not.
    snapped[mixed] = polygons_only(snapped[mixed])
    invalid = ~shapely.is_missing(snapped) & ~shapely.is_valid(snapped)
    repaired = np.full(len(shapes), None, dtype=object)
    repaired[invalid] = [reason.split("[")[0] for reason in shapely.is_valid_reason(snapped[invalid])]
    snapped[invalid] = _valid(snapped[invalid], grid)
    areas = _areas(snapped, sound=~invalid)
    rejected[open_ & shapely.is_missing(areas)] = NOT_AN_AREA
    return RepairedShapes(content_hash.normal(areas), repaired, rejected)


def _areas(shapes: Geometries, sound: npt.NDArray[np.bool_]) -> Geometries:
    """The polygons with an area of each shape; a valid MultiPolygon of one part is kept as it is."""
    of_one = (shapely.get_type_id(shapes) == shapely.GeometryType.MULTIPOLYGON) & (
        shapely.get_num_geometries(shapes) == 1
    )
    others = ~(of_one & sound & ~shapely.is_empty(shapes))
    areas = shapes.copy()
    areas[others] = polygons_only(shapes[others], least=0.0)
    return areas


def _where(where: npt.NDArray[np.bool_], values: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The values where `where` is true, None elsewhere."""
    kept = values.copy()
    kept[~where] = None
    return kept


def _valid(shapes: Geometries, grid: float) -> Geometries:
    """Valid shapes on the grid.

    Intersections that `make_valid` adds lie between grid points. Rounded to the grid, a shape may be invalid again;
    only then the slower exact rounding is used. Lines are removed at each step, because GEOS accepts overlapping
    polygons in a collection with lines as valid.
    """
    finite = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    usable = shapes.copy()
    usable[~finite] = None
    repaired_shapes = content_hash.on_grid(_make_valid(usable), grid)
    still_invalid = ~shapely.is_valid(repaired_shapes) & ~shapely.is_missing(repaired_shapes)
    repaired_shapes[still_invalid] = shapely.set_precision(_make_valid(repaired_shapes[still_invalid]), grid)
    return repaired_shapes


def _make_valid(shapes: Geometries) -> Geometries:
    return polygons_only(shapely.make_valid(shapes, method="structure"))


def polygons_only(shapes: Geometries, least: float = -1.0) -> Geometries:
    """The polygons of each shape that are larger than `least` (units of the CRS, squared) as one MultiPolygon; None
    where there are none.
    """
    parts, owner = shapely.get_parts(shapes, return_index=True)
    while len(parts) and (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        owner = owner[inner]
    keep = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & (shapely.area(parts) > least)
    polygons = np.full(len(shapes), None, dtype=object)
    if keep.any():
        owners, positions = np.unique(owner[keep], return_inverse=True)
        polygons[owners] = shapely.multipolygons(parts[keep], indices=positions)
    return polygons
