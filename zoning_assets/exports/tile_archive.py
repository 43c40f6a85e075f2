"""Write PMTiles (github.com/protomaps/PMTiles, version 3) with Mapbox vector tiles through GDAL.

Shapes are not simplified: they are only rounded to the grid of the tile (1/4096 of its side). Equal vertices of
neighbours are rounded equally, so neighbours stay without gaps at every zoom level.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from zoning_assets.errors import NothingFound
from zoning_assets.exports.gdal_writer import write_layer
from zoning_assets.exports.layers import GEOMETRY
from zoning_assets.exports.row_reader import RowStream

#: Without limits of their own, GDAL leaves rows out of large tiles, or rounds them more coarsely.
_NO_LIMIT = str(2**31 - 1)


def write(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write the file; rows without a shape are left out.

    Returns:
        `crs` (of the tiles), `zooms` (first and last), `columns`.

    Raises:
        NothingFound: no row has a shape.
    """
    if not rows.summary.shapes:
        what, do = "no row has a shape, and tiles are made of shapes", "choose other rows, or another format"
        raise NothingFound(what, where=f"{rows.request.jurisdiction} {rows.request.layer.name}", do=do)
    layer = rows.request.layer
    names = [layer.key, *layer.tile_columns]
    schema = pa.schema([*(rows.schema.field(name) for name in names), rows.schema.field(GEOMETRY)])
    first, last = layer.zooms
    options = {
        "NAME": f"{rows.request.jurisdiction} {layer.name}",
        "MINZOOM": str(first),
        "MAXZOOM": str(last),
        "MAX_SIZE": _NO_LIMIT,
        "MAX_FEATURES": _NO_LIMIT,
    }
    write_layer(path, _selected(rows, schema), rows, "PMTiles", {}, schema=schema, dataset_options=options)
    return {"crs": "EPSG:3857", "zooms": [first, last], "columns": names}


def _selected(rows: RowStream, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in rows.batches:
        yield pa.record_batch([batch.column(name) for name in schema.names], schema=schema).filter(
            batch.column(GEOMETRY).is_valid()
        )
