"""A person's fix of one row: other values in the portal's columns, or another shape; judged as all rows are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyproj
import shapely

from zoning_assets.transform.decode import geojson
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.decode.json_limits import decode, is_deep
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import crs

#: What a fixed row says of itself in `repair`.
FIXED = "fixed by a person"


@dataclass(frozen=True)
class Fix:
    """What is other in a row; `row_id` says in which, wherever it stands."""

    row_id: str
    columns: Mapping[str, str | None]  # the portal's columns
    shape: bytes | None = None  # WKB, EPSG:4326; None: as it is


def fixed(rows: Rows, fixes: Mapping[int, Fix]) -> Rows:
    """The rows with the columns of those that were fixed; their shapes come after the reprojection."""
    attributes, flaws = list(rows.attributes), dict(rows.flaws)
    for row, fix in fixes.items():
        attributes[row] = {**attributes[row], **fix.columns}
        if fix.shape is not None or flaws.get(row) != esri_json.CURVE:
            flaws[row] = FIXED
    return replace(rows, attributes=attributes, flaws=flaws)


def with_shapes(shapes: crs.Geometries, fixes: Mapping[int, Fix], target: str) -> crs.Geometries:
    """The shapes (target CRS) with those that a person gave."""
    given = {row: fix.shape for row, fix in fixes.items() if fix.shape is not None}
    if not given:
        return shapes
    moved = shapes.copy()
    moved[list(given)] = crs.reproject(shapely.from_wkb(np.array(list(given.values()))), crs.DEGREES, target)
    return moved


def read_shape(body: bytes) -> bytes:
    """The one shape of a GeoJSON document as WKB in EPSG:4326, which RFC 7946 means; a `crs` member says otherwise.

    Raises:
        ValueError: it holds none, several, or what is no area.
    """
    document = decode(body)
    if not isinstance(document, dict) or is_deep(document):
        raise ValueError("it is no GeoJSON")
    shapes, flaws = geojson.shapes_of([_one(document)])
    if flaws or shapes[0] is None or shapely.is_empty(shapes[0]):
        raise ValueError(flaws.get(0) or "its shape is no area")
    try:
        moved = crs.reproject(shapes, _crs_of(document), crs.DEGREES)
    except pyproj.exceptions.CRSError:
        raise ValueError("its CRS is none that is known") from None
    if not np.isfinite(shapely.bounds(moved[0])).all():
        raise ValueError("its coordinates are not numbers of its CRS")
    return bytes(shapely.to_wkb(moved[0]))


def _one(document: Mapping[str, Any]) -> Any:
    """The geometry of a geometry, of a feature, or of a collection of one."""
    if document.get("type") != "FeatureCollection":
        return document.get("geometry") if document.get("type") == "Feature" else document
    features = document.get("features")
    if not isinstance(features, list) or len(features) != 1 or not isinstance(features[0], dict):
        raise ValueError("it does not hold just one feature")
    return features[0].get("geometry")


def _crs_of(document: Mapping[str, Any]) -> str:
    said = document.get("crs")
    properties = said.get("properties") if isinstance(said, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if said is not None and not isinstance(name, str):
        raise ValueError("its `crs` member names none")
    return name or crs.DEGREES
