"""JSON of strangers: read within limits, and its lists of corners made flat."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypedDict

import msgspec
import numpy as np
import orjson

from zoning_assets.transform.rings import Floats

#: Values in one page, counted by commas and brackets; a hostile one of 256 MiB would else be gigabytes of lists.
_MOST_VALUES = 16_000_000
#: How deep a row's attributes may be nested, that they can be written again.
_DEEPEST = 200


def decode(body: bytes) -> Any:
    """A JSON document. Some servers write a bare NaN (FACTS 1, row 21), which orjson rightly refuses.

    Raises:
        ValueError: the bytes are not JSON, or it is too large or too deep.
    """
    limit(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _decode_patiently(body)


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
        ValueError: as decode; also where the bytes are not UTF-8.
    """
    limit(body)
    try:
        page = _PAGE.decode(body)
    except (msgspec.MsgspecError, RecursionError):  # another document, or one that only the patient understand
        return decode(body)
    if not body.isascii():
        body.decode()  # what is skipped is not looked at
    return page if "features" in page or "error" in page else decode(body)


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

    return lambda row: orjson.loads(bytes(rows()[row]))


def _decode_patiently(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        message = "the JSON is nested too deep"
        raise ValueError(message) from None


def features_of(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A page's document and its rows, in either dialect.

    Raises:
        ValueError: it has none, as an error in an HTTP 200 or another document has not.
    """
    document = decode(body)
    return document, features_in(document)


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


def whole(value: Any) -> int:
    """An object id, which some servers write as a float or as text (FACTS 1, row 9).

    Raises:
        ValueError: it is none.
    """
    if type(value) is int:
        return value
    try:
        number = int(value) if isinstance(value, str) else value
        if number == int(number):
            return int(number)
    except (TypeError, OverflowError):
        pass
    message = f"an object id is {value!r:.40}"
    raise ValueError(message)
