"""JSON of strangers: read within limits, and its lists of corners made flat."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Any, TypedDict

import msgspec
import numpy as np
import orjson

from zoning_assets.errors import MalformedResponse
from zoning_assets.transform.decode import text_encoding
from zoning_assets.transform.geometry.rings import Floats

#: Values in one page, counted by commas and brackets; a hostile one of 256 MiB would else be gigabytes of lists.
_MOST_VALUES = 16_000_000
#: How deep a row's attributes may be nested, that they can be written again.
_DEEPEST = 200


#: Whole numbers from here on may have more digits than a double holds (IEEE 754: 53 bits).
_EXACT = float(2**53)


def decode(body: bytes) -> Any:
    """A JSON document, its integers with all their digits. What JSON forbids and servers write all the same is read: a
    bare NaN, control characters in strings, backslashes that begin no escape, text that is not UTF-8.

    Raises:
        MalformedResponse: the document is all there, and is no JSON within.
        ValueError: the bytes are not JSON, or it is too large or too deep.
    """
    limit(body)
    try:
        return loaded(body)
    except (*_NOT_PLAIN, RecursionError):
        return _decode_patiently(body)


#: What msgspec raises on text that is not plain JSON.
_NOT_PLAIN = (msgspec.MsgspecError, UnicodeDecodeError)


def loaded(text: bytes | str) -> Any:
    """JSON that is nothing but JSON, its integers with all their digits.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    return msgspec.json.decode(text)


def exact(text: str) -> float | int:
    """A decimal number: with all its digits where it is whole and has more of them than a double that is written so."""
    number = float(text)
    if not number.is_integer() or abs(number) < 2**53:
        return number
    said = Decimal(text)
    written = {Decimal(repr(number)), Decimal(f"{number:.16e}"), Decimal(int(number))}
    return number if said in written or said != said.to_integral_value() else int(said)


class _Feature(TypedDict, total=False):
    attributes: Any  # Esri's word
    properties: Any  # GeoJSON's


class _Page(TypedDict, total=False):
    features: list[_Feature]
    exceededTransferLimit: Any
    spatialReference: Any
    error: Any


_PAGE = msgspec.json.Decoder(_Page)


def decode_attributes(body: bytes) -> Any:
    """As `decode`, but of a page in either dialect only what proves it complete: shapes, most of it, are skipped.

    Raises:
        ValueError: as decode.
    """
    limit(body)
    try:
        page = _PAGE.decode(body)
    except (*_NOT_PLAIN, RecursionError):  # another document, or one that only the patient understand
        return decode(body)
    plain = ("features" in page or "error" in page) and text_encoding.is_utf8(body)  # what is skipped is not looked at
    return page if plain else decode(body)


def limit(body: bytes) -> None:
    """Refuse a document that would be gigabytes of lists.

    Raises:
        ValueError: it has too many values.
    """
    if len(body) > _MOST_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        message = f"more than {_MOST_VALUES:,} values in one page"
        raise ValueError(message)


class _Written(msgspec.Struct):
    features: list[msgspec.Raw]


def written(body: bytes) -> Callable[[int], dict[str, Any]]:
    """Single rows of a sound page as they stand there; it is looked through with the first that is asked for."""

    @cache
    def rows() -> list[msgspec.Raw]:
        return msgspec.json.decode(body, type=_Written).features

    return lambda row: msgspec.json.decode(rows()[row])


def _decode_patiently(body: bytes, **how: Any) -> Any:
    text = text_encoding.of_json(body)
    try:
        return json.loads(text, strict=False, **how)
    except RecursionError:
        message = "the JSON is nested too deep"
        raise ValueError(message) from None
    except json.JSONDecodeError as error:
        if "escape" in error.msg and (mended := text_encoding.with_backslashes(text)) != text:
            return _decode_patiently(mended.encode("utf-8", "replace"), **how)
        raise _cut_or_garbled(text, error) from error


def _cut_or_garbled(text: str, error: json.JSONDecodeError) -> ValueError:
    """Where JSON ends too early the rest was lost on its way; where it goes on, asking again gives the same."""
    text = text.rstrip()
    cut = error.pos >= len(text) - 1 or error.msg.startswith("Unterminated") or text[-1:] not in ("}", "]")
    where = f"at character {error.pos + 1:,} of {len(text):,}"
    return ValueError(f"the JSON ends {where}") if cut else MalformedResponse(f"no JSON {where} ({error.msg})")


