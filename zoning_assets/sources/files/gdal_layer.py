"""Read one layer of a recognised file: its description, and its rows as Arrow.

What belongs here: the options of GDAL. What does not: GeoParquet (geoparquet), choosing the layer (layer_choice),
detecting the format (format_detection), repairing the arrays that the readers return (arrow_repair), translating errors
(file_reader).
"""

import os
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyogrio

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import (
    arrow_repair,
    dbf,
    delimited_text,
    format_detection,
    geoparquet,
    kml,
    row_counts,
    shapefile,
)
from zoning_assets.transform.column_names import find_column

Batches = Generator[pa.RecordBatch, None, None]

#: With this prefix GDAL uses only this driver. Without it, a FeatureCollection whose `name` has `<OGRVRTDataSource>` is
#: opened as a virtual dataset. Binary formats need no prefix: they contain a NUL, at which other drivers stop.
_PREFIX = {
    format_detection.GEOJSON: "GeoJSON:",
    format_detection.TOPOJSON: "TopoJSON:",
    format_detection.GEOJSON_LINES: "GeoJSONSeq:",
    format_detection.CSV: "CSV:",
}
_DBF_NAME = 10  # the most letters of a column's name in a .dbf
_ROWS_LOOKED_AT = 2000


@dataclass(frozen=True)
class LayerFile:
    """One layer of a local file, which was checked and can be read."""

    where: str  # the name of the file in messages
    path: Path  # the .shp, the .gdb folder, the file
    format: str  # GDAL's name of the driver, or "Parquet"
    layer: str
    crs: str | None  # "EPSG:2249" or WKT; None: the file does not state it
    rows: int | None
    columns: tuple[tuple[str, str], ...]  # attributes: (name in the batches, Arrow type)
    geometry: str  # the geometry column's name in the file; "": it has none
    encoding: str | None = None  # only if GDAL cannot find it out
    options: tuple[tuple[str, str], ...] = ()  # GDAL's open options
    managed: tuple[str, ...] = ()  # columns that belong to the format itself
    shapes_at: int | None = None  # the place of the column with the shapes as text
    shapes: tuple[str, ...] = ()  # other columns with shapes as text
    tables_at: int | None = None  # the place of the column whose HTML tables contain the columns `in_tables`
    in_tables: tuple[str, ...] = ()
    at: str = ""  # the file's path in a folder or zip
    left_out: tuple[str, ...] = ()  # other content of the input
    table: dbf.DbfTable | None = None  # of a shapefile
    digits: tuple[tuple[int, pa.DataType], ...] = ()  # columns of numbers that GDAL would round: (place, type)
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of coded values: column -> value -> name


def source(path: Path, format_: str) -> str:
    """The name of the file under which GDAL opens it."""
    return _PREFIX.get(format_, "") + os.fspath(path)


def describe(  # noqa: PLR0913 - a layer, and what is known of it
    path: Path,
    format_: str,
    layer: str,
    where: str,
    *,
    named: Collection[str],
    table: delimited_text.DelimitedTable | None,
    info: Mapping[str, Any] | None,
    rows: int | None,
) -> LayerFile:
    """Describe a layer without reading its rows.

    Args:
        path: the file.
        format_: a format of format_detection.
        layer: the layer's name.
        where: the name of the file in messages.
        named: the columns that the jurisdiction file names.
        table: the prepared table of a CSV.
        info: GDAL's description, if it was read before.
        rows: the number of rows, if they were counted before.

    Raises:
        FileRefused: GDAL detects another format, the file is cut short, or its geometry is not WKB.
    """
    if format_ == format_detection.PARQUET:
        file = geoparquet.describe(path, where)
        columns = _respelled(_columns(file.fields), named)
        return LayerFile(where, path, format_, layer, file.crs, file.rows, columns, file.geometry)
    if table is not None:
        return _table_layer(table, layer, where, named)
    info = info or pyogrio.read_info(source(path, format_), layer=layer)
    _check_info(info, format_, layer, where)
    rows = _rows(path, format_, layer, info["features"], where) if rows is None else rows
    utf8 = format_ == format_detection.SHAPEFILE and dbf.is_undeclared_utf8(path)
    schema, encoding = _schema(source(path, format_), layer, "UTF-8" if utf8 else None)
    columns = _columns(list(schema)[1:-1])
    columns = _uncut(columns, named) if format_ == format_detection.SHAPEFILE else columns
    columns = _respelled(columns, named)
    found = LayerFile(where, path, format_, layer, info["crs"], rows, columns, info["geometry_name"], encoding)
    if format_ == format_detection.SHAPEFILE:
        return _shapefile_layer(found, named)
    if format_ == format_detection.GEOPACKAGE:
        return replace(found, names=format_detection.gpkg_names(path, layer))
    return _kml_layer(found) if format_ == format_detection.KML else found


