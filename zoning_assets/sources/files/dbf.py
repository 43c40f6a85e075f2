"""What GDAL does not hand over of a shapefile's .dbf: the digits of numbers that it reads as doubles, and in which
encoding its text really is.

Source: dBASE III+ file header: rows, header length and row length at 4, 8 and 10; a field of 32 bytes each from 32.
"""

import re
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import IO

import pyarrow as pa

from zoning_assets.transform.decode import text_encoding
from zoning_assets.transform.geometry import content_hash

#: Digits that every double holds.
_DOUBLE_DIGITS = 15
#: Digits of pyarrow's widest decimal number, and how many may stand behind its point.
_MOST_DIGITS, _MOST_PLACES = 76, 60
_MOST_FIELDS = 2048
#: Bytes of rows that are read at once. A mapped file would count as memory.
CHUNK = 4 << 20
_SHORT = re.compile(rb"[+-]?\d{1,15}(?:\.(\d*))?")
_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
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

    def texts(self, field: Field, rows: Sequence[int]) -> list[bytes]:
        """What is written in a column, by the rows' numbers; the bytes between the first and the last are read."""
        with self.path.open("rb") as file:
            near = (list(each) for _, each in groupby(rows, lambda row: row // self._rows_at_once))
            return [text for each in near for text in self._near(file, field, each)]

    def chunks(self) -> Iterator[bytes]:
        """All rows, some thousand at a time."""
        with self.path.open("rb") as file:
            for first in range(0, self.rows, self._rows_at_once):
                yield self._read(file, first, min(first + self._rows_at_once, self.rows))

    def cells(self, rows: bytes, field: Field) -> Iterable[bytes]:
        """What is written in a column of some whole rows."""
        starts = range(field.start, len(rows), self.size)
        return (rows[start : start + field.width].strip(b" \0") for start in starts)

    def _near(self, file: IO[bytes], field: Field, rows: Sequence[int]) -> list[bytes]:
        """As `texts`, of rows that lie in one chunk."""
        first = min(rows)
        written = list(self.cells(self._read(file, first, max(rows) + 1), field))
        return [written[row - first] for row in rows]

    def _read(self, file: IO[bytes], first: int, end: int) -> bytes:
        """Rows from `first` up to `end`; what a file cut in its last byte lacks is blank."""
        file.seek(self.head + first * self.size)
        wanted = (end - first) * self.size
        return file.read(wanted).ljust(wanted)

    @property
    def _rows_at_once(self) -> int:
        return max(1, CHUNK // self.size)


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
    """Columns that hold numbers which GDAL reads as other numbers, by place, and the type that holds them.

    Decimal numbers, where a number is too long for a double; a cell that is no number is null. Where the jurisdiction
    file names the column (`named`), also for a cell of which GDAL reads the beginning (12-A is not 12), and as text
    where decimal numbers do not hold all cells. A number that was cut when it was written ("1.23456789012e+018") stays
    as it is there, so that it can be refused by name; in a column that is not named it is a double.
    """
    fields = {
        place: field
        for place, field in enumerate(table.fields)
        if field.kind in "NF" and (field.width > _DOUBLE_DIGITS or place in named)
    }
    seen = {place: set[str]() for place in fields}
    for rows in table.chunks() if fields else ():
        for place, field in fields.items():
            seen[place].update(*(_seen(text, field.decimals) for text in table.cells(rows, field)))
    kinds = {place: _type(seen[place], field.decimals, is_named=place in named) for place, field in fields.items()}
    return {place: kind for place, kind in kinds.items() if kind is not None}


def _seen(text: bytes, places: int) -> tuple[str, ...]:
    """What is special about a cell of a column with so many places behind the point; nothing of most cells."""
    short = _SHORT.fullmatch(text)
    if (short and len(short[1] or b"") <= places) or not text.strip(b"*"):  # asterisks: it did not fit, and is null
        return ()
    if _is_cut_number(text):
        return ("cut",)
    number = _number(text)
    if number is None:
        return ("odd",)
    whole, exponent = number.adjusted() + 1, number.as_tuple().exponent
    fits = -int(exponent) <= places and whole + places <= _MOST_DIGITS
    return ("long",) * (whole > _DOUBLE_DIGITS) + ("unfit",) * (not fits)


def _type(seen: Collection[str], places: int, *, is_named: bool) -> pa.DataType | None:
    """The type of a column in whose cells this was seen; None where GDAL's is right."""
    misread = "odd" in seen or "cut" in seen or ("unfit" in seen and not places)
    if "long" not in seen and not (is_named and misread):
        return None
    if "cut" in seen or "unfit" in seen or places > _MOST_PLACES:
        return pa.string() if is_named else None
    return pa.decimal256(_MOST_DIGITS, places)


def with_digits(table: Table, place: int, kind: pa.DataType, rows: Sequence[int]) -> pa.Array:
    """A column of `long_columns`, of the rows of these numbers; null where a cell is no number."""
    form = _text if kind == pa.string() else _number
    return pa.array([form(text) for text in table.texts(table.fields[place], rows)], kind)


def _number(text: bytes) -> Decimal | None:
    return Decimal(text.decode()) if _NUMBER.fullmatch(text) else None


def _text(text: bytes) -> str | None:
    """A number as keys are written, so that a neighbour does not change how it looks; a cut one as it is."""
    return text.decode("latin-1") if _is_cut_number(text) else content_hash.key(_number(text))


def _is_cut_number(text: bytes) -> bool:
    return b"e" in text.lower() and content_hash.is_inexact(text.decode("latin-1"))


def is_utf8_unsaid(shapefile: Path) -> bool:
    """Whether all text of a shapefile that is not ASCII is UTF-8, whatever encoding its .dbf or .cpg names."""
    table = beside(shapefile)
    if table is None:
        return False
    with table.path.open("rb") as file:
        file.seek(table.head)
        seen = [found[0] for found in _HIGH.finditer(file.read(_MOST_LOOKED_AT))]
    whole = sum(text_encoding.is_utf8(each) for each in seen)
    return bool(seen) and whole > 0 and all(text_encoding.is_utf8(each) or _is_cut(each) for each in seen)


def _is_cut(raw: bytes) -> bool:
    """Whether only the last letter of UTF-8 is not whole."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False
