"""Protocol buffers' wire format: one message at a time, or many messages in step.

Every length is checked against what holds it, nothing recurses, and work and memory stay in proportion to the bytes.
All that is wrong with a message is a ValueError. Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoning_assets.transform.geometry.rings import Ints, offsets

Bytes = npt.NDArray[np.uint8]
Wholes = npt.NDArray[np.uint64]

#: How a field's content is written.
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5

#: By kind, how many bytes its content has: 0 where it says so itself, -1 where there is no such kind.
_WIDTHS = np.array([0, 8, 0, -1, -1, 4, -1, -1], dtype=np.int64)

_LONGEST_VARINT, _LARGEST = 10, 2**64 - 1  # bytes; what they hold
#: Fields in one message, and numbers in the packed fields of a page.
_MOST_FIELDS, _MOST_NUMBERS = 1_000_000, 16_000_000


class Field(NamedTuple):
    """One field of a message: its number, how it is written, and where its content stands."""

    number: int
    kind: int
    start: int
    stop: int


def fields(body: bytes, start: int, stop: int) -> Iterator[Field]:
    """The fields of a message, in order.

    Raises:
        ValueError: the bytes are not such a message.
    """
    for _ in range(_MOST_FIELDS):
        if start >= stop:
            return
        key, at = varint(body, start, stop)
        if key & 7 == BYTES:  # in line, as a page's rows come this way
            length, at = varint(body, at, stop)
        else:
            length = _width(body, key & 7, at, stop)
        if not key >> 3 or length > stop - at:
            raise _malformed(f"a field of {length} bytes where {stop - at} are left")
        start = at + length
        yield Field(key >> 3, key & 7, at, start)
    if start < stop:
        raise _malformed(f"more than {_MOST_FIELDS:,} fields in one message")


def single(body: bytes, start: int, stop: int) -> Mapping[int, Field]:
    """The fields of a message by number, of which none may repeat.

    Raises:
        ValueError: one does, or the bytes are not a message.
    """
    found: dict[int, Field] = {}
    for field in fields(body, start, stop):
        if field.number in found:
            raise _malformed(f"field {field.number} stands twice")
        found[field.number] = field
    return found


def varint(body: bytes, at: int, stop: int) -> tuple[int, int]:
    """A whole number, and where it ends.

    Raises:
        ValueError: it does not end in time.
    """
    if at < stop and body[at] < 128:
        return body[at], at + 1
    value = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        if at >= stop:
            break
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _LARGEST, at
    raise _malformed("a number does not end")


def _width(body: bytes, kind: int, at: int, stop: int) -> int:
    """How long the content of a field is that does not say it."""
    if kind == VARINT:
        return varint(body, at, stop)[1] - at
    if kind in (EIGHT, FOUR):
        return 8 if kind == EIGHT else 4
    raise _malformed(f"a field of the unknown kind {kind}")


@dataclass(frozen=True)
class Step:
    """The next field of each message that has one: which messages, field numbers, kinds, and where contents stand."""

    message: Ints
    number: Ints
    kind: Ints
    start: Ints
    stop: Ints

    def where(self, which: npt.NDArray[np.bool_]) -> "Step":
        """Only these."""
        if which.all():
            return self
        return Step(self.message[which], self.number[which], self.kind[which], self.start[which], self.stop[which])


def steps(data: Bytes, start: Ints, stop: Ints, most: int) -> Iterator[Step]:
    """The fields of many messages in step: the first of all, then the second of all that have one.

    Args:
        data: what the messages stand in.
        start: where each begins.
        stop: where each ends.
        most: fields that one may have.

    Raises:
        ValueError: the bytes are not such messages.
    """
    message, at = np.arange(len(start)), start
    for _ in range(most + 1):
        going = at < stop
        message, at, stop = message[going], at[going], stop[going]
        if not len(message):
            return
        key, at = varints(data, at, stop)
        kind = (key & np.uint64(7)).astype(np.int64)
        at, end = _contents(data, kind, at, stop)
        yield Step(message, (key >> np.uint64(3)).astype(np.int64), kind, at, end)
        at = end
    raise _malformed(f"more than {most} fields in one message")


def _contents(data: Bytes, kind: Ints, at: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Where the contents of fields begin and end."""
    begin, width = at.copy(), _WIDTHS[kind]
    if (width < 0).any():
        raise _malformed("a field of an unknown kind")
    end = at + width
    number = kind == VARINT
    if number.any():
        _, end[number] = varints(data, at[number], stop[number])
    text = kind == BYTES
    if text.any():
        length, begin[text] = varints(data, at[text], stop[text])
        if (length > (stop - begin)[text].astype(np.uint64)).any():
            raise _malformed("a field is longer than what holds it")
        end[text] = begin[text] + length.astype(np.int64)
    if (end > stop).any():
        raise _malformed("a field is longer than what holds it")
    return begin, end


def varints(data: Bytes, at: Ints, stop: Ints) -> tuple[Wholes, Ints]:
    """The whole number that begins at each place, and where it ends.

    Raises:
        ValueError: one does not end in time.
    """
    if (at < stop).all() and (byte := data[at]).max(initial=0) < 128:  # as most are
        return byte.astype(np.uint64), at + 1
    value, end, going = np.zeros(len(at), dtype=np.uint64), at.copy(), np.arange(len(at))
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
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


def packed(body: bytes, start: Ints, stop: Ints) -> tuple[Wholes, Ints]:
    """The numbers that stand in packed fields, field after field, in one pass; and how many each field holds.

    Raises:
        ValueError: a field ends within a number, or there are too many of them.
    """
    pieces = [body[one:other] for one, other in zip(start.tolist(), stop.tolist(), strict=True)]
    run, ends = np.frombuffer(b"".join(pieces), dtype=np.uint8), offsets(stop - start)
    final = run < 128  # a number's last byte
    if np.count_nonzero(final) > _MOST_NUMBERS:
        raise _malformed(f"more than {_MOST_NUMBERS:,} numbers")
    if not final[ends[1:][stop > start] - 1].all():
        raise _malformed("a number does not end")
    last = np.flatnonzero(final)
    first = np.concatenate([[0], last + 1])[: len(last)]
    return _joined(run, first, last - first + 1), np.diff(np.searchsorted(last, ends))


def _joined(run: Bytes, first: Ints, width: Ints) -> Wholes:
    """Numbers from their bytes: where each begins, and how many it has."""
    widest = int(width.max(initial=0))
    if widest > _LONGEST_VARINT:
        raise _malformed("a number does not end")
    value = np.zeros(len(first), dtype=np.uint64)
    for place in range(widest):
        there = np.flatnonzero(width > place)
        value[there] |= (run[first[there] + place] & np.uint8(127)).astype(np.uint64) << np.uint64(7 * place)
    return value


def zigzag(value: Wholes) -> Ints:
    """Whole numbers with their sign, which protocol buffers keep in the last bit."""
    return ((value >> np.uint64(1)) ^ (~(value & np.uint64(1)) + np.uint64(1))).astype(np.int64)


def _malformed(what: str) -> ValueError:
    return ValueError(f"no protocol buffer: {what}")
