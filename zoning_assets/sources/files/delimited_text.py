"""Tables as text: CSV and similar, with shapes as text (WKT, GeoJSON, hexadecimal WKB) or as x and y.

GDAL reads them. Found here is what GDAL does not detect: the encoding, the separator, the columns of shapes, and lines
with a wrong number of columns, which GDAL fills or cuts without an error.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from zoning_assets.errors import FileRefused
from zoning_assets.sources.download.arrow_cache import atomic_file, name_of
from zoning_assets.transform.decode import text_encoding

#: Usual names of columns of shapes, the most frequent first.
_SHAPES = (
    "the_geom",
    "wkt",
    "geometry",
    "geom",
    "shape",
    "wkb_geometry",
    "geom_wkt",
    "geo_shape",
    "geo shape",
    "geojson",
)
_POINTS = (
    *(("longitude", "latitude"), ("lon", "lat"), ("long", "lat"), ("lng", "lat"), ("x", "y")),
    *(("point_x", "point_y"), ("x_coord", "y_coord"), ("xcoord", "ycoord"), ("intptlon", "intptlat")),
    *(("centroid_x", "centroid_y"), ("easting", "northing")),
)
_SHAPE = re.compile(
    r"\s*(SRID=\d+;)?\s*((MULTI)?(POLYGON|POINT|LINESTRING|SURFACE|CURVE)|CURVEPOLYGON|GEOMETRYCOLLECTION)\s*[ZM( E]"
    r"|\s*\{.*\"(coordinates|geometries)\"|\s*0[01][0-9A-F]{40}",
    re.IGNORECASE | re.DOTALL,
)
_SRID = re.compile(r"\s*SRID=(\d{4,6});", re.IGNORECASE)
_SEPARATORS = {",": "COMMA", ";": "SEMICOLON", "\t": "TAB", "|": "PIPE"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_WINDOWS = text_encoding.WINDOWS_1252
_CELL = re.compile(rb"[^,;\t|\"\r\n]+")
_MOST_COLUMNS = 2000
_MOST_CELL = 64 << 20
_SAMPLE_ROWS = 50
_AGAIN = "fix the line, or ask the publisher; what was published before is kept"


@dataclass(frozen=True)
class Head:
    """The result of the first lines: the separator, the columns, and the columns of shapes."""

    separator: str
    columns: tuple[str, ...]
    shape: str | None = None  # the column of shapes as text
    points: tuple[str, str] | None = None  # the columns of x and y
    srid: str | None = None  # the SRID in the shapes
    shapes: tuple[str, ...] = ()  # all columns with values that look like shapes


@dataclass(frozen=True)
class DelimitedTable:
    """A table prepared for GDAL: UTF-8, alone in its folder, every line checked."""

    path: Path
    head: Head
    rows: int

    @property
    def options(self) -> dict[str, str]:
        """GDAL's open options. All columns are text, so that ids keep their leading zeros."""
        x, y = self.head.points or ("", "")
        shape = {"GEOM_POSSIBLE_NAMES": self.head.shape} if self.head.shape else {}
        return {
            "SEPARATOR": _SEPARATORS[self.head.separator],
            "HEADERS": "YES",
            "AUTODETECT_TYPE": "NO",
            "KEEP_GEOM_COLUMNS": "YES",
            "MAX_LINE_SIZE": str(2 * _MOST_CELL),
            **(shape or {"X_POSSIBLE_NAMES": x, "Y_POSSIBLE_NAMES": y}),
        }


def head_of(start: bytes) -> Head | None:
    """Detect the header of a table from the first bytes of a file; None: it is no table of at least two columns."""
    encoding = _by_mark(start)
    if encoding is None and b"\0" in start:
        return None
    text = start.decode(encoding or "utf-8", "replace")
    tables = [_sampled(text, each) for each in _SEPARATORS]
    separator, rows = max(zip(_SEPARATORS, tables, strict=True), key=lambda table: len(table[1][0]) if table[1] else 0)
    if not rows or not 2 <= len(rows[0]) <= _MOST_COLUMNS or not _are_names(rows[0]):
        return None
    return _shapes_in(Head(separator, tuple(rows[0])), rows[1:])


