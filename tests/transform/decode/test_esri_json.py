"""Esri JSON as real servers write it: rings in any order and direction, curves, z and m, and numbers that are none."""

import json
from math import pi

import numpy as np
import orjson
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recorded import RECORDED, recorded
from tests.transform.strategies import GRID, lots, respelled
from zoning_assets.sources.arcgis.layer_metadata import crs_of
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.decode.rows import Peek
from zoning_assets.transform.geometry import content_hash, crs, rings, validity

NONE, FEET = None, "EPSG:2249"

#: case -> area as read (None: no shape), whether what was read is valid, flaw, CRS as it is understood
CASES = {
    "all_ccw": (100, True, None, FEET),
    "bigint": (100, True, None, FEET),
    "curve_bezier": (76.25, True, esri_json.CURVES_LINEARIZED, FEET),
    "curve_only": (25 * pi, True, esri_json.CURVES_LINEARIZED, FEET),
    "date_neg": (100, True, None, FEET),
    "empty_rings": (NONE, False, None, FEET),
    "hole_before_outer": (91, True, None, FEET),
    "hole_ok": (91, True, None, FEET),
    "hole_same_orientation": (91, True, None, FEET),
    "m_only": (100, True, None, FEET),
    "nan": (NONE, False, rings.NOT_NUMBERS, FEET),
    "null_geom": (NONE, False, None, FEET),
    "oid64": (100, True, None, FEET),
    "short_ring": (100, True, rings.RING_REMOVED, FEET),
    "sr_102100": (100, True, None, "ESRI:102100"),
    "sr_esri_only": (100, True, None, "ESRI:102718"),
    "sr_latest": (100, True, None, "EPSG:2263"),
    "sr_missing": (100, True, None, None),
    "two_outers_ccw": (200, True, None, FEET),
    "two_outers_hole_in_first": (191, True, None, FEET),
    "unclosed": (100, True, None, FEET),
    "z_m": (100, True, None, FEET),
}


def meant(name):
    """A CRS by the authority that has the number; PROJ takes Esri's numbers under EPSG's name too."""
    return None if name is None else ":".join(pyproj.CRS(name).to_authority(min_confidence=100))


@pytest.mark.parametrize("name", CASES)
def test_each_case_comes_out_as_stated(name):
    """Each hand-written case has one row, area, validity, flaw and CRS; the shape is flat, whatever z and m it had."""
    body = recorded(f"esri_geometry_cases/{name}.json")
    rows = esri_json.read(body, {})
    area, valid, flaw, source = CASES[name]
    (shape,) = rows.geometry
    assert (None if shape is None else shape.area) == (None if area is None else pytest.approx(area, rel=2e-5))
    assert bool(shapely.is_valid(shape)) == valid
    assert rows.flaws == ({} if flaw is None else {0: flaw})
    assert not shapely.has_z(shape)
    assert meant(crs_of(esri_json.decode(body)["spatialReference"])) == source


def test_a_crs_that_is_only_wkt_is_understood():
    """Kent County says its CRS as text alone: 15 rows, each where the county lies (see POLYGON_PAGES)."""
    document = esri_json.decode(recorded("esri_geometry_cases/sr_wkt.json"))
    assert crs_of(document["spatialReference"]) == document["spatialReference"]["wkt"]
    assert len(document["features"]) == 15


@pytest.mark.parametrize(("ours", "same"), [("ESRI:102100", "EPSG:3857"), ("ESRI:102718", "EPSG:2263")])
def test_esris_own_numbers_mean_the_same_places(ours, same):
    """Where a layer is known by Esri's number alone, its rows lie where EPSG's number would put them: within 1 mm."""
    point = np.array([shapely.Point(-73.97, 40.78)], dtype=object)
    one, other = (crs.reproject(point, crs.DEGREES, name)[0] for name in (ours, same))
    assert one.distance(other) < 1e-3


