"""f=pbf as ArcGIS writes it: coordinates as integer steps from the upper left corner, each as the difference to the one
before, separately for each ring; one value for each column, an empty one for null.

Source: Esri/arcgis-pbf, FeatureCollection.proto; the types of values as ArcGIS Online chooses them.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from struct import pack
from typing import Any

import numpy as np
import numpy.typing as npt

from zoning_assets.simulation.county.county_table import Column, Columns
from zoning_assets.simulation.portal.answer_forms import Form, Grid, sendable
from zoning_assets.simulation.portal.polygon_arrays import Ints, Shapes, offsets
from zoning_assets.simulation.portal.served_layer import ServedLayer

_POLYGON = 3
_FIELD_TYPES: Mapping[str, int] = {
    "esriFieldTypeInteger": 1,
    "esriFieldTypeDouble": 3,
    "esriFieldTypeString": 4,
    "esriFieldTypeDate": 5,
    "esriFieldTypeOID": 6,
    "esriFieldTypeGlobalID": 11,
}


def page(layer: ServedLayer, names: Sequence[str], features: bytes, *, epsg: int | None, more: bool) -> bytes:
    """A response body: the head, then the rows as FORM writes them.

    Args:
        layer: the layer.
        names: the columns of the rows.
        features: the rows.
        epsg: the CRS of the geometries; None: there are none.
        more: whether more rows follow.
    """
    head = [_text(1, layer.oid), _message(2, _text(1, layer.oid) + _number(2, 1))]
    head += [_text(3, layer.about.global_id)] if layer.about.global_id else []
    if epsg is not None:
        reference = layer.reference(epsg)
        head += [_number(7, _POLYGON)]
        head += [_message(8, _number(1, reference["wkid"]) + _number(2, reference["latestWkid"]))]
    head += [_number(9, 1)] if more else []
    head += [_message(12, _transform(layer.grid(epsg)))] if epsg is not None else []
    head += [_message(13, _column(layer.field(name))) for name in names]
    return _message(2, _message(1, b"".join([*head, features])))


def _column(field: Mapping[str, Any]) -> bytes:
    return _text(1, field["name"]) + _number(2, _FIELD_TYPES[field["type"]]) + _text(3, field["alias"]) + _number(4, 16)


def _transform(grid: Grid) -> bytes:
    scale, corner = _double(1, grid.step) + _double(2, grid.step), _double(1, grid.west) + _double(2, grid.south)
    return _message(2, scale) + _message(3, corner)


def _rows(columns: Columns, shapes: Shapes | None, oid: str, grid: Grid) -> list[bytes]:
    cells = [_values(values, is_oid=name == oid) for name, values in columns.items()]
    geometries = [b""] * len(cells[0]) if shapes is None else _shapes(shapes, grid)
    return [_message(15, b"".join(parts)) for parts in zip(*cells, geometries, strict=True)]


FORM = Form("pbf", b"", _rows)


def _values(values: Column, *, is_oid: bool) -> list[bytes]:
    """The values of a column as messages."""
    kind = values.dtype.kind
    if kind == "O":
        write = {text: _message(1, _text(1, text)) for text in set(values.tolist()) if text is not None}
        return [write.get(text, _EMPTY) for text in values.tolist()]
    if kind == "f":
        return [_message(1, _double(3, each)) if each == each else _EMPTY for each in values.tolist()]  # noqa: PLR0124
    number = 5 if is_oid else 8 if kind == "M" else 4
    return [
        _EMPTY if each is None else _message(1, _number(number, each if is_oid else _zigzagged(each)))
        for each in sendable(values)
    ]


def _shapes(shapes: Shapes, grid: Grid) -> list[bytes]:
    """The shape of each row as a message; no message for null, an empty one for an empty shape."""
    lengths = np.diff(shapes.rings)
    steps, widths = _varints(_moves(shapes, grid).ravel())
    starts = offsets(widths)[2 * shapes.rings[shapes.features]].tolist()
    rings, wide = _varints(lengths.astype(np.uint64))
    firsts = offsets(wide)[shapes.features].tolist()
    places = zip(pairwise(firsts), pairwise(starts), shapes.null.tolist(), strict=True)
    return [
        b"" if null else _message(2, _message(2, rings[a:b]) + _message(3, steps[c:d]) if b > a else b"")
        for (a, b), (c, d), null in places
    ]


def _moves(shapes: Shapes, grid: Grid) -> npt.NDArray[np.uint64]:
    """The differences between corners, in steps; y points down."""
    placed = (np.rint((shapes.points - [grid.west, grid.south]) / grid.step) * [1, -1]).astype(np.int64)
    moves = np.diff(placed, axis=0, prepend=np.zeros((1, 2), dtype=np.int64))
    first = shapes.rings[:-1]
    moves[first] = placed[first]
    return np.asarray((moves << 1) ^ (moves >> 63)).astype(np.uint64)


def _varints(values: npt.NDArray[np.uint64]) -> tuple[bytes, Ints]:
    """The bytes of all numbers, and how many bytes each has."""
    sevens = (values[:, None] >> (np.uint64(7) * np.arange(10, dtype=np.uint64))) & np.uint64(127)
    widths = np.maximum(10 - np.argmax(sevens[:, ::-1] > 0, axis=1), 1)
    widths[values == 0] = 1
    place = np.arange(10)
    continued = place < widths[:, None] - 1
    return (sevens | (continued * np.uint64(128)))[place < widths[:, None]].astype(np.uint8).tobytes(), widths


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _zigzagged(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + pack("<d", value)


_EMPTY = _message(1, b"")
