"""GeoJSON as real servers write it: wound either way, with ids inside or outside, and with things that are no areas."""

import json

import numpy as np
import orjson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recorded import recorded
from tests.transform.strategies import lots, respelled
from zoning_assets.transform.decode import geojson
from zoning_assets.transform.decode.esri.esri_json import NO_AREA
from zoning_assets.transform.decode.rows import Peek
from zoning_assets.transform.geometry.rings import NOT_NUMBERS, RING_REMOVED

SQUARE = [[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]
HOLE = [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]


def page(*geometries):
    """A page whose rows have these geometries, numbered in N."""
    features = [{"type": "Feature", "geometry": each, "properties": {"N": i}} for i, each in enumerate(geometries)]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


def areas(rows):
    return [None if shape is None else shape.area for shape in rows.geometry]


def test_polygons_however_they_are_wound():
    """Shells and holes are told by their order, whichever way they run (ArcGIS: shells clockwise); z is dropped."""
    high = [[*point, 7.5] for point in SQUARE]
    multi = {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [[[20, 0], [20, 1], [21, 1], [20, 0]]]]}
    rows = geojson.read(page(polygon(SQUARE, HOLE), polygon(SQUARE[::-1], HOLE[::-1]), polygon(high, HOLE), multi), {})
    assert areas(rows) == [91, 91, 91, 91.5]
    assert shapely.is_valid(rows.geometry).all()
    assert not shapely.has_z(rows.geometry).any()
    assert rows.flaws == {}


