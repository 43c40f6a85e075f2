"""The readers of pages, one per format. A reader decodes rows and reports flaws; it does not validate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import shapely

from zoning_assets.transform.decode import feature_batches, geojson, json_pages
from zoning_assets.transform.decode.esri import esri_json, esri_pbf
from zoning_assets.transform.decode.json_pages import has_long_numbers, is_too_deep
from zoning_assets.transform.decode.rows import Peek, Rows


def read_arrow(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """Decode an Arrow IPC stream with a `geometry` column of WKB; this is the format of pages of files."""
    table = pa.ipc.open_stream(body).read_all()
    geometry = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False), on_invalid="ignore")
    return Rows(table.drop_columns(["geometry"]).to_pylist(), geometry, {})


#: format of a page -> its reader.
READERS: Mapping[str, Callable[[bytes, Mapping[str, Any]], Rows]] = {
    "esrijson": esri_json.read,
    "geojson": geojson.read,
    "pbf": esri_pbf.read,
    "arrow": read_arrow,
    "features": feature_batches.read,
}

#: Formats from which single rows can be taken without decoding the others.
_ARROW = frozenset({"arrow", "features"})

#: format of a page -> the function that counts rows and lists their ids without decoding shapes.
PEEKERS: Mapping[str, Callable[[bytes, str], Peek]] = {
    "esrijson": esri_json.peek,
    "geojson": geojson.peek,
    "pbf": esri_pbf.peek,
}


def raw_rows(rows: Rows, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Return single rows as the portal sent them, encodable as JSON; they are stored with rejections."""
    if rows.raw is not None:
        return [_storable(rows.raw(i)) for i in indices]
    return [{"attributes": rows.attributes[i], "wkt": _wkt(rows.geometry[i])} for i in indices]


def raw_rows_at(form: str, body: bytes, layer: Mapping[str, Any], indices: Sequence[int]) -> list[dict[str, Any]]:
    """Like `raw_rows`, for an encoded page; only these rows are decoded if the format allows it."""
    if form in _ARROW:
        few = _to_stream(pa.ipc.open_stream(body).read_all().take(pa.array(indices)))
        return raw_rows(READERS[form](few, layer), range(len(indices)))
    try:
        row = json_pages.raw_features(body)
        found = [row(i) for i in indices]
        sound = not has_long_numbers([dict(each.get("attributes") or each.get("properties") or {}) for each in found])
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError, AttributeError, IndexError):
        sound = False
    return [_storable(each) for each in found] if sound else raw_rows(READERS[form](body, layer), indices)


def _to_stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _storable(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Replace values that are nested too deep to be encoded."""
    return {name: "nested too deep to be shown" if is_too_deep(value) else value for name, value in feature.items()}


def _wkt(shape: shapely.Geometry | None) -> str | None:
    return None if shape is None else str(shapely.to_wkt(shape, rounding_precision=-1))
