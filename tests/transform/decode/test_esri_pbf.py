"""f=pbf: the same rows as f=json, and nothing but one error for what is no such page."""

import json

import numpy as np
import orjson
import pytest
import shapely

from tests.support.recorded import recorded
from tests.transform.messages import (
    column,
    double,
    message,
    number,
    packed,
    page,
    shape,
    single,
    transform,
    varint,
    zigzag,
)
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.decode.esri import esri_json, esri_pbf, protobuf
from zoning_assets.transform.decode.rows import Peek
from zoning_assets.transform.geometry.rings import NOT_NUMBERS, RING_REMOVED

#: f=pbf answer -> its f=json twin
TWINS = {
    "PBFPolygonResponse": "arcGISPolygonResponse",
    "PBFPolygonHasZ": "PolygonHasZ",
    "PBFPolygonHasM": "PolygonHasM",
    "PBFPolygonHasZM": "PolygonHasZM",
    "PBFLineResponse": "arcGISLineResponse",
    "PBFLineHasZ": "LineHasZ",
    "PBFLineHasM": "LineHasM",
    "PBFLineHasZM": "LineHasZM",
    "PBFPointResponse": "arcGISPointResponse",
    "PBFPointHasZ": "PointHasZ",
    "PBFPointHasM": "PointHasM",
    "PBFPointHasZM": "PointHasZM",
}
PAGES = ("Page1", "Page2", "Page3", "Page4", "Page5", "Page6Partial")
#: Half a step of the recorded layers' resolution, in metres, and what a sum of doubles adds.
HALF_A_STEP = 0.5e-4 + 4e-9


def twin(name):
    """The same answer in both forms."""
    one, other = recorded(f"arcgis_pbf/{name}.pbf"), recorded(f"arcgis_json/{TWINS[name]}.json")
    return esri_pbf.read(one, {}), esri_json.read(other, {}), one, other


@pytest.mark.parametrize("name", TWINS)
def test_a_recorded_answer_equals_its_twin(name):
    """Same rows, same attributes to the last digit and type, same flaws; same corners within half a step."""
    ours, theirs, _, _ = twin(name)
    assert ours.attributes == theirs.attributes
    kinds = [[[type(value) for value in row.values()] for row in rows.attributes] for rows in (ours, theirs)]
    assert kinds[0] == kinds[1]
    assert ours.flaws == theirs.flaws
    assert (set(ours.flaws.values()) == set()) == ("Polygon" in name)
    for one, other in zip(ours.geometry, theirs.geometry, strict=True):
        assert (one is None) == (other is None) == ("Polygon" not in name)
        assert shapely.get_num_coordinates(one) == shapely.get_num_coordinates(other)
        assert (np.abs(shapely.get_coordinates(one) - shapely.get_coordinates(other)) <= HALF_A_STEP).all()


def test_where_json_tells_no_more_than_the_resolution_nothing_differs():
    """A layer that keeps its corners in steps comes out of both forms with the very same numbers."""
    ours, theirs, _, _ = twin("PBFPolygonResponse")
    assert shapely.equals_identical(ours.geometry, theirs.geometry).all()


@pytest.mark.parametrize("name", TWINS)
def test_a_peek_sees_what_reading_sees(name):
    """Number of rows, object ids and the limit are the same in both forms, and the same as the rows say."""
    ours, _, one, other = twin(name)
    column_ = orjson.loads(other)["objectIdFieldName"]
    found = page_readers.PEEKERS["pbf"](one, column_)
    assert found == page_readers.PEEKERS["esrijson"](other, column_)
    assert found.ids == [row[column_] for row in ours.attributes]


