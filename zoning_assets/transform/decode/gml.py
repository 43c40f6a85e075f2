"""Decode GML 2 and 3: the features of a WFS as attributes and polygons.

GDAL is not used here. It reads a coordinate that is not a number as 0, omits the parts of a shape that are referenced
by xlink:href, and ends the page at the first ring that it cannot read, all without an error (measured with GDAL 3.12).
Here each of these rejects only the affected row, with a reason. The order of the coordinates is not changed
(axis_order.py).
Source: ISO 19136, "Geometry".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoning_assets.transform.decode.esri import esri_curves, esri_json
from zoning_assets.transform.decode.json_pages import parse_number
from zoning_assets.transform.decode.xml_limits import Element, attribute, children, descendants, name, text

REMOTE_GEOMETRY = "part of its shape is in another document (xlink:href)"

#: Types of a column's values; wfs_capabilities.py finds them in the schema.
INTEGER, NUMBER, BOOLEAN, TEXT = "integer", "number", "boolean", "text"

_MEMBERS = ("member", "featureMember", "featureMembers")
_POLYGONS = ("Polygon", "PolygonPatch", "Rectangle", "Triangle")
_SHELLS, _HOLES = ("exterior", "outerBoundaryIs"), ("interior", "innerBoundaryIs")
#: Elements of the GML namespace that are columns; the others (boundedBy, metadata) are not.
_STANDARD_COLUMNS = ("name", "description")
_LINES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Curve", "MultiCurve", "CompositeCurve")
_WRAPPERS = ("MultiPolygon", "MultiSurface", "Surface", "CompositeSurface", "PolyhedralSurface", "MultiGeometry")
_INVALID_RING: list[Any] = [None]  # its only vertex is not a number, so the shape gets the flaw NOT_NUMBERS
_MAX_TEXT = 64 << 20


class _CurveError(ValueError):
    """A curve of a type that is not supported, or a malformed curve."""


@dataclass(frozen=True)
class GmlFeature:
    """A row: its id, its attributes, its shape as GeoJSON (axis order as in the page), the name of the shape's CRS."""

    id: str
    attributes: dict[str, Any]
    geometry: dict[str, Any] | None
    crs: str
    flaw: str | None


def feature_elements(root: Element) -> list[Element]:
    """Return the features of a collection.

    Raises:
        ValueError: the collection contains collections, as in a response to several queries.
    """
    found = [each for member in children(root, *_MEMBERS) for each in children(member)]
    if any(name(each).endswith(("FeatureCollection", "Tuple")) for each in found):
        message = "the collection contains collections"
        raise ValueError(message)
    return found


def read_feature(element: Element, kinds: Mapping[str, str], budget: esri_curves.VertexBudget) -> GmlFeature:
    """Decode one feature.

    Args:
        element: the feature.
        kinds: column -> INTEGER, NUMBER, BOOLEAN or TEXT; a column that is missing is TEXT.
        budget: the vertices that curves of the page may still produce.
    """
    attributes: dict[str, Any] = {}
    shape: Element | None = None
    for each in children(element):
        column = name(each)
        if "opengis.net/gml" in str(each.tag) and (column not in _STANDARD_COLUMNS or not text(each)):
            continue
        if (found := _geometry_element(each)) is not None:
            shape = found if shape is None else shape
        else:
            _add_value(attributes, column, _value(each, kinds.get(column, TEXT)))
    geometry, flaw = _geometry(shape, budget) if shape is not None else (None, None)
    own = attribute(element, "id") or attribute(element, "fid")
    return GmlFeature(own[:1000], attributes, geometry, _crs(shape), flaw)


def _add_value(attributes: dict[str, Any], column: str, value: Any) -> None:
    """Set a column; if it occurs several times, its value is a list."""
    if column not in attributes:
        attributes[column] = value
    elif isinstance(attributes[column], list):
        attributes[column].append(value)
    else:
        attributes[column] = [attributes[column], value]


def _value(element: Element, kind: str) -> Any:
    """Convert an attribute to its type; a text that cannot be converted stays text."""
    raw = text(element)
    if not raw or attribute(element, "nil") in ("true", "1"):
        return None
    if kind == INTEGER and re.fullmatch(r"[+-]?\d{1,18}", raw, re.ASCII):
        return int(raw)
    if kind == BOOLEAN and raw in ("true", "false", "1", "0"):
        return raw in ("true", "1")
    if kind == NUMBER and (number := _number(raw)) is not None:
        return number
    return raw


def _number(raw: str) -> float | int | None:
    """Parse a decimal number; None if the text is not a number."""
    try:
        return parse_number(raw) if "_" not in raw else None
    except (ValueError, ArithmeticError):
        return None


def _geometry_element(column: Element) -> Element | None:
    """Return the geometry in a column; None if the column is an attribute."""
    inner = children(column)
    return inner[0] if inner and name(inner[0]) in (*_POLYGONS, *_WRAPPERS, *_LINES) else None


