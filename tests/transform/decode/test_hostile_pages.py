"""Real answers, damaged at random: every row comes out, or the page is refused by one kind of error; in time."""

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.effort import assert_cost
from tests.support.recorded import recorded
from tests.support.sampling import examples
from tests.transform.accidents import damaged, mangled
from zoning_assets.errors import CrsRefused
from zoning_assets.model import PARCELS, ZONING, Feed, Jurisdiction
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.validate import validate_rows

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
CRS = {"esrijson": "EPSG:2249", "pbf": "EPSG:3857", "geojson": "EPSG:4326"}
#: How many times more work a damaged answer may be than the sound one. What hangs, or is quadratic, is far beyond.
MOST_WORK = 1000
#: What reading a damaged answer of some kilobytes may hold at a time.
MOST_BYTES = 64 << 20


def judged(form: str, body: bytes) -> None:
    """Read and peek at a page; whatever it is, both end in rows or in a ValueError of one line, and agree."""
    try:
        rows = page_readers.READERS[form](body, ID)
    except ValueError as error:
        assert len(str(error).splitlines()) <= 1, str(error)  # noqa: PT017 - the other outcome is as good
        rows = None
    try:
        peek = page_readers.PEEKERS[form](body, ID["id"])
    except ValueError:
        peek = None
    if rows is not None:
        assert len(rows.attributes) == len(rows.geometry) == len(rows)
        assert set(rows.flaws) <= set(range(len(rows)))
        assert all(isinstance(row, dict) for row in rows.attributes)
        raw = page_readers.raw_rows(rows, range(len(rows)))
        assert len(raw) == len(rows)
    if rows is not None and peek is not None:
        assert peek.rows == len(peek.ids) == len(rows)


def judged_in_time(form: str, sound: bytes, body: bytes) -> None:
    """The same; and a damaged answer does not take much more work than the sound one."""
    assert_cost(lambda: judged(form, body), lambda: judged(form, sound), at_most=MOST_WORK)


def accident(data, form):
    """A recorded answer, and what it is after something happened to it."""
    body = recorded(data.draw(st.sampled_from(ANSWERS[form])))
    return body, data.draw(st.one_of(mangled(body), mangled(body), damaged(body)))


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_is_read_or_refused(form, data):
    """Bits flipped, slices lost or doubled, values replaced: no crash, no hang, no row without its place."""
    judged_in_time(form, *accident(data, form))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=8000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_is_read_or_refused_many_times(form, data):
    """The same, at length."""
    judged_in_time(form, *accident(data, form))


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(data=st.data(), policy=st.sampled_from(["reject", "dissolve", "suffix"]))
def test_what_is_read_is_accepted_or_rejected(form, data, policy):
    """Behind the reader nothing breaks either: fetched rows are accepted plus rejected ones, or the CRS is refused."""
    try:
        rows = page_readers.READERS[form](accident(data, form)[1], ID)
    except ValueError:
        return
    key = data.draw(st.sampled_from([None, "OBJECTID", "ZONE", "id", "PPN"]))
    feed = Feed(PARCELS if key else ZONING, "arcgis", "x", key=key, on_repeated_key=policy)
    globe = Jurisdiction("us-xx-x", "X", (-179, -85, 179, 85), {feed.name: feed})
    layer = {"crs": CRS[form], "dates": ("D",)}
    try:
        frame = normalize.normalize(rows, jurisdiction=globe, feed=feed, layer=layer)
    except CrsRefused:
        return
    frame["page"] = "p"
    judged_ = validate_rows(frame, jurisdiction=globe, feed=feed, listed=True)
    assert judged_.accepted + len(judged_.rejections) == len(rows)


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=examples(60))
@given(body=st.binary(max_size=400))
def test_noise_is_refused(form, body):
    """Bytes that mean nothing are no page, or a page of rows."""
    judged(form, body)


@pytest.mark.parametrize("form", ANSWERS)
@settings(max_examples=examples(25), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_answer_takes_little_memory(form, data):
    """No length that a page claims is believed before it is checked."""
    _, body = accident(data, form)
    tracemalloc.start()
    try:
        judged(form, body)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
