"""Corrections of single rows by a person: other values in the portal's columns, or another shape. Corrected rows are
validated like all rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyproj
import shapely

from zoning_assets.transform.decode import geojson
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.decode.json_pages import decode, is_too_deep
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import crs

#: The value of `repair` in a corrected row.
FIXED = "fixed by a person"


@dataclass(frozen=True)
class Fix:
    """The correction of one row. `row_id` identifies the row, in whichever page it is."""

    row_id: str
    columns: Mapping[str, str | None]  # by the portal's column name
    shape: bytes | None = None  # WKB; longitude, latitude, EPSG:4326; None: unchanged


def with_corrected_columns(rows: Rows, fixes: Mapping[int, Fix]) -> Rows:
    """The rows with corrected attributes. Corrected shapes are set after the reprojection."""
    attributes, flaws = list(rows.attributes), dict(rows.flaws)
    for row, fix in fixes.items():
        attributes[row] = {**attributes[row], **fix.columns}
        if fix.shape is not None or flaws.get(row) != esri_json.CURVE:
            flaws[row] = FIXED
    return replace(rows, attributes=attributes, flaws=flaws)


def with_corrected_shapes(shapes: crs.Geometries, fixes: Mapping[int, Fix], target: str) -> crs.Geometries:
    """The shapes (target CRS) with the corrected ones in place."""
    corrected = {row: fix.shape for row, fix in fixes.items() if fix.shape is not None}
    if not corrected:
        return shapes
    moved = shapes.copy()
    moved[list(corrected)] = crs.reproject(shapely.from_wkb(np.array(list(corrected.values()))), crs.DEGREES, target)
    return moved


def read_shape(body: bytes) -> bytes:
    """Read the shape of a GeoJSON document: a geometry, a feature, or a collection of one feature.

    Coordinates are longitude, latitude in EPSG:4326 (RFC 7946), unless a `crs` member names another CRS.

    Returns:
        WKB in EPSG:4326.

    Raises:
        ValueError: it has no shape, several shapes, or one without area.
    """
    document = decode(body)
    if not isinstance(document, dict) or is_too_deep(document):
        raise ValueError("it is not GeoJSON")
    shapes, flaws = geojson.shapes_of([_one(document)])
    if flaws or shapes[0] is None or shapely.is_empty(shapes[0]):
        raise ValueError(flaws.get(0) or "its shape has no area")
    try:
        moved = crs.reproject(shapes, _crs_of(document), crs.DEGREES)
    except pyproj.exceptions.CRSError:
        raise ValueError("its CRS is unknown") from None
    if not np.isfinite(shapely.bounds(moved[0])).all():
        raise ValueError("its coordinates are not valid in its CRS")
    return bytes(shapely.to_wkb(moved[0]))


def _one(document: Mapping[str, Any]) -> Any:
    """The geometry object of a geometry, a feature, or a collection of one feature."""
    if document.get("type") != "FeatureCollection":
        return document.get("geometry") if document.get("type") == "Feature" else document
    features = document.get("features")
    if not isinstance(features, list) or len(features) != 1 or not isinstance(features[0], dict):
        raise ValueError("it does not have exactly one feature")
    return features[0].get("geometry")


def _crs_of(document: Mapping[str, Any]) -> str:
    declared = document.get("crs")
    properties = declared.get("properties") if isinstance(declared, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if declared is not None and not isinstance(name, str):
        raise ValueError("its `crs` member names no CRS")
    return name or crs.DEGREES