def _check_info(info: Mapping[str, Any], format_: str, layer: str, where: str) -> None:
    if info["driver"] != format_:
        raise FileRefused(f"GDAL reads it as {info['driver']}, not {format_}", where=where, do=format_detection.KNOWN)
    if info["geometry_type"] is None:
        raise FileRefused(f"the layer {layer!r} has no geometry", where=where, do="name another `layer`")


def _columns(fields: Iterable[pa.Field]) -> tuple[tuple[str, str], ...]:
    inner = list(fields)
    return tuple((name, str(field.type)) for name, field in zip(_free(f.name for f in inner), inner, strict=True))


def _uncut(columns: tuple[tuple[str, str], ...], named: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The columns with the full names of the jurisdiction file, if only one column matches after ten letters."""
    names = [name for name, _ in columns]
    longer = {wanted[:_DBF_NAME]: wanted for wanted in named if len(wanted) > _DBF_NAME and wanted not in names}
    return tuple((longer.get(name, name), kind) for name, kind in columns)


def _respelled(columns: tuple[tuple[str, str], ...], named: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The columns with the names of the jurisdiction file, if only upper and lower case differ."""
    names = [name for name, _ in columns]
    ours = {find_column(wanted, names): wanted for wanted in named if wanted not in names}
    return tuple((ours.get(name, name), kind) for name, kind in columns)


def _shapefile_layer(found: LayerFile, named: Collection[str]) -> LayerFile:
    """Add the types of columns whose numbers are too long for doubles."""
    columns, table = found.columns, dbf.beside(found.path)
    if table is None or len(table.fields) != len(columns):
        return found
    digits = dbf.long_columns(table, [place for place, (name, _) in enumerate(columns) if name in named])
    typed = tuple((name, str(digits.get(place, kind))) for place, (name, kind) in enumerate(columns))
    return replace(found, columns=typed, table=table, digits=tuple(digits.items()))


def _table_layer(table: delimited_text.DelimitedTable, layer: str, where: str, named: Collection[str]) -> LayerFile:
    opened, options = source(table.path, format_detection.CSV), table.options
    info = pyogrio.read_info(opened, **options)
    _check_info(info, format_detection.CSV, layer, where)
    inner = list(_names_read(opened, None, None, options))[1:-1]
    at = next((i for i, field in enumerate(inner) if field.name == table.head.shape), None)
    crs = f"EPSG:{table.head.srid}" if table.head.srid else info["crs"]
    columns, name = _respelled(_columns(inner), named), info["geometry_name"]
    found = LayerFile(where, table.path, format_detection.CSV, layer, crs, table.rows, columns, name, shapes_at=at)
    others = tuple(each for each in table.head.shapes if each != table.head.shape)
    return replace(found, options=tuple(options.items()), shapes=others)


def _kml_layer(found: LayerFile) -> LayerFile:
    """Add the columns in the HTML tables of descriptions, if there are no other attributes."""
    names = [name for name, _ in found.columns]
    managed = tuple(name for name in names if name in kml.OWN_COLUMNS)
    at = names.index("description") if "description" in names else None
    in_tables = () if at is None else kml.columns_in_tables(names, _texts(found, at))
    columns = tuple((name, "string") for name in _free([*names, *in_tables])[len(names) :])
    columns = (*found.columns, *columns)
    return replace(found, managed=managed, columns=columns, tables_at=at if in_tables else None, in_tables=in_tables)


def _texts(layer: LayerFile, at: int) -> Iterator[str | None]:
    for batch in _gdal_batches(layer, _ROWS_LOOKED_AT):
        yield from arrow_repair.readable(arrow_repair.sound(batch[at])).to_pylist()


def stream(layer: LayerFile, rows: int) -> Batches:
    """The layer's rows in batches with the attributes, `geometry` and `fid`."""
    if layer.format == format_detection.PARQUET:
        raw = geoparquet.batches(layer.path, layer.geometry, rows)
    else:
        raw = _gdal_batches(layer, rows)
    names = [name for name, _ in layer.columns]
    for given in raw:
        *texts, shapes, fid = map(arrow_repair.sound, given)
        attributes, geometry = [arrow_repair.readable(each) for each in texts], shapes
        if layer.shapes_at is not None:
            attributes[layer.shapes_at], geometry = arrow_repair.unread(attributes[layer.shapes_at], shapes)
        if layer.tables_at is not None:
            texts_at = layer.tables_at
            attributes[texts_at], found = arrow_repair.table_columns(attributes[texts_at], layer.in_tables)
            attributes += found
        for place, kind in layer.digits:
            if layer.table is not None:
                attributes[place] = dbf.with_digits(layer.table, place, kind, fid.to_pylist())
        arrays = [*attributes, arrow_repair.straight(geometry), fid]
        yield pa.RecordBatch.from_arrays(arrays, names=[*names, "geometry", "fid"])


def matching_ids(layer: LayerFile, clause: str) -> npt.NDArray[np.int64]:
    """The feature ids of the rows that meet a clause in OGR SQL.

    All columns and shapes are read, because a driver that leaves some out evaluates a clause about them wrongly.

    Raises:
        FileRefused: GDAL does not read files of this format.
        ValueError, RuntimeError, OSError: GDAL refuses the clause, or the file is damaged.
    """
    if layer.format == format_detection.PARQUET:
        what, do = "the rows of a GeoParquet file cannot be selected", "leave `where` out, or use another format"
        raise FileRefused(what, where=layer.where, do=do)
    found = [np.asarray(fid, np.int64) for *_, fid in _gdal_batches(layer, _ROWS_LOOKED_AT, clause)]
    return np.concatenate([np.empty(0, np.int64), *found])


def _free(names: Iterable[str]) -> list[str]:
    """The names, with a `_` appended until they differ from `geometry`, `fid` and one another."""
    taken = {"geometry", "fid"}
    free = []
    for wanted in names:
        name = wanted
        while name in taken:
            name += "_"
        taken.add(name)
        free.append(name)
    return free


def _schema(path: str, layer: str, encoding: str | None) -> tuple[pa.Schema, str | None]:
    """The columns, and the encoding that GDAL needs to decode their names.

    GDAL needs it if a shapefile with such names does not declare its encoding, or declares a wrong one.
    """
    try:
        return _names_read(path, layer, encoding, {}), encoding
    except UnicodeDecodeError:
        return _names_read(path, layer, arrow_repair.WINDOWS, {}), arrow_repair.WINDOWS


def _names_read(path: str, layer: str | None, encoding: str | None, options: Mapping[str, str]) -> pa.Schema:
    with _open(path, layer, encoding, 1, options) as (_, reader):
        schema = reader.schema
        _ = schema.names  # decode the names here, where the error is handled
        return schema


def _rows(path: Path, format_: str, layer: str, features: int, where: str) -> int | None:
    if format_ == format_detection.SHAPEFILE:
        return shapefile.rows(path, where)
    if format_ == format_detection.GEOJSON_LINES:
        return format_detection.records(path)  # GDAL leaves out a cut line without an error
    if format_ == format_detection.GEOPACKAGE:
        return row_counts.geopackage(path, layer, where)
    if format_ == format_detection.FILE_GDB and not row_counts.is_gdb_whole(path, features):
        raise FileRefused(f"the table of {layer!r} is cut short", where=where, do=format_detection.AGAIN)
    return features if features >= 0 else None


def _open(
    path: str, layer: str | None, encoding: str | None, rows: int, options: Mapping[str, Any]
) -> AbstractContextManager[Any]:
    opened: AbstractContextManager[Any] = pyogrio.open_arrow(
        path, layer=layer, encoding=encoding, batch_size=rows, return_fids=True, use_pyarrow=True, **options
    )
    return opened


def _gdal_batches(layer: LayerFile, rows: int, clause: str | None = None) -> Generator[list[pa.Array], None, None]:
    """GDAL's order is feature id, attributes, geometry. Columns are used by place, because names may repeat (`id` in
    GeoJSON)."""
    name = None if layer.format == format_detection.CSV else layer.layer  # a CSV has one layer, named by its file
    options = {**dict(layer.options), **({"where": clause} if clause else {})}
    with _open(source(layer.path, layer.format), name, layer.encoding, rows, options) as (_, reader):
        for batch in reader:
            fid, *attributes, geometry = batch.columns
            yield [*attributes, geometry, fid]
