"""Read a GeoParquet file with pyarrow: its description, and its rows as Arrow.

Source of the key `geo` and its members: opengeospatial/geoparquet, format-specs/geoparquet.md, version 1.1.
"""

import itertools
import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyproj
from pyarrow import parquet

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import format_detection

#: Bytes of a column that are read at once. Without it a whole row group is in memory, compressed.
_BUFFER_SIZE = 1 << 16


@dataclass(frozen=True)
class GeoParquetFile:
    """The description of a file.

    Attributes:
        geometry: the name of the primary geometry column.
        crs: "EPSG:2249" or WKT; None: unknown.
        fields: the attributes.
        rows: the number of rows.
    """

    geometry: str
    crs: str | None
    fields: tuple[pa.Field, ...]
    rows: int


def describe(path: Path, where: str) -> GeoParquetFile:
    """Read the description of a file. `where`: the name of the file in messages.

    Raises:
        FileRefused: the file is not GeoParquet, its metadata is damaged, or its geometry is not WKB.
    """
    with parquet.ParquetFile(path) as file:
        geometry, column = _geometry_column(file, where)
        fields = tuple(field for field in file.schema_arrow if field.name != geometry)
        return GeoParquetFile(geometry, _crs(column), fields, file.metadata.num_rows)


def _geometry_column(file: parquet.ParquetFile, where: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the primary geometry column and its metadata, from the key `geo`."""
    metadata = file.metadata.metadata or {}
    if b"geo" not in metadata:
        what = "the Parquet file has no `geo` metadata, so it is not GeoParquet"
        raise FileRefused(what, where=where, do=format_detection.KNOWN)
    try:
        geo = json.loads(metadata[b"geo"])
        name = geo["primary_column"]
        column = {"encoding": "nothing", **geo["columns"][name]}
    except (KeyError, TypeError, ValueError) as error:
        what = "the GeoParquet's `geo` metadata is damaged"
        raise FileRefused(what, where=where, do=format_detection.AGAIN) from error
    if column["encoding"] != "WKB":
        what = f"the GeoParquet's geometry is encoded as {column['encoding']}"
        raise FileRefused(what, where=where, do="write it with the encoding WKB")
    return str(name), column


def _crs(column: dict[str, Any]) -> str | None:
    """Return the CRS of a column. A missing key means longitude and latitude (OGC:CRS84); null means unknown."""
    if "crs" not in column:
        return "OGC:CRS84"
    if column["crs"] is None:
        return None
    crs = pyproj.CRS.from_json_dict(column["crs"])
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def batches(path: Path, geometry: str, rows: int) -> Generator[list[pa.Array], None, None]:
    """Yield batches of at most `rows` rows: the attributes, then the geometry as WKB, then a running number."""
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_SIZE) as file:
        running = itertools.count()
        for batch in file.iter_batches(rows):
            place = batch.schema.get_field_index(geometry)
            attributes = [array for index, array in enumerate(batch.columns) if index != place]
            shapes = batch.column(place)
            shapes = shapes.storage if isinstance(shapes, pa.ExtensionArray) else shapes
            fid = pa.array(itertools.islice(running, len(batch)), pa.int64())
            yield [*attributes, shapes.cast(pa.binary()), fid]
