"""Repair the arrays that GDAL and pyarrow return, one batch at a time: text, arcs, and shapes that they could not read.

What belongs here: Arrow arrays to Arrow arrays. What does not: opening a file (gdal_layer).
"""

import struct
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from pyarrow import compute

from zoning_assets.sources.files import kml
from zoning_assets.transform.decode import text_encoding

WINDOWS = text_encoding.WINDOWS_1252
_TEXTS = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
_ARCS = frozenset(range(8, 13))  # CircularString, CompoundCurve, CurvePolygon, MultiCurve, MultiSurface


def sound(array: pa.Array) -> pa.Array:
    """Check that an array is valid, and return its storage if it is an extension array (JSON).

    Reading an array with an offset outside of its buffers would end the process.

    Raises:
        pa.ArrowInvalid: the reader returned an invalid array.
    """
    array = array.storage if isinstance(array, pa.ExtensionArray) else array
    _bytes(array).validate(full=True)
    return array


def _bytes(array: pa.Array) -> pa.Array:
    """Text as bytes; other types unchanged."""
    return array.view(_TEXTS[array.type]) if array.type in _TEXTS else array


def unread(texts: pa.Array, geometry: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Read the shapes of a table that GDAL could not read; return the texts that are still not read, and all shapes.

    GDAL does not read a shape with an SRID (EWKT), nor anything but WKT in a column of that name.

    Args:
        texts: the column of shapes as text.
        geometry: the shapes that GDAL read, as WKB; null: it could not.
    """
    missing = compute.and_(compute.is_null(geometry), compute.is_valid(texts))
    places = np.flatnonzero(missing.to_numpy(zero_copy_only=False))
    if not len(places):
        return pa.nulls(len(texts), pa.string()), geometry
    shapes = [shapely.to_wkb(_shape(text)) for text in texts.take(pa.array(places)).to_pylist()]
    geometry = compute.replace_with_mask(geometry, missing, pa.array(shapes, pa.binary()))
    return compute.if_else(compute.is_null(geometry), texts, None), geometry


def _shape(text: str) -> Any:
    """Parse a shape from WKT, EWKT, GeoJSON or hexadecimal WKB; None: it is none of these."""
    text = text.strip()
    if text.startswith("{"):
        return shapely.from_geojson(text, on_invalid="ignore")
    if text.startswith(("00", "01")):
        return shapely.from_wkb(text, on_invalid="ignore")
    return shapely.from_wkt(text.partition(";")[2] if text[:5].upper() == "SRID=" else text, on_invalid="ignore")


def table_columns(descriptions: pa.Array, names: Sequence[str]) -> tuple[pa.Array, list[pa.Array]]:
    """Split descriptions into those without a table, and a column for each name in their tables."""
    texts = descriptions.to_pylist()
    tables = [kml.table_of(text) for text in texts]
    rest = pa.array([None if table else text for table, text in zip(tables, texts, strict=True)], pa.string())
    return rest, [pa.array([table.get(name) for table in tables], pa.string()) for name in names]


def readable(array: pa.Array) -> pa.Array:
    """Text as UTF-8. GDAL returns the bytes of a .dbf unchanged if its encoding is not declared, or is wrong."""
    try:
        if array.type in _TEXTS:
            array.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array(_decoded(_bytes(array).to_pylist()), array.type)
    return array


def _decoded(raws: Sequence[bytes | None]) -> list[str | None]:
    """Decode the texts of a column. In a UTF-8 column, a text of full width may be cut within its last letter."""
    known = [raw for raw in raws if raw is not None]
    utf8 = any(not raw.isascii() and text_encoding.is_utf8(raw) for raw in known)
    width = max(map(len, known))
    return [None if raw is None else text_encoding.decode_value(raw, utf8=utf8 and len(raw) >= width) for raw in raws]


def straight(geometry: pa.Array) -> pa.Array:
    """Arcs as polylines. GDAL returns the curves of a FileGDB, and shapely reads none of their types."""
    kinds = _kinds(geometry)
    curved = np.isin(kinds % 1000, list(_ARCS))
    if not curved.any():
        return geometry
    places = np.flatnonzero(curved)
    lines = _linearised(geometry.take(pa.array(places)), flat=bool((kinds[places] // 1000 % 2 == 0).all()))
    return compute.replace_with_mask(geometry, pa.array(curved), lines)


def _kinds(geometry: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """ISO WKB type numbers (plus 1000: Z, 2000: M, 3000: ZM); 0 for null."""
    heads = (value.as_buffer() for value in geometry)
    kinds = (struct.unpack_from("<I" if head[0:1] == b"\1" else ">I", head, 1)[0] if head else 0 for head in heads)
    return np.fromiter((kind & 0x0FFFFFFF for kind in kinds), np.int64, len(geometry))


def _linearised(geometry: pa.Array, *, flat: bool) -> pa.Array:
    """Convert arcs with GDAL (a vertex every 4 degrees of arc), by writing them to a shapefile in memory.

    Coordinates keep all their bits; M is lost.
    """
    folder = f"/vsimem/{uuid.uuid4().hex}"
    kind = "MultiPolygon" if flat else "MultiPolygon Z"
    table = pa.table({"row": pa.array(range(len(geometry)), pa.int32()), "geometry": geometry})
    try:
        pyogrio.write_arrow(
            *(table, f"{folder}/arcs.shp"), driver="ESRI Shapefile", geometry_name="geometry", geometry_type=kind
        )
        with pyogrio.open_arrow(f"{folder}/arcs.shp", batch_size=len(geometry), use_pyarrow=True) as (_, reader):
            return reader.read_all().column(1).combine_chunks()
    finally:
        pyogrio.vsi_rmtree(folder)
