"""Decode GeoJSON pages of APIs (RFC 7946, also f=geojson of ArcGIS).

Elsewhere: files in sources/files/geojson/, features and their properties in json_pages.py, pages of OGC API and WFS in
feature_collection.py.

A polygon's first ring is its shell and the other rings are its holes, whatever their direction. Coordinates are x, y;
by the standard they are longitude and latitude. A `crs` member is not evaluated here, but by the caller.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoning_assets.transform.decode import json_pages
from zoning_assets.transform.decode.esri.esri_json import NO_AREA
from zoning_assets.transform.decode.json_pages import attributes_of, decode, features_of, object_ids, vertices_of
from zoning_assets.transform.decode.rows import Peek, Rows
from zoning_assets.transform.geometry.rings import Geometries, Rings
from zoning_assets.transform.geometry.rings import shapes_of as rings_to_shapes

NON_POLYGONS_REMOVED = "points or lines beside its polygons were removed"

_MAX_DEPTH = 8  # of nested collections
_INVALID_POLYGON = [[None]]  # its only vertex is not a number, so the shape gets the flaw NOT_NUMBERS
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")


def read(body: bytes, layer: Mapping[str, Any]) -> Rows:
    """Decode a page of features.

    Args:
        body: the page.
        layer: its `id` is the name of the id column. The `id` member of a feature is added under this name if the
            properties have no such column.

    Raises:
        ValueError: the bytes are not a GeoJSON page.
    """
    page = json_pages.read_page(body, "properties")
    column = layer.get("id") or "id"
    rows = zip(page.attributes, page.features, strict=True)
    attributes = [_with_id(row, feature, column) for row, feature in rows]
    shapes, flaws = shapes_of([feature.get("geometry") for feature in page.features])
    return Rows(attributes, shapes, {**page.notes, **flaws}, page.features.__getitem__)


def peek(body: bytes, id_column: str) -> Peek:
    """Return the number of rows of a page, their object ids, and whether the server reports that more rows follow.

    Raises:
        ValueError: the bytes are not a GeoJSON page, or a row has no object id.
    """
    document = decode(body)
    features = features_of(document)
    rows = attributes_of(features, "properties")
    pairs = zip(rows, features, strict=True)
    ids = object_ids([row[id_column] if id_column in row else feature.get("id") for row, feature in pairs])
    properties = document.get("properties")  # ArcGIS Online has the flag here, ArcGIS Server at the top level
    more = document.get("exceededTransferLimit") is True
    more = more or (isinstance(properties, dict) and properties.get("exceededTransferLimit") is True)
    return Peek(len(ids), ids, more, rows[0] if rows else ())


def shapes_of(geometries: Sequence[Any]) -> tuple[Geometries, dict[int, str]]:
    """Convert GeoJSON geometries to shapes (x, y); None if a row has no shape. Second: the flaws by row index."""
    flaws: dict[int, str] = {}
    rings: list[Any] = []
    owner: list[int] = []
    polygon: list[int] = []
    for i, geometry in enumerate(geometries):
        found, flaw = _polygons(geometry) if geometry else ([], None)
        if flaw:
            flaws[i] = flaw
        for each in found:
            number = polygon[-1] + 1 if polygon else 0
            rings += each
            owner += [i] * len(each)
            polygon += [number] * len(each)
    if not set(map(type, rings)) <= {list}:
        rings = [ring if type(ring) is list else _INVALID_POLYGON[0] for ring in rings]
    lengths = np.fromiter(map(len, rings), dtype=np.int64, count=len(rings))
    declared = Rings(vertices_of(rings), lengths, *(np.array(each, dtype=np.int64) for each in (owner, polygon)))
    shapes, odd = rings_to_shapes(declared, len(geometries))
    return shapes, flaws | odd


def _with_id(row: dict[str, Any], feature: Mapping[str, Any], column: str) -> dict[str, Any]:
    """Add the feature's `id` member to the properties, unless they have a column of that name."""
    own = feature.get("id")
    return {column: own, **row} if isinstance(own, int | float | str) and column not in row else row


def _polygons(geometry: Any) -> tuple[list[list[Any]], str | None]:
    """Return the rings of each polygon, and the flaw."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        return _collection_polygons(geometry)
    if kind in _WITHOUT_AREA:
        return [], NO_AREA
    found = geometry.get("coordinates") or [] if kind in ("Polygon", "MultiPolygon") else None
    polygons = [found] if kind == "Polygon" else found
    return (
        (polygons, None)
        if type(polygons) is list and set(map(type, polygons)) <= {list}
        else ([_INVALID_POLYGON], None)
    )


def _collection_polygons(collection: Mapping[str, Any]) -> tuple[list[list[Any]], str | None]:
    """Return the polygons of a collection and of nested collections. Not recursive: the portal decides the depth."""
    pending, polygons, removed = [(collection, 0)], [], False
    while pending:
        one, depth = pending.pop()
        members = one.get("geometries") or []
        if type(members) is not list or depth > _MAX_DEPTH:
            return [_INVALID_POLYGON], None
        for each in filter(None, members):
            if isinstance(each, dict) and each.get("type") == "GeometryCollection":
                pending.append((each, depth + 1))
                continue
            found, flaw = _polygons(each)
            polygons += found
            removed |= flaw is not None
    return polygons, (NON_POLYGONS_REMOVED if polygons else NO_AREA) if removed else None
