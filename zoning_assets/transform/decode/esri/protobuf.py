"""Decode the protocol buffers wire format: one message at a time, or many messages at once with numpy.

Every length is checked against the enclosing message, nothing is recursive, and time and memory are proportional to the
number of bytes. Every malformed message raises a ValueError. Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoning_assets.transform.geometry.rings import Ints, offsets

Bytes = npt.NDArray[np.uint8]
UInts = npt.NDArray[np.uint64]

#: Wire types of a field.
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5

#: By wire type, the number of bytes of the content: 0 if it is encoded in the content, -1 if the type is unknown.
_WIDTHS = np.array([0, 8, 0, -1, -1, 4, -1, -1], dtype=np.int64)

_MAX_VARINT_BYTES, _UINT64_MAX = 10, 2**64 - 1
#: Limits: fields in one message, and numbers in the packed fields of a page.
_MAX_FIELDS, _MAX_NUMBERS = 1_000_000, 16_000_000


class Field(NamedTuple):
    """One field of a message: its number, its wire type, and the byte range of its content."""

    number: int
    kind: int
    start: int
    stop: int


def fields(body: bytes, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of a message, in order.

    Raises:
        ValueError: the bytes are not a valid message.
    """
    for _ in range(_MAX_FIELDS):
        if start >= stop:
            return
        key, at = varint(body, start, stop)
        if key & 7 == LENGTH_DELIMITED:  # not in _width, because every row passes here
            length, at = varint(body, at, stop)
        else:
            length = _width(body, key & 7, at, stop)
        if not key >> 3 or length > stop - at:
            raise _malformed(f"a field of {length} bytes where {stop - at} are left")
        start = at + length
        yield Field(key >> 3, key & 7, at, start)
    if start < stop:
        raise _malformed(f"more than {_MAX_FIELDS:,} fields in one message")


def unique_fields(body: bytes, start: int, stop: int) -> Mapping[int, Field]:
    """Return the fields of a message by number.

    Raises:
        ValueError: a field occurs twice, or the bytes are not a valid message.
    """
    found: dict[int, Field] = {}
    for field in fields(body, start, stop):
        if field.number in found:
            raise _malformed(f"field {field.number} occurs twice")
        found[field.number] = field
    return found


def varint(body: bytes, at: int, stop: int) -> tuple[int, int]:
    """Return an unsigned integer and the offset after it.

    Raises:
        ValueError: the number is longer than 10 bytes or reaches `stop`.
    """
    if at < stop and body[at] < 128:
        return body[at], at + 1
    value = 0
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        if at >= stop:
            break
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _UINT64_MAX, at
    raise _malformed("a number does not end")


def _width(body: bytes, kind: int, at: int, stop: int) -> int:
    """Return the number of bytes of a field that is not length-delimited."""
    if kind == VARINT:
        return varint(body, at, stop)[1] - at
    if kind in (FIXED64, FIXED32):
        return 8 if kind == FIXED64 else 4
    raise _malformed(f"a field of the unknown wire type {kind}")


@dataclass(frozen=True)
class Step:
    """The next field of each message that has one: message index, number, wire type, byte range of the content."""

    message: Ints
    number: Ints
    kind: Ints
    start: Ints
    stop: Ints

    def where(self, which: npt.NDArray[np.bool_]) -> "Step":
        """Return the fields for which the mask is true."""
        if which.all():
            return self
        return Step(self.message[which], self.number[which], self.kind[which], self.start[which], self.stop[which])


def steps(data: Bytes, start: Ints, stop: Ints, most: int) -> Iterator[Step]:
    """Yield the fields of many messages in parallel: the first field of all, then the second of all that have one.

    Args:
        data: the bytes that contain the messages.
        start: the offset of each message's first byte.
        stop: the offset after each message's last byte.
        most: the largest number of fields in one message.

    Raises:
        ValueError: the bytes are not valid messages.
    """
    message, at = np.arange(len(start)), start
    for _ in range(most + 1):
        going = at < stop
        message, at, stop = message[going], at[going], stop[going]
        if not len(message):
            return
        key, at = varints(data, at, stop)
        kind = (key & np.uint64(7)).astype(np.int64)
        at, end = _locate_contents(data, kind, at, stop)
        yield Step(message, (key >> np.uint64(3)).astype(np.int64), kind, at, end)
        at = end
    raise _malformed(f"more than {most} fields in one message")