@given(st.lists(lots(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_a_shape_is_the_same_however_it_is_written(many, random):
    """Start corner, direction and repeated corners of rings change nothing of what is read."""
    geometries = []
    for lot in many:
        parts = [[respelled(ring, random) for ring in (shell, *holes)] for shell, holes in lot.parts]
        closed = [[[*ring, ring[0]] for ring in rings] for rings in parts]
        geometries.append({"type": "MultiPolygon", "coordinates": closed})
    rows = geojson.read(page(*geometries), {})
    for shape, lot in zip(rows.geometry, many, strict=True):
        assert shape.equals(shapely.transform(lot.shape(), lambda c: np.round(c * 1e8)))


@pytest.mark.parametrize(
    ("geometry", "area", "flaw"),
    [
        (None, None, None),
        ({}, None, None),
        (polygon(), None, None),
        ({"type": "Polygon", "coordinates": None}, None, None),
        ({"type": "MultiPolygon", "coordinates": []}, None, None),
        ({"type": "Point", "coordinates": [1, 2]}, None, NO_AREA),
        ({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, None, NO_AREA),
        (polygon([[0, 0], [1, 1]], HOLE), None, RING_REMOVED),
        (polygon(SQUARE, [[1, 1]]), 100, RING_REMOVED),
        (polygon(SQUARE[:-1]), 100, None),
        (polygon([[0, 0], [0, float("nan")], [1, 1], [0, 0]]), None, NOT_NUMBERS),
        (polygon([[0, 0], [0, None], [1, 1], [0, 0]]), None, NOT_NUMBERS),
        (polygon("0123"), None, NOT_NUMBERS),
        ({"type": "Polygon", "coordinates": 5}, None, NOT_NUMBERS),
        ({"type": "MultiPolygon", "coordinates": [5, [SQUARE]]}, None, NOT_NUMBERS),
        ({"type": "MultiPolygon", "coordinates": SQUARE}, None, NOT_NUMBERS),
        ({"type": "Hexagon", "coordinates": [SQUARE]}, None, NOT_NUMBERS),
        ({"type": ["Polygon"], "coordinates": [SQUARE]}, None, NOT_NUMBERS),
        ({"type": {}, "coordinates": [SQUARE]}, None, NOT_NUMBERS),
        ("POLYGON", None, NOT_NUMBERS),
        ([1], None, NOT_NUMBERS),
        ({"type": "GeometryCollection"}, None, None),
        ({"type": "GeometryCollection", "geometries": [polygon(SQUARE), None]}, 100, None),
        ({"type": "GeometryCollection", "geometries": 5}, None, NOT_NUMBERS),
        ({"type": "GeometryCollection", "geometries": [5]}, None, NOT_NUMBERS),
        (
            {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [0, 0]}, polygon(SQUARE)]},
            100,
            geojson.NON_POLYGONS_REMOVED,
        ),
        ({"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [0, 0]}]}, None, NO_AREA),
    ],
)
def test_each_shape_comes_out_as_stated(geometry, area, flaw):
    """Each odd thing in a shape's place has its name and costs its own row only."""
    rows = geojson.read(page(geometry, polygon(SQUARE)), {})
    assert areas(rows) == [area, 100]
    assert rows.flaws == ({} if flaw is None else {0: flaw})
    assert [row["N"] for row in rows.attributes] == [0, 1]


def test_collections_within_collections_end():
    """A collection's polygons are found some levels deep; beyond that the row is told, not the interpreter stopped."""

    def nested(depth):
        shape = polygon(SQUARE)
        for _ in range(depth):
            shape = {"type": "GeometryCollection", "geometries": [shape]}
        return shape

    rows = geojson.read(page(nested(5), nested(300), polygon(SQUARE)), {})
    assert areas(rows) == [100, None, 100]
    assert rows.flaws == {1: NOT_NUMBERS}


@pytest.mark.parametrize(
    ("feature", "layer", "attributes"),
    [
        ({"id": 7, "properties": {"A": 1}}, {"id": "OBJECTID"}, {"OBJECTID": 7, "A": 1}),
        ({"id": 7, "properties": {"OBJECTID": 9}}, {"id": "OBJECTID"}, {"OBJECTID": 9}),
        ({"id": "x7", "properties": None}, {}, {"id": "x7"}),
        ({"properties": None}, {"id": "OBJECTID"}, {}),
        ({"id": None}, {}, {}),
        ({"id": [1]}, {}, {}),
    ],
)
def test_a_rows_own_id_stands_in_for_a_missing_column(feature, layer, attributes):
    """The id outside the properties is kept, under the layer's id column; what is inside wins."""
    assert geojson.read(orjson.dumps({"features": [feature]}), layer).attributes == [attributes]


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ({}, False),
        ({"exceededTransferLimit": True}, True),
        ({"properties": {"exceededTransferLimit": True}}, True),
        ({"properties": {"exceededTransferLimit": "no"}}, False),
        ({"properties": [1]}, False),
    ],
)
def test_a_page_is_counted_without_its_shapes(said, more):
    """Object ids from within or outside the properties; the limit where Server or Online says it."""
    features = [{"id": 5, "properties": {}}, {"properties": {"OBJECTID": 6.0}}]
    body = orjson.dumps({"type": "FeatureCollection", "features": features, **said})
    assert geojson.peek(body, "OBJECTID") == Peek(2, [5, 6], more)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b'{"features": 5}', b'{"features": [5]}', b'{"features": [{"properties": [1]}]}'),
        b'{"error": {"code": 400}}',
        b'{"features": ' + b"[" * 500_000,
    ],
)
def test_what_is_no_page_is_refused(body):
    """An error in an HTTP 200, half a document or another one is one line, from both readers."""
    for read in (lambda: geojson.read(body, {}), lambda: geojson.peek(body, "OBJECTID")):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            read()


def test_real_servers_pages_are_read():
    """Pages of three servers of Cambridge's rows: each row an area, each id kept (MapServer gives none of its own)."""
    names = {"pygeoapi/items.json": "id", "mapserver/page.geojson": "OBJECTID", "tipg/items.json": "id"}
    for name, column in names.items():
        body = recorded(f"live_peers/{name}")
        rows = geojson.read(body, {})
        assert len(rows) == len(orjson.loads(body)["features"]) > 0
        assert rows.flaws == {}
        assert (shapely.area(rows.geometry) > 0).all()
        assert all(column in row for row in rows.attributes)
