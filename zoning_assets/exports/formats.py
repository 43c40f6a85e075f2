"""The formats of exports: how each is written and read back. A further format is one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoning_assets.exports import (
    csv_writer,
    gdal_writer,
    geojson_writer,
    geoparquet_writer,
    read_back,
    shapefile_writer,
    tile_archive,
)
from zoning_assets.exports.layers import ExportLayer
from zoning_assets.exports.read_back import FileContents
from zoning_assets.exports.row_reader import RowStream


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes:
        suffix: of its files.
        version: part of what an existing file is compared by; raise it if the same rows are written otherwise.
        write: writes the rows to a new file, and returns remarks for the file that describes it.
        contents: adds up a written file.
        only_shapes: rows without a shape are left out.
    """

    suffix: str
    version: int
    write: Callable[[Path, RowStream], dict[str, Any]]
    contents: Callable[[Path, ExportLayer], FileContents]
    only_shapes: bool = False


FORMATS: Mapping[str, ExportFormat] = {
    "geoparquet": ExportFormat(".parquet", 1, geoparquet_writer.write, read_back.geoparquet),
    "geopackage": ExportFormat(".gpkg", 2, gdal_writer.geopackage, read_back.gdal_layer),
    "flatgeobuf": ExportFormat(".fgb", 1, gdal_writer.flatgeobuf, read_back.gdal_layer),
    "geojson": ExportFormat(".geojson", 1, geojson_writer.write, read_back.geojson),
    "geojsonseq": ExportFormat(".geojsonl", 1, geojson_writer.write_sequence, read_back.geojson),
    "shapefile": ExportFormat(".shp.zip", 1, shapefile_writer.write, read_back.gdal_layer),
    "pmtiles": ExportFormat(".pmtiles", 1, tile_archive.write, read_back.tiles, only_shapes=True),
    "csv": ExportFormat(".csv", 1, csv_writer.write, read_back.csv_file),
}
