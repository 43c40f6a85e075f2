"""Decode Esri's protocol buffers (f=pbf): all coordinates of a page are decoded into arrays in one pass.

Coordinates are integer multiples of the layer's resolution. Each vertex is the difference to the vertex before it; the
first vertex of each ring is absolute. A null shape has no coordinates.
Source: Esri/arcgis-pbf, FeatureCollection.proto, and its README.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from struct import unpack_from
from typing import Any

import numpy as np

from zoning_assets.transform.decode.esri import protobuf
from zoning_assets.transform.decode.esri.esri_json import MULTIPATCH, NO_AREA
from zoning_assets.transform.decode.esri.esri_pbf_values import Objects, values
from zoning_assets.transform.decode.esri.protobuf import Bytes, Field
from zoning_assets.transform.decode.json_pages import object_ids
from zoning_assets.transform.decode.rows import Peek, Rows
from zoning_assets.transform.geometry.rings import Floats, Geometries, Ints, Rings, offsets, shapes_of

BINARY_SHAPE = "a shape in Esri's own binary form"

_POLYGON, _MULTIPATCH = 3, 4
_ID_NAME, _GEOMETRY_TYPE, _MORE, _HAS_Z, _HAS_M, _TRANSFORM, _FIELD, _FEATURE = 1, 7, 9, 10, 11, 12, 13, 15
_VALUE, _SHAPE, _SHAPE_BUFFER = 1, 2, 3
#: Fields of a row other than its values: shape, centroid, and fields that later versions may add.
_OTHER_FIELDS = 8
_MOST_CELLS = 8_000_000


@dataclass(frozen=True)
class _FeatureResult:
    """A FeatureResult message: header fields by number, column names, and the byte ranges of its rows in the body."""

    body: bytes
    head: Mapping[int, Field]
    names: list[str]
    start: Ints
    stop: Ints

    @property
    def data(self) -> Bytes:
        """The body as an array."""
        return np.frombuffer(self.body, dtype=np.uint8)

    def number(self, which: int) -> int:
        """Return an integer of the header; 0 if the field is missing."""
        field = self.head.get(which)
        return _number(self.body, field) if field else 0


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """Decode a page of a query (f=pbf).

    Raises:
        ValueError: the bytes are not such a page. Servers send errors as JSON, also for f=pbf.
    """
    result = _result(body)
    cells, shapes = _locate_values(result)
    found = values(body, result.data, cells[:, 0], cells[:, 1]).reshape(len(result.start), len(result.names))
    attributes = [dict(zip(result.names, row, strict=True)) for row in found.tolist()]
    geometry, flaws = _geometry(result, shapes)
    return Rows(attributes, geometry, flaws)


def peek(body: bytes, id_column: str) -> Peek:
    """Return the number of rows of a page, their object ids, and whether the server reports that more rows follow.

    Raises:
        ValueError: the bytes are not such a page, or a row has no object id.
    """
    result = _result(body)
    name = id_column if id_column in result.names or _ID_NAME not in result.head else _text(body, result.head[_ID_NAME])
    if name not in result.names:
        message = f"no column {id_column!r} of object ids"
        raise ValueError(message)
    ids = object_ids(_column(result, result.names.index(name)).tolist())
    return Peek(len(ids), ids, bool(result.number(_MORE)), result.names if ids else ())


def _result(body: bytes) -> _FeatureResult:
    if body[:1] in (b"{", b"<"):
        message = f"not a protocol buffer, but {body[:80]!r}"
        raise ValueError(message)
    query = protobuf.unique_fields(body, 0, len(body)).get(2)
    found = protobuf.unique_fields(body, *_message(query)).get(1) if query else None
    if not found:
        message = "the protocol buffer has no feature result"
        raise ValueError(message)
    head: dict[int, Field] = {}
    names, rows = [], []
    for field in protobuf.fields(body, *_message(found)):
        if field.number == _FEATURE:
            rows.append(_message(field))
        elif field.number == _FIELD:
            names.append(_name(body, field))
        else:
            head[field.number] = field
    places = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return _FeatureResult(body, head, names, places[:, 0], places[:, 1])


def _name(body: bytes, field: Field) -> str:
    """Return a column's name."""
    name = protobuf.unique_fields(body, *_message(field)).get(1)
    return _text(body, name) if name else ""


