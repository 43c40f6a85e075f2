"""The staging table of a publication: rows of validated tables are copied to it before they are merged."""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

import orjson
import pyarrow as pa
import pyproj

from zoning_assets.storage.postgis import binary_copy
from zoning_assets.storage.postgis.database import Connection

#: The EWKB header of a little-endian MultiPolygon with SRID, which replaces the header of the WKB.
_EWKB = struct.pack("<BI", 1, 6 | 0x20000000)
#: Bytes of a part that are converted and sent at once; converting needs several times that.
_SENT_AT_ONCE = 4 << 20


def copy_rows(connection: Connection, columns: tuple[str, ...], parts: Iterable[pa.Table]) -> int:
    """Copy the parts of a validated table to `stage` in PostgreSQL's binary format; return the number of rows.

    Args:
        connection: has the table `stage`.
        columns: those between key and attributes.
        parts: GeoParquet tables; `key`, the columns, `attributes`, `area_m2`, `geometry`, `content_hash`.
    """
    rows = 0
    with connection.cursor() as cursor, cursor.copy("COPY stage FROM STDIN WITH (FORMAT BINARY)") as copy:
        copy.write(binary_copy.HEAD)
        for part in parts:
            rows += len(part)
            for piece in _pieces(part):
                copy.write(_rows(piece, ("key", *columns, "attributes")))
        copy.write(binary_copy.TAIL)
    return rows


def _pieces(part: pa.Table) -> Iterator[pa.Table]:
    """Split a part, so that memory does not depend on the width of its rows."""
    size = max(1, len(part) * _SENT_AT_ONCE // max(part.nbytes, 1))
    return (part.slice(start, size) for start in range(0, len(part), size))


def _rows(part: pa.Table, names: tuple[str, ...]) -> memoryview:
    """The rows of a part in the binary COPY format, with the columns of `stage`."""
    texts = [binary_copy.texts(part.column(name)) for name in names]
    area, shape = binary_copy.doubles(part.column("area_m2")), part.column("geometry")
    ewkb = binary_copy.blobs(shape, head=_EWKB + _srid_of(part), skip=len(_EWKB))
    return binary_copy.rows([*texts, area, ewkb, binary_copy.texts(part.column("content_hash"))])


def _srid_of(part: pa.Table) -> bytes:
    """The SRID of the CRS of a GeoParquet table, as in EWKB."""
    about = (part.schema.metadata or {})[b"geo"]
    return _srid(orjson.dumps(orjson.loads(about)["columns"]["geometry"]["crs"]))


@lru_cache(maxsize=16)
def _srid(projjson: bytes) -> bytes:
    return struct.pack("<I", pyproj.CRS.from_json(projjson.decode()).to_epsg())
