"""Real ArcGIS layers as they were recorded: what each says of itself, what its pages hold, and what is refused."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.recorded import RECORDED, recorded
from tests.support.sampling import examples
from tests.transform.accidents import mangled
from zoning_assets.errors import FeedRefused, NotALayer, ZoningError
from zoning_assets.http.response_checks import Unreadable
from zoning_assets.sources.arcgis.layer_metadata import crs_of, describe, no_error
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.decode.esri.esri_json import NO_AREA
from zoning_assets.transform.geometry.rings import RING_REMOVED

#: folder or layer -> its description.
METADATA = {
    **{
        name: f"pyesridump/{name}/{name}-metadata.json"
        for name in (
            *("us-ca-carson", "us-ca-tuolumne", "us-esri-test", "us-fl-polk", "us-mi-kent", "us-mo-columbia"),
            "us-ms-madison",
        )
    },
    **{name: f"pyesridump/{name}/metadata.json" for name in ("us-il-chicago", "us-il-cook")},
    **{
        name: f"oa_batch_machine/{name}-metadata.json"
        for name in ("us-al-cullman", "us-nm-washington", "us-ny-orange", "us-pa-lancaster", "us-tx-runnels")
    },
}

#: polygon layer -> id column, CRS, rows a page, paging, statistics, columns, dates, column of areas.
POLYGONS = {
    "us-ca-tuolumne": ("SHAPE.fid", "EPSG:2227", 1000, False, True, 28, [], "SHAPE.area"),
    "us-il-chicago": ("OBJECTID", "EPSG:3857", 100_000, True, True, 21, [], None),
    "us-mi-kent": ("OBJECTID", "wkt", 1000, False, True, 15, [], "SHAPE.STArea()"),
    "us-ms-madison": ("OBJECTID", "EPSG:2255", 1000, False, True, 48, ["EDITDATE", "DEED_DATE"], "SHAPE_Area"),
    "us-nm-washington": (
        *("OBJECTID_1", "EPSG:3857", 1000, True, True, 77),
        *(["SALE_DATE", "AGPRE_ENRD", "AGPRE_EXPD"], "Shape_Area"),
    ),
}

#: other layer -> id column, CRS, paging, statistics, when it was edited.
POINTS = {
    "us-ca-carson": ("OBJECTID", "EPSG:2229", False, False, None),
    "us-esri-test": ("objectid", "EPSG:4326", True, True, None),
    "us-fl-polk": ("OBJECTID", "EPSG:4326", False, True, None),
    "us-il-cook": ("OBJECTID", "EPSG:3435", False, False, None),
    "us-mo-columbia": ("OBJECTID", "ESRI:102697", False, False, None),
    "us-ny-orange": ("SHAPE.fid", "EPSG:102100", False, False, None),
    "us-pa-lancaster": ("OBJECTID", "EPSG:2272", True, True, 1_443_712_219_214),
}

#: page -> rows, rows without an area, flaws, id column, distinct ids, more to come, CRS.
PAGES = {
    "pyesridump/us-ca-carson/us-ca-carson-0.json": (6, 6, {NO_AREA: 5}, "OBJECTID", 5, False, "EPSG:4326"),
    "pyesridump/us-ca-tuolumne/us-ca-tuolumne-0.json": (15, 0, {}, "O_ID", 15, False, "wkt"),
    "pyesridump/us-esri-test/us-esri-test-0.json": (1000, 1000, {NO_AREA: 838}, "objectid", 1000, False, "EPSG:4326"),
    "pyesridump/us-fl-polk/us-fl-polk-0.json": (10, 10, {NO_AREA: 10}, "OBJECTID", 10, False, "EPSG:4326"),
    "pyesridump/us-il-cook/count-only.json": (500, 0, {}, "PIN14", 500, False, "EPSG:3435"),
    "pyesridump/us-il-cook/ids-only.json": (500, 0, {}, "PIN14", 500, False, "EPSG:3435"),
    "pyesridump/us-il-cook/page-full.json": (500, 500, {NO_AREA: 500}, "OBJECTID", 500, False, "EPSG:4326"),
    "pyesridump/us-il-cook/page-partial.json": (2, 2, {NO_AREA: 2}, "OBJECTID", 2, False, "EPSG:4326"),
    "pyesridump/us-mi-kent/us-mi-kent-0.json": (15, 0, {}, "OBJECTID", 15, False, "wkt"),
    "pyesridump/us-mo-columbia/us-mo-columbia-0.json": (43, 43, {NO_AREA: 43}, "OBJECTID", 43, False, "EPSG:4326"),
    "pyesridump/us-ms-madison/us-ms-madison-0.json": (1, 1, {RING_REMOVED: 1}, "OBJECTID", 1, False, "EPSG:4326"),
    "oa_batch_machine/us-al-cullman-0.json": (5, 5, {}, "OBJECTID", 5, False, None),
    "oa_batch_machine/us-ca-carson-0.json": (6, 6, {NO_AREA: 5}, "OBJECTID", 5, False, "EPSG:4326"),
    "oa_batch_machine/us-nm-washington-0.json": (10, 0, {}, "OBJECTID_1", 10, True, "EPSG:4326"),
    "oa_batch_machine/us-ny-orange-0.json": (9, 9, {NO_AREA: 9}, "SHAPE.fid", 9, False, "EPSG:4326"),
    "oa_batch_machine/us-pa-lancaster-0.json": (30, 30, {NO_AREA: 30}, "OBJECTID", 30, True, "EPSG:4326"),
    "oa_batch_machine/us-pa-lancaster-probe.json": (1, 1, {}, None, 0, True, "EPSG:2272"),
}


def description(name, **changes):
    """A layer's own words, with some of them changed."""
    return {**no_error(esri_json.decode(recorded(METADATA[name]))), **changes}


