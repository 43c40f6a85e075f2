"""Esri JSON: rings of numbers to shapes, a page at a time.

Source: ArcGIS REST API, "Geometry objects" and "Query (Feature Service/Layer)".
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from zoning_assets.transform.decode import json_limits
from zoning_assets.transform.decode.esri import esri_curves
from zoning_assets.transform.decode.json_limits import (
    attributes_of,
    corners,
    decode,
    features_in,
    has_long_numbers,
    limit,
    object_ids,
    written,
)
from zoning_assets.transform.decode.rows import Peek, Rows
from zoning_assets.transform.geometry.rings import Geometries, Ints, Rings
from zoning_assets.transform.geometry.rings import shapes_of as rings_to_shapes

CURVE = "curve"
CHORDS = "curves were drawn as chords"
MULTIPATCH = "multipatch"
_MULTIPATCH = "esriGeometryMultiPatch"
NO_AREA = "points or lines, no area"

_WITHOUT_AREA = {"x", "points", "paths", "curvePaths", "xmin"}
_BROKEN = [None]  # a ring whose only corner is no number


class _Polygon(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    rings: list[list[tuple[float, float]]]


class _Row(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    attributes: dict[str, Any]
    geometry: _Polygon | None = None


class _Page(msgspec.Struct, rename="camel"):
    features: list[_Row]
    geometry_type: Any = None


_PLAIN = msgspec.json.Decoder(_Page)


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """A page of a query's answer (f=json).

    Raises:
        ValueError: the bytes are not such an answer.
    """
    plain = _plain(body)
    return _read(body) if plain is None else plain


def _plain(body: bytes) -> Rows | None:
    """A page of nothing but rings of x and y, in half the time; None for another."""
    limit(body)
    try:
        page = _PLAIN.decode(body)
        attributes = [each.attributes for each in page.features]
        body.isascii() or body.decode()  # what is skipped is not looked at
    except (msgspec.MsgspecError, RecursionError, TypeError, ValueError):
        return None
    if page.geometry_type == _MULTIPATCH or has_long_numbers(attributes):  # or what cannot be written again
        return None
    rings = [each.geometry.rings if each.geometry else [] for each in page.features]
    flat = list(chain.from_iterable(rings))
    points = list(chain.from_iterable(flat))
    xy = np.fromiter(chain.from_iterable(points), dtype=np.float64, count=2 * len(points)).reshape(-1, 2)
    owner = np.repeat(np.arange(len(rings)), _lengths(rings))
    shapes, flaws = rings_to_shapes(Rings(xy, _lengths(flat), owner), len(rings))
    return Rows(attributes, shapes, flaws, written(body))


def _read(body: bytes) -> Rows:
    page = json_limits.read(body, "attributes")
    features = page.features
    shapes, flaws = shapes_of([feature.get("geometry") or {} for feature in features])
    if page.document.get("geometryType") == _MULTIPATCH:
        shapes, flaws = np.full(len(features), None, dtype=object), dict.fromkeys(range(len(features)), MULTIPATCH)
    return Rows(page.attributes, shapes, {**page.notes, **flaws}, features.__getitem__)


def _lengths(lists: Sequence[Sequence[Any]]) -> Ints:
    return np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))


def peek(body: bytes, id_column: str) -> Peek:
    """A page's rows, their object ids, and whether the server says that more would follow.

    Raises:
        ValueError: the bytes are not such an answer, or a row has no object id.
    """
    return peek_at(decode(body), id_column)


def peek_at(document: Any, id_column: str) -> Peek:
    """As `peek`, of a page that is decoded already."""
    features = features_in(document)
    rows = attributes_of(features, "attributes")
    ids = object_ids([row.get(id_column) for row in rows])
    return Peek(len(features), ids, document.get("exceededTransferLimit") is True, rows[0] if rows else ())


def shapes_of(geometries: Sequence[Any]) -> tuple[Geometries, dict[int, str]]:
    """Shapes of Esri polygon objects, None where there is none; and what was odd, by index."""
    flaws: dict[int, str] = {}
    rings: list[Any] = []
    owner: list[int] = []
    budget = esri_curves.Budget()
    for i, geometry in enumerate(geometries):
        found = geometry.get("rings") if type(geometry) is dict and "curveRings" not in geometry else None
        if not found or type(found) is not list:
            found, flaw = _unusual(geometry, budget)
            flaws.update({i: flaw} if flaw else {})
        rings += found
        owner += [i] * len(found)
    if not set(map(type, rings)) <= {list}:
        rings = [ring if type(ring) is list else _BROKEN for ring in rings]
    shapes, odd = rings_to_shapes(
        Rings(corners(rings), _lengths(rings), np.array(owner, dtype=np.int64)), len(geometries)
    )
    return shapes, flaws | odd


def _unusual(geometry: Any, budget: esri_curves.Budget) -> tuple[list[Any], str | None]:
    """The rings of what is no plain polygon, and what is to be said of them."""
    if not isinstance(geometry, dict):
        return [_BROKEN], None
    if "curveRings" in geometry:
        return _uncurved(geometry["curveRings"], budget)
    if geometry.get("rings"):
        return [_BROKEN], None
    return [], NO_AREA if _WITHOUT_AREA & geometry.keys() else None


def _uncurved(rings: Any, budget: esri_curves.Budget) -> tuple[list[Any], str]:
    try:
        return [esri_curves.drawn(ring, budget) for ring in rings or ()], CHORDS
    except (ValueError, TypeError):
        return [], CURVE
