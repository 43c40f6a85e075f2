"""Real answers, damaged at random: every row comes out, or the page is refused by one kind of error; in time."""

import tracemalloc
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.recorded import recorded
from tests.transform.messages import varint
from zoning_assets.transform import pages

#: form -> recorded answers of that form, small enough to be damaged often.
ANSWERS = {
    "esrijson": [
        *(f"esri_geometry_cases/{name}.json" for name in ("curve_only", "curve_bezier", "z_m", "hole_ok", "nan")),
        *("pyesridump/us-mi-kent/us-mi-kent-0.json", "arcgis_json/PolygonHasZM.json"),
        "oa_batch_machine/us-ny-orange-0.json",
    ],
    "pbf": [
        *(f"arcgis_pbf/PBF{name}.pbf" for name in ("PolygonHasM", "PolygonHasZM", "PolygonResponse", "PointHasZ")),
        *("arcgis_pbf/PBFMultiPolygonResponseCRS3857.pbf", "arcgis_pbf/PBFPolygonPage6Partial.pbf"),
    ],
    "geojson": [f"live_peers/{name}" for name in ("pygeoapi/items.json", "mapserver/page.geojson", "tipg/items.json")],
}
ID = {"id": "OBJECTID"}
DEADLINE = timedelta(seconds=10)
#: What reading a damaged answer of some kilobytes may hold at a time.
MOST_BYTES = 64 << 20

#: What stands where something else stood: ends of numbers, huge lengths, nesting, words that are no numbers.
JUNK = st.sampled_from(
    [
        *(b"", b"\x00", b"\xff" * 9, varint(2**63), varint(2**31), b"\x80" * 11, b"\x7a", b"\x12\x80\x80\x80\x80\x08"),
        *(
            b"NaN",
            b"null",
            b"-Infinity",
            b"1e400",
            b"9" * 400,
            b'"x"',
            b"{}",
            b"[]",
            b"[[1,2]]",
            b'{"c":[[1,2],[3,4]]}',
        ),
        *(b"[" * 2000, b'{"a":' * 1500, b'"rings":', b'"curveRings":', b'"type":"GeometryCollection"', b"true"),
    ]
)
SMALL = st.binary(max_size=12)


@st.composite
def damaged(draw: st.DrawFn, body: bytes) -> bytes:
    """The answer after some accidents: bits flipped, cut short, slices doubled, lost or replaced."""
    for _ in range(draw(st.integers(1, 4))):
        size = len(body)
        at = draw(st.integers(0, size))
        length = draw(st.integers(0, min(60, size - at)))
        piece, rest = body[at : at + length], body[at + length :]
        accident = draw(st.sampled_from(["flip", "cut", "double", "lose", "junk", "bytes", "move"]))
        if accident == "flip" and at < size:
            body = body[:at] + bytes([body[at] ^ 1 << draw(st.integers(0, 7))]) + body[at + 1 :]
        elif accident == "cut":
            body = body[:at]
        elif accident == "double":
            body = body[:at] + piece * draw(st.integers(2, 50)) + rest
        elif accident == "move":
            body = body[:at] + rest + piece
        else:
            new = {"lose": st.just(b""), "junk": JUNK, "bytes": SMALL}.get(accident, SMALL)
            body = body[:at] + draw(new) + rest
    return body


def judged(form: str, body: bytes) -> None:
    """Read and peek at a page; whatever it is, both end in rows or in a ValueError of one line, and agree."""
    try:
        rows = pages.READERS[form](body, ID)
    except ValueError as error:
        assert len(str(error).splitlines()) <= 1, str(error)  # noqa: PT017 - the other outcome is as good
        rows = None
    try:
        peek = pages.PEEKERS[form](body, ID["id"])
    except ValueError:
        peek = None
    if rows is not None:
        assert len(rows.attributes) == len(rows.geometry) == len(rows)
        assert set(rows.flaws) <= set(range(len(rows)))
        assert all(isinstance(row, dict) for row in rows.attributes)
        raw = pages.raw_rows(form, body, range(len(rows)))
        assert len(raw) == len(rows)
    if rows is not None and peek is not None:
        assert peek.rows == len(peek.ids) == len(rows)


def check(form, data):
    body = recorded(data.draw(st.sampled_from(ANSWERS[form])))
    judged(form, data.draw(damaged(body)))


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=120, deadline=DEADLINE, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_is_read_or_refused(form, data):
    """Bits flipped, slices lost, doubled, moved, replaced: no crash, no hang, no row without its place."""
    check(form, data)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=8000, deadline=DEADLINE, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_is_read_or_refused_many_times(form, data):
    """The same, at length."""
    check(form, data)


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=60, deadline=DEADLINE)
@given(body=st.binary(max_size=400))
def test_noise_is_refused(form, body):
    """Bytes that mean nothing are no page, or a page of rows."""
    judged(form, body)


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=25, deadline=DEADLINE, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_takes_little_memory(form, data):
    """No length that a page claims is believed before it is checked."""
    body = data.draw(damaged(recorded(data.draw(st.sampled_from(ANSWERS[form])))))
    tracemalloc.start()
    try:
        judged(form, body)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
