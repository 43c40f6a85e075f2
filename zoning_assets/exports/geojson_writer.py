"""Write GeoJSON (RFC 7946) and GeoJSON text sequences: EPSG:4326, longitude first, one feature per line.

GDAL is not used here: it converts every text that looks like JSON, so that a type would depend on a portal's text.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import shapely

from zoning_assets.exports.layers import GEOMETRY
from zoning_assets.exports.row_reader import RowStream
from zoning_assets.transform.geometry import crs

#: The start of the line of each feature.
FEATURE = b'{"type":"Feature",'
#: 8 digits of a degree are 1 mm.
_DIGITS = 8
_REMARKS = {"crs": crs.DEGREES}


def write(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write a FeatureCollection. Returns `crs`."""
    with path.open("wb") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        separator = b"\n"
        for line in _features(rows):
            file.write(separator + line)
            separator = b",\n"
        file.write(b"\n]}\n")
    return _REMARKS


def write_sequence(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write newline-delimited features, without record separators. Returns `crs`."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in _features(rows))
    return _REMARKS


def _features(rows: RowStream) -> Iterator[bytes]:
    return chain.from_iterable(_lines(batch, rows.summary.crs) for batch in rows.batches)


def _lines(batch: pa.RecordBatch, source: str) -> Iterator[bytes]:
    names = [name for name in batch.schema.names if name != GEOMETRY]
    columns = [_values(batch.column(name)) for name in names]
    shapes = _geojson(batch.column(GEOMETRY), source)
    for shape, *values in zip(shapes, *columns, strict=True):
        properties = orjson.dumps(dict(zip(names, values, strict=True)), option=orjson.OPT_UTC_Z)
        yield FEATURE + b'"properties":' + properties + b',"geometry":' + (shape or "null").encode() + b"}"


def _values(column: pa.Array) -> list[Any]:
    """Values that orjson writes; JSON columns are written as they are, with all digits of their numbers."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_large_string(column.type):
        return [None if text is None else orjson.Fragment(text) for text in values]
    return values


def _geojson(column: pa.Array, source: str) -> npt.NDArray[np.object_]:
    """Shapes as GeoJSON; None: no shape."""
    shapes = crs.reproject(shapely.from_wkb(column.to_numpy(zero_copy_only=False)), source, crs.DEGREES)
    rounded = shapely.transform(shapes, lambda points: np.round(points, _DIGITS))
    oriented = shapely.orient_polygons(rounded)
    return shapely.to_geojson(oriented)  # type: ignore[no-any-return]