def _message(field: Field) -> tuple[int, int]:
    """Return the byte range of a message or a text."""
    if field.kind != protobuf.LENGTH_DELIMITED:
        raise _malformed(f"field {field.number} is not a message")
    return field.start, field.stop


def _text(body: bytes, field: Field) -> str:
    start, stop = _message(field)
    return str(body[start:stop], "utf-8")


def _number(body: bytes, field: Field) -> int:
    if field.kind != protobuf.VARINT:
        raise _malformed(f"field {field.number} is not an integer")
    return protobuf.varint(body, field.start, field.stop)[0]


def _double(body: bytes, field: Field | None) -> float:
    if field is None:
        return 0.0
    if field.kind != protobuf.FIXED64:
        raise _malformed(f"field {field.number} is not a number")
    return float(unpack_from("<d", body, field.start)[0])


def _malformed(what: str) -> ValueError:
    return ValueError(f"malformed rows in a protocol buffer: {what}")


def _locate_values(result: _FeatureResult) -> tuple[Ints, Ints]:
    """Return the byte ranges of all values (rows * columns, 2) and of all shapes (rows, 2).

    The range of a shape is -1 if it is in Esri's binary format, and 0 if the row has no shape.
    """
    rows, columns = len(result.start), len(result.names)
    if rows * columns > _MOST_CELLS:
        raise _malformed(f"more than {_MOST_CELLS:,} values")
    cells, shapes = np.zeros((rows * columns, 2), dtype=np.int64), np.zeros((rows, 2), dtype=np.int64)
    seen = np.zeros(rows, dtype=np.int64)
    for step in protobuf.steps(result.data, result.start, result.stop, columns + _OTHER_FIELDS):
        if (step.kind[step.number <= _SHAPE_BUFFER] != protobuf.LENGTH_DELIMITED).any():
            raise _malformed("a value or a shape is not a message")
        value, shape = step.where(step.number == _VALUE), step.where(step.number == _SHAPE)
        binary = step.message[step.number == _SHAPE_BUFFER]
        if (seen[value.message] >= columns).any() or shapes[shape.message].any() or shapes[binary].any():
            raise _malformed("a row has more values than there are columns, or two shapes")
        cells[value.message * columns + seen[value.message]] = np.column_stack([value.start, value.stop])
        seen[value.message] += 1
        shapes[shape.message] = np.column_stack([shape.start, shape.stop])
        shapes[binary] = -1
    if (seen != columns).any():
        raise _malformed("a row has fewer values than there are columns")
    return cells, shapes


def _column(result: _FeatureResult, column: int) -> Objects:
    """Decode one column only; other columns and shapes are skipped."""
    start, stop, seen = (np.zeros(len(result.start), dtype=np.int64) for _ in range(3))
    for step in protobuf.steps(result.data, result.start, result.stop, len(result.names) + _OTHER_FIELDS):
        value = step.where((step.number == _VALUE) & (step.kind == protobuf.LENGTH_DELIMITED))
        here = value.where(seen[value.message] == column)
        start[here.message], stop[here.message] = here.start, here.stop
        seen[value.message] += 1
        if (seen > column).all():
            break
    return values(result.body, result.data, start, stop)


def _geometry(result: _FeatureResult, shapes: Ints) -> tuple[Geometries, dict[int, str]]:
    kind, rows = result.number(_GEOMETRY_TYPE), len(shapes)
    there, binary = np.flatnonzero(shapes[:, 1] > 0), np.flatnonzero(shapes[:, 1] < 0)
    flaws = dict.fromkeys(binary.tolist(), BINARY_SHAPE)
    if kind != _POLYGON:
        flaws |= dict.fromkeys(there.tolist(), MULTIPATCH if kind == _MULTIPATCH else NO_AREA)
        return np.full(rows, None, dtype=object), flaws
    geometry, odd = shapes_of(_rings(result, there, shapes[there]), rows)
    return geometry, flaws | odd


