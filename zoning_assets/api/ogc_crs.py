"""The coordinate reference systems of the features: OGC API Features, part 2.

CRS84 has longitude first. EPSG:4326 has latitude first, as its authority defines it. EPSG:3857 has easting first.
"""

import math
from functools import lru_cache
from typing import Any

import shapely
from fastapi import HTTPException
from pyproj import Transformer

from zoning_assets.model import Bounds

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_EPSG = "http://www.opengis.net/def/crs/EPSG/0/"
#: URI -> SRID, and whether the first coordinate is the latitude.
SUPPORTED: dict[str, tuple[int, bool]] = {
    CRS84: (4326, False),
    f"{_EPSG}4326": (4326, True),
    f"{_EPSG}3857": (3857, False),
}


def checked(uri: str | None, name: str) -> str:
    """The URI of a supported CRS; None: CRS84.

    Raises:
        HTTPException: 400, another CRS.
    """
    if uri is None:
        return CRS84
    plain = uri.removeprefix("[").removesuffix("]")  # a safe CURIE in brackets is not used by any client we know
    if plain not in SUPPORTED:
        raise HTTPException(400, f"{name} is not one of the CRSs that the collection lists")
    return plain


def bounds(text: str, uri: str) -> Bounds:
    """Parse a bounding box of 4 or 6 numbers in a CRS; the result is in CRS84.

    Raises:
        HTTPException: 400, it is not a bounding box.
    """
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:  # with heights
        numbers = [*numbers[0:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise HTTPException(400, "bbox is not 4 or 6 numbers")
    srid, is_latitude_first = SUPPORTED[uri]
    x1, y1, x2, y2 = numbers if not is_latitude_first else (numbers[1], numbers[0], numbers[3], numbers[2])
    if srid != 4326:
        x1, y1, x2, y2 = _to_degrees(srid).transform_bounds(x1, y1, x2, y2)
    if not (-180 <= x1 <= 180 and -180 <= x2 <= 180 and -90 <= y1 <= y2 <= 90):
        raise HTTPException(400, "bbox is outside of its CRS, or south and north are exchanged")
    return x1, y1, x2, y2


def to_crs84(geometry: dict[str, Any], uri: str) -> dict[str, Any]:
    """Transform a GeoJSON geometry of a filter to CRS84.

    Raises:
        HTTPException: 400, it is not a geometry.
    """
    srid, is_latitude_first = SUPPORTED[uri]
    try:
        shape = shapely.geometry.shape(geometry)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, shapely.errors.ShapelyError):
        raise HTTPException(400, "a geometry of the filter is not valid") from None
    if is_latitude_first:
        shape = shapely.transform(shape, lambda xy: xy[:, ::-1])
    if srid != 4326:
        shape = shapely.transform(shape, _to_degrees(srid).transform, interleaved=False)
    if not all(map(math.isfinite, shape.bounds)) and not shape.is_empty:
        raise HTTPException(400, "a geometry of the filter is outside of its CRS")
    found: dict[str, Any] = shapely.geometry.mapping(shape)
    return found


@lru_cache
def _to_degrees(srid: int) -> Transformer:
    return Transformer.from_crs(srid, 4326, always_xy=True)
