"""Shapes that a table holds as text: read as they are meant, or named as what they are not; never a crash."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from tests.transform.strategies import wild_shapes
from zoning_assets.transform.decode import wkt_columns
from zoning_assets.transform.decode.esri.esri_json import CURVE
from zoning_assets.transform.decode.wkt_columns import OTHER_SRID, UNREADABLE_SHAPE, shapes_of, srid_of

RING = "0 0,2 0,2 1,0 0"
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


@pytest.mark.parametrize(
    ("text", "area"),
    [
        (f"POLYGON(({RING}))", 1.0),
        (f"  polygon (( {RING} ))", 1.0),
        ("MultiPolygonZ(((0 0 5,2 0 5,2 1 5,0 0 5)))", 1.0),
        ("POLYGON ZM ((0 0 5 6,2 0 5 6,2 1 5 6,0 0 5 6))", 1.0),
        (f"SRID=2249;POLYGON(({RING}))", 1.0),
        (f"srid=0;POLYGON(({RING}))", 1.0),
        (f"GEOMETRYCOLLECTION(POINT(0 0),POLYGON(({RING})))", 1.0),
        ("POLYGON EMPTY", 0.0),
        (json.dumps(SQUARE), 0.5),
        ("\n" + json.dumps(SQUARE), 0.5),
        (SQUARE, 0.5),
    ],
)
def test_a_shape_is_read_however_it_is_spelled(text, area):
    """Case, blanks, z and m, an SRID and the form make no difference."""
    shapes, flaws = shapes_of([text], 2249)
    assert (shapely.area(shapes).tolist(), flaws) == ([area], {})


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        ("CURVEPOLYGON(CIRCULARSTRING(0 0,1 1,0 0))", CURVE),
        (f"MULTISURFACE(CURVEPOLYGON(({RING})))", CURVE),
        (f"SRID=4326;POLYGON(({RING}))", OTHER_SRID),
        (f"SRID=99999999999;POLYGON(({RING}))", UNREADABLE_SHAPE),
        ("POLYGON((0 0,1 0", UNREADABLE_SHAPE),
        ("POLYGON((nan 0,1 0,1 1,nan 0))", UNREADABLE_SHAPE),
        ("POLYGONS(0)", UNREADABLE_SHAPE),
        ("lot 7", UNREADABLE_SHAPE),
        ("{", UNREADABLE_SHAPE),
        ("[1]", UNREADABLE_SHAPE),
        (7, UNREADABLE_SHAPE),
        (True, UNREADABLE_SHAPE),
        ([SQUARE], UNREADABLE_SHAPE),
        ("GEOMETRYCOLLECTION(" * 100_000 + "POINT(0 0)" + ")" * 100_000, UNREADABLE_SHAPE),
    ],
)
def test_what_is_no_shape_is_named(value, flaw):
    """One such row has no shape and a flaw; its neighbours are not touched."""
    shapes, flaws = shapes_of([SQUARE, value, f"POLYGON(({RING}))"], 2249)
    assert (shapely.area(shapes[[0, 2]]).tolist(), shapes[1], flaws) == ([0.5, 1.0], None, {1: flaw})


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_no_flaw(value):
    """A row that has no shape is no row with a broken one."""
    assert (shapes_of([value])[0].tolist(), shapes_of([value])[1]) == ([None], {})


def test_the_srid_is_that_of_all():
    """Where rows disagree, none is taken for the layer's."""
    one, other = f"SRID=2249;POLYGON(({RING}))", f"SRID=26986;POLYGON(({RING}))"
    assert [srid_of(values) for values in ([one, None, 7, "x"], [one, other], ["POINT(0 0)"], [])] == [
        2249,
        None,
        None,
        None,
    ]


@given(st.lists(wild_shapes(), max_size=6))
def test_whatever_was_written_is_read_again(shapes):
    """Any shape with finite coordinates, written as WKT, comes back equal, in its place."""
    values = [None if shape is None else shapely.to_wkt(shape, rounding_precision=-1) for shape in shapes]
    read, flaws = shapes_of(values)
    assert flaws == {}
    assert shapely.equals_exact(np.array(shapes, dtype=object), read)[~shapely.is_missing(read)].all()
    assert shapely.is_missing(read).tolist() == [shape is None for shape in shapes]


words = st.sampled_from(
    [
        *wkt_columns._PLAIN,
        *wkt_columns._CURVES,
        "GEOMETRYCOLLECTION",
        "SRID=2249;",
        "EMPTY",
        "Z",
        "(",
        ")",
        ",",
        " ",
        "1",
        "-1e999",
        "{",
    ]
)
junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "coordinates", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(st.lists(words, max_size=40).map("".join) | junk, max_size=6))
@example(["POLYGON(((((" * 30_000])
@example(["POLYGON" + "(" * 200_000])
@example([{"type": "Polygon", "coordinates": [[[0, 1e999]]]}])
def test_no_text_is_a_crash(values):
    """Whatever stands in the column: a shape, nothing, or a flaw; one answer a row."""
    shapes, flaws = shapes_of(values, 2249)
    assert len(shapes) == len(values)
    assert all(
        shapes[i] is not None or i in flaws for i, value in enumerate(values) if value is not None and value != ""
    )