def test_no_case_is_forgotten():
    """Every file of the folder of cases has its stated outcome here."""
    recorded("esri_geometry_cases/nan.json")
    found = {path.stem for path in (RECORDED / "esri_geometry_cases").iterdir()}
    assert found == {*CASES, "error200", "sr_wkt"}
    assert len(found) == 24


@pytest.mark.parametrize(
    "body", [b'{"error": {"code": 400}}', b"<html>", b"[]", b"null", b'{"features": null}', b'{"features": [1]}']
)
def test_an_answer_without_features_is_refused(body):
    """An error in an HTTP 200, a block page or another document is no page."""
    with pytest.raises(ValueError, match=r".+"):
        esri_json.read(body, {})


def test_the_recorded_error_is_refused():
    """The error that a real server sent with HTTP 200 is not read as a page without rows."""
    with pytest.raises(ValueError, match="features"):
        esri_json.read(recorded("esri_geometry_cases/error200.json"), {})


@pytest.mark.parametrize(
    ("name", "column", "value"), [("bigint", "B", 9007199254740993), ("oid64", "OBJECTID", 3000000000)]
)
def test_large_numbers_are_whole(name, column, value):
    """Whole numbers beyond 2**53 and ids beyond 2**31 come through to the last digit, into JSON as well."""
    rows = esri_json.read(recorded(f"esri_geometry_cases/{name}.json"), {})
    assert rows.attributes[0][column] == value
    assert orjson.loads(content_hash.dumps({"a": content_hash.value(rows.attributes[0][column])})) == {"a": value}


def test_dates_before_1970_are_days():
    """Midnight of 1 January 1900, in negative milliseconds, is that day; it stays a number until it is cleaned."""
    (row,) = esri_json.read(recorded("esri_geometry_cases/date_neg.json"), {}).attributes
    assert row["D"] == -2_208_988_800_000
    assert content_hash.value(content_hash.epoch_ms(row["D"])) == "1900-01-01"


#: page -> rows, where they lie (west, south, east, north; degrees, roughly)
POLYGON_PAGES = {
    "pyesridump/us-mi-kent/us-mi-kent-0.json": (15, (-86.0, 42.7, -85.2, 43.4)),
    "pyesridump/us-ca-tuolumne/us-ca-tuolumne-0.json": (15, (-86.0, 42.7, -85.2, 43.4)),  # recorded with Kent's rows
    "pyesridump/us-il-cook/count-only.json": (500, (-88.4, 41.4, -87.4, 42.2)),
    "pyesridump/us-il-cook/ids-only.json": (500, (-88.4, 41.4, -87.4, 42.2)),
    "esri_geometry_cases/sr_wkt.json": (15, (-86.0, 42.7, -85.2, 43.4)),
}


@pytest.mark.parametrize("path", POLYGON_PAGES)
def test_recorded_pages_parse(path):
    """Each row of a real server's page becomes a sound area where that county lies."""
    body = recorded(path)
    said = orjson.loads(body)["spatialReference"]
    source = said.get("wkt") or f"EPSG:{said.get('latestWkid', said.get('wkid'))}"
    count, (west, south, east, north) = POLYGON_PAGES[path]
    rows = page_readers.READERS["esrijson"](body, {})
    mended = validity.repair_shapes(crs.reproject(rows.geometry, source, "EPSG:4326"), GRID)
    assert len(rows) == len(rows.geometry) == count
    assert rows.flaws == {}
    assert set(mended.rejected) == {None}
    lon, lat = normalize.representative_points(mended.geometry, "EPSG:4326").T
    assert ((lon > west) & (lon < east) & (lat > south) & (lat < north)).all()


def test_a_recorded_sliver_is_rejected_with_its_flaw():
    """A real parcel of two corners is no area: it is read, rejected, and says what was odd."""
    rows = esri_json.read(recorded("pyesridump/us-ms-madison/us-ms-madison-0.json"), {})
    assert (len(rows), rows.flaws) == (1, {0: rings.RING_REMOVED})
    assert validity.repair_shapes(rows.geometry, GRID).rejected.tolist() == [validity.NO_GEOMETRY]


