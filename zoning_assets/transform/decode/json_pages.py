"""Decode JSON from untrusted portals, within limits of size and depth, and flatten lists of vertices."""

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

#: Values in one page, counted by commas and brackets. A hostile page of 256 MiB could need gigabytes as lists.
_MAX_VALUES = 16_000_000
#: Nesting of a row's attributes that can still be encoded.
_MAX_DEPTH = 200


#: Whole numbers from here on may have more digits than a double holds (IEEE 754: 53 bits).
_EXACT = float(2**53)


def decode(body: bytes) -> Any:
    """Decode a JSON document; integers keep all digits.

    Errors that servers are known to make are accepted: NaN without quotes, control characters in strings, backslashes
    that start no escape, text that is not UTF-8.

    Raises:
        MalformedResponse: the document is complete, but has a syntax error inside.
        ValueError: the document is cut short, too large, nested too deep, or not JSON.
    """
    check_value_count(body)
    try:
        return decode_strict(body)
    except (*_NOT_PLAIN, RecursionError):
        return _decode_lenient(body)


#: The errors of msgspec for text that is not valid JSON.
_NOT_PLAIN = (msgspec.MsgspecError, UnicodeDecodeError)


def decode_strict(text: bytes | str) -> Any:
    """Decode valid JSON; integers keep all digits.

    Raises:
        msgspec.MsgspecError: the text is not valid JSON.
    """
    return msgspec.json.decode(text)


def parse_number(text: str) -> float | int:
    """Parse a decimal number; an integer if the text has more digits than a double can represent."""
    number = float(text)
    if not number.is_integer() or abs(number) < 2**53:
        return number
    exact = Decimal(text)
    as_double = {Decimal(repr(number)), Decimal(f"{number:.16e}"), Decimal(int(number))}
    return number if exact in as_double or exact != exact.to_integral_value() else int(exact)


class _FeatureAttributes(TypedDict, total=False):
    attributes: Any  # in Esri JSON
    properties: Any  # in GeoJSON


class _PageAttributes(TypedDict, total=False):
    features: list[_FeatureAttributes]
    exceededTransferLimit: Any
    spatialReference: Any
    error: Any


_ATTRIBUTES_DECODER = msgspec.json.Decoder(_PageAttributes)


def decode_attributes(body: bytes) -> Any:
    """Decode a page without its shapes, which are most of it: the attributes and flags that prove it complete.

    Raises:
        ValueError: see `decode`.
    """
    check_value_count(body)
    try:
        page = _ATTRIBUTES_DECODER.decode(body)
    except (*_NOT_PLAIN, RecursionError):  # another kind of document, or one that needs the lenient parser
        return decode(body)
    # msgspec does not check the encoding of the parts that it skips
    plain = ("features" in page or "error" in page) and text_encoding.is_utf8(body)
    return page if plain else decode(body)


def check_value_count(body: bytes) -> None:
    """Check that a document has at most _MAX_VALUES values.

    Raises:
        ValueError: it has more.
    """
    if len(body) > _MAX_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        message = f"more than {_MAX_VALUES:,} values in one page"
        raise ValueError(message)


class _RawFeatures(msgspec.Struct):
    features: list[msgspec.Raw]


def raw_features(body: bytes) -> Callable[[int], dict[str, Any]]:
    """Return a function that decodes single features of a valid page. The page is scanned at its first call."""

    @cache
    def rows() -> list[msgspec.Raw]:
        return msgspec.json.decode(body, type=_RawFeatures).features

    return lambda row: msgspec.json.decode(rows()[row])


def _decode_lenient(body: bytes, **how: Any) -> Any:
    text = text_encoding.decode_json(body)
    try:
        return json.loads(text, strict=False, **how)
    except RecursionError:
        message = "the JSON is nested too deep"
        raise ValueError(message) from None
    except json.JSONDecodeError as error:
        if "escape" in error.msg and (repaired := text_encoding.escape_backslashes(text)) != text:
            return _decode_lenient(repaired.encode("utf-8", "replace"), **how)
        raise _syntax_error(text, error) from error


def _syntax_error(text: str, error: json.JSONDecodeError) -> ValueError:
    """Distinguish a document that was cut in transfer (fetch it again) from one that is malformed at the server."""
    text = text.rstrip()
    cut = error.pos >= len(text) - 1 or error.msg.startswith("Unterminated") or text[-1:] not in ("}", "]")
    where = f"at character {error.pos + 1:,} of {len(text):,}"
    return ValueError(f"the JSON ends {where}") if cut else MalformedResponse(f"invalid JSON {where} ({error.msg})")


