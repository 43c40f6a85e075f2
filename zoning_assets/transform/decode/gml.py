"""GML, 2 and 3: a WFS's features as attributes and polygons.

Not read by GDAL: it takes a coordinate that is no number for 0, leaves out the part of a shape that stands elsewhere
(xlink:href), and ends the page at the first ring it cannot read, all without an error (measured with GDAL 3.12). Here
each costs its own row, by name. Numbers come in the order in which they stand (axis_order.py).
Source: ISO 19136, "Geometry".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoning_assets.transform.decode.esri import esri_curves, esri_json
from zoning_assets.transform.decode.json_limits import exact
from zoning_assets.transform.decode.xml_limits import Element, attribute, children, name, text, within

ELSEWHERE = "part of its shape stands elsewhere"

#: What a column's text means, by the last part of its type in the schema.
WHOLE, NUMBER, BOOLEAN, TEXT = "whole", "number", "boolean", "text"

_MEMBERS = ("member", "featureMember", "featureMembers")
_POLYGONS = ("Polygon", "PolygonPatch", "Rectangle", "Triangle")
_SHELLS, _HOLES = ("exterior", "outerBoundaryIs"), ("interior", "innerBoundaryIs")
#: Of what GML itself has for each feature, only these may be the portal's own columns.
_OWN_IN_GML = ("name", "description")
_LINES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Curve", "MultiCurve", "CompositeCurve")
_WRAPPERS = ("MultiPolygon", "MultiSurface", "Surface", "CompositeSurface", "PolyhedralSurface", "MultiGeometry")
_BROKEN: list[Any] = [None]  # a ring whose only corner is no number
_MOST_TEXT = 64 << 20


class _CurveError(ValueError):
    """A curve that is not drawn here."""


@dataclass(frozen=True)
class Feature:
    """A row: its own id, its attributes, its shape as GeoJSON has it (axes as they came), the shape's CRS by name."""

    id: str
    attributes: dict[str, Any]
    geometry: dict[str, Any] | None
    crs: str
    flaw: str | None


def features(root: Element) -> list[Element]:
    """The features of a collection.

    Raises:
        ValueError: collections stand within the collection, as an answer to several queries has them.
    """
    found = [each for member in children(root, *_MEMBERS) for each in children(member)]
    if any(name(each).endswith(("FeatureCollection", "Tuple")) for each in found):
        message = "collections within the collection"
        raise ValueError(message)
    return found


def feature(element: Element, kinds: Mapping[str, str], budget: esri_curves.Budget) -> Feature:
    """One feature. `kinds`: column -> WHOLE, NUMBER, BOOLEAN, else text."""
    attributes: dict[str, Any] = {}
    shape: Element | None = None
    for each in children(element):
        column = name(each)
        if "opengis.net/gml" in str(each.tag) and (column not in _OWN_IN_GML or not text(each)):
            continue
        if (found := _shape(each)) is not None:
            shape = found if shape is None else shape
        else:
            _put(attributes, column, _value(each, kinds.get(column, TEXT)))
    geometry, flaw = _geometry(shape, budget) if shape is not None else (None, None)
    own = attribute(element, "id") or attribute(element, "fid")
    return Feature(own[:1000], attributes, geometry, _crs(shape), flaw)


def _put(attributes: dict[str, Any], column: str, value: Any) -> None:
    """A column that comes several times is a list."""
    if column not in attributes:
        attributes[column] = value
    elif isinstance(attributes[column], list):
        attributes[column].append(value)
    else:
        attributes[column] = [attributes[column], value]


def _value(element: Element, kind: str) -> Any:
    """An attribute as JSON would have it; text that is not of its kind stays text."""
    raw = text(element)
    if not raw or attribute(element, "nil") in ("true", "1"):
        return None
    if kind == WHOLE and re.fullmatch(r"[+-]?\d{1,18}", raw, re.ASCII):
        return int(raw)
    if kind == BOOLEAN and raw in ("true", "false", "1", "0"):
        return raw in ("true", "1")
    if kind == NUMBER and (number := _number(raw)) is not None:
        return number
    return raw


def _number(raw: str) -> float | int | None:
    """A decimal number; None where it is none."""
    try:
        return exact(raw) if "_" not in raw else None
    except (ValueError, ArithmeticError):
        return None


def _shape(column: Element) -> Element | None:
    """The geometry that a column holds; None where it is an attribute."""
    inner = children(column)
    return inner[0] if inner and name(inner[0]) in (*_POLYGONS, *_WRAPPERS, *_LINES) else None