def test_six_pages_are_one_harvest():
    """2,631 parcels, each once, all but the last page saying that there is more; every shape valid, in Santa Monica."""
    bodies = [recorded(f"arcgis_pbf/PBFPolygon{name}.pbf") for name in PAGES]
    peeks = [esri_pbf.peek(body, "FID") for body in bodies]
    assert [each.rows for each in peeks] == [500] * 5 + [131]
    assert [each.more for each in peeks] == [True] * 5 + [False]
    ids = [each for peek in peeks for each in peek.ids]
    assert len(set(ids)) == len(ids) == 2631
    rows = [esri_pbf.read(body, {}) for body in bodies]
    assert [row["FID"] for page_ in rows for row in page_.attributes] == ids
    shapes = np.concatenate([page_.geometry for page_ in rows])
    assert all(page_.flaws == {} for page_ in rows)
    assert shapely.is_valid(shapes).all()
    west, south, east, north = shapely.total_bounds(shapes)
    assert -13_200_000 < west < east < -13_180_000
    assert 4_020_000 < south < north < 4_050_000
    # The server's own areas, of the unrounded shapes.
    told = np.array([row["Shape__Area"] for page_ in rows for row in page_.attributes])
    assert shapely.area(shapes) == pytest.approx(told, rel=1e-4, abs=0.02)


def test_codes_of_domains_and_dates_are_left_as_they_are():
    """85 points with coded domains: codes verbatim, dates in milliseconds, 43 columns, null where nothing is said."""
    rows = esri_pbf.read(recorded("arcgis_pbf/PBFWithDomainResponse.pbf"), {})
    assert len(rows) == 85
    assert {len(row) for row in rows.attributes} == {43}
    first = rows.attributes[0]
    assert (first["strinsur"], first["fireinsur"], first["insp_date"]) == ("Yes", None, 1_765_631_006_000)
    assert set(rows.flaws.values()) == {esri_json.NO_AREA}


def test_rows_without_shapes_are_rows():
    """An answer with returnGeometry=false is attributes alone; one of Hawaii has seven islands."""
    rows = esri_pbf.read(recorded("arcgis_pbf/MaritalStatusBoundariesResponse.pbf"), {})
    assert (rows.attributes[0]["B12001_calc_pctMarriedE"], rows.geometry.tolist(), rows.flaws) == (70.3, [None], {})
    islands = esri_pbf.read(recorded("arcgis_pbf/PBFMultiPolygonResponseCRS3857.pbf"), {})
    assert len(shapely.get_parts(islands.geometry[0])) == 7
    assert islands.geometry[0].is_valid


# By hand

SQUARE = [0, 0, 10, 0, 0, 10, -10, 0, 0, -10]  # steps from corner to corner; down is positive


def value(content=b""):
    """A row's value."""
    return message(1, content)


def read(*parts, kind=3):
    return esri_pbf.read(page(*parts, kind=kind), {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (message(1), ""),
        (message(1, "Äcker 4½".encode()), "Äcker 4½"),
        (single(2, 0.19), 0.19),
        (single(2, 16777216.0), 16_777_216),
        (single(2, -1.5e-7), -1.5e-7),
        (double(3, 70.3), 70.3),
        (double(3, -0.0), 0),
        (double(3, 5.0), 5),
        (double(3, 2.0**53), 2.0**53),
        (double(3, 1e300), 1e300),
        (double(3, float("inf")), float("inf")),
        (number(4, zigzag(-2_147_483_648)), -2_147_483_648),
        (number(5, 4_294_967_295), 4_294_967_295),
        (number(6, -9_007_199_254_740_993), -9_007_199_254_740_993),
        (number(7, 2**64 - 1), 2**64 - 1),
        (number(8, zigzag(-(2**63))), -(2**63)),
        (number(8, zigzag(9_007_199_254_740_993)), 9_007_199_254_740_993),
        (number(9, 1), True),
        (number(9, 0), False),
    ],
)
def test_each_kind_of_value_is_what_json_would_say(content, expected):
    """Text, numbers of every width and sign, whole doubles without a point, and nothing: exact, and of JSON's types."""
    rows = read(column("A"), message(15, value(content)), message(15, value()))
    assert rows.attributes == [{"A": expected}, {"A": None}]
    assert type(rows.attributes[0]["A"]) is type(expected)


def test_a_nan_is_no_number():
    """A double that is none comes out as the float that it is; it says nothing once it is canonical."""
    (row,) = read(column("A"), message(15, value(double(3, float("nan"))))).attributes
    assert row["A"] != row["A"]