def _crs(shape: Element | None) -> str:
    """Return the first srsName in the geometry, or an empty text."""
    if shape is None:
        return ""
    return next((str(each.get("srsName")) for each in shape.iter() if each.get("srsName")), "")[:500]


def _geometry(shape: Element, budget: esri_curves.VertexBudget) -> tuple[dict[str, Any] | None, str | None]:
    """Return all polygons in the geometry as one MultiPolygon, and the flaw."""
    if any(attribute(each, "href") for each in shape.iter()):
        return None, REMOTE_GEOMETRY
    before = budget.vertices
    try:
        polygons = [_polygon(each, budget) for each in _self_and_within(shape, _POLYGONS)]
    except _CurveError:
        return None, esri_json.CURVE
    if not polygons:
        lines = any(True for _ in _self_and_within(shape, _LINES))
        return None, esri_json.NO_AREA if lines else None
    return {
        "type": "MultiPolygon",
        "coordinates": polygons,
    }, esri_json.CURVES_LINEARIZED if budget.vertices < before else None


def _self_and_within(shape: Element, names: tuple[str, ...]) -> Iterator[Element]:
    if name(shape) in names:
        yield shape
    yield from descendants(shape, *names)


def _polygon(polygon: Element, budget: esri_curves.VertexBudget) -> list[list[Any]]:
    """Return the rings, the shell first."""
    sides = [each for kind in (_SHELLS, _HOLES) for each in children(polygon, *kind)]
    return [_ring(each, budget) for side in sides for each in children(side)]


def _ring(ring: Element, budget: esri_curves.VertexBudget) -> list[Any]:
    """Return the ring's vertices; a malformed ring becomes _INVALID_RING."""
    if name(ring) == "LinearRing":
        return _vertices(ring)
    joined: list[Any] = []
    for segment in _segments(ring):
        points = _vertices(segment)
        pieces = points[1:] if name(segment) in ("LineStringSegment", "LineString") else _arcs(segment, points)
        joined += pieces if joined else points[:1] + pieces
    if not any(isinstance(each, dict) for each in joined):
        return joined
    try:
        return esri_curves.linearize_ring(joined, budget)
    except ValueError as error:
        raise _CurveError from error


def _arcs(segment: Element, points: list[Any]) -> list[Any]:
    """Convert circular arcs to the form of esri_curves.linearize_ring: end and inner point."""
    if name(segment) not in ("Arc", "ArcString") or len(points) % 2 == 0:
        raise _CurveError
    return [{"c": [end, through]} for through, end in zip(points[1::2], points[2::2], strict=True)]


def _segments(ring: Element) -> Iterator[Element]:
    """Yield the segments of a ring of curves, in order."""
    for each in descendants(ring, "LineString", "segments", "OrientableCurve"):
        if name(each) == "OrientableCurve":
            raise _CurveError
        yield from children(each) if name(each) == "segments" else (each,)


def _vertices(line: Element) -> list[Any]:
    """Return the vertices of a line: from posList, pos, coordinates (GML 2) or coord."""
    found = children(line, "posList", "pos", "pointProperty", "coordinates", "coord")
    if not found:
        return []
    kind = name(found[0])
    if kind == "posList":
        return _group(text(found[0], _MAX_TEXT).split(), _dimension(found[0]))
    if kind == "coordinates":
        return _coordinates(found[0])
    if kind == "coord":
        return [[_float(text(axis)) for axis in children(each, "X", "Y")] for each in found]
    return [[_float(part) for part in text(each).split()[:2]] for each in found]


def _group(numbers: list[str], dimension: int) -> list[Any]:
    """Group numbers into vertices of this dimension, and keep the first two numbers of each."""
    if len(numbers) % dimension or any("_" in each for each in numbers):
        return _INVALID_RING
    try:
        flat = list(map(float, numbers))
    except ValueError:
        return _INVALID_RING
    return [list(pair) for pair in zip(flat[::dimension], flat[1::dimension], strict=True)]


def _dimension(line: Element) -> int:
    """Return the number of coordinates per vertex, stated by the line or an element around it; the default is 2."""
    around: Element | None = line
    while around is not None and not (stated := around.get("srsDimension") or around.get("dimension")):
        around = around.getparent()
    return int(stated) if around is not None and stated in ("2", "3", "4") else 2


def _coordinates(line: Element) -> list[Any]:
    """Parse GML 2 coordinates, whose separators are attributes of the element."""
    decimal, comma, space = line.get("decimal", "."), line.get("cs", ","), line.get("ts", " ")
    tuples = text(line, _MAX_TEXT)
    parts = tuples.split() if space.isspace() or not space else tuples.split(space)
    return [[_float(each.replace(decimal, ".")) for each in part.split(comma or ",")[:2]] for part in parts]


def _float(raw: str) -> float | None:
    return _number(raw.strip())