def _locate_contents(data: Bytes, kind: Ints, at: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Return the byte ranges of the fields' contents."""
    begin, width = at.copy(), _WIDTHS[kind]
    if (width < 0).any():
        raise _malformed("a field of an unknown wire type")
    end = at + width
    number = kind == VARINT
    if number.any():
        _, end[number] = varints(data, at[number], stop[number])
    text = kind == LENGTH_DELIMITED
    if text.any():
        length, begin[text] = varints(data, at[text], stop[text])
        if (length > (stop - begin)[text].astype(np.uint64)).any():
            raise _malformed("a field is longer than its message")
        end[text] = begin[text] + length.astype(np.int64)
    if (end > stop).any():
        raise _malformed("a field is longer than its message")
    return begin, end


def varints(data: Bytes, at: Ints, stop: Ints) -> tuple[UInts, Ints]:
    """Return the unsigned integer at each offset, and the offset after it.

    Raises:
        ValueError: a number is longer than 10 bytes or reaches `stop`.
    """
    if (at < stop).all() and (byte := data[at]).max(initial=0) < 128:  # fast path: all have one byte
        return byte.astype(np.uint64), at + 1
    value, end, going = np.zeros(len(at), dtype=np.uint64), at.copy(), np.arange(len(at))
    for shift in range(0, 7 * _MAX_VARINT_BYTES, 7):
        here = end[going]
        if (here >= stop[going]).any():
            raise _malformed("a number does not end")
        byte = data[here]
        value[going] |= (byte & np.uint8(127)).astype(np.uint64) << np.uint64(shift)
        end[going] = here + 1
        going = going[byte > 127]
        if not len(going):
            return value, end
    raise _malformed("a number does not end")


def unpack(body: bytes, start: Ints, stop: Ints) -> tuple[UInts, Ints]:
    """Decode the numbers of packed fields in one pass; second: how many numbers each field has.

    Raises:
        ValueError: a field ends within a number, or there are too many numbers.
    """
    pieces = [body[one:other] for one, other in zip(start.tolist(), stop.tolist(), strict=True)]
    run, ends = np.frombuffer(b"".join(pieces), dtype=np.uint8), offsets(stop - start)
    final = run < 128  # the last byte of a number
    if np.count_nonzero(final) > _MAX_NUMBERS:
        raise _malformed(f"more than {_MAX_NUMBERS:,} numbers")
    if not final[ends[1:][stop > start] - 1].all():
        raise _malformed("a number does not end")
    last = np.flatnonzero(final)
    first = np.concatenate([[0], last + 1])[: len(last)]
    return _assemble_varints(run, first, last - first + 1), np.diff(np.searchsorted(last, ends))


def _assemble_varints(run: Bytes, first: Ints, width: Ints) -> UInts:
    """Return the numbers that start at `first` and have `width` bytes."""
    widest = int(width.max(initial=0))
    if widest > _MAX_VARINT_BYTES:
        raise _malformed("a number does not end")
    value = np.zeros(len(first), dtype=np.uint64)
    for place in range(widest):
        there = np.flatnonzero(width > place)
        value[there] |= (run[first[there] + place] & np.uint8(127)).astype(np.uint64) << np.uint64(7 * place)
    return value


def zigzag(value: UInts) -> Ints:
    """Decode signed integers (ZigZag encoding: the sign is the last bit)."""
    return ((value >> np.uint64(1)) ^ (~(value & np.uint64(1)) + np.uint64(1))).astype(np.int64)


def _malformed(what: str) -> ValueError:
    return ValueError(f"malformed protocol buffer: {what}")