def test_columns_of_mixed_kinds_keep_their_rows():
    """Where a column's values are of several kinds each row gets its own, in the order of the columns."""
    contents = [(b"", number(4, 2)), (message(1, b"x"), double(3, 0.5)), (number(5, 7), message(1, b"y"))]
    rows = read(column("A"), column("B"), *(message(15, value(a), value(b)) for a, b in contents))
    assert rows.attributes == [{"A": None, "B": 1}, {"A": "x", "B": 0.5}, {"A": 7, "B": "y"}]


def test_shapes_null_empty_short_and_whole():
    """No shape, an empty one, a ring of two corners and one without any, a square, two rings: each as in f=json."""
    two = shape([5, 5], [*SQUARE, 2, 2, 0, 2, 2, 0, 0, -2, -2, 0])
    rows = read(
        transform(),
        *(message(15, each) for each in (b"", message(2), shape([2], [0, 0, 5, 5]), shape([0], []), two)),
        message(15, shape([5], SQUARE)),
    )
    areas = [None if each is None else each.area for each in rows.geometry]
    assert areas == [None, None, None, None, 96, 100]
    assert rows.flaws == {2: RING_REMOVED, 3: RING_REMOVED}


@pytest.mark.parametrize(("lower", "bounds"), [(False, (1000, 1990, 1010, 2000)), (True, (1000, 2000, 1010, 2010))])
def test_steps_are_counted_from_the_corner_that_is_said(lower, bounds):
    """From the upper left, which is meant where nothing is said, y runs down; from the lower left, up."""
    rows = read(transform(x=1000, y=2000, lower=lower), message(15, shape([5], SQUARE)))
    assert rows.geometry[0].bounds == bounds


@pytest.mark.parametrize(("z", "m"), [(True, False), (False, True), (True, True)])
def test_heights_and_measures_are_left_behind(z, m):
    """Z and M stand between the coordinates, each a distance as well; the shape is flat."""
    more = [7] * (z + m)
    steps = [each for i in range(0, 10, 2) for each in (*SQUARE[i : i + 2], *more)]
    rows = read(number(10, z), number(11, m), transform(), message(15, shape([5], steps)))
    assert rows.geometry[0].area == 100
    assert not rows.geometry[0].has_z


def test_other_shapes_are_named():
    """Points and lines, multipatches and shapes in Esri's binary form: the row stands, and says why it has no area."""
    rows = message(15, shape([5], SQUARE)), message(15)
    assert read(transform(), *rows, kind=0).flaws == {0: esri_json.NO_AREA}
    assert read(transform(), *rows, kind=4).flaws == {0: esri_json.MULTIPATCH}
    assert read(transform(), message(15, message(3, b"binary")), *rows).flaws == {0: esri_pbf.BINARY_SHAPE}


def test_the_largest_steps_do_no_harm():
    """Distances at the end of 64 bits, and steps so long that they leave all bounds, cost their row at most."""
    far = [2**63 - 1, -(2**63), 1, 1, 2**62, 5, -(2**62), 5, 0, 0]
    rows = read(transform(step=1e300), message(15, shape([5], far)), message(15, shape([5], SQUARE)))
    assert rows.flaws[0] == NOT_NUMBERS
    assert read(transform(step=0.1), message(15, shape([5], far))).flaws == {}


def test_unknown_fields_are_passed_over():
    """What later versions may add, at any level and of any kind, does not disturb what is known."""
    extra = number(31, 5) + double(32, 1.0) + single(33, 1.0) + message(34, b"\xff\xff")
    parts = extra, column("A"), transform(), message(15, extra, value(number(5, 3)), shape([5], SQUARE), message(4))
    body = message(1, b"1.0") + extra + message(2, extra, message(1, number(7, 3), *parts))
    rows = esri_pbf.read(body, {})
    assert (rows.attributes, rows.geometry[0].area) == ([{"A": 3}], 100)
    assert esri_pbf.peek(body, "A") == Peek(1, [3], False)


