"""Write a layer through GDAL, batch by batch: GeoPackage, FlatGeobuf."""

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio.raw

from zoning_assets.exports import geopackage_styles
from zoning_assets.exports.layers import GEOMETRY
from zoning_assets.exports.row_reader import RowStream


def geopackage(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write a GeoPackage with a style for QGIS; returns no remarks."""
    write_layer(path, rows.batches, rows, "GPKG", {"GEOMETRY_NAME": "geom", "SPATIAL_INDEX": "YES"})
    geopackage_styles.add(path, rows.request.layer)
    return {}


def flatgeobuf(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write a FlatGeobuf. It has a spatial index if all rows have a shape."""
    is_indexed = rows.summary.shapes == rows.summary.rows > 0
    write_layer(path, rows.batches, rows, "FlatGeobuf", {"SPATIAL_INDEX": "YES" if is_indexed else "NO"})
    return {} if is_indexed else {"spatial_index": False}


def write_layer(  # noqa: PLR0913 - a file, its rows, a driver, and the options of both
    path: Path,
    batches: Iterable[pa.RecordBatch],
    rows: RowStream,
    driver: str,
    layer_options: Mapping[str, str],
    *,
    schema: pa.Schema | None = None,
    dataset_options: Mapping[str, str] | None = None,
) -> None:
    """Write batches as the only layer of a new file.

    Args:
        path: the file.
        batches: the rows.
        rows: the export that they are of; gives name and CRS.
        driver: GDAL's name of the format.
        layer_options: GDAL's layer creation options.
        schema: of the batches, if it is not the schema of the layer.
        dataset_options: GDAL's dataset creation options.

    Raises:
        Exception: the error that reading the batches raised.
    """
    source = _Source(batches)
    reader = pa.RecordBatchReader.from_batches(schema or rows.schema, source.read())
    try:
        pyogrio.raw.write_arrow(
            reader,
            path,
            layer=rows.request.layer.name,
            driver=driver,
            geometry_name=GEOMETRY,
            geometry_type="MultiPolygon",
            crs=rows.summary.crs,
            encoding="UTF-8" if driver == "ESRI Shapefile" else None,
            layer_options=dict(layer_options),
            dataset_options=dict(dataset_options or {}),
        )
    finally:
        if source.error is not None:
            raise source.error


class _Source:
    """Batches, and the error that reading them raised: GDAL passes on only its text."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.error: BaseException | None = None
        self._batches = batches

    def read(self) -> Generator[pa.RecordBatch, None, None]:
        """Yield the batches."""
        try:
            yield from self._batches
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