def _crs(shape: Element | None) -> str:
    """The CRS's name, where the geometry or the first part that has one says it."""
    if shape is None:
        return ""
    return next((str(each.get("srsName")) for each in shape.iter() if each.get("srsName")), "")[:500]


def _geometry(shape: Element, budget: esri_curves.Budget) -> tuple[dict[str, Any] | None, str | None]:
    """The polygons within, however they are wrapped, and what was odd."""
    if any(attribute(each, "href") for each in shape.iter()):
        return None, ELSEWHERE
    before = budget.corners
    try:
        polygons = [_polygon(each, budget) for each in _self_and_within(shape, _POLYGONS)]
    except _CurveError:
        return None, esri_json.CURVE
    if not polygons:
        lines = any(True for _ in _self_and_within(shape, _LINES))
        return None, esri_json.NO_AREA if lines else None
    return {"type": "MultiPolygon", "coordinates": polygons}, esri_json.CHORDS if budget.corners < before else None


def _self_and_within(shape: Element, names: tuple[str, ...]) -> Iterator[Element]:
    if name(shape) in names:
        yield shape
    yield from within(shape, *names)


def _polygon(polygon: Element, budget: esri_curves.Budget) -> list[list[Any]]:
    """Its rings, the shell first."""
    sides = [each for kind in (_SHELLS, _HOLES) for each in children(polygon, *kind)]
    return [_ring(each, budget) for side in sides for each in children(side)]


def _ring(ring: Element, budget: esri_curves.Budget) -> list[Any]:
    """A ring's corners; one that cannot be read has a corner that is no number."""
    if name(ring) == "LinearRing":
        return _corners(ring)
    drawn: list[Any] = []
    for segment in _segments(ring):
        points = _corners(segment)
        pieces = points[1:] if name(segment) in ("LineStringSegment", "LineString") else _arcs(segment, points)
        drawn += pieces if drawn else points[:1] + pieces
    if not any(isinstance(each, dict) for each in drawn):
        return drawn
    try:
        return esri_curves.drawn(drawn, budget)
    except ValueError as error:
        raise _CurveError from error


def _arcs(segment: Element, points: list[Any]) -> list[Any]:
    """Circular arcs as curves.drawn takes them: each by its end and a point in between."""
    if name(segment) not in ("Arc", "ArcString") or len(points) % 2 == 0:
        raise _CurveError
    return [{"c": [end, through]} for through, end in zip(points[1::2], points[2::2], strict=True)]


def _segments(ring: Element) -> Iterator[Element]:
    """The pieces of a ring of curves, one after the other."""
    for each in within(ring, "LineString", "segments", "OrientableCurve"):
        if name(each) == "OrientableCurve":
            raise _CurveError
        yield from children(each) if name(each) == "segments" else (each,)


def _corners(line: Element) -> list[Any]:
    """The corners of a line: posList, pos, coordinates (GML 2) or coord."""
    found = children(line, "posList", "pos", "pointProperty", "coordinates", "coord")
    if not found:
        return []
    kind = name(found[0])
    if kind == "posList":
        return _by(text(found[0], _MOST_TEXT).split(), _dimension(found[0]))
    if kind == "coordinates":
        return _coordinates(found[0])
    if kind == "coord":
        return [[_float(text(axis)) for axis in children(each, "X", "Y")] for each in found]
    return [[_float(part) for part in text(each).split()[:2]] for each in found]


def _by(numbers: list[str], dimension: int) -> list[Any]:
    """So many numbers a corner, of which the first two count."""
    if len(numbers) % dimension or any("_" in each for each in numbers):
        return _BROKEN
    try:
        flat = list(map(float, numbers))
    except ValueError:
        return _BROKEN
    return [list(pair) for pair in zip(flat[::dimension], flat[1::dimension], strict=True)]


def _dimension(line: Element) -> int:
    """How many numbers a corner has: said by the line or by something around it; 2 where nobody says."""
    around: Element | None = line
    while around is not None and not (said := around.get("srsDimension") or around.get("dimension")):
        around = around.getparent()
    return int(said) if around is not None and said in ("2", "3", "4") else 2


def _coordinates(line: Element) -> list[Any]:
    """Tuples of a text with separators of its own."""
    decimal, comma, space = line.get("decimal", "."), line.get("cs", ","), line.get("ts", " ")
    tuples = text(line, _MOST_TEXT)
    parts = tuples.split() if space.isspace() or not space else tuples.split(space)
    return [[_float(each.replace(decimal, ".")) for each in part.split(comma or ",")[:2]] for part in parts]


def _float(raw: str) -> float | None:
    return _number(raw.strip())
