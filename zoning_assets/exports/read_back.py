"""Read a written file back and add up its rows: the proof that the file is complete before it is published."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyogrio.raw

from zoning_assets.exports import geojson_writer
from zoning_assets.exports.layers import GEOMETRY, ExportLayer

_AREA = "area_m2"
_BATCH_SIZE = 20_000
#: Characters of a cell of CSV: a list of parcels is longer than the 131,072 that Python reads by default.
_MOST_CELL = 1 << 30


@dataclass(frozen=True)
class FileContents:
    """What a file holds: rows, the sum of area_m2, and the rows with a shape (None: the format has none)."""

    rows: int
    area_m2: float
    shapes: int | None


def geoparquet(path: Path, _: ExportLayer) -> FileContents:
    """Add up a GeoParquet file."""
    with pq.ParquetFile(path) as file:
        return _sum(file.iter_batches(_BATCH_SIZE, columns=[_AREA, GEOMETRY]), GEOMETRY)


def gdal_layer(path: Path, layer: ExportLayer) -> FileContents:
    """Add up a layer that GDAL reads."""
    options = {"layer": layer.name} if path.suffix == ".gpkg" else {}
    with pyogrio.raw.open_arrow(path, columns=[_AREA], use_pyarrow=True, batch_size=_BATCH_SIZE, **options) as source:
        about, reader = source
        return _sum(reader, about["geometry_name"] or "wkb_geometry")


def _sum(batches: Iterable[pa.RecordBatch], geometry: str) -> FileContents:
    rows, area, shapes = 0, 0.0, 0
    for batch in batches:
        rows += len(batch)
        area += pc.sum(batch.column(_AREA)).as_py() or 0.0
        shapes += len(batch) - batch.column(geometry).null_count
    return FileContents(rows, area, shapes)


def geojson(path: Path, _: ExportLayer) -> FileContents:
    """Add up GeoJSON with one feature per line (geojson_writer.py)."""
    rows, area, shapes = 0, 0.0, 0
    with path.open("rb") as file:
        for line in file:
            if not line.startswith(geojson_writer.FEATURE):
                continue
            feature = orjson.loads(line.rstrip().rstrip(b","))
            rows += 1
            area += feature["properties"][_AREA] or 0.0
            shapes += feature["geometry"] is not None
    return FileContents(rows, area, shapes)


def csv_file(path: Path, _: ExportLayer) -> FileContents:
    """Add up a CSV file."""
    csv.field_size_limit(_MOST_CELL)
    with path.open(encoding="utf-8", newline="") as file:
        areas = [float(row[_AREA] or 0) for row in csv.DictReader(file)]
    return FileContents(len(areas), sum(areas), None)


def tiles(path: Path, layer: ExportLayer) -> FileContents:
    """Add up the last zoom level of an archive of tiles. A row that lies in several tiles is counted once."""
    keys, areas = [np.empty(0, np.uint64)], [np.empty(0)]
    options = {"ZOOM_LEVEL": str(layer.zooms[1])}
    with pyogrio.raw.open_arrow(
        path, columns=[layer.key, _AREA], read_geometry=False, use_pyarrow=True, batch_size=_BATCH_SIZE, **options
    ) as (_, reader):
        for batch in reader:
            hashes = [hash(key) & (2**64 - 1) for key in batch.column(layer.key).to_pylist()]
            keys.append(np.array(hashes, np.uint64))
            areas.append(batch.column(_AREA).to_numpy(zero_copy_only=False))
    _, first = np.unique(np.concatenate(keys), return_index=True)
    return FileContents(len(first), float(np.nansum(np.concatenate(areas)[first])), len(first))