def test_an_id_column_is_found_by_the_answers_own_word():
    """Where the column is not called as expected the answer says what it is called; ids keep all 64 bits."""
    row = message(15, value(message(1, b"x")), value(number(7, 3_000_000_000)))
    body = page(message(1, b"FID"), number(9, 1), column("A"), column("FID"), row)
    assert esri_pbf.peek(body, "OBJECTID") == esri_pbf.peek(body, "FID") == Peek(1, [3_000_000_000], True)


def test_raw_rows_can_be_held_back():
    """A rejected row is kept as attributes and WKT, with all of its digits."""
    body = page(column("A"), transform(step=0.1), message(15, value(number(5, 1)), shape([5], SQUARE)))
    first, second = page_readers.raw_rows(esri_pbf.read(body, {}), [0, 0])
    assert first == second
    assert first["attributes"] == {"A": 1}
    assert shapely.from_wkt(first["wkt"]).area == pytest.approx(1.0)
    assert page_readers.raw_rows(esri_pbf.read(page(message(15)), {}), [0]) == [{"attributes": {}, "wkt": None}]


ROW = message(15, value(number(5, 1)), shape([5], SQUARE))
HEAD = column("A") + transform()

MALFORMED = {
    "nothing": b"",
    "an error in JSON": b'{"error":{"code":400}}',
    "a page of HTML": b"<html>",
    "text": b"no such page",
    "no result": message(1, b"1.0"),
    "a count": message(2, message(2, number(1, 5))),
    "a result twice": message(2, message(1)) * 2,
    "a result that is a number": number(2, 5),
    "rows that are a number": message(2, number(1, 5)),
    "a row that is a number": page(HEAD, number(15, 5)),
    "a column that is a number": page(number(13, 5)),
    "a name that is a number": page(message(13, number(1, 5))),
    "a name that is no text": page(message(13, message(1, b"\xff"))),
    "a name twice": page(message(13, message(1, b"A"), message(1, b"B"))),
    "a kind that is a text": page(message(7, b"polygon"), HEAD, ROW),
    "field number zero": page(HEAD, b"\x00\x00"),
    "a group": page(HEAD, b"\x7b\x7c"),
    "a field that is too long": page(HEAD, ROW)[:-1] + varint(200),
    "a length beyond everything": page(HEAD, varint(15 << 3 | 2) + varint(2**63)),
    "a length of 64 bits in a row": page(HEAD, message(15, varint(1 << 3 | 2) + varint(2**64 - 1))),
    "a number without end": page(HEAD, b"\x80" * 12),
    "a number without end in a row": page(HEAD, message(15, b"\x80" * 12)),
    "a row that is cut": page(HEAD, message(15, b"\x0a")),
    "a row of fixed width that is cut": page(HEAD, message(15, b"\x09\x00")),
    "too few values": page(HEAD, message(15)),
    "too many values": page(HEAD, message(15, value(), value())),
    "a value that is a number": page(HEAD, message(15, number(1, 5))),
    "a value of an unknown kind": page(HEAD, message(15, value(number(10, 5)))),
    "a value of the wrong width": page(HEAD, message(15, value(single(3, 5.0)))),
    "a text that is a number": page(HEAD, message(15, value(number(1, 5)))),
    "two values in one": page(HEAD, message(15, value(number(5, 1) + number(5, 2)))),
    "two shapes": page(transform(), message(15, shape([5], SQUARE), shape([5], SQUARE))),
    "two shapes, one binary": page(transform(), message(15, shape([5], SQUARE), message(3))),
    "coordinates twice": page(transform(), message(15, message(2, packed(2, [1]), packed(3, [0]), packed(3, [0])))),
    "coordinates that are not packed": page(transform(), message(15, message(2, number(3, 5)))),
    "coordinates without rings": page(transform(), message(15, message(2, packed(3, SQUARE)))),
    "rings without coordinates": page(transform(), message(15, message(2, packed(2, [5])))),
    "a ring too long": page(transform(), message(15, shape([6], SQUARE))),
    "a ring of 64 bits": page(transform(), message(15, shape([2**63], SQUARE))),
    "rings that add up to nothing": page(transform(), message(15, shape([2**63, 2**63], []))),
    "rings of one row in another": page(transform(), message(15, shape([9], SQUARE)), message(15, shape([1], SQUARE))),
    "half a corner": page(transform(), message(15, shape([5], SQUARE[:-1]))),
    "heights that are not there": page(number(10, 1), transform(), message(15, shape([5], SQUARE))),
    "coordinates cut within a number": page(
        transform(), message(15, message(2, packed(2, [1]), message(3, b"\x01\x80")))
    ),
    "a coordinate of eleven bytes": page(
        transform(), message(15, message(2, packed(2, [1]), message(3, b"\x80" * 10 + b"\x01\x01")))
    ),
    "no transform": page(message(15, shape([5], SQUARE))),
    "a transform that is a number": page(number(12, 5), message(15, shape([5], SQUARE))),
    "steps of no length": page(transform(step=0.0), message(15, shape([5], SQUARE))),
    "steps that are none": page(transform(step=float("nan")), message(15, shape([5], SQUARE))),
    "steps that run backwards": page(transform(step=-1.0), message(15, shape([5], SQUARE))),
    "an endless corner": page(transform(x=float("inf")), message(15, shape([5], SQUARE))),
    "a step that is a whole number": page(message(12, message(2, number(1, 1))), message(15, shape([5], SQUARE))),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_page_is_one_error(name):
    """Whatever is wrong with a page, it is a ValueError of one line, and no row is made of it."""
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        esri_pbf.read(MALFORMED[name], {})


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", page(column("B"), message(15, value())), page(HEAD, message(15, value()))),
        *(page(HEAD, message(9, b"yes"), ROW), page(HEAD, message(15)), page(message(1, b"C"), column("B"))),
    ],
)
def test_a_page_without_ids_is_no_proof(body):
    """A column that is not there, a row without an id, or a limit that is no yes or no."""
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        esri_pbf.peek(body, "A")


