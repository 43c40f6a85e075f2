"""Which shapes are sound, which can be mended, and which cannot."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.transform.geometry import content_hash

Geometries = npt.NDArray[np.object_]
Texts = npt.NDArray[np.object_]  # str or None

NO_GEOMETRY, NOT_AN_AREA = "no_geometry", "not_an_area"


@dataclass(frozen=True)
class Mended:
    """One entry a shape. `geometry` is a valid MultiPolygon on the grid, or None where `rejected` says why not."""

    geometry: Geometries
    repaired: Texts  # what was wrong
    rejected: Texts  # NO_GEOMETRY (null or empty), NOT_AN_AREA


def mend(shapes: Geometries, grid: float) -> Mended:
    """Valid MultiPolygons on the grid; points and lines are shed, and what has no area left is rejected.

    Validity depends on the coordinates that are stored, so it is judged on the grid of the target CRS and nowhere
    else. `make_valid` runs on the invalid only.

    Args:
        shapes: in the target CRS; None where a row has none.
        grid: see canonical.GRID.
    """
    open_ = ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)
    rejected = _only(~open_, np.full(len(shapes), NO_GEOMETRY, dtype=object))
    snapped = _only(open_, content_hash.on_grid(shapes, grid))
    mixed = shapely.get_type_id(snapped) == shapely.GeometryType.GEOMETRYCOLLECTION
    # A collection is valid though its polygons overlap; the MultiPolygon made of them is not.
    snapped[mixed] = polygons_only(snapped[mixed])
    wrong = ~shapely.is_missing(snapped) & ~shapely.is_valid(snapped)
    repaired = np.full(len(shapes), None, dtype=object)
    repaired[wrong] = [reason.split("[")[0] for reason in shapely.is_valid_reason(snapped[wrong])]
    snapped[wrong] = _valid(snapped[wrong], grid)
    areas = _areas(snapped, sound=~wrong)
    rejected[open_ & shapely.is_missing(areas)] = NOT_AN_AREA
    return Mended(content_hash.normal(areas), repaired, rejected)


def _areas(shapes: Geometries, sound: npt.NDArray[np.bool_]) -> Geometries:
    """Each shape's polygons that have an area; a sound MultiPolygon of one part is taken as it is."""
    of_one = (shapely.get_type_id(shapes) == shapely.GeometryType.MULTIPOLYGON) & (
        shapely.get_num_geometries(shapes) == 1
    )
    others = ~(of_one & sound & ~shapely.is_empty(shapes))
    areas = shapes.copy()
    areas[others] = polygons_only(shapes[others], least=0.0)
    return areas


def _only(where: npt.NDArray[np.bool_], values: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """The values where that holds, None elsewhere."""
    kept = values.copy()
    kept[~where] = None
    return kept


def _valid(shapes: Geometries, grid: float) -> Geometries:
    """Valid shapes on the grid. Crossings that `make_valid` finds lie between grid lines; moved there, the shape may
    be invalid once more, and only then is the slower exact rounding used.

    Lines are shed at each step: among them GEOS takes polygons that overlap for valid.
    """
    finite = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    usable = shapes.copy()
    usable[~finite] = None
    mended = content_hash.on_grid(_made_valid(usable), grid)
    again = ~shapely.is_valid(mended) & ~shapely.is_missing(mended)
    mended[again] = shapely.set_precision(_made_valid(mended[again]), grid)
    return mended


def _made_valid(shapes: Geometries) -> Geometries:
    return polygons_only(shapely.make_valid(shapes, method="structure"))


def polygons_only(shapes: Geometries, least: float = -1.0) -> Geometries:
    """Each shape's polygons larger than `least` as one MultiPolygon; None where there are none."""
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
