"""One form per shape and per row, and its hash: what is equal here is equal, what differs has changed.

Shapes: coordinates on a grid (`GRID`), repeated corners removed, then GEOS's normal form (start corner, direction and
order of the rings). `normalize` alone is not canonical where a ring repeats a corner (DESIGN, promise 5).
Attributes: text trimmed, empty text is nothing, whole floats are whole numbers, other floats 12 significant digits,
dates in ISO 8601; keys sorted; nothing is left out.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import shapely

Geometries = npt.NDArray[np.object_]

#: The stated precision, in units of the target CRS: 1e-8 degrees is 1.1 mm northward; 1 mm in EPSG:3857's metres.
GRID: Mapping[str, float] = {"EPSG:4326": 1e-8, "EPSG:3857": 1e-3}

_DATE = re.compile(r"(\d{4})[/-](\d\d)[/-](\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:\.0+)?(Z|[+-]\d\d:?\d\d)?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def on_grid(shapes: Geometries, grid: float) -> Geometries:
    """The shapes with each coordinate moved to the nearest grid line, z and m left behind; may become invalid."""
    decimals = round(-np.log10(grid))
    return shapely.transform(shapely.force_2d(shapes), lambda points: np.round(points, decimals) + 0.0)


def normal(shapes: Geometries) -> Geometries:
    """The normal form of shapes that lie on the grid."""
    return shapely.normalize(shapely.remove_repeated_points(shapes))


def value(raw: Any) -> Any:
    """The canonical form of one attribute; None where it says nothing."""
    if isinstance(raw, str):
        return _text(raw)
    if isinstance(raw, float):
        return _number(raw)
    if isinstance(raw, datetime):
        return _moment(raw)
    if isinstance(raw, date | time):
        return raw.isoformat()
    if isinstance(raw, bytes):
        return raw.hex()
    return raw


def _text(raw: str) -> str | None:
    text = raw.replace("\x00", "").strip()
    if not text.isascii():  # half a surrogate pair is no text; databases refuse it
        text = text.encode("utf-8", "replace").decode()
    if len(text) >= 10 and text[4] in "/-" and (found := _DATE.fullmatch(text)):
        year, month, day, clock, zone = found.groups()
        clock = "" if clock is None or re.fullmatch(r"[0:.]+", clock) else f"T{clock}{zone or ''}"
        return f"{year}-{month}-{day}{clock}"
    return text or None


def _number(raw: float) -> float | int | None:
    if not np.isfinite(raw):
        return None
    return int(raw) if raw.is_integer() and abs(raw) < 2**53 else float(f"{raw:.12g}")


def _moment(raw: datetime) -> str:
    text = raw.isoformat()
    return text[:10] if raw.time() == time() else text.replace("+00:00", "Z")


def epoch_ms(raw: Any) -> Any:
    """A portal's milliseconds since 1970 (negative before) as a moment in UTC; anything else as it is."""
    if isinstance(raw, int | float) and abs(raw) < 2**53:
        try:
            return _EPOCH + timedelta(milliseconds=raw)
        except OverflowError:
            return raw
    return raw


def dumps(attributes: Mapping[str, Any]) -> str:
    """Attributes as JSON text with sorted keys and without NUL, which PostgreSQL refuses."""
    return orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS, default=str).decode().replace("\\u0000", "")


def content_hashes(columns: Sequence[Iterable[Any]], shapes: Geometries) -> list[str]:
    """One hash a row, over its columns in order and its canonical shape: BLAKE2b, 128 bits, hexadecimal."""
    wkbs = shapely.to_wkb(shapes, byte_order=1)
    return [
        hashlib.blake2b(orjson.dumps(values) + wkb, digest_size=16).hexdigest()
        for values, wkb in zip(zip(*columns, strict=True), wkbs, strict=True)
    ]


def set_hash(hashes: Iterable[str]) -> str:
    """One hash for a set of rows, whatever their order."""
    return hashlib.blake2b("\n".join(sorted(hashes)).encode(), digest_size=16).hexdigest()
