"""The layers as files, for the feed type `download`: GeoJSON (EPSG:4326) and zipped shapefile (CRS of the layer).

A file is made when it is requested first. It has the same bytes each time, without the current time.
"""

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyogrio
import shapely

from zoning_assets.simulation.county.county_table import Column
from zoning_assets.simulation.portal.served_layer import DEGREES, ServedLayer

_LONGEST_NAME = 10  # characters of a column name in a .dbf
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip


@dataclass(frozen=True)
class File:
    """A served file."""

    body: bytes
    content_type: str
    etag: str
    modified: datetime


def make_file(layer: ServedLayer, ending: str) -> File:
    """Write a layer as a file.

    Args:
        layer: the layer.
        ending: a key of ENDINGS.
    """
    write, content_type = ENDINGS[ending]
    body = write(layer)
    modified = datetime.fromtimestamp(layer.about.edited_ms // 1000, UTC)
    return File(body, content_type, hashlib.sha256(body).hexdigest()[:32], modified)


def geojson(layer: ServedLayer) -> bytes:
    """RFC 7946; dates and times in ISO 8601."""
    shapes = shapely.orient_polygons(layer.shapes_in(DEGREES).to_shapely())
    geometries = [orjson.Fragment(text or "null") for text in shapely.to_geojson(shapes)]
    columns = [_written(values) for values in layer.columns.values()]
    names = list(layer.columns)
    features = [
        {"type": "Feature", "properties": dict(zip(names, row, strict=True)), "geometry": geometry}
        for row, geometry in zip(zip(*columns, strict=True), geometries, strict=True)
    ]
    return orjson.dumps({"type": "FeatureCollection", "name": layer.name, "features": features})


def shapefile(layer: ServedLayer) -> bytes:
    """A zip of .shp, .shx, .dbf, .prj and .cpg; column names are cut to ten characters, times to days."""
    columns = {name[:_LONGEST_NAME]: _arrow(values) for name, values in layer.columns.items()}
    table = pa.table({**columns, "geometry": pa.array(shapely.to_wkb(layer.shapes.to_shapely()), pa.binary())})
    with tempfile.TemporaryDirectory() as folder:
        pyogrio.write_arrow(
            table,
            Path(folder) / f"{layer.name.lower()}.shp",
            driver="ESRI Shapefile",
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=f"EPSG:{layer.epsg}",
            encoding="UTF-8",
            DBF_DATE_LAST_UPDATE=_day(layer),
        )
        return _zipped(Path(folder))


ENDINGS: Mapping[str, tuple[Callable[[ServedLayer], bytes], str]] = {
    "geojson": (geojson, "application/geo+json"),
    "zip": (shapefile, "application/zip"),
}


def _day(layer: ServedLayer) -> str:
    return datetime.fromtimestamp(layer.about.edited_ms // 1000, UTC).date().isoformat()


def _zipped(folder: Path) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return body.getvalue()


def _written(values: Column) -> list[Any]:
    """Values for JSON; a time at midnight is written as a date."""
    if values.dtype.kind != "M":
        return list(values.tolist())
    texts = np.datetime_as_string(values, unit="s")
    return [None if text == "NaT" else text.removesuffix("T00:00:00") for text in texts.tolist()]


def _arrow(values: Column) -> pa.Array:
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[D]"), pa.date32())
    return pa.array(values, pa.string()) if values.dtype.kind == "O" else pa.array(values)
