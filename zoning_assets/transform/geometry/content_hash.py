"""The canonical form of shapes and rows, and its hash: two rows are equal if and only if their hashes are equal.

Shapes: coordinates are rounded to a grid (`GRID`), repeated vertices are removed, then GEOS's normal form is applied
(start vertex, direction and order of rings). The normal form alone is not canonical if a ring repeats a vertex.
Attributes: text is stripped, empty text becomes null, whole floats become integers with all digits, other floats are
rounded to 12 significant digits, dates are in ISO 8601 (at midnight without the time), keys are sorted.
Natural keys: all digits and letters are kept; only surrounding white space is removed.
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

#: The precision of coordinates, in units of the target CRS: 1e-8 degrees of latitude are 1.1 mm; EPSG:3857: 1 mm.
GRID: Mapping[str, float] = {"EPSG:4326": 1e-8, "EPSG:3857": 1e-3}

_DATE = re.compile(
    r"(\d{4})[/-](\d\d)[/-](\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d(?:\.\d+)?))?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
#: The escape of NUL in JSON; an escaped backslash before it is kept.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)(?:\\u0000)+")
#: A number in scientific notation, as spreadsheets and C write long numbers.
_SHORTENED_NUMBER = re.compile(r"[+-]?\d\.(\d{1,20})[eE]\+?(\d{2,3})", re.ASCII)
_ALL_DIGITS = Context(prec=400)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def on_grid(shapes: Geometries, grid: float) -> Geometries:
    """Round each coordinate to the grid and drop z and m. Shapes may become invalid."""
    decimals = round(-np.log10(grid))
    flat = shapely.force_2d(shapes) if shapely.has_z(shapes).any() or shapely.has_m(shapes).any() else shapes
    moved: Geometries = shapely.transform(flat, lambda points: np.round(points, decimals) + 0.0)
    return moved


def normal(shapes: Geometries) -> Geometries:
    """Return the normal form of shapes whose coordinates are on the grid."""
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    again = (points[1:] == points[:-1]).all(axis=1) & (owner[1:] == owner[:-1])
    repeating = np.unique(owner[1:][again])  # few: finding them is cheaper than processing all shapes
    cleaned = shapes.copy()
    cleaned[repeating] = shapely.remove_repeated_points(shapes[repeating])
    normalized: Geometries = shapely.normalize(cleaned)
    return normalized


def value(raw: Any) -> Any:
    """Return the canonical form of one attribute; None if it is null or empty."""
    if raw is None:
        return None
    for kind, form in _CANONICAL_FORMS:
        if isinstance(raw, kind):
            return form(raw)
    return raw


def texts(raws: Sequence[str | None]) -> list[str | None]:
    """Like `value`, for a column of texts; special characters are searched in all texts at once."""
    together = "".join(filter(None, raws))
    if "\x00" in together or not together.isascii():
        return [None if raw is None else _text(raw) for raw in raws]
    return [_text_or_date(raw.strip()) if raw else None for raw in raws]


def _text(raw: str) -> str | None:
    text = raw.strip() if "\x00" not in raw else raw.replace("\x00", "").strip()
    if not text.isascii():  # databases refuse lone surrogates
        text = text.encode("utf-8", "replace").decode()
    return _text_or_date(text)


def _text_or_date(text: str) -> str | None:
    """Return a stripped text; a date in its canonical form."""
    if len(text) >= 10 and text[4] in "/-" and (found := _DATE.fullmatch(text)):
        return _date(*found.groups())
    return text or None


def _date(*parts: str | None) -> str:
    """Return ISO 8601: without the time at midnight, seconds without trailing zeros, UTC as Z."""
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
    """Like `value`, for a float."""
    if not math.isfinite(raw):
        return None
    if raw.is_integer():
        return int(raw) if abs(raw) < 2**63 else raw
    return float(f"{raw:.12g}")


def _integer(raw: int) -> int | str:
    return raw if -(2**63) <= raw < 2**64 else str(raw)  # the range of orjson


def _decimal(raw: Decimal) -> float | int | str | None:
    if raw.is_finite() and raw == raw.to_integral_value():
        return _integer(int(raw))
    return number(float(raw))


def key(raw: Any) -> str | None:
    """Return a natural key as text; None if it is null or empty. Keys that differ in the source differ here.

    Numbers keep all digits; whole numbers have no decimal point. Texts are not parsed as dates or numbers.
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
    text = raw.replace("\x00", "").strip()  # PostgreSQL refuses NUL, UTF-8 has no lone surrogates
    return (text if text.isascii() else text.encode("utf-8", "replace").decode()) or None


