"""How a page's bytes become rows: one reader a form. Reading judges nothing; it says what came."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import shapely

from zoning_assets.transform import esri, features
from zoning_assets.transform.rows import Rows


def read_arrow(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """An Arrow IPC stream with a `geometry` column of WKB, as the `download` feed slices files into pages."""
    table = pa.ipc.open_stream(body).read_all()
    geometry = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False), on_invalid="ignore")
    return Rows(table.drop_columns(["geometry"]).to_pylist(), geometry, {})


#: form of a page -> how it is read.
READERS: Mapping[str, Callable[[bytes, Mapping[str, Any]], Rows]] = {
    "esrijson": esri.read,
    "arrow": read_arrow,
    "features": features.read,
}


def raw_rows(form: str, body: bytes, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Single rows of a page as the portal gave them, fit for JSON; for what is held back."""
    if form == "esrijson":
        features = esri.decode(body)["features"]
        return [features[i] for i in indices]
    rows = READERS[form](body, {})
    return [{"attributes": rows.attributes[i], "wkt": shapely.to_wkt(rows.geometry[i])} for i in indices]
