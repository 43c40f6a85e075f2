"""One layer of a recognised file: its description, and its rows as Arrow, by GDAL or (GeoParquet) by pyarrow.

What belongs here: what the two readers must be told, and mending what they hand over: names, text, arcs.
What does not: which layer (`files`), whether the file is what it should be (`formats`). `files` translates errors.
"""

import itertools
import json
import os
import struct
import uuid
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import pyproj
from pyarrow import compute, parquet

from zoning_assets.errors import FileRefused
from zoning_assets.feeds import formats

Batches = Generator[pa.RecordBatch, None, None]

#: A prefix makes GDAL ask this driver alone. Without it a FeatureCollection whose `name` holds `<OGRVRTDataSource>` is
#: opened as a virtual dataset. The binary magics need none: they hold a NUL, where the other drivers stop looking.
_PREFIX = {formats.GEOJSON: "GeoJSON:", formats.TOPOJSON: "TopoJSON:"}
_ARCS = frozenset(range(8, 13))  # CircularString, CompoundCurve, CurvePolygon, MultiCurve, MultiSurface
_WINDOWS = "cp1252"  # what a .dbf that does not say its encoding was nearly always written in


@dataclass(frozen=True)
class LayerFile:
    """One layer of a file on this machine, looked at and found readable."""

    where: str  # how messages call it
    path: Path  # the .shp, the .gdb folder, the file
    format: str  # GDAL's name of the driver, or "Parquet"
    layer: str
    crs: str | None  # "EPSG:2249", WKT, or None where the file does not say
    rows: int | None
    columns: tuple[tuple[str, str], ...]  # attributes: name as the batches give it, Arrow type
    geometry: str  # the geometry column's name in the file; "" where it has none to give
    encoding: str | None = None  # only where GDAL must be told


def source(path: Path, format_: str) -> str:
    """The file as GDAL is asked for it."""
    return _PREFIX.get(format_, "") + os.fspath(path)


def describe(path: Path, format_: str, layer: str, where: str) -> LayerFile:
    """What the layer holds, without its rows.

    Raises:
        FileRefused: GDAL takes it for something else, it is cut short, or its geometry is not WKB.

    """
    if format_ == formats.PARQUET:
        return _parquet_layer(path, layer, where)
    info = pyogrio.read_info(source(path, format_), layer=layer)
    if info["driver"] != format_:
        raise FileRefused(f"GDAL reads it as {info['driver']}, not {format_}", where=where, do=formats.KNOWN)
    if info["geometry_type"] is None:
        raise FileRefused(f"the layer {layer!r} has no geometry", where=where, do="name another `layer`")
    rows = _rows(path, format_, layer, info["features"], where)
    schema, encoding = _schema(source(path, format_), layer)
    inner = list(schema)[1:-1]
    columns = tuple((name, str(field.type)) for name, field in zip(_free(f.name for f in inner), inner, strict=True))
    return LayerFile(where, path, format_, layer, info["crs"], rows, columns, info["geometry_name"], encoding)


def stream(layer: LayerFile, rows: int) -> Batches:
    """The layer's rows: attributes, `geometry`, `fid`."""
    raw = _parquet_batches(layer, rows) if layer.format == formats.PARQUET else _gdal_batches(layer, rows)
    names = [name for name, _ in layer.columns]
    for *attributes, geometry, fid in raw:
        arrays = [*map(_readable, attributes), _straight(geometry), fid]
        yield pa.RecordBatch.from_arrays(arrays, names=[*names, "geometry", "fid"])


def _free(names: Iterable[str]) -> list[str]:
    """The names, made distinct from `geometry`, `fid` and one another by a `_` behind."""
    taken = {"geometry", "fid"}
    free = []
    for wanted in names:
        name = wanted
        while name in taken:
            name += "_"
        taken.add(name)
        free.append(name)
    return free


def _schema(path: str, layer: str) -> tuple[pa.Schema, str | None]:
    """The columns, and the encoding GDAL must be told to name them.

    It must where a shapefile with such column names does not say its own, or says it wrong.
    """
    try:
        return _names_read(path, layer, None), None
    except UnicodeDecodeError:
        return _names_read(path, layer, _WINDOWS), _WINDOWS


def _names_read(path: str, layer: str, encoding: str | None) -> pa.Schema:
    with _open(path, layer, encoding, 1) as (_, reader):
        schema = reader.schema
        _ = schema.names  # decoded here, and not when the schema was handed over
        return schema


def _rows(path: Path, format_: str, layer: str, features: int, where: str) -> int | None:
    if format_ == formats.SHAPEFILE:
        return formats.shapefile_rows(path, where)
    if format_ == formats.FILE_GDB and features not in formats.gdb_counts(path):
        raise FileRefused(f"the table of {layer!r} is cut short", where=where, do=formats.AGAIN)
    return features if features >= 0 else None


def _open(path: str, layer: str, encoding: str | None, rows: int) -> AbstractContextManager[Any]:
    opened: AbstractContextManager[Any] = pyogrio.open_arrow(
        path, layer=layer, encoding=encoding, batch_size=rows, return_fids=True, use_pyarrow=True
    )
    return opened


