"""Count the rows of binary files from the rows themselves, because the counts that a file states may be outdated.

GDAL reads a FileGDB table that was cut as an empty one, and a FlatGeobuf only as far as its header counts, without an
error. The counts found here are compared with the rows that GDAL returns.
"""

import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files.format_detection import AGAIN, opened

#: Steps of SQLite's virtual machine per byte of the file. A count takes one or two; a malicious view could run forever.
_STEPS_A_BYTE, _FEWEST_STEPS, _MOST_STEPS = 10, 10_000_000, 2**31 - 1  # SQLite's limit
#: Field numbers of FlatGeobuf's header (header.fbs), and the size of an index node.
_FEATURES, _INDEX, _NODE_BYTES = 8, 9, 40
_LARGEST_HEAD, _SMALLEST_FEATURE = 64 << 20, 12  # bytes


def geopackage(path: Path, layer: str, where: str) -> int:
    """Count the rows of a GeoPackage's table. `gpkg_ogr_contents` is not used: it is a cache that other programs do not
    update.

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
    """Whether a FileGDB has a complete table with this number of rows, according to the table's own header. A table of
    an unknown version counts as complete if it has rows.
    """
    tables = [_gdb_rows(table) for table in folder.glob("a*.gdbtable")]
    return features in tables or (_UNKNOWN in tables and features > 0)


_UNKNOWN = -1


def _gdb_rows(table: Path) -> int | None:
    """The rows of a FileGDB table; None: the table or its index is cut short; -1: its version is unknown.

    Version 3 has 32-bit counts. Version 4 (64-bit object ids) has 64-bit counts at other offsets.
    Sources: github.com/rouault/dump_gdbtable/wiki/FGDB-Spec, and GDAL, ogr/ogrsf_frmts/openfilegdb/filegdbtable.cpp.
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
    """Count the features of a FlatGeobuf one by one. If its header states another number, a copy is made whose header
    is correct (0 is correct, and means that they were not counted).

    Returns:
        The file to read, and the number of its features.

    Raises:
        FileRefused: the file is cut short or damaged.
    """
    try:
        with path.open("rb") as file:
            at, stated = _head(file)
            number = _walked(file, path.stat().st_size)
    except (struct.error, ValueError, OverflowError) as damage:
        raise FileRefused("the FlatGeobuf is damaged or cut short", where=where, do=AGAIN) from damage
    if stated in (0, number) or at is None:
        return path, number
    target = into / f"{path.stem}-{number}.fgb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    with target.open("r+b") as copy:
        copy.seek(at)
        copy.write(struct.pack("<Q", number))
    return target, number


def _head(file: BinaryIO) -> tuple[int | None, int]:
    """The position of the number of features in the header (None: it has none), and that number. The file is then
    positioned at the first feature.
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
    """The size of a packed R-tree in bytes: the leaves, and a node above each `node` of them, up to one root."""
    if node < 2:
        raise ValueError(node)
    total = level = features
    while level > 1:
        level = -(-level // node)
        total += level
    return total * _NODE_BYTES


def _walked(file: BinaryIO, size: int) -> int:
    """Count the features from here to the end; each is preceded by its size."""
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
