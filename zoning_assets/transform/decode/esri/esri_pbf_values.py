"""The attributes of an f=pbf page: its messages `Value`, all at once, as what f=json makes of the same rows."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zoning_assets.transform.decode import text_encoding
from zoning_assets.transform.decode.esri import protobuf
from zoning_assets.transform.decode.esri.protobuf import Bytes, Step
from zoning_assets.transform.geometry.rings import Floats, Ints

Objects = npt.NDArray[np.object_]


#: Stands for all numbers of kinds of values that are not in _VALUES.
_UNKNOWN = 10


class _Cells(NamedTuple):
    """What contents stand in, and where."""

    body: bytes
    data: Bytes  # the same
    step: Step


def values(body: bytes, data: Bytes, start: Ints, stop: Ints) -> Objects:
    """The value of each message; None where it is empty.

    Args:
        body: what they stand in.
        data: the same.
        start: where each begins.
        stop: where each ends.

    Raises:
        ValueError: the bytes are not such messages, or of a kind that is not known.
    """
    found = np.full(len(start), None, dtype=object)
    for step in protobuf.steps(data, start, stop, most=1):
        numbers = np.minimum(step.number, _UNKNOWN)
        for number in np.flatnonzero(np.bincount(numbers)).tolist():
            kind, read = _VALUES.get(number, (-1, _texts))
            these = step.where(numbers == number)
            if (these.kind != kind).any():
                message = f"a value of the unknown kind {these.number[0]}"
                raise ValueError(message)
            found[these.message] = read(_Cells(body, data, these))
    return found


def _texts(cells: _Cells) -> list[str]:
    places = zip(cells.step.start.tolist(), cells.step.stop.tolist(), strict=True)
    return [text_encoding.decoded(cells.body[start:stop]) for start, stop in places]


def _fixed(cells: _Cells, kind: str) -> npt.NDArray[Any]:
    """Numbers of fixed width, little-endian."""
    width = np.dtype(kind).itemsize
    table = cells.data[cells.step.start[:, None] + np.arange(width)]
    return np.ascontiguousarray(table).view(kind)[:, 0]


def _singles(cells: _Cells) -> Objects:
    """Single precision as JSON writes it, in the fewest digits: 0.19 and not 0.1899999976158142."""
    return _as_written(_fixed(cells, "<f4").astype(np.str_).astype(np.float64))


def _doubles(cells: _Cells) -> Objects:
    return _as_written(_fixed(cells, "<f8"))


def _as_written(numbers: Floats) -> Objects:
    """ArcGIS writes a whole double without a point, and so it is read as a whole number."""
    written = numbers.astype(object)
    whole = (np.abs(numbers) < 2**53) & (numbers == np.rint(numbers))
    written[whole] = numbers[whole].astype(np.int64)
    return written


def _varints(cells: _Cells) -> protobuf.Wholes:
    return protobuf.varints(cells.data, cells.step.start, cells.step.stop)[0]


def _signed(cells: _Cells) -> list[Any]:
    return list(protobuf.zigzag(_varints(cells)).tolist())


_VALUES: Mapping[int, tuple[int, Callable[[_Cells], Any]]] = {
    1: (protobuf.BYTES, _texts),
    2: (protobuf.FOUR, _singles),
    3: (protobuf.EIGHT, _doubles),
    4: (protobuf.VARINT, _signed),
    5: (protobuf.VARINT, lambda cells: _varints(cells).tolist()),
    6: (protobuf.VARINT, lambda cells: _varints(cells).astype(np.int64).tolist()),
    7: (protobuf.VARINT, lambda cells: _varints(cells).tolist()),
    8: (protobuf.VARINT, _signed),
    9: (protobuf.VARINT, lambda cells: _varints(cells).astype(bool).tolist()),
}