@dataclass(frozen=True)
class JsonPage:
    """A decoded page of Esri JSON or GeoJSON. notes: row index -> note on the encoding of the row's texts."""

    document: dict[str, Any]
    features: list[dict[str, Any]]
    attributes: list[dict[str, Any]]
    notes: Mapping[int, str]


def read_page(body: bytes, name: str) -> JsonPage:
    """Decode a page.

    Args:
        body: the page.
        name: the member with a row's attributes: `attributes` in Esri JSON, `properties` in GeoJSON.

    Raises:
        ValueError: the document is not a page of features, for example an error with HTTP status 200.
    """
    document = decode(body)
    features = features_of(document)
    attributes = attributes_of(features, name)
    if has_long_numbers(attributes):
        document = _decode_lenient(body, parse_float=parse_number)
        features = features_of(document)
        attributes = attributes_of(features, name)
    return JsonPage(document, features, attributes, text_encoding.encoding_notes(body, attributes))


def has_long_numbers(attributes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a number beyond 2**53 was decoded as a double, which may have lost digits."""
    try:
        orjson.dumps(attributes)
    except TypeError:  # an integer beyond 64 bits, or a lone surrogate
        return True
    return _has_long([value for each in attributes for value in each.values()])


def _has_long(values: Sequence[Any]) -> bool:
    """Whether one of the values, or one nested in them, is so long. `orjson.dumps` has limited the depth."""
    if any(abs(value) >= _EXACT for value in values if type(value) is float):
        return True
    nested = [value for value in values if type(value) in (dict, list)]
    return bool(nested) and _has_long([value for each in nested for value in _children(each)])


def features_of(document: Any) -> list[dict[str, Any]]:
    """Return the features of a decoded page.

    Raises:
        ValueError: the document has no list of features.
    """
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not set(map(type, features)) <= {dict}:
        message = f"no features in {_describe(document)}"
        raise ValueError(message)
    return features


def _describe(document: Any) -> str:
    """Describe a document in a few words, for messages."""
    if not isinstance(document, dict):
        return f"a JSON {type(document).__name__}"
    return f"an object of {', '.join(map(repr, list(document)[:8]))}"[:160]


def attributes_of(features: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the attributes of each feature; a feature without attributes gets an empty dict.

    Raises:
        ValueError: the attributes are not an object, or nested too deep.
    """
    found = [feature.get(name) or {} for feature in features]
    if not set(map(type, found)) <= {dict}:
        message = f"the {name} of a row are not an object"
        raise ValueError(message)
    try:
        orjson.dumps(found)
    except TypeError:  # nested too deep, or an integer or a lone surrogate that orjson does not encode
        if any(is_too_deep(each) for each in found):
            message = f"the {name} of a row are nested more than {_MAX_DEPTH} deep"
            raise ValueError(message) from None
    return found


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested too deep to be encoded."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for each in level for inner in _children(each)]
        if not level:
            return False
    return True


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def vertices_of(rings: Sequence[Sequence[Any]]) -> Floats:
    """Return all vertices of the rings as an array (n, 2); z and m are dropped, a value that is not a number is NaN."""
    points = list(chain.from_iterable(rings))
    if set(map(type, points)) == {list} and len(sizes := set(map(len, points))) == 1 and (size := sizes.pop()) > 1:
        try:
            flat = np.fromiter(chain.from_iterable(points), dtype=np.float64, count=size * len(points))
            return flat.reshape(-1, size)[:, :2]
        except (ValueError, TypeError, OverflowError):
            pass  # a value is not a number
    return np.array([_xy(point) for point in points], dtype=np.float64).reshape(-1, 2)


def _xy(point: Any) -> tuple[float, float]:
    try:
        return (float(point[0]), float(point[1])) if type(point) is list else (np.nan, np.nan)
    except (TypeError, ValueError, IndexError, OverflowError):
        return np.nan, np.nan


def object_ids(values: list[Any]) -> list[int]:
    """Convert the object ids of a page to integers; some servers write floats or text (docs/explanation/portals.md,
    row 9).

    Raises:
        ValueError: a value is not an object id.
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
