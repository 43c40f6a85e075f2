"""Decode Esri JSON (f=json): attributes and polygons, one page at a time.

Source: ArcGIS REST API, "Geometry objects" and "Query (Feature Service/Layer)".
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from zoning_assets.transform.decode import json_pages
from zoning_assets.transform.decode.esri import esri_curves
from zoning_assets.transform.decode.json_pages import (
    attributes_of,
    check_value_count,
    decode,
    features_of,
    has_long_numbers,
    object_ids,
    raw_features,
    vertices_of,
)
from zoning_assets.transform.decode.rows import Peek, Rows
from zoning_assets.transform.geometry.rings import Geometries, Ints, Rings
from zoning_assets.transform.geometry.rings import shapes_of as rings_to_shapes

CURVE = "curve"
CURVES_LINEARIZED = "curves were replaced by chords"
MULTIPATCH = "multipatch"
_MULTIPATCH = "esriGeometryMultiPatch"
NO_AREA = "points or lines, no area"

_WITHOUT_AREA = {"x", "points", "paths", "curvePaths", "xmin"}
_INVALID_RING = [None]  # its only vertex is not a number, so the shape gets the flaw NOT_NUMBERS


class _PlainPolygon(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    rings: list[list[tuple[float, float]]]


class _PlainRow(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    attributes: dict[str, Any]
    geometry: _PlainPolygon | None = None


class _PlainPage(msgspec.Struct, rename="camel"):
    features: list[_PlainRow]
    geometry_type: Any = None


_PLAIN_DECODER = msgspec.json.Decoder(_PlainPage)


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """Decode a page of a query (f=json).

    Raises:
        ValueError: the bytes are not a page of Esri JSON.
    """
    plain = _read_plain(body)
    return _read_general(body) if plain is None else plain


def _read_plain(body: bytes) -> Rows | None:
    """Decode a page that has only rings of x and y, in half the time; None if the page has anything else."""
    check_value_count(body)
    try:
        page = _PLAIN_DECODER.decode(body)
        attributes = [each.attributes for each in page.features]
        body.isascii() or body.decode()  # msgspec does not check the encoding of the parts that it skips
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError):
        return None
    if page.geometry_type == _MULTIPATCH or has_long_numbers(attributes):
        return None
    rings = [each.geometry.rings if each.geometry else [] for each in page.features]
    flat = list(chain.from_iterable(rings))
    points = list(chain.from_iterable(flat))
    xy = np.fromiter(chain.from_iterable(points), dtype=np.float64, count=2 * len(points)).reshape(-1, 2)
    owner = np.repeat(np.arange(len(rings)), _lengths(rings))
    shapes, flaws = rings_to_shapes(Rings(xy, _lengths(flat), owner), len(rings))
    return Rows(attributes, shapes, flaws, raw_features(body))


def _read_general(body: bytes) -> Rows:
    page = json_pages.read_page(body, "attributes")
    features = page.features
    shapes, flaws = shapes_of([feature.get("geometry") or {} for feature in features])
    if page.document.get("geometryType") == _MULTIPATCH:
        shapes, flaws = np.full(len(features), None, dtype=object), dict.fromkeys(range(len(features)), MULTIPATCH)
    return Rows(page.attributes, shapes, {**page.notes, **flaws}, features.__getitem__)


def _lengths(lists: Sequence[Sequence[Any]]) -> Ints:
    return np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))


def peek(body: bytes, id_column: str) -> Peek:
    """Return the number of rows of a page, their object ids, and whether the server reports that more rows follow.

    Raises:
        ValueError: the bytes are not a page of Esri JSON, or a row has no object id.
    """
    return peek_document(decode(body), id_column)


def peek_document(document: Any, id_column: str) -> Peek:
    """Like `peek`, for a page that is already decoded."""
    features = features_of(document)
    rows = attributes_of(features, "attributes")
    ids = object_ids([row.get(id_column) for row in rows])
    return Peek(len(features), ids, document.get("exceededTransferLimit") is True, rows[0] if rows else ())


def shapes_of(geometries: Sequence[Any]) -> tuple[Geometries, dict[int, str]]:
    """Convert Esri polygon objects to shapes (x, y); None if a row has no shape. Second: the flaws by row index."""
    flaws: dict[int, str] = {}
    rings: list[Any] = []
    owner: list[int] = []
    budget = esri_curves.VertexBudget()
    for i, geometry in enumerate(geometries):
        found = geometry.get("rings") if type(geometry) is dict and "curveRings" not in geometry else None
        if not found or type(found) is not list:
            found, flaw = _special_rings(geometry, budget)
            flaws.update({i: flaw} if flaw else {})
        rings += found
        owner += [i] * len(found)
    if not set(map(type, rings)) <= {list}:
        rings = [ring if type(ring) is list else _INVALID_RING for ring in rings]
    shapes, odd = rings_to_shapes(
        Rings(vertices_of(rings), _lengths(rings), np.array(owner, dtype=np.int64)), len(geometries)
    )
    return shapes, flaws | odd


def _special_rings(geometry: Any, budget: esri_curves.VertexBudget) -> tuple[list[Any], str | None]:
    """Return the rings of a geometry that is not a plain polygon, and its flaw."""
    if not isinstance(geometry, dict):
        return [_INVALID_RING], None
    if "curveRings" in geometry:
        return _linearized(geometry["curveRings"], budget)
    if geometry.get("rings"):
        return [_INVALID_RING], None
    return [], NO_AREA if _WITHOUT_AREA & geometry.keys() else None


def _linearized(rings: Any, budget: esri_curves.VertexBudget) -> tuple[list[Any], str]:
    try:
        return [esri_curves.linearize_ring(ring, budget) for ring in rings or ()], CURVES_LINEARIZED
    except (ValueError, TypeError):
        return [], CURVE