def _gdal_batches(layer: LayerFile, rows: int) -> Generator[list[pa.Array], None, None]:
    """GDAL's order is feature id, attributes, geometry; names may repeat (GeoJSON: `id` twice), so places count."""
    with _open(source(layer.path, layer.format), layer.layer, layer.encoding, rows) as (_, reader):
        for batch in reader:
            fid, *attributes, geometry = batch.columns
            yield [*attributes, geometry, fid]


def _geo(file: parquet.ParquetFile, where: str) -> tuple[str, dict[str, Any]]:
    """GeoParquet's primary column and what is said of it, from the metadata key `geo`."""
    metadata = file.metadata.metadata or {}
    if b"geo" not in metadata:
        raise FileRefused(
            "the Parquet file has no `geo` metadata, so it is not GeoParquet", where=where, do=formats.KNOWN
        )
    try:
        geo = json.loads(metadata[b"geo"])
        name = geo["primary_column"]
        column = {"encoding": "nothing", **geo["columns"][name]}
    except (KeyError, TypeError, ValueError) as damage:
        raise FileRefused("the GeoParquet's `geo` metadata is damaged", where=where, do=formats.AGAIN) from damage
    if column["encoding"] != "WKB":
        what = f"the GeoParquet's geometry is encoded as {column['encoding']}"
        raise FileRefused(what, where=where, do="write it with the encoding WKB")
    return str(name), column


def _parquet_layer(path: Path, layer: str, where: str) -> LayerFile:
    with parquet.ParquetFile(path) as file:
        geometry, column = _geo(file, where)
        inner = [field for field in file.schema_arrow if field.name != geometry]
        rows = file.metadata.num_rows
    columns = tuple((name, str(field.type)) for name, field in zip(_free(f.name for f in inner), inner, strict=True))
    return LayerFile(where, path, formats.PARQUET, layer, _parquet_crs(column), rows, columns, geometry)


def _parquet_crs(column: dict[str, Any]) -> str | None:
    """No key means longitude and latitude (the format says so); null means that nobody knows."""
    if "crs" not in column:
        return "OGC:CRS84"
    if column["crs"] is None:
        return None
    crs = pyproj.CRS.from_json_dict(column["crs"])
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def _parquet_batches(layer: LayerFile, rows: int) -> Generator[list[pa.Array], None, None]:
    with parquet.ParquetFile(layer.path, pre_buffer=False) as file:
        running = itertools.count()
        for batch in file.iter_batches(rows):
            place = batch.schema.get_field_index(layer.geometry)
            attributes = [array for index, array in enumerate(batch.columns) if index != place]
            geometry = batch.column(place)
            geometry = geometry.storage if isinstance(geometry, pa.ExtensionArray) else geometry
            fid = pa.array(itertools.islice(running, len(batch)), pa.int64())
            yield [*attributes, geometry.cast(pa.binary()), fid]


def _readable(array: pa.Array) -> pa.Array:
    """Text as UTF-8. GDAL passes a .dbf's bytes as they are where its encoding is not said, or said wrong."""
    if not pa.types.is_string(array.type):
        return array
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array([_decoded(raw) for raw in array.cast(pa.binary()).to_pylist()], pa.string())
    return array


def _decoded(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(_WINDOWS, "replace")


def _straight(geometry: pa.Array) -> pa.Array:
    """Arcs as polylines: GDAL hands on a FileGDB's curves as such, and shapely reads none of their kinds."""
    kinds = _kinds(geometry)
    curved = np.isin(kinds % 1000, list(_ARCS))
    if not curved.any():
        return geometry
    places = np.flatnonzero(curved)
    straight = _linearised(geometry.take(pa.array(places)), flat=bool((kinds[places] // 1000 % 2 == 0).all()))
    return compute.replace_with_mask(geometry, pa.array(curved), straight)


def _kinds(geometry: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """ISO WKB type numbers (thousands: 1 Z, 2 M, 3 ZM); 0 for null."""
    heads = (value.as_buffer() for value in geometry)
    kinds = (struct.unpack_from("<I" if head[0:1] == b"\1" else ">I", head, 1)[0] if head else 0 for head in heads)
    return np.fromiter((kind & 0x0FFFFFFF for kind in kinds), np.int64, len(geometry))


def _linearised(geometry: pa.Array, *, flat: bool) -> pa.Array:
    """By GDAL itself (a vertex every 4 degrees of arc), which approximates arcs when it writes a shapefile.

    In memory, in a folder of its own. Coordinates keep all their bits; M is lost.
    """
    folder = f"/vsimem/{uuid.uuid4().hex}"
    kind = "MultiPolygon" if flat else "MultiPolygon Z"
    table = pa.table({"row": pa.array(range(len(geometry)), pa.int32()), "geometry": geometry})
    try:
        pyogrio.write_arrow(
            *(table, f"{folder}/arcs.shp"), driver=formats.SHAPEFILE, geometry_name="geometry", geometry_type=kind
        )
        with _open(f"{folder}/arcs.shp", "arcs", None, len(geometry)) as (_, reader):
            return reader.read_all().column(2).combine_chunks()
    finally:
        pyogrio.vsi_rmtree(folder)
