"""Write GeoParquet 1.1 (geoparquet.org): shapes as WKB, with a bounding box column for each row as the covering.

Rows are sorted by the H3 cell of their shape: the database sorts them by tile, and each tile is sorted here.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from zoning_assets.exports.layers import GEOMETRY
from zoning_assets.exports.row_reader import RowStream
from zoning_assets.transform.geometry import h3_cells
from zoning_assets.transform.normalize import representative_points

VERSION = "1.1.0"
#: Rows of a row group. A reader with a bounding box skips row groups.
_GROUP_SIZE = 20_000
#: A tile with more rows is sorted in parts, so that memory has a limit.
_MOST_SORTED = 100_000
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_BBOX = pa.struct([(name, pa.float64()) for name in _CORNERS])


def write(path: Path, rows: RowStream) -> dict[str, Any]:
    """Write the file; returns no remarks."""
    schema = rows.schema.insert(len(rows.schema), pa.field("bbox", _BBOX))
    tables = _regrouped(map(_with_boxes, _by_cell(rows)), schema)
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        bounds, kinds = np.array([np.inf, np.inf, -np.inf, -np.inf]), set[str]()
        for table in tables:
            writer.write_table(table, row_group_size=_GROUP_SIZE)
            bounds = _extended(bounds, table)
            kinds |= _kinds(table)
        writer.add_key_value_metadata({"geo": _metadata(rows.summary.crs, bounds, kinds)})
    return {}


def _by_cell(rows: RowStream) -> Iterator[pa.Table]:
    """The rows tile by tile, each sorted by cell. Layers without tiles are in the order of the database."""
    if "tile" not in rows.schema.names:
        yield from (pa.Table.from_batches([batch]) for batch in rows.batches)
        return
    for _, pieces in groupby(_tile_pieces(rows.batches), key=lambda piece: piece[0]):
        waiting, count = list[pa.Table](), 0
        for _, piece in pieces:
            waiting, count = [*waiting, piece], count + len(piece)
            if count >= _MOST_SORTED:
                yield _sorted(pa.concat_tables(waiting), rows.summary.crs)
                waiting, count = [], 0
        if waiting:
            yield _sorted(pa.concat_tables(waiting), rows.summary.crs)


def _tile_pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    """Each batch in pieces of one tile."""
    for batch in batches:
        tiles = batch.column("tile").to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(tiles[1:] != tiles[:-1]) + 1).tolist(), len(tiles)]
        table = pa.Table.from_batches([batch])
        for start, end in pairwise(starts):
            yield tiles[start], table.slice(start, end - start)


def _sorted(table: pa.Table, target: str) -> pa.Table:
    """The table by the finest H3 cell of each representative point, as tiles are assigned (row_tiles.py)."""
    points = representative_points(_shapes(table), target)
    return table.take(np.argsort(h3_cells.finest_cells(points), kind="stable"))


def _with_boxes(table: pa.Table) -> pa.Table:
    bounds = shapely.bounds(_shapes(table))
    corners = [pa.array(bounds[:, number], from_pandas=True) for number in range(4)]
    boxes = pa.StructArray.from_arrays(corners, fields=list(_BBOX), mask=pa.array(np.isnan(bounds[:, 0])))
    return table.append_column(pa.field("bbox", _BBOX), boxes)


def _regrouped(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in tables of `_GROUP_SIZE`."""
    rest = schema.empty_table()
    for table in tables:
        rest = pa.concat_tables([rest, table])
        while len(rest) >= _GROUP_SIZE:
            yield rest.slice(0, _GROUP_SIZE)
            rest = rest.slice(_GROUP_SIZE)
    if len(rest):
        yield rest


def _shapes(table: pa.Table) -> npt.NDArray[np.object_]:
    return shapely.from_wkb(table.column(GEOMETRY).to_numpy(zero_copy_only=False))  # type: ignore[no-any-return]


def _extended(bounds: npt.NDArray[np.float64], table: pa.Table) -> npt.NDArray[np.float64]:
    columns = table.column("bbox").combine_chunks().flatten()
    found = [each.drop_null().to_numpy() for each in columns]
    if not len(found[0]):
        return bounds
    lowest = np.minimum(bounds[:2], [each.min() for each in found[:2]])
    return np.concatenate([lowest, np.maximum(bounds[2:], [each.max() for each in found[2:]])])


def _kinds(table: pa.Table) -> set[str]:
    return {"MultiPolygon"} if table.column(GEOMETRY).null_count < len(table) else set()


def _metadata(target: str, bounds: npt.NDArray[np.float64], kinds: set[str]) -> str:
    """The value of the metadata key `geo`."""
    about: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(kinds),
        "crs": pyproj.CRS.from_user_input(target).to_json_dict(),
        "covering": {"bbox": {name: ["bbox", name] for name in _CORNERS}},
    }
    if np.isfinite(bounds).all():
        about["bbox"] = bounds.tolist()
    return orjson.dumps({"version": VERSION, "primary_column": GEOMETRY, "columns": {GEOMETRY: about}}).decode()
