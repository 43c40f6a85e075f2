"""Esri JSON as real servers write it: rings in any order and direction, curves, z and m, and numbers that are none."""

import os
from pathlib import Path

import numpy as np
import orjson
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tests.transform.strategies import GRID, lots, respelled
from zoning_assets.transform import canonical, columns, crs, esri, geometry, pages, rings

RECORDED = Path(os.environ.get("ZONING_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "recorded"


def recorded(path: str) -> bytes:
    """A recorded answer's bytes; where it is missing the test is skipped with one line."""
    found = RECORDED / path
    if not found.exists():
        pytest.skip(f"recorded answers are missing: {found}")
    return found.read_bytes()


#: case -> area as read (None: no shape), whether what was read is valid, flaw
CASES = {
    "all_ccw": (100, True, None),
    "bigint": (100, True, None),
    "curve_bezier": (None, False, esri.CURVE),
    "curve_only": (None, False, esri.CURVE),
    "date_neg": (100, True, None),
    "empty_rings": (None, False, None),
    "hole_before_outer": (91, True, None),
    "hole_ok": (91, True, None),
    "hole_same_orientation": (91, True, None),
    "m_only": (100, True, None),
    "nan": (None, False, rings.NOT_NUMBERS),
    "null_geom": (None, False, None),
    "oid64": (100, True, None),
    "short_ring": (100, True, rings.SHED),
    "sr_102100": (100, True, None),
    "sr_esri_only": (100, True, None),
    "sr_latest": (100, True, None),
    "sr_missing": (100, True, None),
    "two_outers_ccw": (200, True, None),
    "two_outers_hole_in_first": (191, True, None),
    "unclosed": (100, True, None),
    "z_m": (100, True, None),
}


@pytest.mark.parametrize("name", CASES)
def test_each_case_comes_out_as_stated(name):
    """Each hand-written case has one area, validity and flaw; the shape is flat, whatever z and m came with it."""
    rows = esri.read(recorded(f"esri_geometry_cases/{name}.json"), {})
    area, valid, flaw = CASES[name]
    shape = rows.geometry[0]
    assert (None if shape is None else shape.area) == area
    assert bool(shapely.is_valid(shape)) == valid
    assert rows.flaws == ({} if flaw is None else {0: flaw})
    assert not shapely.has_z(shape)


def test_no_case_is_forgotten():
    """Every file of the folder of cases has its stated outcome here."""
    recorded("esri_geometry_cases/nan.json")
    found = {path.stem for path in (RECORDED / "esri_geometry_cases").iterdir()}
    assert found == {*CASES, "error200", "sr_wkt"}


@pytest.mark.parametrize(
    "body", [b'{"error": {"code": 400}}', b"<html>", b"[]", b"null", b'{"features": null}', b'{"features": [1]}']
)
def test_an_answer_without_features_is_refused(body):
    """An error in an HTTP 200, a block page or another document is no page."""
    with pytest.raises(ValueError, match=r".+"):
        esri.read(body, {})


def test_the_recorded_error_is_refused():
    """The error that a real server sent with HTTP 200 is not read as a page without rows."""
    with pytest.raises(ValueError, match="features"):
        esri.read(recorded("esri_geometry_cases/error200.json"), {})


@pytest.mark.parametrize(
    ("name", "column", "value"), [("bigint", "B", 9007199254740993), ("oid64", "OBJECTID", 3000000000)]
)
def test_large_numbers_are_whole(name, column, value):
    """Whole numbers beyond 2**53 and ids beyond 2**31 come through to the last digit, into JSON as well."""
    rows = esri.read(recorded(f"esri_geometry_cases/{name}.json"), {})
    assert rows.attributes[0][column] == value
    assert orjson.loads(canonical.dumps({"a": canonical.value(rows.attributes[0][column])})) == {"a": value}


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
    rows = pages.READERS["esrijson"](body, {})
    mended = geometry.mend(crs.reproject(rows.geometry, source, "EPSG:4326"), GRID)
    assert len(rows) == len(rows.geometry) == count
    assert rows.flaws == {}
    assert set(mended.rejected) == {None}
    lon, lat = columns.representative_points(mended.geometry, "EPSG:4326").T
    assert ((lon > west) & (lon < east) & (lat > south) & (lat < north)).all()


def test_a_recorded_sliver_is_rejected_with_its_flaw():
    """A real parcel of two corners is no area: it is read, rejected, and says what was odd."""
    rows = esri.read(recorded("pyesridump/us-ms-madison/us-ms-madison-0.json"), {})
    assert (len(rows), rows.flaws) == (1, {0: rings.SHED})
    assert geometry.mend(rows.geometry, GRID).rejected.tolist() == [geometry.NO_GEOMETRY]


def test_a_page_with_bare_nan_parses():
    """NaN, which is not JSON and which a real server sent, is read; every row of the page stands."""
    body = recorded("oa_batch_machine/us-ny-orange-0.json")
    assert b"NaN" in body
    rows = esri.read(body, {})
    assert len(rows) == body.count(b'"attributes"') > 0


def test_numbers_that_are_none_cost_their_own_row_only():
    """A NaN, a word, a null or a lonely number in a ring is that row's flaw; its neighbours keep their shapes."""
    square = [[0, 0], [0, 10], [10, 10], [10, 0], [0, 0]]
    broken = [[[*square[:2], bad, *square[3:]]] for bad in ("[NaN, 1]", ["x", 1], None, [1], {"a": 1})]
    features = [
        {"geometry": {"rings": rings}} for rings in ([square], *broken, [square, [["x", 1], *square[1:]]], [square])
    ]
    body = orjson.dumps({"features": features}).replace(b'"[NaN, 1]"', b"[NaN, 1]")
    rows = esri.read(body, {})
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
    shapes, flaws = esri.shapes_of(geometries)
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
    [shape], _ = esri.shapes_of([{"rings": rings}])
    assert shape.is_valid
    assert shape.area == sum((-1) ** i * 4 * s * s for i, s in enumerate(sizes))


def test_raw_rows_are_what_the_portal_sent():
    """A rejection's raw row is the portal's own, from either form of page."""
    body = recorded("esri_geometry_cases/null_geom.json")
    assert pages.raw_rows("esrijson", body, [0]) == [{"attributes": {"OBJECTID": 1, "ZONE": "R-1"}, "geometry": None}]