@pytest.mark.parametrize(
    "body",
    [
        page(HEAD, message(15) * 1_100_000),
        page(*(column(str(i)) for i in range(3000)), *(message(15) for _ in range(3000))),
        page(HEAD, message(15, value() * 1_000_000)),
        page(HEAD, message(15, message(4) * 1_000_000)),
        page(transform(), message(15, message(2, message(3, b"\x00" * 17_000_000)))),
        page(transform(), message(15, message(2, message(2, b"\x00" * 17_000_000)))),
    ],
    ids=["rows", "values", "values in a row", "fields in a row", "coordinates", "rings"],
)
def test_numbers_without_end_are_refused(body):
    """More than a million rows, eight million values, a row of a million fields or sixteen million coordinates."""
    with pytest.raises(ValueError, match=r"more (than|values than)"):
        esri_pbf.read(body, {})


def test_the_wire_is_read_in_step():
    """Messages of different lengths are walked through together; each keeps its own fields, in its own order."""
    bodies = [number(1, 300) + message(2, b"abc"), b"", single(3, 1.0) + double(4, 1.0) + number(5, 1)]
    ends = np.cumsum([len(each) for each in bodies])
    data = np.frombuffer(b"".join(bodies), dtype=np.uint8)
    found = [
        (int(which), int(field))
        for step in protobuf.steps(data, np.append(0, ends[:-1]), ends, 3)
        for which, field in zip(step.message, step.number, strict=True)
    ]
    assert sorted(found) == [(0, 1), (0, 2), (2, 3), (2, 4), (2, 5)]


def test_zigzag_is_exact():
    """Signs come back from the last bit, at the ends of 64 bits too."""
    signed = [0, -1, 1, -(2**63), 2**63 - 1]
    assert protobuf.zigzag(np.array([zigzag(each) for each in signed], dtype=np.uint64)).tolist() == signed


def test_json_is_the_measure():
    """The hand-written square is the one that f=json writes."""
    rings = [[[0, 0], [10, 0], [10, -10], [0, -10], [0, 0]]]
    body = json.dumps({"features": [{"attributes": {}, "geometry": {"rings": rings}}]}).encode()
    ours = read(transform(), message(15, shape([5], SQUARE)))
    assert shapely.equals_identical(ours.geometry, esri_json.read(body, {}).geometry).all()
