"""GeoJSON (f=geojson of ArcGIS, and any other RFC 7946 page): polygons as they are declared, however they are wound.

A polygon's first ring is its shell and the others are its holes. Degrees, longitude first; a `crs` member is for the
one who asks to look at.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoning_assets.transform.decode import json_limits
from zoning_assets.transform.decode.esri.esri_json import NO_AREA
from zoning_assets.transform.decode.json_limits import attributes_of, corners, decode, features_in, object_ids
from zoning_assets.transform.decode.rows import Peek, Rows
from zoning_assets.transform.geometry.rings import Geometries, Rings
from zoning_assets.transform.geometry.rings import shapes_of as rings_to_shapes

LINES_SHED = "points or lines beside its polygons were shed"

_DEEPEST = 8  # collections within collections
_BROKEN = [[None]]  # a polygon whose only corner is no number
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")


def read(body: bytes, layer: Mapping[str, Any]) -> Rows:
    """A page of features.

    Args:
        body: the page.
        layer: may name the column of ids (`id`), in which a feature's own id stands where its properties lack one.

    Raises:
        ValueError: the bytes are not such a page.
    """
    page = json_limits.read(body, "properties")
    column = layer.get("id") or "id"
    rows = zip(page.attributes, page.features, strict=True)
    attributes = [_with_id(row, feature, column) for row, feature in rows]
    shapes, flaws = shapes_of([feature.get("geometry") for feature in page.features])
    return Rows(attributes, shapes, {**page.notes, **flaws}, page.features.__getitem__)


def peek(body: bytes, id_column: str) -> Peek:
    """A page's rows, their object ids, and whether the server says that more would follow.

    Raises:
        ValueError: the bytes are not such a page, or a row has no object id.
    """
    document = decode(body)
    features = features_in(document)
    rows = attributes_of(features, "properties")
    pairs = zip(rows, features, strict=True)
    ids = object_ids([row[id_column] if id_column in row else feature.get("id") for row, feature in pairs])
    said = document.get("properties")  # where ArcGIS Online says it; ArcGIS Server says it outside
    more = document.get("exceededTransferLimit") is True
    more = more or (isinstance(said, dict) and said.get("exceededTransferLimit") is True)
    return Peek(len(ids), ids, more, rows[0] if rows else ())


def shapes_of(geometries: Sequence[Any]) -> tuple[Geometries, dict[int, str]]:
    """Shapes of GeoJSON geometries, None where there is none; and what was odd, by index."""
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
        rings = [ring if type(ring) is list else _BROKEN[0] for ring in rings]
    lengths = np.fromiter(map(len, rings), dtype=np.int64, count=len(rings))
    declared = Rings(corners(rings), lengths, *(np.array(each, dtype=np.int64) for each in (owner, polygon)))
    shapes, odd = rings_to_shapes(declared, len(geometries))
    return shapes, flaws | odd


def _with_id(row: dict[str, Any], feature: Mapping[str, Any], column: str) -> dict[str, Any]:
    """The properties with the feature's own id, where they have none of that name."""
    own = feature.get("id")
    return {column: own, **row} if isinstance(own, int | float | str) and column not in row else row


def _polygons(geometry: Any) -> tuple[list[list[Any]], str | None]:
    """Each polygon's rings, and what was odd."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        return _collected(geometry)
    if kind in _WITHOUT_AREA:
        return [], NO_AREA
    found = geometry.get("coordinates") or [] if kind in ("Polygon", "MultiPolygon") else None
    polygons = [found] if kind == "Polygon" else found
    return (polygons, None) if type(polygons) is list and set(map(type, polygons)) <= {list} else ([_BROKEN], None)


def _collected(collection: Mapping[str, Any]) -> tuple[list[list[Any]], str | None]:
    """The polygons of a collection, and of those within it; no recursion, as a stranger says how deep."""
    left, polygons, shed = [(collection, 0)], [], False
    while left:
        one, depth = left.pop()
        members = one.get("geometries") or []
        if type(members) is not list or depth > _DEEPEST:
            return [_BROKEN], None
        for each in filter(None, members):
            if isinstance(each, dict) and each.get("type") == "GeometryCollection":
                left.append((each, depth + 1))
                continue
            found, flaw = _polygons(each)
            polygons += found
            shed |= flaw is not None
    return polygons, (LINES_SHED if polygons else NO_AREA) if shed else None
