"""One form per shape and per row, and its hash: what is equal here is equal, what differs has changed.

Shapes: coordinates on a grid (`GRID`), repeated corners removed, then GEOS's normal form (start corner, direction and
order of the rings). `normalize` alone is not canonical where a ring repeats a corner (DESIGN, promise 5).
Attributes: text trimmed, empty text is nothing, whole floats are whole numbers with all their digits, other floats 12
significant digits, dates in ISO 8601 and midnight the day alone; keys sorted; nothing is left out.
Natural keys: all their digits and letters; only the blanks around them go.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import shapely

Geometries = npt.NDArray[np.object_]

#: The stated precision, in units of the target CRS: 1e-8 degrees is 1.1 mm northward; 1 mm in EPSG:3857's metres.
GRID: Mapping[str, float] = {"EPSG:4326": 1e-8, "EPSG:3857": 1e-3}

_DATE = re.compile(
    r"(\d{4})[/-](\d\d)[/-](\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d(?:\.\d+)?))?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
#: NUL, as JSON spells it; a backslash before it, spelled with two, is kept.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)(?:\\u0000)+")
#: A number as spreadsheets and C write long ones: one digit, some behind the point, and the power of ten.
_CUT_NUMBER = re.compile(r"[+-]?\d\.(\d{1,20})[eE]\+?(\d{2,3})", re.ASCII)
_ALL_DIGITS = Context(prec=400)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def on_grid(shapes: Geometries, grid: float) -> Geometries:
    """The shapes with each coordinate moved to the nearest grid line, z and m left behind; may become invalid."""
    decimals = round(-np.log10(grid))
    flat = shapely.force_2d(shapes) if shapely.has_z(shapes).any() or shapely.has_m(shapes).any() else shapes
    moved: Geometries = shapely.transform(flat, lambda points: np.round(points, decimals) + 0.0)
    return moved


def normal(shapes: Geometries) -> Geometries:
    """The normal form of shapes that lie on the grid."""
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    again = (points[1:] == points[:-1]).all(axis=1) & (owner[1:] == owner[:-1])
    repeating = np.unique(owner[1:][again])  # few: looking for them is cheaper than removing what is not there
    cleaned = shapes.copy()
    cleaned[repeating] = shapely.remove_repeated_points(shapes[repeating])
    normalized: Geometries = shapely.normalize(cleaned)
    return normalized


def value(raw: Any) -> Any:
    """The canonical form of one attribute; None where it says nothing."""
    if raw is None:
        return None
    for kind, form in _FORMS:
        if isinstance(raw, kind):
            return form(raw)
    return raw


def texts(raws: Sequence[str | None]) -> list[str | None]:
    """As `value`, for a column of texts; letters that need care are looked for in all of them at once."""
    whole = "".join(filter(None, raws))
    if "\x00" in whole or not whole.isascii():
        return [None if raw is None else _text(raw) for raw in raws]
    return [_dated(raw.strip()) if raw else None for raw in raws]


def _text(raw: str) -> str | None:
    text = raw.strip() if "\x00" not in raw else raw.replace("\x00", "").strip()
    if not text.isascii():  # half a surrogate pair is no text; databases refuse it
        text = text.encode("utf-8", "replace").decode()
    return _dated(text)


def _dated(text: str) -> str | None:
    """Trimmed text; a date in one form."""
    if len(text) >= 10 and text[4] in "/-" and (found := _DATE.fullmatch(text)):
        return _date(*found.groups())
    return text or None


def _date(*parts: str | None) -> str:
    """ISO 8601: midnight is the day alone, seconds without idle zeros, UTC is Z."""
    year, month, day, minutes, seconds, zone = parts
    clock = f"{minutes or '00:00'}:{seconds or '00'}"
    clock = clock.rstrip("0").rstrip(".") if "." in clock else clock
    if clock == "00:00:00":
        return f"{year}-{month}-{day}"
    if zone and zone != "Z":
        hours, rest = zone[:3], zone[3:].lstrip(":") or "00"
        zone = "Z" if hours[1:] == rest == "00" else f"{hours}:{rest}"
    return f"{year}-{month}-{day}T{clock}{zone or ''}"


def number(raw: float) -> float | int | None:
    """As `value`, for a float."""
    if not math.isfinite(raw):
        return None
    if raw.is_integer():
        return int(raw) if abs(raw) < 2**63 else raw
    return float(f"{raw:.12g}")


def _whole(raw: int) -> int | str:
    return raw if -(2**63) <= raw < 2**64 else str(raw)  # JSON here holds no more


def _decimal(raw: Decimal) -> float | int | str | None:
    if raw.is_finite() and raw == raw.to_integral_value():
        return _whole(int(raw))
    return number(float(raw))


def key(raw: Any) -> str | None:
    """A natural key as text; None where it says nothing. Two that differ at their source differ here.

    Numbers have all their digits, and no point where they are whole. Text is what it is: no date, no number.
    """
    if isinstance(raw, str):
        return _key_text(raw)
    if isinstance(raw, float):
        return (str(int(raw)) if raw.is_integer() else repr(raw)) if math.isfinite(raw) else None
    if isinstance(raw, Decimal):
        return f"{raw.normalize(_ALL_DIGITS):f}" if raw.is_finite() else None
    found = raw if isinstance(raw, int) else value(raw)
    return None if found is None else str(found)


def _key_text(raw: str) -> str | None:
    text = raw.replace("\x00", "").strip()  # PostgreSQL has no NUL, UTF-8 no half of a pair
    return (text if text.isascii() else text.encode("utf-8", "replace").decode()) or None


def is_inexact(key: str) -> bool:
    """Whether a key is a number that was cut when it was written, as spreadsheets and shapefiles do: 1.23457E+17."""
    found = _CUT_NUMBER.fullmatch(key)
    return found is not None and len(found[1]) < int(found[2])


def inexact(keys: Sequence[str | None]) -> npt.NDArray[np.bool_]:
    """Which keys are; a column of keys without a point has none."""
    if "." not in "".join(filter(None, keys)):
        return np.zeros(len(keys), dtype=bool)
    return np.array([key is not None and is_inexact(key) for key in keys], dtype=bool)


_FORMS: Sequence[tuple[Any, Callable[[Any], Any]]] = (
    (str, _text),
    (float, number),
    (int, _whole),
    (date | time, lambda raw: _text(raw.isoformat())),  # a datetime is a date
    (bytes, lambda raw: raw.hex() or None),
    (Decimal, _decimal),
)


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
    text = json_bytes(attributes, default=str).decode()
    return text if "\\u0000" not in text else _NUL.sub(r"\1", text)


def json_bytes(document: Any, option: int = 0, default: Callable[[Any], Any] | None = None) -> bytes:
    """What a portal said, as JSON with sorted keys: whole, however long its numbers are, and whatever its texts hold.

    `option`, `default`: as of orjson.dumps.
    """
    option |= orjson.OPT_SORT_KEYS
    try:
        return orjson.dumps(document, option=option, default=default)
    except orjson.JSONEncodeError:  # half a surrogate pair, or a number beyond 64 bits
        return orjson.dumps(_no_halves(document), option=option, default=default)


def _no_halves(raw: Any) -> Any:
    """The same with "?" for each half of a surrogate pair that stands alone, and numbers beyond 64 bits as text."""
    if isinstance(raw, str):
        return raw.encode("utf-8", "replace").decode()
    if isinstance(raw, int):
        return _whole(raw)
    if isinstance(raw, Mapping):
        return {_no_halves(name): _no_halves(each) for name, each in raw.items()}
    return [_no_halves(each) for each in raw] if isinstance(raw, list | tuple) else raw


def content_hashes(columns: Sequence[Iterable[Any]], shapes: Geometries) -> list[str]:
    """One hash a row, over its columns in order and its shape (None: it has none): BLAKE2b, 128 bits, hexadecimal."""
    wkbs = shapely.to_wkb(shapes, byte_order=1)
    return [
        hashlib.blake2b(orjson.dumps(values) + (wkb or b""), digest_size=16).hexdigest()
        for values, wkb in zip(zip(*columns, strict=True), wkbs, strict=True)
    ]


def set_hash(hashes: Iterable[str]) -> str:
    """One hash for a set of rows, whatever their order."""
    return hashlib.blake2b("\n".join(sorted(hashes)).encode(), digest_size=16).hexdigest()
