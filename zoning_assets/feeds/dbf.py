"""What GDAL does not hand over of a shapefile's .dbf: the digits of numbers that it reads as doubles, and in which
encoding its text really is.

Source: dBASE III+ file header: rows, header length and row length at 4, 8 and 10; a field of 32 bytes each from 32.
"""

import mmap
import re
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from zoning_assets.transform import canonical, texts

#: Digits that every double holds.
_DOUBLE_DIGITS = 15
#: Digits of pyarrow's widest decimal number.
_MOST_DIGITS = 76
_MOST_FIELDS = 2048
_NUMBER = re.compile(rb"[+-]?\d{1,60}(\.\d{0,15})?")
_HIGH = re.compile(rb"[\x80-\xff]+")
_MOST_LOOKED_AT = 64 << 20


@dataclass(frozen=True)
class Field:
    """A column: its name's bytes, its type's letter, where it begins in a row, and its width."""

    name: bytes
    kind: str
    start: int
    width: int
    decimals: int = 0


@dataclass(frozen=True)
class Table:
    """A .dbf that was looked at."""

    path: Path
    head: int  # bytes before the first row
    size: int  # bytes of a row
    rows: int
    fields: tuple[Field, ...]

    def texts(self, field: Field, rows: Sequence[int] | None = None) -> list[bytes]:
        """What is written in a column, by the rows' numbers, or in all rows."""
        with self._mapped() as written:
            starts = (self.head + row * self.size + field.start for row in (range(self.rows) if rows is None else rows))
            return [written[start : start + field.width].strip(b" \0") for start in starts]

    @contextmanager
    def _mapped(self) -> Iterator[mmap.mmap]:
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def beside(shapefile: Path) -> Table | None:
    """The table of a shapefile; None where there is none, or its header makes no sense."""
    names = (path for path in shapefile.parent.iterdir() if path.suffix.lower() == ".dbf")
    path = next((path for path in names if path.stem.casefold() == shapefile.stem.casefold()), None)
    return None if path is None else _table(path)


def _table(path: Path) -> Table | None:
    with path.open("rb") as file:
        start = file.read(32 + 32 * _MOST_FIELDS)
    if len(start) < 33:
        return None
    rows, head, size = struct.unpack_from("<IHH", start, 4)
    fields, at = list[Field](), 1
    for place in range(32, min(head, len(start)) - 31, 32):
        if start[place : place + 1] == b"\r":
            break
        name, kind, width, decimals = struct.unpack_from("<11sc4xBB", start, place)
        width += decimals * 256 if kind == b"C" else 0  # how long texts are told
        fields.append(Field(name.partition(b"\0")[0], kind.decode("latin-1"), at, width, decimals))
        at += width
    whole = at <= size and head + rows * size <= path.stat().st_size + 1
    return Table(path, head, size, rows, tuple(fields)) if whole else None


def long_columns(table: Table, named: Collection[int]) -> dict[int, pa.DataType]:
    """Columns that hold numbers which GDAL's doubles do not hold, by place, and the type that does: decimal numbers.

    A number that was cut when it was written ("1.23456789012e+018") stays text where the jurisdiction file names the
    column (`named`), so that it can be refused by name, and a double elsewhere.
    """
    found: dict[int, pa.DataType] = {}
    for place, field in enumerate(table.fields):
        if field.kind not in "NF" or field.width <= _DOUBLE_DIGITS:
            continue
        written = table.texts(field)
        if any(map(_is_cut_number, written)):
            found.update({place: pa.string()} if place in named else {})
        elif any(map(_is_long, written)) and all(not text or _NUMBER.fullmatch(text) for text in written):
            found[place] = pa.decimal256(_MOST_DIGITS, field.decimals)
    return found


def with_digits(table: Table, place: int, kind: pa.DataType, rows: Sequence[int]) -> pa.Array:
    """A column of `long_columns`, as it is written, of the rows of these numbers."""
    written = table.texts(table.fields[place], rows)
    if kind == pa.string():
        return pa.array([text.decode("latin-1") or None for text in written], kind)
    return pa.array([Decimal(text.decode()) if text else None for text in written], kind)


def _is_long(text: bytes) -> bool:
    """Whether a double may hold another whole number than this."""
    return len(text.partition(b".")[0].lstrip(b"+-0")) > _DOUBLE_DIGITS


def _is_cut_number(text: bytes) -> bool:
    return b"e" in text.lower() and canonical.is_inexact(text.decode("latin-1"))


def is_utf8_unsaid(shapefile: Path) -> bool:
    """Whether all text of a shapefile that is not ASCII is UTF-8, whatever encoding its .dbf or .cpg names."""
    table = beside(shapefile)
    if table is None:
        return False
    with table.path.open("rb") as file:
        file.seek(table.head)
        seen = [found[0] for found in _HIGH.finditer(file.read(_MOST_LOOKED_AT))]
    whole = sum(texts.is_utf8(each) for each in seen)
    return bool(seen) and whole > 0 and all(texts.is_utf8(each) or _is_cut(each) for each in seen)


def _is_cut(raw: bytes) -> bool:
    """Whether only the last letter of UTF-8 is not whole."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False