def is_inexact(key: str) -> bool:
    """Whether a key is a number that lost digits, as in files of spreadsheets and in shapefiles: 1.23457E+17."""
    found = _SHORTENED_NUMBER.fullmatch(key)
    return found is not None and len(found[1]) < int(found[2])


def inexact(keys: Sequence[str | None]) -> npt.NDArray[np.bool_]:
    """Return for each key whether it is inexact; if no key has a decimal point, none is."""
    if "." not in "".join(filter(None, keys)):
        return np.zeros(len(keys), dtype=bool)
    return np.array([key is not None and is_inexact(key) for key in keys], dtype=bool)


_CANONICAL_FORMS: Sequence[tuple[Any, Callable[[Any], Any]]] = (
    (str, _text),
    (float, number),
    (int, _integer),
    (date | time, lambda raw: _text(raw.isoformat())),  # a datetime is a date
    (bytes, lambda raw: raw.hex() or None),
    (Decimal, _decimal),
)


def epoch_ms(raw: Any) -> Any:
    """Convert milliseconds since 1970 (may be negative) to a datetime in UTC; other values are returned unchanged."""
    if isinstance(raw, int | float) and abs(raw) < 2**53:
        try:
            return _EPOCH + timedelta(milliseconds=raw)
        except OverflowError:
            return raw
    return raw


def dumps(attributes: Mapping[str, Any]) -> str:
    """Encode attributes as JSON text with sorted keys and without NUL, which PostgreSQL refuses."""
    text = json_bytes(attributes, default=str).decode()
    return text if "\\u0000" not in text else _NUL.sub(r"\1", text)


def json_bytes(document: Any, option: int = 0, default: Callable[[Any], Any] | None = None) -> bytes:
    """Encode a portal's document as JSON with sorted keys, also with long integers and lone surrogates.

    `option`, `default`: see orjson.dumps.
    """
    option |= orjson.OPT_SORT_KEYS
    try:
        return orjson.dumps(document, option=option, default=default)
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer beyond 64 bits
        return orjson.dumps(_without_surrogates(document), option=option, default=default)


def _without_surrogates(raw: Any) -> Any:
    """Replace lone surrogates by "?", and integers beyond 64 bits by text."""
    if isinstance(raw, str):
        return raw.encode("utf-8", "replace").decode()
    if isinstance(raw, int):
        return _integer(raw)
    if isinstance(raw, Mapping):
        return {_without_surrogates(name): _without_surrogates(each) for name, each in raw.items()}
    return [_without_surrogates(each) for each in raw] if isinstance(raw, list | tuple) else raw


def content_hashes(columns: Sequence[Iterable[Any]], shapes: Geometries) -> list[str]:
    """Return one hash per row, of its columns in order and its shape (may be None): BLAKE2b, 128 bits, hexadecimal."""
    wkbs = shapely.to_wkb(shapes, byte_order=1)
    return [
        hashlib.blake2b(orjson.dumps(values) + (wkb or b""), digest_size=16).hexdigest()
        for values, wkb in zip(zip(*columns, strict=True), wkbs, strict=True)
    ]


def set_hash(hashes: Iterable[str]) -> str:
    """Return one hash for a set of rows, independent of their order."""
    return hashlib.blake2b("\n".join(sorted(hashes)).encode(), digest_size=16).hexdigest()
