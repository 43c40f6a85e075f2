"""How a page's bytes become rows: one reader a form. Reading judges nothing; it says what came."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import shapely

from zoning_assets.transform import esri, features, geojson, pbf
from zoning_assets.transform.documents import is_deep
from zoning_assets.transform.rows import Peek, Rows


def read_arrow(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """An Arrow IPC stream with a `geometry` column of WKB, as the `download` feed slices files into pages."""
    table = pa.ipc.open_stream(body).read_all()
    geometry = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False), on_invalid="ignore")
    return Rows(table.drop_columns(["geometry"]).to_pylist(), geometry, {})


#: form of a page -> how it is read.
READERS: Mapping[str, Callable[[bytes, Mapping[str, Any]], Rows]] = {
    "esrijson": esri.read,
    "geojson": geojson.read,
    "pbf": pbf.read,
    "arrow": read_arrow,
    "features": features.read,
}

#: form of a page -> how its rows are counted and told apart without their shapes, by the name of the id column.
PEEKERS: Mapping[str, Callable[[bytes, str], Peek]] = {
    "esrijson": esri.peek,
    "geojson": geojson.peek,
    "pbf": pbf.peek,
}


def raw_rows(rows: Rows, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Single rows of a page as the portal gave them, fit for JSON; for what is held back."""
    if rows.raw is not None:
        return [_storable(rows.raw(i)) for i in indices]
    return [{"attributes": rows.attributes[i], "wkt": _wkt(rows.geometry[i])} for i in indices]


def _storable(feature: Mapping[str, Any]) -> dict[str, Any]:
    """A row that can be written again, whatever a stranger put inside one another."""
    return {name: "nested too deep to be shown" if is_deep(value) else value for name, value in feature.items()}


def _wkt(shape: shapely.Geometry | None) -> str | None:
    return None if shape is None else str(shapely.to_wkt(shape, rounding_precision=-1))
