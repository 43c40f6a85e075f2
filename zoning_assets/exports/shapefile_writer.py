"""Write a zipped shapefile, and tell what its format cannot hold: names of 10 characters, texts of 254 bytes."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from zoning_assets.exports.gdal_writer import write_layer
from zoning_assets.exports.row_reader import RowStream

#: The limits of dBASE: characters of a name, bytes of a text.
MOST_NAME, MOST_TEXT = 10, 254


def write(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write a zip archive with .shp, .shx, .dbf, .prj, .cpg and cut.json.

    Returns:
        `columns` (name -> name in the shapefile), `left_out` (columns of JSON objects), `cut_texts` (column -> number
        of texts that were cut to 254 bytes), `times` (columns of times, which are text here).
    """
    layer = rows.request.layer
    kept = [name for name in rows.schema.names if name not in layer.long_columns]
    names = short_names(kept[:-1])
    cut = dict.fromkeys(names, 0)
    schema = _schema(rows.schema, names)
    folder = Path(tempfile.mkdtemp(prefix=".shapefile-", dir=path.parent))
    try:
        target = folder / f"{rows.request.jurisdiction}-{layer.name}.shp"
        batches = _converted(rows, kept, schema, cut)
        options = {"SPATIAL_INDEX": "NO"}  # RESIZE=YES takes seven times as long, and the zip archive is as small
        write_layer(target, batches, rows, "ESRI Shapefile", options, schema=schema)
        remarks = {
            "columns": names,
            "left_out": list(layer.long_columns),
            "cut_texts": {name: count for name, count in cut.items() if count},
            "times": [name for name in names if pa.types.is_timestamp(rows.schema.field(name).type)],
        }
        (folder / "cut.json").write_bytes(orjson.dumps(remarks, option=orjson.OPT_INDENT_2))
        _zip(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return remarks


def short_names(names: list[str]) -> dict[str, str]:
    """Name -> a distinct name of at most 10 characters."""
    found: dict[str, str] = {}
    for name in names:
        tails = ["", *(f"_{number}" for number in range(1, 100))]
        options = (name[: MOST_NAME - len(tail)] + tail for tail in tails)
        found[name] = next(each for each in options if each not in found.values())
    return found


def _schema(schema: pa.Schema, names: Mapping[str, str]) -> pa.Schema:
    fields = [(short, _type(schema.field(name).type)) for name, short in names.items()]
    return pa.schema([*fields, schema[-1]])


def _type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(kind) or pa.types.is_large_string(kind) else kind


def _converted(rows: RowStream, kept: list[str], schema: pa.Schema, cut: dict[str, int]) -> Iterator[pa.RecordBatch]:
    """The batches as the format can hold them; the texts that are cut are counted in `cut`."""
    for batch in rows.batches:
        arrays = []
        for name, field in zip(kept, schema, strict=True):
            array = batch.column(name)
            if pa.types.is_timestamp(array.type):
                array = pc.strftime(array, format="%Y-%m-%dT%H:%M:%SZ")
            elif pa.types.is_string(field.type):
                array, count = _cut_texts(array.cast(pa.string()))
                cut[name] += count
            arrays.append(array)
        yield pa.record_batch(arrays, schema=schema)


def _cut_texts(array: pa.Array) -> tuple[pa.Array, int]:
    """Texts of at most 254 bytes of UTF-8, and how many were longer."""
    longer = pc.sum(pc.greater(pc.binary_length(array), MOST_TEXT)).as_py() or 0
    if not longer:
        return array, 0
    texts = [text and text.encode()[:MOST_TEXT].decode(errors="ignore") for text in array.to_pylist()]
    return pa.array(texts, pa.string()), int(longer)


def _zip(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each in sorted(folder.iterdir()):
            archive.write(each, each.name)
