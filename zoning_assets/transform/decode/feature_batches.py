"""Store the rows of a page as one Arrow batch: for portals that return GeoJSON, GML or tables.

Properties are stored as JSON text with the portal's values, shapes as WKB in the layer's CRS (x, y).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import shapely

from zoning_assets.transform.decode.json_pages import decode_strict
from zoning_assets.transform.decode.rows import Rows

#: id: identifies the row on its portal (row_identity.py). flaw: see Rows.flaws.
SCHEMA = pa.schema([("id", pa.string()), ("properties", pa.string()), ("geometry", pa.binary()), ("flaw", pa.string())])


def to_batch(ids: Sequence[object], rows: Rows) -> pa.RecordBatch:
    """Convert rows to a batch of SCHEMA.

    Args:
        ids: one per row, of a type whose `str` is exact.
        rows: shapes in the layer's CRS, x and y; z and m are dropped.
    """
    flaws = [rows.flaws.get(i) for i in range(len(rows))]
    texts = [str(each) for each in ids]
    arrays = [texts, [_json_text(each) for each in rows.attributes], _wkb(rows.geometry), flaws]
    return pa.record_batch([pa.array(each, kind) for each, kind in zip(arrays, SCHEMA.types, strict=True)], SCHEMA)


def _wkb(shapes: npt.NDArray[np.object_]) -> list[bytes | None]:
    return list(shapely.to_wkb(shapes, output_dimension=2).tolist())


def _json_text(properties: Mapping[str, Any]) -> str:
    """Encode as JSON with sorted keys; integers beyond 64 bits need the slower library."""
    try:
        return orjson.dumps(properties, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return json.dumps(properties, sort_keys=True)


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """Decode an Arrow IPC stream of SCHEMA.

    Raises:
        ValueError: the bytes are not such a stream.
    """
    table = pa.ipc.open_stream(body).read_all()
    geometry = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False), on_invalid="ignore")
    flaws = {i: flaw for i, flaw in enumerate(table.column("flaw").to_pylist()) if flaw is not None}
    return Rows([parse_properties(text) for text in table.column("properties").to_pylist()], geometry, flaws)


def parse_properties(text: str) -> Any:
    """Parse a row's properties; integers keep all digits."""
    try:
        return decode_strict(text)
    except msgspec.MsgspecError:
        return json.loads(text)
