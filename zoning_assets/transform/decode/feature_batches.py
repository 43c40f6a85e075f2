"""Rows of portals that give GeoJSON, or that we bring into its form: one Arrow batch a page.

The row's properties stay as the portal gave them (JSON text), its shape as WKB in the layer's CRS.
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

from zoning_assets.transform.decode.json_limits import loaded
from zoning_assets.transform.decode.rows import Rows

#: id: what tells a row from the others on its portal. flaw: what the shape lost or cannot say (Rows.flaws).
SCHEMA = pa.schema([("id", pa.string()), ("properties", pa.string()), ("geometry", pa.binary()), ("flaw", pa.string())])


def batch(ids: Sequence[object], rows: Rows) -> pa.RecordBatch:
    """Rows as a batch of SCHEMA.

    Args:
        ids: one a row; any type that has an exact text.
        rows: shapes in the layer's CRS, x and y; z and m are left behind.
    """
    flaws = [rows.flaws.get(i) for i in range(len(rows))]
    texts = [str(each) for each in ids]
    arrays = [texts, [_text(each) for each in rows.attributes], _wkb(rows.geometry), flaws]
    return pa.record_batch([pa.array(each, kind) for each, kind in zip(arrays, SCHEMA.types, strict=True)], SCHEMA)


def _wkb(shapes: npt.NDArray[np.object_]) -> list[bytes | None]:
    return list(shapely.to_wkb(shapes, output_dimension=2).tolist())


def _text(properties: Mapping[str, Any]) -> str:
    """JSON with sorted keys; numbers beyond 64 bits are written by the slower library."""
    try:
        return orjson.dumps(properties, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return json.dumps(properties, sort_keys=True)


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """An Arrow IPC stream of SCHEMA.

    Raises:
        ValueError: the bytes are not such a stream.
    """
    table = pa.ipc.open_stream(body).read_all()
    geometry = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False), on_invalid="ignore")
    flaws = {i: flaw for i, flaw in enumerate(table.column("flaw").to_pylist()) if flaw is not None}
    return Rows([properties_of(text) for text in table.column("properties").to_pylist()], geometry, flaws)


def properties_of(text: str) -> Any:
    """A row's properties from their text, integers with all their digits."""
    try:
        return loaded(text)
    except msgspec.MsgspecError:
        return json.loads(text)