@pytest.mark.parametrize("name", POLYGONS)
def test_a_polygon_layer_is_understood(name):
    """Id column, CRS (by number, or as text), page size, abilities, dates: as each recorded layer says them."""
    layer = describe(description(name), name)
    source = "wkt" if layer.crs and layer.crs.startswith("PROJCS") else layer.crs
    said = (layer.id, source, layer.most_rows, layer.paging, layer.statistics, len(layer.columns), layer.dates)
    assert (*said, layer.area) == POLYGONS[name]
    assert layer.edited is None
    west, south, east, north = layer.extent_degrees(layer.crs)
    assert -180 <= west < east < -70 or name == "us-il-chicago"  # which spans the Pacific
    assert -15 < south < north < 72


@pytest.mark.parametrize("name", POINTS)
def test_a_layer_of_points_is_refused_by_name(name):
    """Addresses are no parcels: the error says what the layer is. All else that it says is understood nevertheless."""
    with pytest.raises(NotALayer, match="esriGeometryPoint, not a layer of polygons"):
        describe(description(name), name)
    layer = describe(description(name, geometryType="esriGeometryPolygon"), name)
    assert (layer.id, layer.crs, layer.paging, layer.statistics, layer.edited) == POINTS[name]
    assert layer.most_rows == 1000


def test_a_table_and_a_locked_layer_are_refused_by_name():
    """Cullman is a table without shapes; Runnels wants a token, in an HTTP 200."""
    with pytest.raises(NotALayer, match="this is Table"):
        describe(description("us-al-cullman"), "us-al-cullman")
    with pytest.raises(FeedRefused, match=r"499.*token"):
        describe(description("us-tx-runnels"), "us-tx-runnels")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_holds_what_was_sent(path):
    """Rows, shapes, oddities, distinct ids and CRS of each recorded page; Carson sends one id twice."""
    rows, shapeless, flaws, column, distinct, more, source = PAGES[path]
    body = recorded(path)
    found = esri_json.read(body, {})
    assert len(found) == len(found.geometry) == rows
    assert sum(shape is None for shape in found.geometry) == shapeless
    assert {flaw: list(found.flaws.values()).count(flaw) for flaw in found.flaws.values()} == flaws
    told = crs_of(esri_json.decode(body).get("spatialReference"))
    assert ("wkt" if told and told.startswith("PROJCS") else told) == source
    if column:
        peek = esri_json.peek(body, column)
        assert (peek.rows, len(set(peek.ids)), peek.more) == (rows, distinct, more)


