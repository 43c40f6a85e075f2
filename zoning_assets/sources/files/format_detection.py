"""Detect the format of a file from its bytes, and whether it is complete. GDAL opens only files recognised here.

File names are not reliable: a VRT called `parcels.geojson` would make GDAL read any file of this machine, or any
address that it can reach.

What belongs here: magic numbers, headers and the sizes that they state. What does not: rows (file_reader), zips
(zip_archive).
"""

import json
import re
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import delimited_text

SHAPEFILE, GEOPACKAGE, FILE_GDB = "ESRI Shapefile", "GPKG", "OpenFileGDB"
FLATGEOBUF, PARQUET, ZIP, CSV, KML = "FlatGeobuf", "Parquet", "zip", "CSV", "LIBKML"
GEOJSON, GEOJSON_LINES, TOPOJSON = "GeoJSON", "GeoJSONSeq", "TopoJSON"

#: Text formats, which are parsed at each reading.
SLOW = frozenset({CSV, KML, GEOJSON, GEOJSON_LINES, TOPOJSON})

KNOWN = "zip, shapefile, GeoPackage, FileGDB, FlatGeobuf, GeoParquet, GeoJSON, TopoJSON, KML and CSV are read"
AGAIN = "download it again; what was published before is kept"

HEAD_BYTES = 64 * 1024
_LONGEST_LINE = 64 << 20
_MOST_TOPOJSON_BYTES = 256 * 2**20  # GDAL reads the whole topology into memory
_GPKG_IDS = (b"GPKG", b"GP10", b"GP11")
_MAGIC = (
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),  # an empty zip
    (struct.pack(">i", 9994), SHAPEFILE),
    (b"fgb\x03fgb", FLATGEOBUF),
    (b"PAR1", PARQUET),
)
_NOT_READ = (
    (b"%PDF", "a PDF"),
    (b"<OGRVRT", "a GDAL virtual dataset (VRT), which can read other files and the network"),
    (b"<VRT", "a GDAL virtual dataset (VRT), which can read other files and the network"),
)

#: Archives that are not supported.
_PACKED = (
    (b"\x1f\x8b", "a gzip"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"BZh", "a bzip2"),
    (b"\xfd7zXZ\0", "an xz"),
    (b"\x28\xb5\x2f\xfd", "a zstd"),
)
_TAR = (257, b"ustar")

_KML = re.compile(rb"(?is)(<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(!doctype\s+)?(\w+:)?kml\b")


def recognise(path: Path, where: str) -> str:
    """Detect the format of the file or folder at `path` from its content.

    Raises:
        FileRefused: the format is not supported; the message states what the file looks like.
    """
    if path.is_dir():
        if (path / "a00000001.gdbtable").is_file():
            return FILE_GDB
        raise FileRefused("the folder is not a FileGDB", where=where, do=KNOWN)
    head = start_of(path)
    if found := next((name for magic, name in _MAGIC if head.startswith(magic)), None):
        return found
    if head.startswith(b"SQLite format 3\0"):
        return _sqlite(path, head, where)
    if packed := _packed(head):
        do = "ask the publisher for a zip, or unpack it and name the file in it as `url`"
        raise FileRefused(f"the file is {packed}, which is not supported", where=where, do=do)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"\x1e{")):
        return _json(path, text, where)
    return KML if _KML.match(text) else _table(head, text, where)


def _packed(head: bytes) -> str | None:
    """The kind of an unsupported archive; None: it is no archive."""
    if head[_TAR[0] :].startswith(_TAR[1]):
        return "a tar archive"
    return next((name for magic, name in _PACKED if head.startswith(magic)), None)


