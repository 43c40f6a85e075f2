"""Shapefiles: three files that must agree, made ready for GDAL where only their names or headers do not.

GDAL gives null geometries for a .shp that was cut, fewer rows for a .dbf that was, and rows without attributes where
the header of the .dbf counts too few, all without a word.
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

#: Shape types in the header that may hold polygons: with Z, with M, multipatches.
POLYGONS = frozenset({5, 15, 25, 31})
_CHUNK_ROWS = 4096
#: What belongs to a shapefile: its rows, its coordinate system, its indexes, its metadata.
SUFFIXES = frozenset(
    {".shp", ".shx", ".dbf", ".prj", ".cpg", ".qpj", ".sbn", ".sbx", ".fbn", ".fbx", ".ain", ".aih", ".ixs", ".mxs"}
    | {".atx", ".idm", ".ind", ".qix", ".qmd", ".cst", ".shp.xml"}
)
_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@dataclass(frozen=True)
class _Count:
    """Entries as a header says, and as many as the bytes behind it are."""

    said: int
    held: int


def companion(path: Path, suffix: str) -> Path | None:
    """The file beside a .shp with the same stem and that suffix, whatever their case."""
    wanted = (path.stem + suffix).casefold()
    return next((other for other in sorted(path.parent.iterdir()) if other.name.casefold() == wanted), None)


def may_hold_polygons(path: Path) -> bool:
    """Whether the header says so, or is too short to say anything."""
    with path.open("rb") as file:
        start = file.read(36)
    return len(start) < 36 or struct.unpack_from("<I", start, 32)[0] in POLYGONS


def rows(path: Path, where: str) -> int:
    """The rows of a shapefile whose three files agree; rows marked as deleted are none.

    Raises:
        FileRefused: a companion is missing, a file is shorter than it says, or their counts differ.

    """
    index, table = _companions(path, where)
    number = _agreed(path, index, table, where)
    return number - sum(_deleted(table, number))


def ready(path: Path, where: str, into: Path) -> Path:
    """The .shp as GDAL reads it whole: where it lies, or beside links below `into`, if its companions are not called as
    it is (PARCELS.shp, parcels.DBF) or the header of one counts other rows than it has.

    Raises:
        FileRefused: see rows.
    """
    index, table = _companions(path, where)
    number = _agreed(path, index, table, where)
    stale = [part for part, count in ((index, _shx(path, index, where)), (table, _dbf(table))) if count.said != number]
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
    """A link to a part; a copy with the right number in its header where that is wrong."""
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
        raise FileRefused(f"{path.name} lacks its {missing}", where=where, do="a zip with all of its files is needed")
    return index, table


def _agreed(path: Path, index: Path, table: Path, where: str) -> int:
    """How many shapes and records there are: headers are believed first, but a stale one is outvoted by bytes."""
    shapes, records = _shx(path, index, where), _dbf(table)
    pairs = ((shapes.said, records.said), (shapes.said, records.held), (shapes.held, records.said))
    most = min(shapes.held, records.held)
    agreed = [one for one, other in (*pairs, (shapes.held, records.held)) if one == other <= most]
    if agreed:
        _check_inside(path, index, agreed[0], where)
        return agreed[0]
    for part, count in ((index, shapes), (table, records)):
        if count.said > count.held:
            raise FileRefused(f"{part.name} is cut short", where=where, do=AGAIN)
    what = f"{path.name} has {shapes.said:,} shapes and {records.said:,} records"
    raise FileRefused(what, where=where, do=AGAIN)


def _shx(path: Path, index: Path, where: str) -> _Count:
    """All numbers are big-endian counts of 16-bit words."""
    words = {}
    for file in (path, index):
        header = np.fromfile(file, ">i4", 25)
        if len(header) < 25 or header[0] != 9994 or (file == path and int(header[6]) * 2 > file.stat().st_size):
            raise FileRefused(f"{file.name} is cut short", where=where, do=AGAIN)
        words[file] = int(header[6])
    return _Count((words[index] * 2 - 100) // 8, (index.stat().st_size - 100) // 8)


def _check_inside(path: Path, index: Path, entries: int, where: str) -> None:
    """Every index entry must point inside the .shp."""
    for first in range(0, entries, _CHUNK_ROWS):
        pairs = np.fromfile(index, ">i4", min(_CHUNK_ROWS, entries - first) * 2, offset=100 + first * 8)
        ends = (pairs[0::2].astype(np.int64) + pairs[1::2] + 4) * 2
        if pairs.min() < 0 or int(ends.max()) > path.stat().st_size:
            raise FileRefused(f"{path.name} is cut short", where=where, do=AGAIN)


def _dbf(table: Path) -> _Count:
    with table.open("rb") as file:
        start = file.read(32)
    said, header, width = struct.unpack_from("<IHH", start, 4) if len(start) == 32 else (0, 0, 0)
    return _Count(said, (table.stat().st_size - header) // width) if header and width else _Count(1, 0)


def _deleted(table: Path, records: int) -> Iterator[int]:
    """Records marked as deleted, chunk by chunk: a mapped file would count as memory."""
    with table.open("rb") as file:
        header, width = struct.unpack_from("<HH", file.read(32), 8)
        file.seek(header)
        for first in range(0, records, _CHUNK_ROWS):
            yield file.read(min(_CHUNK_ROWS, records - first) * width)[::width].count(b"*")