def _sampled(text: str, separator: str) -> list[list[str]]:
    """The first rows; [] if their widths differ. The last row may be cut."""
    csv.field_size_limit(_MOST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = [row for row in islice(reader, _SAMPLE_ROWS) if row]
    except csv.Error:
        return []
    whole = rows[:2] if len(rows) > 2 else rows[:1]
    return rows if all(len(row) >= len(rows[0]) for row in whole) else []


def _are_names(names: Sequence[str]) -> bool:
    return all(len(name) <= 200 and name.isprintable() and not name.lstrip().startswith(("<", "{")) for name in names)


def _shapes_in(head: Head, rows: list[list[str]]) -> Head:
    """Choose the column of shapes: values and name fit, else the values fit, else the name fits and it is empty."""
    first = {name: next((row[i] for row in rows if i < len(row) and row[i]), "") for i, name in enumerate(head.columns)}
    looks = [name for name in head.columns if _SHAPE.match(first[name])]
    called = [name for wanted in _SHAPES for name in head.columns if name.strip().casefold() == wanted]
    found = [name for name in called if name in looks] or looks or [name for name in called if not first[name]]
    if found:
        srid = _SRID.match(first[found[0]])
        return Head(head.separator, head.columns, shape=found[0], srid=srid and srid[1], shapes=tuple(looks))
    names = {name.strip().casefold(): name for name in head.columns}
    points = next(((names[x], names[y]) for x, y in _POINTS if x in names and y in names), None)
    return Head(head.separator, head.columns, points=points)


def ready(path: Path, start: bytes, where: str, into: Path, wanted: str | None = None) -> DelimitedTable:
    """Prepare a table for GDAL.

    Args:
        path: the file.
        start: its first bytes, in which `head_of` found a table.
        where: the name of the file in messages.
        into: a folder to write to.
        wanted: the column of shapes, if the jurisdiction file names it.

    Raises:
        FileRefused: the column is missing, a line has a wrong number of columns, or the file is not text.
    """
    head = head_of(start)
    if head is None or not (head.shape or head.points):
        raise FileRefused("the table has no column of shapes", where=where, do="use another format")
    if wanted is not None:
        if wanted not in head.columns:
            names = ", ".join(head.columns[:40])
            raise FileRefused(f"the table has no column {wanted!r}; it has: {names}", where=where, do="fix `geometry`")
        head = replace(head, shape=wanted, srid=head.srid if head.shape == wanted else None)
    return _prepared(path, start, head, where, into)


def plain(path: Path, start: bytes, head: Head, where: str, into: Path) -> DelimitedTable:
    """Prepare a table that may have no shapes. Its columns are read again, in its own encoding.

    Raises:
        FileRefused: a line has a wrong number of columns, or the file is not text.
    """
    table = _prepared(path, start, head, where, into)
    with table.path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        return replace(table, head=replace(head, columns=tuple(next(csv.reader(text, delimiter=head.separator)))))


def cells(table: DelimitedTable) -> Iterator[list[str]]:
    """The cells of each row of a prepared table, as many as it has columns."""
    csv.field_size_limit(_MOST_CELL)
    with table.path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text, delimiter=table.head.separator, strict=True)
        next(reader, None)
        yield from (row[: len(table.head.columns)] for row in reader if row)


def _prepared(path: Path, start: bytes, head: Head, where: str, into: Path) -> DelimitedTable:
    encoding = _encoding(path, start, where)
    folder = into.resolve() / f"table-{name_of(path)}"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "table.csv"  # alone in its folder, because GDAL would read a .csvt or a .prj beside it
    if not target.exists():
        with atomic_file(target) as draft:
            _as_utf8(path, draft, encoding)
    return DelimitedTable(target, head, _rows(target, head, where))


def _by_mark(start: bytes) -> str | None:
    return next((encoding for mark, encoding in _BOMS if start.startswith(mark)), None)


def _encoding(path: Path, start: bytes, where: str) -> str:
    """The encoding: by the byte order mark; else UTF-8 if the whole file is; else that of Windows."""
    if marked := _by_mark(start):
        return marked
    decoder, found = codecs.getincrementaldecoder("utf-8")(), "utf-8"
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            if b"\0" in piece:
                raise FileRefused("the table contains a NUL, so it is not text", where=where, do=_AGAIN)
            try:
                decoder.decode(piece) if found == "utf-8" else None
            except UnicodeDecodeError:
                found = _WINDOWS
    return found


def _as_utf8(path: Path, target: Path, encoding: str) -> None:
    """Link the file if it is UTF-8, else convert it."""
    if encoding == "utf-8":
        target.symlink_to(path.resolve())
        return
    if encoding == _WINDOWS:
        _each_cell_as_utf8(path, target)
        return
    with (
        path.open(encoding=encoding, errors="replace", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as sink,
    ):
        while piece := source.read(1 << 20):
            sink.write(piece)


def _each_cell_as_utf8(path: Path, target: Path) -> None:
    """Convert a table cell by cell if it is not UTF-8 as a whole: tables made of several may mix both encodings."""
    with path.open("rb") as source, target.open("wb") as sink:
        while line := source.readline(_MOST_CELL):
            mended = (
                line
                if text_encoding.is_utf8(line)
                else _CELL.sub(lambda cell: text_encoding.decode_value(cell[0]).encode(), line)
            )
            sink.write(mended)


def _rows(path: Path, head: Head, where: str) -> int:
    """Count the rows, and check that each has the header's columns; further cells must be empty."""
    csv.field_size_limit(_MOST_CELL)
    with path.open(encoding="utf-8", errors="replace", newline="") as text:
        reader = csv.reader(text, delimiter=head.separator, strict=True)
        try:
            return sum(1 for _ in _whole(reader, len(head.columns), where))
        except csv.Error as damage:
            raise _ragged(reader.line_num, str(damage), where) from damage


def _whole(reader: Any, width: int, where: str) -> Iterator[None]:
    next(reader, None)
    for row in reader:
        if len(row) != width and row and (len(row) < width or any(row[width:])):
            raise _ragged(reader.line_num, f"{len(row)} columns, the header has {width}", where)
        if row:
            yield


def _ragged(line: int, what: str, where: str) -> FileRefused:
    return FileRefused(f"line {line:,} of the table is damaged: {what}", where=where, do=_AGAIN)
