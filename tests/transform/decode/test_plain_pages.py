"""A page of nothing but rings is read in half the time: just what reading it with care would give."""

import json
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from tests.transform.strategies import wild_shapes
from zoning_assets.transform.decode import json_pages, page_readers
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import content_hash, validity

_anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_number = st.integers(-5, 5) | st.floats(-5, 5)
_corner = st.lists(_number, min_size=2, max_size=2)
_ring = st.lists(_corner, max_size=6) | st.lists(_corner | _anything, max_size=4)
_geometry = st.none() | st.fixed_dictionaries({"rings": st.lists(_ring, max_size=3) | _anything}) | _anything
_row = st.fixed_dictionaries(
    {}, optional={"attributes": st.dictionaries(st.text(max_size=3), _anything, max_size=3), "geometry": _geometry}
)
_page = st.fixed_dictionaries(
    {"features": st.lists(_row | _anything, max_size=4) | st.lists(_row, max_size=4)},
    optional={"geometryType": st.just("esriGeometryMultiPatch") | _anything, "x": _anything},
)
_SQUARE = [[0, 0], [0, 1.5], [1, 1], [1, 0], [0, 0]]


def _read(document: Any) -> Any:
    """All that is read of a page, or why it cannot be."""
    try:
        rows = esri_json.read(json.dumps(document).encode(), {})
    except ValueError as error:
        return str(error)
    raw = [
        {name: value for name, value in row.items() if name != "odd"}
        for row in page_readers.raw_rows(rows, range(len(rows)))
    ]
    return repr(rows.attributes), shapely.to_wkb(rows.geometry).tolist(), rows.flaws, repr(raw)


def _with_care(document: Any) -> Any:
    """The same page, but no row of it is plain."""
    rows = document["features"]
    return {**document, "features": [{**row, "odd": 1} if isinstance(row, dict) else row for row in rows]}


@given(_page)
@example({"features": [{"attributes": {"A": 2**64, "B": 1.0}, "geometry": {"rings": [_SQUARE]}}]})
@example({"features": [{"attributes": {"A": "\ud800"}, "geometry": {"rings": [_SQUARE, []]}}, {"attributes": {}}]})
@example({"features": [{"attributes": {}, "geometry": {"rings": [_SQUARE], "hasZ": False}}]})
@example({"features": [{"attributes": {"A": 1}, "geometry": {"rings": [_SQUARE]}}], "x": "é"})
def test_the_same_as_with_care(document: Any) -> None:
    """Attributes and their types, shapes, flaws, and each row as it was written."""
    assert _read(document) == _read(_with_care(document))


def test_a_page_that_is_plain_is_read_as_one(monkeypatch) -> None:
    """Or the test above would compare one way with itself."""
    page = {"features": [{"attributes": {"A": 1}, "geometry": {"rings": [_SQUARE]}}]}
    monkeypatch.setattr(esri_json.json_pages, "read_page", None)
    assert _read(page)[0] == "[{'A': 1}]"


@pytest.mark.parametrize(
    ("value", "is_long"),
    [
        ("1a2e10c0-4e56-4f0b-9e12-0123456789ab", False),  # a GlobalID, not a number with an exponent
        ("1234567890123456.0", False),
        (float(2**53), True),
        (-1e300, True),
        (float(2**53 - 1), False),
        ([1.5, {"a": [float(2**60)]}], True),
        ([1.5, {"a": ["9e99"]}], False),
        (2**64, True),
    ],
)
def test_only_numbers_are_long(value: Any, *, is_long: bool) -> None:
    """A page with long numbers is parsed a second time, which is slow: a text that looks like one is not enough."""
    assert json_pages.has_long_numbers([{"A": 1}, {"A": value}]) is is_long


@given(
    st.lists(
        st.none() | st.text(max_size=12) | st.from_regex(r" ?20\d\d[-/][01]\d[-/]\d\d( \d\d:\d\d)? ?", fullmatch=True)
    )
)
@example([" 2014/01/02 ", None, "", "a\x00b", "\ud800"])
@example([" 2014/01/02 ", None, "", " a "])
def test_a_column_of_texts_is_each_of_them(texts: list[str | None]) -> None:
    """Whatever stands beside it."""
    assert content_hash.texts(texts) == [content_hash.value(text) for text in texts]


@given(st.lists(wild_shapes(), max_size=6))
def test_what_needs_no_mending_is_as_if_taken_apart(shapes: list[shapely.Geometry | None]) -> None:
    """A shape is mended alone or among others, whole or in parts, to the same one."""
    array = np.array([*shapes, None], dtype=object)[:-1]
    mended = validity.repair_shapes(array, content_hash.GRID["EPSG:4326"]).geometry
    apart = validity.polygons_only(mended, least=0.0)
    assert shapely.to_wkb(content_hash.normal(apart)).tolist() == shapely.to_wkb(mended).tolist()