def _rings(result: _FeatureResult, row: Ints, shapes: Ints) -> Rings:
    """Decode the rings of these rows, in the layer's CRS."""
    places = np.zeros((4, 2, len(row)), dtype=np.int64)  # field number; start, stop; row
    for step in protobuf.steps(result.data, shapes[:, 0], shapes[:, 1], _OTHER_FIELDS):
        packed = step.where((step.number == 2) | (step.number == 3))
        if (packed.kind != protobuf.LENGTH_DELIMITED).any() or places[packed.number, 1, packed.message].any():
            raise _malformed("coordinates are not packed, or occur twice")
        places[packed.number, 0, packed.message] = packed.start
        places[packed.number, 1, packed.message] = packed.stop
    (stated, rings), (steps, count) = (protobuf.unpack(result.body, *places[number]) for number in (2, 3))
    stride = 2 + bool(result.number(_HAS_Z)) + bool(result.number(_HAS_M))
    if (stated > len(steps)).any():
        raise _malformed("a ring has more vertices than there are coordinates")
    lengths = stated.astype(np.int64)
    vertices = np.diff(offsets(lengths)[offsets(rings)])
    if (count != vertices * stride).any():
        raise _malformed("the lengths of the rings differ from the number of coordinates")
    moves = protobuf.zigzag(steps).reshape(-1, stride)[:, :2]
    return Rings(_to_layer_crs(result, _absolute_steps(moves, lengths)), lengths, np.repeat(row, rings))


def _absolute_steps(moves: Ints, lengths: Ints) -> Ints:
    """Sum the differences within each ring, in steps."""
    sums = np.concatenate([np.zeros((1, 2), dtype=np.int64), np.cumsum(moves, axis=0)])
    places: Ints = sums[1:] - np.repeat(sums[offsets(lengths)[:-1]], lengths, axis=0)
    return places


def _to_layer_crs(result: _FeatureResult, steps: Ints) -> Floats:
    """Convert steps to coordinates in the layer's CRS. If the origin is the upper left corner, y runs downwards."""
    if not len(steps):
        return np.zeros((0, 2))
    body, field = result.body, result.head.get(_TRANSFORM)
    if field is None:
        raise _malformed("coordinates without a transform")
    transform = protobuf.unique_fields(body, *_message(field))
    scale, translate = (
        protobuf.unique_fields(body, *_message(transform[number])) if number in transform else {} for number in (2, 3)
    )
    down = 1 not in transform or _number(body, transform[1]) == 0
    x = _axis(steps[:, 0], _double(body, scale.get(1)), _double(body, translate.get(1)))
    y = _axis(-steps[:, 1] if down else steps[:, 1], _double(body, scale.get(2)), _double(body, translate.get(2)))
    return np.column_stack([x, y])


def _axis(steps: Ints, scale: float, translate: float) -> Floats:
    """Convert one ordinate.

    In most layers one unit is an integer number of steps. Then the sum is computed with integers and divided once, so
    that the result equals the number that f=json writes.
    """
    if not (isfinite(translate) and isfinite(scale) and scale > 1e-20):
        raise _malformed(f"a transform of {scale} and {translate}")
    a_unit = round(1 / scale)
    origin = round(translate * a_unit)
    exact = abs(a_unit * scale - 1) < 1e-12 and abs(origin - translate * a_unit) < 1e-3 and abs(origin) < 2**53
    with np.errstate(over="ignore"):  # shapes_of reports infinite coordinates as the flaw NOT_NUMBERS
        placed = (steps.astype(np.float64) + origin) / a_unit if exact else translate + steps.astype(np.float64) * scale
    return np.asarray(placed, dtype=np.float64)
