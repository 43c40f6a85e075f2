"""Decode the attributes of an f=pbf page (its `Value` messages), many at once.

The results are equal to those that f=json gives for the same rows.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zoning_assets.transform.decode import text_encoding
from zoning_assets.transform.decode.esri import protobuf
from zoning_assets.transform.decode.esri.protobuf import Bytes, Step
from zoning_assets.transform.geometry.rings import Floats, Ints

Objects = npt.NDArray[np.object_]

#: Replaces every field number that is not in _VALUES.
_UNKNOWN = 10


class _EncodedValues(NamedTuple):
    """The fields to decode, and the bytes that contain them."""

    body: bytes
    data: Bytes  # the body as an array
    step: Step


def values(body: bytes, data: Bytes, start: Ints, stop: Ints) -> Objects:
    """Decode the value of each message; None if the message is empty.

    Args:
        body: the page.
        data: the page as an array of bytes.
        start: the offset of each message's first byte.
        stop: the offset after each message's last byte.

    Raises:
        ValueError: the bytes are not `Value` messages, or a value has an unknown type.
    """
    found = np.full(len(start), None, dtype=object)
    for step in protobuf.steps(data, start, stop, most=1):
        numbers = np.minimum(step.number, _UNKNOWN)
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            kind, read = _VALUES.get(number, (-1, _texts))
            these = step.where(numbers == number)
            if (these.kind != kind).any():
                message = f"a value has the unknown type {these.number[0]}"
                raise ValueError(message)
            found[these.message] = read(_EncodedValues(body, data, these))
    return found


def _texts(cells: _EncodedValues) -> list[str]:
    places = zip(cells.step.start.tolist(), cells.step.stop.tolist(), strict=True)
    return [text_encoding.decode_value(cells.body[start:stop]) for start, stop in places]


def _fixed(cells: _EncodedValues, kind: str) -> npt.NDArray[Any]:
    """Decode numbers of fixed width, little-endian."""
    width = np.dtype(kind).itemsize
    table = cells.data[cells.step.start[:, None] + np.arange(width)]
    return np.ascontiguousarray(table).view(kind)[:, 0]


def _singles(cells: _EncodedValues) -> Objects:
    """Decode single precision as JSON writes it, with the fewest digits: 0.19, not 0.1899999976158142."""
    return _whole_as_int(_fixed(cells, "<f4").astype(np.str_).astype(np.float64))


def _doubles(cells: _EncodedValues) -> Objects:
    return _whole_as_int(_fixed(cells, "<f8"))


def _whole_as_int(numbers: Floats) -> Objects:
    """Return whole doubles as integers: in JSON, ArcGIS writes them without a decimal point."""
    written = numbers.astype(object)
    whole = (np.abs(numbers) < 2**53) & (numbers == np.rint(numbers))
    written[whole] = numbers[whole].astype(np.int64)
    return written


def _varints(cells: _EncodedValues) -> protobuf.UInts:
    return protobuf.varints(cells.data, cells.step.start, cells.step.stop)[0]


def _signed(cells: _EncodedValues) -> list[Any]:
    return list(protobuf.zigzag(_varints(cells)).tolist())


_VALUES: Mapping[int, tuple[int, Callable[[_EncodedValues], Any]]] = {
    1: (protobuf.LENGTH_DELIMITED, _texts),
    2: (protobuf.FIXED32, _singles),
    3: (protobuf.FIXED64, _doubles),
    4: (protobuf.VARINT, _signed),
    5: (protobuf.VARINT, lambda cells: _varints(cells).tolist()),
    6: (protobuf.VARINT, lambda cells: _varints(cells).astype(np.int64).tolist()),
    7: (protobuf.VARINT, lambda cells: _varints(cells).tolist()),
    8: (protobuf.VARINT, _signed),
    9: (protobuf.VARINT, lambda cells: _varints(cells).astype(bool).tolist()),
}