def test_a_page_with_bare_nan_parses():
    """NaN, which is not JSON and which a real server sent, is read; every row of the page stands."""
    body = recorded("oa_batch_machine/us-ny-orange-0.json")
    assert b"NaN" in body
    rows = esri_json.read(body, {})
    assert len(rows) == body.count(b'"attributes"') > 0


def test_numbers_that_are_none_cost_their_own_row_only():
    """A NaN, a word, a null or a lonely number in a ring is that row's flaw; its neighbours keep their shapes."""
    square = [[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]
    broken = [[[*square[:2], bad, *square[3:]]] for bad in ("[NaN, 1]", ["x", 1], None, [1], {"a": 1})]
    features = [
        {"geometry": {"rings": rings}} for rings in ([square], *broken, [square, [["x", 1], *square[1:]]], [square])
    ]
    body = orjson.dumps({"features": features}).replace(b'"[NaN, 1]"', b"[NaN, 1]")
    rows = esri_json.read(body, {})
    assert [None if s is None else s.area for s in rows.geometry] == [100, None, None, None, None, None, None, 100]
    assert rows.flaws == dict.fromkeys(range(1, 7), rings.NOT_NUMBERS)


@given(st.lists(lots(), min_size=1, max_size=3), st.randoms(use_true_random=False), st.booleans())
def test_rings_are_put_together_by_containment(many, random, heights):
    """Whatever the order and direction of the rings, shells get their own holes and nobody else's; rows stay apart."""
    geometries = []
    for lot in many:
        rings = [respelled(ring, random) for ring in lot.rings()]
        random.shuffle(rings)
        closed = [[*ring, ring[0]] if random.random() < 0.5 else ring for ring in rings]
        geometries.append({"rings": [[[x, y, 7.5] if heights else [x, y] for x, y in ring] for ring in closed]})
    shapes, flaws = esri_json.shapes_of(geometries)
    assert flaws == {}
    for shape, lot in zip(shapes, many, strict=True):
        expected = shapely.transform(lot.shape(), lambda c: np.round(c * 1e8))
        assert shape.is_valid
        assert shape.equals(expected)


@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_islands_in_holes_are_shells(depth, random):
    """Rings within rings are land and hole by turns, to any depth."""
    sizes = range(2 * depth, 0, -2)
    rings = [[[-s, -s], [-s, s], [s, s], [s, -s]] for s in sizes]
    random.shuffle(rings)
    [shape], _ = esri_json.shapes_of([{"rings": rings}])
    assert shape.is_valid
    assert shape.area == sum((-1) ** i * 4 * s * s for i, s in enumerate(sizes))


def test_raw_rows_are_what_the_portal_sent():
    """A rejection's raw row is the portal's own, from either form of page."""
    body = recorded("esri_geometry_cases/null_geom.json")
    assert page_readers.raw_rows(esri_json.read(body, {}), [0]) == [
        {"attributes": {"OBJECTID": 1, "ZONE": "R-1"}, "geometry": None}
    ]


@pytest.mark.parametrize(
    ("geometry", "flaw"),
    [
        (None, None),
        ({}, None),
        ({"rings": None}, None),
        ({"x": 1, "y": 2}, esri_json.NO_AREA),
        ({"x": "NaN"}, esri_json.NO_AREA),
        ({"paths": [[[0, 0], [1, 1]]]}, esri_json.NO_AREA),
        ({"curveRings": [[[0, 0], {"q": [[1, 1]]}]]}, esri_json.CURVE),
        ({"curveRings": [[[0, 0], [1, 0], {"c": [[1, 1], ["x", 0]]}]]}, esri_json.CURVE),
        ({"curveRings": 7}, esri_json.CURVE),
        ({"rings": "0123"}, rings.NOT_NUMBERS),
        ({"rings": {"a": 1}}, rings.NOT_NUMBERS),
        ({"rings": [5, None, {}]}, rings.NOT_NUMBERS),
        ({"rings": [[[[1, 2], [3, 4]], [[1, 2], [3, 4]], [[0, 0], [0, 0]]]]}, rings.NOT_NUMBERS),
        ({"rings": [[[10**400, 0], [0, 1], [1, 1]]]}, rings.NOT_NUMBERS),
        ({"rings": [[]]}, rings.RING_REMOVED),
        (5, rings.NOT_NUMBERS),
        ([[0, 0]], rings.NOT_NUMBERS),
    ],
)
def test_what_is_no_polygon_costs_its_own_row_only(geometry, flaw):
    """Nothing that stands in a shape's place keeps the next row from being read; each oddity has its name."""
    square = {"rings": [[[0, 0], [0, 10], [10, 10], [10, 0]]]}
    features = [{"attributes": {"N": i}, "geometry": each} for i, each in enumerate((geometry, square))]
    rows = esri_json.read(json.dumps({"features": features}).encode(), {})
    assert [None if shape is None else shape.area for shape in rows.geometry] == [None, 100]
    assert rows.flaws == ({} if flaw is None else {0: flaw})
    assert [row["N"] for row in rows.attributes] == [0, 1]


def test_multipatches_are_refused_by_name():
    """A layer of multipatches is no layer of areas, whatever footprints it draws."""
    rows = esri_json.read(b'{"geometryType":"esriGeometryMultiPatch","features":[{"geometry":{"rings":[]}}, {}]}', {})
    assert (rows.flaws, rows.geometry.tolist()) == ({0: esri_json.MULTIPATCH, 1: esri_json.MULTIPATCH}, [None, None])


@pytest.mark.parametrize(
    "body",
    [
        b'{"features": ' + b"[" * 1_000_000,
        b'{"rings": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"[" * 1000 + b"]" * 1000,
        b'{"features": [{"attributes": {"A": ' + b"[" * 900 + b"]" * 900 + b"}}]}",
        b'{"features": [{"attributes": [1]}]}',
        b'{"features": [{"attributes": "A"}]}',
        b'{"features": [' + b"{}," * 34_000_000 + b"{}]}",
    ],
    ids=[
        "deep",
        "deep in an object",
        "deep in a list",
        "deep attributes",
        "a list",
        "a text",
        "a hundred megabytes of nothing",
    ],
)
def test_what_would_cost_the_machine_is_refused(body):
    """Nesting without end, attributes that are none, millions of empty rows: one line, no crash, little memory."""
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        esri_json.read(body, {})


def test_a_deep_row_can_still_be_held_back():
    """A raw row that could not be written again says so instead of breaking what writes it."""
    deep = b'{"attributes":{"N":1},"geometry":{"rings":' + b"[" * 500 + b"]" * 500 + b"}}"
    body = b'{"features":[' + deep + b"]}"
    assert esri_json.read(body, {}).flaws == {0: rings.NOT_NUMBERS}
    (raw,) = page_readers.raw_rows(esri_json.read(body, {}), [0])
    assert orjson.loads(content_hash.dumps(raw))["attributes"] == {"N": 1}


def test_a_page_is_counted_without_its_shapes():
    """Rows, object ids (floats and text among them) and the server's word that more would follow."""
    features = [{"attributes": {"OBJECTID": each}} for each in (3_000_000_000, 6.4579816e7, "12")]
    body = orjson.dumps({"exceededTransferLimit": True, "features": features})
    assert esri_json.peek(body, "OBJECTID") == Peek(3, [3_000_000_000, 64_579_816, 12], True)
    assert esri_json.peek(b'{"features":[]}', "OBJECTID") == Peek(0, [], False)


@pytest.mark.parametrize("each", [None, "x", 1.5, float("nan"), [1], "9" * 5000])
def test_a_row_without_an_object_id_is_no_proof(each):
    """What cannot be told from the other rows makes the page worthless as evidence."""
    body = json.dumps({"features": [{"attributes": {"OBJECTID": each}}]}).encode()
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        esri_json.peek(body, "OBJECTID")