def test_no_recorded_layer_is_forgotten():
    """Each recorded folder, each recorded layer and each recorded page has its stated outcome here."""
    recorded("pyesridump/us-il-chicago/metadata.json")
    folders = {path.name for path in (RECORDED / "pyesridump").iterdir()}
    layers = {path.name[:-14] for path in (RECORDED / "oa_batch_machine").glob("*-metadata.json")}
    assert folders | layers == set(METADATA)
    assert set(METADATA) == {*POLYGONS, *POINTS, "us-al-cullman", "us-tx-runnels"}
    pages = {
        str(path.relative_to(RECORDED))
        for folder in ("pyesridump", "oa_batch_machine")
        for path in (RECORDED / folder).rglob("*.json")
        if b'"features"' in path.read_bytes() and "tatistics" not in path.name
    }
    assert pages == set(PAGES)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("oa_batch_machine/us-nm-washington-probe.json", "error"),  # a list of fields is refused
        ("pyesridump/us-mi-kent/us-mi-kent-statistics.json", "error"),
        ("pyesridump/us-il-chicago/count-only.json", "count"),
        ("pyesridump/us-ca-tuolumne/us-ca-tuolumne-ids-only.json", "objectIds"),
        ("oa_batch_machine/us-tx-runnels-metadata.json", "error"),
    ],
)
def test_an_answer_that_is_no_page_says_what_it_is(path, why):
    """Errors in an HTTP 200, counts and lists of ids are no pages, and the refusal names what stands there."""
    with pytest.raises(ValueError, match=f"no features in an object of .*{why}"):
        esri_json.read(recorded(path), {})


# Descriptions of strangers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fields": 5}, "its fields are not of type list"),
        ({"fields": [5]}, "a column has no name"),
        ({"fields": [{"name": None}]}, "a column has no name"),
        ({"extent": [1]}, "its extent are not of type dict"),
        ({"editingInfo": "today"}, "its editingInfo are not of type dict"),
        ({"geometryType": {"a": 1}}, "not a layer of polygons"),
    ],
)
def test_a_damaged_description_is_refused(changes, words):
    """What a description lacks or garbles is one line that says what."""
    with pytest.raises(NotALayer, match=words):
        describe(description("us-nm-washington", **changes), "us-nm-washington")


@pytest.mark.parametrize(
    ("said", "meant"), [(None, 1000), (0, 1000), (-5, 1000), ("x", 1000), (10**30, 1000), (250, 250), (250.0, 250)]
)
def test_a_page_size_is_a_sensible_number(said, meant):
    """Where a layer says nonsense of its page size, older servers' default is asked for."""
    assert describe(description("us-nm-washington", maxRecordCount=said), "here").most_rows == meant


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (None, None),
        ({}, None),
        ([1], None),
        ("EPSG:4326", None),
        ({"wkid": 999_999}, None),
        ({"wkid": [2249]}, None),
        ({"wkid": True}, None),
        ({"wkid": 2249.0}, "EPSG:2249"),
        ({"wkid": 102_718, "latestWkid": 999_999}, "ESRI:102718"),
        ({"wkid": 0, "wkt": 5}, None),
        ({"wkt": "+proj=longlat +nadgrids=/etc/passwd"}, None),
        ({"wkt": "PROJCS[no"}, None),
    ],
)
def test_a_reference_is_understood_or_not(reference, name):
    """An odd spatial reference is a CRS that is not known, which the CRS gates then name; never a crash."""
    assert crs_of(reference) == name


@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_mangled_description_is_understood_or_refused(data):
    """Whatever stands in a description, it is a layer, or one line that says why not."""
    body = recorded(METADATA[data.draw(st.sampled_from(sorted(METADATA)))])
    body = data.draw(mangled(body.replace(b"esriGeometryPoint", b"esriGeometryPolygon")))
    try:
        layer = describe(no_error(esri_json.decode(body)), "here")
    except (ValueError, ZoningError) as error:
        assert len(str(error).splitlines()) <= 1  # noqa: PT017 - the other outcome is as good
    else:
        assert isinstance(layer.id, str)
        assert 0 < layer.most_rows <= 1_000_000
        layer.extent_degrees(layer.crs or "EPSG:4326")


def test_an_error_that_passes_counts_as_its_status():
    """A host that says 429 inside an HTTP 200 is as busy as one that says it outside."""
    with pytest.raises(Unreadable, match="429 in an HTTP 200: slow down") as caught:
        no_error({"error": {"code": 429, "message": "slow down"}})
    assert caught.value.status == 429