@dataclass(frozen=True)
class Features:
    """A page's rows in either dialect, their attributes, and what is to be noted of a row's texts."""

    document: dict[str, Any]
    features: list[dict[str, Any]]
    attributes: list[dict[str, Any]]
    notes: Mapping[int, str]


def read(body: bytes, name: str) -> Features:
    """A page.

    Args:
        body: its bytes.
        name: the dialect's word for attributes.

    Raises:
        ValueError: it has no rows, as an error in an HTTP 200 or another document has not.
    """
    document = decode(body)
    features = features_in(document)
    attributes = attributes_of(features, name)
    if has_long_numbers(attributes):
        document = _decode_patiently(body, parse_float=exact)
        features = features_in(document)
        attributes = attributes_of(features, name)
    return Features(document, features, attributes, text_encoding.notes(body, attributes))


def has_long_numbers(attributes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a number beyond 2**53 was read as a double, which may have fewer digits than what was written."""
    try:
        orjson.dumps(attributes)
    except TypeError:  # beyond 64 bits, or half a character
        return True
    return _has_long([value for each in attributes for value in each.values()])


def _has_long(values: Sequence[Any]) -> bool:
    """Whether one of the values, or one nested in them, is so long. `orjson.dumps` has limited the depth."""
    if any(abs(value) >= _EXACT for value in values if type(value) is float):
        return True
    nested = [value for value in values if type(value) in (dict, list)]
    return bool(nested) and _has_long([value for each in nested for value in _within(each)])


def features_in(document: Any) -> list[dict[str, Any]]:
    """A decoded page's rows.

    Raises:
        ValueError: it has none.
    """
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not set(map(type, features)) <= {dict}:
        message = f"no features in {_look(document)}"
        raise ValueError(message)
    return features


def _look(document: Any) -> str:
    """What a document is, in a few words; all of it may be large, and nested deeper than can be shown."""
    if not isinstance(document, dict):
        return f"a JSON {type(document).__name__}"
    return f"an object of {', '.join(map(repr, list(document)[:8]))}"[:160]


def attributes_of(features: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The attributes of each row, by the dialect's word for them; none is an empty dict.

    Raises:
        ValueError: something else stands there, or something nested without end.
    """
    found = [feature.get(name) or {} for feature in features]
    if not set(map(type, found)) <= {dict}:
        message = f"the {name} of a row are no object"
        raise ValueError(message)
    try:
        orjson.dumps(found)
    except TypeError:  # nested too deep, or a number or half a character that JSON here does not hold
        if any(is_deep(each) for each in found):
            message = f"the {name} of a row are nested more than {_DEEPEST} deep"
            raise ValueError(message) from None
    return found


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested so deep that they cannot be written again."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _within(each)]
        if not level:
            return False
    return True


def _within(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def corners(rings: Sequence[Sequence[Any]]) -> Floats:
    """All corners of the rings as (n, 2); z and m are left behind, what is no number becomes NaN."""
    points = list(chain.from_iterable(rings))
    if set(map(type, points)) == {list} and len(sizes := set(map(len, points))) == 1 and (size := sizes.pop()) > 1:
        try:
            flat = np.fromiter(chain.from_iterable(points), dtype=np.float64, count=size * len(points))
            return flat.reshape(-1, size)[:, :2]
        except (ValueError, TypeError, OverflowError):
            pass  # something there is no number
    return np.array([_xy(point) for point in points], dtype=np.float64).reshape(-1, 2)


def _xy(point: Any) -> tuple[float, float]:
    try:
        return (float(point[0]), float(point[1])) if type(point) is list else (np.nan, np.nan)
    except (TypeError, ValueError, IndexError, OverflowError):
        return np.nan, np.nan


def object_ids(values: list[Any]) -> list[int]:
    """The object ids of a page's rows, which some servers write as floats or as text (docs/explanation/portals.md, row
    9).

    Raises:
        ValueError: a value is no object id.
    """
    return values if set(map(type, values)) <= {int} else [_object_id(value) for value in values]


def _object_id(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
        if number == int(number):
            return int(number)
    except (TypeError, OverflowError):
        pass
    message = f"an object id is {value!r:.40}"
    raise ValueError(message)
