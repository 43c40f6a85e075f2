"""Shapefiles: check that the three files agree, and prepare them for GDAL if only names or headers differ.

GDAL returns null geometries for a .shp that was cut, fewer rows for a .dbf that was cut, and rows without attributes if
the header of the .dbf counts too few, all without an error.
Source of the file format: "ESRI Shapefile Technical Description", an ESRI White Paper, July 1998.
"""

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoning_assets.errors import FileRefused
from zoning_assets.sources.download.arrow_cache import atomic_file, name_of
from zoning_assets.sources.files.format_detection import AGAIN

#: Shape types that may hold polygons: polygon, with Z, with M, multipatch.
POLYGONS = frozenset({5, 15, 25, 31})
_CHUNK_ROWS = 4096
#: Suffixes of the files of a shapefile: rows, coordinate system, indexes, metadata.
SUFFIXES = frozenset(
    {".shp", ".shx", ".dbf", ".prj", ".cpg", ".qpj", ".sbn", ".sbx", ".fbn", ".fbx", ".ain", ".aih", ".ixs", ".mxs"}
    | {".atx", ".idm", ".ind", ".qix", ".qmd", ".cst", ".shp.xml"}
)
_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@dataclass(frozen=True)
class _Count:
    """The number of entries that a header states, and the number that the bytes after it make."""

    stated: int
    actual: int


def companion(path: Path, suffix: str) -> Path | None:
    """The file beside a .shp with the same stem and this suffix, in any case; None: there is none."""
    wanted = (path.stem + suffix).casefold()
    return next((other for other in sorted(path.parent.iterdir()) if other.name.casefold() == wanted), None)


def may_hold_polygons(path: Path) -> bool:
    """Whether the header states polygons, or is too short to state anything."""
    with path.open("rb") as file:
        start = file.read(36)
    return len(start) < 36 or struct.unpack_from("<I", start, 32)[0] in POLYGONS


def rows(path: Path, where: str) -> int:
    """Count the rows of a shapefile whose three files agree. Rows that are marked as deleted do not count.

    Raises:
        FileRefused: a file is missing or cut short, or the counts differ.
    """
    index, table = _companions(path, where)
    number = _agreed(path, index, table, where)
    return number - sum(_deleted(table, number))


def ready(path: Path, where: str, into: Path) -> Path:
    """Return a .shp that GDAL reads completely: the file itself, or a link below `into` if its side files have other
    names (PARCELS.shp, parcels.DBF) or a header counts a wrong number of rows.

    Raises:
        FileRefused: see rows.
    """
    index, table = _companions(path, where)
    number = _agreed(path, index, table, where)
    counts = ((index, _shx(path, index, where)), (table, _dbf(table)))
    stale = [part for part, count in counts if count.stated != number]
    parts = {suffix: found for suffix in _PARTS if (found := companion(path, suffix))}
    uniform = {part.stem for part in parts.values()} == {path.stem} and len({_case(p) for p in parts.values()}) == 1
    if uniform and not stale:
        return path
    folder = into.resolve() / f"shapefile-{name_of(path)}"
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, part in parts.items():
        _placed(part, folder / f"{path.stem}{suffix}", number if part in stale else None)
    return folder / f"{path.stem}.shp"


def _case(path: Path) -> bool:
    return path.suffix.islower()


def _placed(part: Path, target: Path, number: int | None) -> None:
    """Link a file; copy it if its header has a wrong number, and correct it."""
    if target.exists():
        return
    if number is None:
        target.symlink_to(part.resolve())
        return
    with atomic_file(target) as draft:
        shutil.copyfile(part, draft)
        with draft.open("r+b") as file:
            file.seek(4 if target.suffix == ".dbf" else 24)
            file.write(struct.pack("<I", number) if target.suffix == ".dbf" else struct.pack(">i", 50 + 4 * number))


def _companions(path: Path, where: str) -> tuple[Path, Path]:
    index, table = companion(path, ".shx"), companion(path, ".dbf")
    if index is None or table is None:
        missing = " and ".join(s for s, found in ((".shx", index), (".dbf", table)) if found is None)
        raise FileRefused(f"{path.name} lacks its {missing}", where=where, do="provide a zip with all of its files")
    return index, table


def _agreed(path: Path, index: Path, table: Path, where: str) -> int:
    """The number of rows on which two of the four counts agree; headers take precedence over sizes."""
    shapes, records = _shx(path, index, where), _dbf(table)
    pairs = ((shapes.stated, records.stated), (shapes.stated, records.actual), (shapes.actual, records.stated))
    most = min(shapes.actual, records.actual)
    agreed = [one for one, other in (*pairs, (shapes.actual, records.actual)) if one == other <= most]
    if agreed:
        _check_inside(path, index, agreed[0], where)
        return agreed[0]
    for part, count in ((index, shapes), (table, records)):
        if count.stated > count.actual:
            raise FileRefused(f"{part.name} is cut short", where=where, do=AGAIN)
    what = f"{path.name} has {shapes.stated:,} shapes and {records.stated:,} records"
    raise FileRefused(what, where=where, do=AGAIN)


def _shx(path: Path, index: Path, where: str) -> _Count:
    """Count the entries of a .shx. All numbers are big-endian counts of 16-bit words."""
    words = {}
    for file in (path, index):
        header = np.fromfile(file, ">i4", 25)
        if len(header) < 25 or header[0] != 9994 or (file == path and int(header[6]) * 2 > file.stat().st_size):
            raise FileRefused(f"{file.name} is cut short", where=where, do=AGAIN)
        words[file] = int(header[6])
    return _Count((words[index] * 2 - 100) // 8, (index.stat().st_size - 100) // 8)


def _check_inside(path: Path, index: Path, entries: int, where: str) -> None:
    """Check that every index entry points inside the .shp."""
    for first in range(0, entries, _CHUNK_ROWS):
        pairs = np.fromfile(index, ">i4", min(_CHUNK_ROWS, entries - first) * 2, offset=100 + first * 8)
        ends = (pairs[0::2].astype(np.int64) + pairs[1::2] + 4) * 2
        if pairs.min() < 0 or int(ends.max()) > path.stat().st_size:
            raise FileRefused(f"{path.name} is cut short", where=where, do=AGAIN)


def _dbf(table: Path) -> _Count:
    with table.open("rb") as file:
        start = file.read(32)
    stated, header, width = struct.unpack_from("<IHH", start, 4) if len(start) == 32 else (0, 0, 0)
    return _Count(stated, (table.stat().st_size - header) // width) if header and width else _Count(1, 0)


def _deleted(table: Path, records: int) -> Iterator[int]:
    """Count the records that are marked as deleted, by chunk. The file is not mapped: that would count as memory."""
    with table.open("rb") as file:
        header, width = struct.unpack_from("<HH", file.read(32), 8)
        file.seek(header)
        for first in range(0, records, _CHUNK_ROWS):
            yield file.read(min(_CHUNK_ROWS, records - first) * width)[::width].count(b"*")
