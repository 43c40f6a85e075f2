"""What GDAL does not return from the .dbf of a shapefile: the digits of numbers that it reads as doubles, and the
actual encoding of its text.

Source: dBASE III+ file format: rows, header length and row length at bytes 4, 8 and 10; fields of 32 bytes from 32 on.
"""

import re
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, islice
from pathlib import Path
from typing import IO

import pyarrow as pa

from zoning_assets.transform.decode import text_encoding
from zoning_assets.transform.geometry import content_hash

#: Digits that every double represents exactly.
_DOUBLE_DIGITS = 15
#: Digits of pyarrow's widest decimal type, and the most digits after its point.
_MOST_DIGITS, _MOST_PLACES = 76, 60
_MOST_FIELDS = 2048
#: Bytes of rows that are read at once. The file is not mapped: that would count as memory.
CHUNK = 4 << 20
_SHORT = re.compile(rb"[+-]?\d{1,15}(?:\.(\d*))?")
_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")
_HIGH = re.compile(rb"[\x80-\xff]+")
_MOST_LOOKED_AT = 64 << 20


@dataclass(frozen=True)
class DbfField:
    """A column: its name as bytes, the letter of its type, its first byte in a row, and its width."""

    name: bytes
    kind: str
    start: int
    width: int
    decimals: int = 0


@dataclass(frozen=True)
class DbfTable:
    """The header of a .dbf."""

    path: Path
    head: int  # bytes before the first row
    size: int  # bytes of a row
    rows: int
    fields: tuple[DbfField, ...]

    def texts(self, field: DbfField, rows: Sequence[int]) -> list[bytes]:
        """The cells of a column, by the numbers of rows."""
        with self.path.open("rb") as file:
            near = (list(each) for _, each in groupby(rows, lambda row: row // self._rows_at_once))
            return [text for each in near for text in self._near(file, field, each)]

    def chunks(self) -> Iterator[bytes]:
        """All rows, some thousand at a time."""
        with self.path.open("rb") as file:
            for first in range(0, self.rows, self._rows_at_once):
                yield self._read(file, first, min(first + self._rows_at_once, self.rows))

    def cells(self, rows: bytes, field: DbfField) -> Iterable[bytes]:
        """The cells of a column in some complete rows."""
        starts = range(field.start, len(rows), self.size)
        return (rows[start : start + field.width].strip(b" \0") for start in starts)

    def _near(self, file: IO[bytes], field: DbfField, rows: Sequence[int]) -> list[bytes]:
        """As `texts`, for rows within one chunk."""
        first = min(rows)
        written = list(self.cells(self._read(file, first, max(rows) + 1), field))
        return [written[row - first] for row in rows]

    def _read(self, file: IO[bytes], first: int, end: int) -> bytes:
        """Rows from `first` up to `end`. A missing last byte of the file counts as blank."""
        file.seek(self.head + first * self.size)
        wanted = (end - first) * self.size
        return file.read(wanted).ljust(wanted)

    @property
    def _rows_at_once(self) -> int:
        return max(1, CHUNK // self.size)


def beside(shapefile: Path) -> DbfTable | None:
    """The table of a shapefile; None: there is none, or its header is invalid."""
    names = (path for path in shapefile.parent.iterdir() if path.suffix.lower() == ".dbf")
    path = next((path for path in names if path.stem.casefold() == shapefile.stem.casefold()), None)
    return None if path is None else _table(path)


def _table(path: Path) -> DbfTable | None:
    with path.open("rb") as file:
        start = file.read(32 + 32 * _MOST_FIELDS)
    if len(start) < 33:
        return None
    rows, head, size = struct.unpack_from("<IHH", start, 4)
    fields, at = list[DbfField](), 1
    for place in range(32, min(head, len(start)) - 31, 32):
        if start[place : place + 1] == b"\r":
            break
        name, kind, width, decimals = struct.unpack_from("<11sc4xBB", start, place)
        width += decimals * 256 if kind == b"C" else 0  # the width of long texts is in two bytes
        fields.append(DbfField(name.partition(b"\0")[0], kind.decode("latin-1"), at, width, decimals))
        at += width
    whole = at <= size and head + rows * size <= path.stat().st_size + 1
    return DbfTable(path, head, size, rows, tuple(fields)) if whole else None


def long_columns(table: DbfTable, named: Collection[int]) -> dict[int, pa.DataType]:
    """Find columns with numbers that GDAL would change; return the type that represents them, by place.

    The type is decimal if a number is too long for a double; a cell that is not a number is then null. Columns that the
    jurisdiction file names are also included for cells of which GDAL reads only the beginning (12-A as 12); they are
    text if decimals do not represent all cells. A number that was cut when it was written ("1.23456789012e+018") is
    kept as text, so that it can be rejected by name; in other columns it is a double.

    Args:
        table: the table.
        named: the places of the columns that the jurisdiction file names.
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
    """What is special about a cell of a column with this number of decimal places; () for most cells."""
    short = _SHORT.fullmatch(text)
    if (short and len(short[1] or b"") <= places) or not text.strip(b"*"):  # asterisks: an overflow, which is null
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
    """The type of a column with such cells; None: GDAL's is correct."""
    misread = "odd" in seen or "cut" in seen or ("unfit" in seen and not places)
    if "long" not in seen and not (is_named and misread):
        return None
    if "cut" in seen or "unfit" in seen or places > _MOST_PLACES:
        return pa.string() if is_named else None
    return pa.decimal256(_MOST_DIGITS, places)


def with_digits(table: DbfTable, place: int, kind: pa.DataType, rows: Sequence[int]) -> pa.Array:
    """Read a column of `long_columns` for these rows; null: a cell is not a number."""
    form = _text if kind == pa.string() else _number
    return pa.array([form(text) for text in table.texts(table.fields[place], rows)], kind)


def _number(text: bytes) -> Decimal | None:
    return Decimal(text.decode()) if _NUMBER.fullmatch(text) else None


def _text(text: bytes) -> str | None:
    """A number in the same spelling as keys, whatever other cells look like; a cut number as it is."""
    return text.decode("latin-1") if _is_cut_number(text) else content_hash.key(_number(text))


def _is_cut_number(text: bytes) -> bool:
    return b"e" in text.lower() and content_hash.is_inexact(text.decode("latin-1"))


def is_undeclared_utf8(shapefile: Path) -> bool:
    """Whether all non-ASCII text of a shapefile is UTF-8, whatever encoding its .dbf or .cpg declares."""
    table = beside(shapefile)
    if table is None:
        return False
    chunks = islice(table.chunks(), _MOST_LOOKED_AT // CHUNK)
    seen = {found[0] for chunk in chunks for found in _HIGH.finditer(chunk)}
    whole = sum(text_encoding.is_utf8(each) for each in seen)
    return bool(seen) and whole > 0 and all(text_encoding.is_utf8(each) or _is_cut(each) for each in seen)


def _is_cut(raw: bytes) -> bool:
    """Whether bytes are UTF-8 except that the last letter is cut."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False