def start_of(path: Path) -> bytes:
    """The first bytes of a file, from which its format is detected."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _table(head: bytes, text: bytes, where: str) -> str:
    """Check that a file is a CSV with shapes.

    Raises:
        FileRefused: it has no shapes, or is not a table.
    """
    table = head_of_table(head)
    if table is None:
        raise FileRefused(f"the file is {_look(text)}", where=where, do=KNOWN)
    if table.shape or table.points:
        return CSV
    names = ", ".join(table.columns[:20])
    raise FileRefused(
        f"the table has no column of shapes (WKT, GeoJSON, x and y), only: {names}", where=where, do=KNOWN
    )


def head_of_table(head: bytes) -> delimited_text.Head | None:
    """The header of a CSV or similar, from the first bytes of a file; None: it is something else."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    other = text.startswith((b"<", b"{", b"\x1e{")) or any(magic in text[:1024] for magic, _ in _NOT_READ)
    return None if other else delimited_text.head_of(head)


def _look(text: bytes) -> str:
    """What an unsupported file looks like, as a phrase."""
    if not text:
        return "empty"
    if re.match(rb"(?is)(<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(!doctype\s+html|html|head|body)\b", text):
        title = re.search(rb"(?is)<title[^>]*>(.{1,80}?)</title>", text)
        named = f" titled {title[1].decode('utf-8', 'replace').strip()!r}" if title else ""
        return f"an HTML page{named}, perhaps a login or a block page, and not data"
    if named_as := next((name for magic, name in _NOT_READ if magic in text[:1024]), None):
        return named_as
    return "XML or other markup" if text.startswith(b"<") else "of an unknown format"


def opened(path: Path) -> sqlite3.Connection:
    """Open an SQLite file read-only, with the write-ahead log beside it if there is one."""
    live = path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'' if live else '&immutable=1'}", uri=True)


def _sqlite(path: Path, head: bytes, where: str) -> str:
    if head[68:72] in _GPKG_IDS:
        return GEOPACKAGE
    try:
        with closing(opened(path)) as database:
            row = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'gpkg_contents'").fetchone()
    except sqlite3.Error as damage:
        raise FileRefused(f"the SQLite file is damaged ({damage})", where=where, do=AGAIN) from damage
    if row:
        return GEOPACKAGE
    raise FileRefused("the SQLite file is not a GeoPackage", where=where, do=KNOWN)


def _json(path: Path, head: bytes, where: str) -> str:
    """Distinguish GeoJSON and TopoJSON. Members have any order, so `type` may follow a gigabyte of features."""
    ends = head + b"\n" + _tail(path)
    if re.search(rb'"type"\s*:\s*"Topology"', head):
        if path.stat().st_size > _MOST_TOPOJSON_BYTES:
            do = "use the GeoJSON or a GeoPackage"
            raise FileRefused("the TopoJSON is larger than 256 MiB", where=where, do=do)
        return TOPOJSON
    if re.search(rb'"geometryType"\s*:\s*"esriGeometry', head):
        raise FileRefused("the file is Esri JSON", where=where, do='use f=geojson, or the feed type "arcgis"')
    if re.search(rb'"type"\s*:\s*"FeatureCollection"', ends):
        return GEOJSON
    if head.startswith(b"\x1e") or re.search(rb'"type"\s*:\s*"Feature"', head):
        return GEOJSON_LINES
    raise FileRefused(f"the JSON is {_json_look(head)}", where=where, do=KNOWN)


def _json_look(head: bytes) -> str:
    if re.search(rb'"(error|errors|exception|message)"\s*:', head[:4096], re.IGNORECASE):
        try:
            text = json.dumps(json.loads(head))
        except ValueError:
            text = head.decode("utf-8", "replace")
        return f"an error document and not a FeatureCollection: {text[:160]}"
    return "not a FeatureCollection, or is cut short"


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - HEAD_BYTES))
        return file.read()


def records(path: Path) -> int:
    """Count the features of newline-delimited GeoJSON: lines that are not blank, or texts after record separators."""
    separated = start_of(path).startswith(b"\x1e")
    count, blank = 0, True
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            blank = blank and not line.strip()
            ended = line.endswith(b"\n")
            count += line.count(b"\x1e") if separated else ended and not blank
            blank = blank or ended
    return count + (not separated and not blank)


def gpkg_names(path: Path, layer: str) -> dict[str, dict[str, str]]:
    """The names of coded values in a GeoPackage layer: column -> value as text -> name.

    Source: OGC GeoPackage 1.3, annex F.9, "Schema".
    """
    query = """
        SELECT c.column_name, e.value, e.description FROM gpkg_data_columns c
        JOIN gpkg_data_column_constraints e ON e.constraint_name = c.constraint_name
        WHERE e.constraint_type = 'enum' AND lower(c.table_name) = lower(?) LIMIT 100000
    """
    found: dict[str, dict[str, str]] = {}
    try:
        with closing(opened(path)) as base:
            for column, value, name in base.execute(query, (layer,)):
                if isinstance(name, str) and name.strip() and value is not None:
                    found.setdefault(str(column), {})[str(value)] = name.strip()
    except sqlite3.Error:  # the tables do not exist
        return {}
    return {column: names for column, names in found.items() if any(key != name for key, name in names.items())}
