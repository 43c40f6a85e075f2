"""How many rows a binary file holds, from the rows themselves: what a file says of that elsewhere may be stale.

GDAL reads a FileGDB table that was cut as an empty one, a FlatGeobuf as far as its header counts, and leaves out the
rest without a word; so the counts found here are compared with the rows that it gives.
"""

import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files.format_detection import AGAIN, opened

#: Steps of SQLite's machine a byte of the file: a count takes one or two; a hostile view could take for ever.
_STEPS_A_BYTE, _FEWEST_STEPS, _MOST_STEPS = 10, 10_000_000, 2**31 - 1  # SQLite's limit
#: Field numbers of FlatGeobuf's header (header.fbs), and the size of an index node.
_FEATURES, _INDEX, _NODE_BYTES = 8, 9, 40
_LARGEST_HEAD, _SMALLEST_FEATURE = 64 << 20, 12  # bytes


def geopackage(path: Path, layer: str, where: str) -> int:
    """The rows of a GeoPackage's table, counted; `gpkg_ogr_contents` is a cache of GDAL's that others leave stale.

    Raises:
        FileRefused: the file is damaged, or the count does not end.
    """
    table = '"' + layer.replace('"', '""') + '"'  # a name cannot be a parameter
    try:
        with closing(opened(path)) as database:
            most = min(max(_FEWEST_STEPS, path.stat().st_size * _STEPS_A_BYTE), _MOST_STEPS)
            database.set_progress_handler(lambda: True, most)
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
    except sqlite3.Error as damage:
        raise FileRefused(f"the GeoPackage is damaged ({damage})", where=where, do=AGAIN) from damage


def is_gdb_whole(folder: Path, features: int) -> bool:
    """Whether a table of a FileGDB holds just so many rows by its own header, and all of its bytes are there. A table
    of a version that is not known here is believed if it is not empty.
    """
    tables = [_gdb_rows(table) for table in folder.glob("a*.gdbtable")]
    return features in tables or (_UNKNOWN in tables and features > 0)


_UNKNOWN = -1


def _gdb_rows(table: Path) -> int | None:
    """None where the table or its index is not as long as its header says; -1 where its version is not known here.

    Version 3 has 32-bit counts, version 4 (64-bit object ids, ArcGIS Pro 3.2) 64-bit ones elsewhere.
    """
    with table.open("rb") as file:
        start = file.read(32)
    index = table.with_suffix(".gdbtablx")
    if len(start) < 32 or not index.is_file():
        return None
    with index.open("rb") as file:
        blocks = file.read(16)
    version = int(struct.unpack_from("<I", start)[0])
    if version not in (3, 4):
        return _UNKNOWN
    if len(blocks) < 16 or table.stat().st_size < int(struct.unpack_from("<Q", start, 24)[0]):
        return None
    count, at = ("<I", 4) if version == 3 else ("<Q", 16)
    pages, width = struct.unpack_from(count, blocks, 4)[0], struct.unpack_from("<I", blocks, 12)[0]
    if index.stat().st_size < 16 + pages * 1024 * width:  # pages of 1,024 offsets, each `width` bytes
        return None
    return int(struct.unpack_from(count, start, at)[0])


def flatgeobuf(path: Path, into: Path, where: str) -> tuple[Path, int]:
    """A FlatGeobuf's features, counted one after the other, and the file: where its header counts others, a copy in
    which it does not (0 means that they were not counted, and is right).

    Raises:
        FileRefused: the file is cut short or damaged.
    """
    try:
        with path.open("rb") as file:
            at, said = _head(file)
            number = _walked(file, path.stat().st_size)
    except (struct.error, ValueError, OverflowError) as damage:
        raise FileRefused("the FlatGeobuf is damaged or cut short", where=where, do=AGAIN) from damage
    if said in (0, number) or at is None:
        return path, number
    target = into / f"{path.stem}-{number}.fgb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    with target.open("r+b") as copy:
        copy.seek(at)
        copy.write(struct.pack("<Q", number))
    return target, number


def _head(file: BinaryIO) -> tuple[int | None, int]:
    """Where the header keeps the number of features (None: it does not), and that number; the file is then placed at
    the first of them.
    """
    file.seek(8)
    size = struct.unpack("<I", file.read(4))[0]
    if size > _LARGEST_HEAD:
        raise ValueError(size)
    head = file.read(size)
    root = struct.unpack_from("<I", head)[0]
    table = root - struct.unpack_from("<i", head, root)[0]

    def offset(field: int) -> int:
        known = struct.unpack_from("<H", head, table)[0] > 4 + 2 * field
        return int(struct.unpack_from("<H", head, table + 4 + 2 * field)[0]) if known else 0

    features = int(struct.unpack_from("<Q", head, root + offset(_FEATURES))[0]) if offset(_FEATURES) else 0
    node = int(struct.unpack_from("<H", head, root + offset(_INDEX))[0]) if offset(_INDEX) else 16
    if node and features:
        file.seek(_index_bytes(features, node), 1)
    return (12 + root + offset(_FEATURES) if offset(_FEATURES) else None), features


def _index_bytes(features: int, node: int) -> int:
    """The size of a packed R-tree: leaves, and a level above for each `node` of them, up to one."""
    if node < 2:
        raise ValueError(node)
    total = level = features
    while level > 1:
        level = -(-level // node)
        total += level
    return total * _NODE_BYTES


def _walked(file: BinaryIO, size: int) -> int:
    """Features from here to the end, each behind its size."""
    number, at = 0, file.tell()
    while at < size:
        length = int(struct.unpack("<I", file.read(4))[0])
        if length < _SMALLEST_FEATURE:
            raise ValueError(length)
        at += 4 + length
        file.seek(at)
        number += 1
    if at != size:
        raise ValueError(at)
    return number
