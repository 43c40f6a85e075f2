"""What proves a page is read past its shapes: it must be just what reading all of it would give."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.transform.decode import feature_collection, json_pages
from zoning_assets.transform.decode.esri import esri_json

_anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_attributes = st.fixed_dictionaries({"ID": st.integers(0, 2**66) | _anything}, optional={"NAME": _anything})
_feature = st.fixed_dictionaries({}, optional={"attributes": _attributes | _anything, "geometry": _anything})
_page = st.fixed_dictionaries(
    {},
    optional={
        "features": st.lists(_feature | _anything) | _anything,
        "exceededTransferLimit": _anything,
        "x": _anything,
    },
)


def _peeked(decode: Any, body: bytes) -> Any:
    """What is to be known of a page, or why it cannot be."""
    try:
        return esri_json.peek_document(decode(body), "ID")
    except ValueError as error:
        return str(error)


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


@given(_page | _anything)
def test_the_same_as_reading_all_of_it(document: Any) -> None:
    body = _json(document)
    assert _peeked(json_pages.decode_attributes, body) == _peeked(json_pages.decode, body)


@given(st.lists(st.fixed_dictionaries({"attributes": _attributes, "geometry": _anything}), max_size=3), st.data())
def test_a_torn_page_is_none(features: list[Any], data: st.DataObject) -> None:
    """Wherever it is torn; a byte that is no UTF-8 is refused, but in a text."""
    body = _json({"features": features})
    torn = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(ValueError, match=r"."):
        json_pages.decode_attributes(torn)
    at = data.draw(st.integers(0, len(body) - 1))
    hurt = body[:at] + b"\xff" + body[at + 1 :]
    try:
        read = json_pages.decode_attributes(hurt)
    except ValueError:
        return
    assert "features" not in read or len(read["features"]) == len(features)


def test_an_error_in_a_page_is_seen() -> None:
    body = orjson.dumps({"error": {"code": 500, "message": "no"}, "features": []})
    assert json_pages.decode_attributes(body)["error"]["code"] == 500


@pytest.mark.parametrize("where", ["geometry", "attributes", "other"])
def test_what_is_nested_without_end_is_refused(where: str) -> None:
    body = b'{"features":[{"' + where.encode() + b'":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    with pytest.raises(ValueError, match="nested too deep"):
        json_pages.decode_attributes(body)


@given(_page | _anything)
def test_a_page_of_geojson_is_checked_as_if_all_of_it_were_read(document: Any) -> None:
    body = _json(document).replace(b'"attributes"', b'"properties"')

    def whole(body: bytes) -> None:
        json_pages.attributes_of(json_pages.features_of(json_pages.decode(body)), "properties")

    assert _refusal(feature_collection.check_geojson, body) == _refusal(whole, body)


def _refusal(check: Any, body: bytes) -> str | None:
    try:
        check(body)
    except ValueError as error:
        return str(error)
    return None
