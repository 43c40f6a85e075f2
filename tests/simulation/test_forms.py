"""The simulated portal's forms are one layer: f=json, f=geojson and f=pbf give the same rows, to the same hashes."""

import aiohttp
import geopandas as gpd
import numpy as np
import orjson
import pytest
import shapely

from zoning_assets.model import PARCELS, Feed, Jurisdiction
from zoning_assets.simulation.county.county import BOUNDS
from zoning_assets.simulation.portal import layer_query
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.simulation.portal.refusal import RefusalError
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.validate import validate_rows

RELEASES = CountyReleases(1200, page_rows=700)
PARCELS_LAYER, ZONING_LAYER = RELEASES(1)
FLAWS = RELEASES.county(1).flaws
#: form of a page -> f, and the CRS of its shapes.
FORMS = {"esrijson": ("json", "EPSG:2249"), "pbf": ("pbf", "EPSG:2249"), "geojson": ("geojson", "EPSG:4326")}
FEED = Feed(PARCELS, "arcgis", "x", key="PIN", on_repeated_key="suffix", fields={"address": "SITE_ADDR"})
COUNTY = Jurisdiction("us-xx-simulated", "Simulated", BOUNDS, {PARCELS: FEED})


def bodies(form, layer=PARCELS_LAYER, **params):
    """All pages of the layer in a form."""
    found, offset = [], 0
    while True:
        asked = {"where": "1=1", "outFields": "*", "resultOffset": str(offset), "f": FORMS[form][0], **params}
        found.append(layer_query.answer(layer, asked))
        peek = page_readers.PEEKERS[form](found[-1], "OBJECTID")
        offset += peek.rows
        if not peek.more:
            return found


def rows_of(form, layer=PARCELS_LAYER):
    """All rows, page after page."""
    return [page_readers.READERS[form](body, {"id": "OBJECTID"}) for body in bodies(form, layer)]


@pytest.mark.parametrize("layer", [PARCELS_LAYER, ZONING_LAYER], ids=["parcels", "zoning"])
@pytest.mark.parametrize("form", ["pbf", "geojson"])
def test_attributes_are_those_of_json(form, layer):
    """Names, order, values and types of all columns of all rows; and the same rows on the same pages."""
    for ours, theirs in zip(rows_of(form, layer), rows_of("esrijson", layer), strict=True):
        told = [[(name, _plain(value)) for name, value in row.items()] for row in ours.attributes]
        assert told == [[(name, _plain(value)) for name, value in row.items()] for row in theirs.attributes]
        assert ours.flaws == theirs.flaws == {}


def _plain(value):
    """A value and its type; a whole float is what ArcGIS writes as a whole number."""
    whole = isinstance(value, float) and value.is_integer()
    return (int(value), int) if whole else (value, type(value))


def test_protocol_buffers_hold_the_very_corners():
    """The county lies on a grid of a thousandth of a foot: f=pbf gives back each corner to the last bit."""
    for ours, theirs in zip(rows_of("pbf"), rows_of("esrijson"), strict=True):
        there = ~shapely.is_missing(theirs.geometry)
        assert (shapely.is_missing(ours.geometry) == ~there).all()
        assert shapely.equals_identical(ours.geometry[there], theirs.geometry[there]).all()


def test_all_forms_have_the_same_content_hashes():
    """Read, normalized and judged, the three forms are one table: every row of every form has the same hash."""
    hashes = {}
    for form, (_, source) in FORMS.items():
        found = []
        for i, rows in enumerate(rows_of(form)):
            frame = normalize.normalize(
                rows,
                jurisdiction=COUNTY,
                feed=FEED,
                layer={"crs": source, "dates": ("LAST_EDIT",), "managed": ("GlobalID",)},
            )
            frame["page"] = f"page {i}"
            judged = validate_rows(frame, jurisdiction=COUNTY, feed=FEED)
            assert judged.accepted + len(judged.rejections) == len(rows)
            found += judged.table["content_hash"].tolist()
        hashes[form] = found
    assert len(hashes["esrijson"]) == 1200 - FLAWS["null_geometry"] - FLAWS["empty_rings"] - FLAWS["null_keys"]
    assert hashes["pbf"] == hashes["esrijson"]
    assert hashes["geojson"] == hashes["esrijson"]


def test_geojson_is_wound_as_arcgis_winds_it():
    """Shells clockwise, holes the other way, each part a polygon of its own; ids outside the properties too."""
    features = [feature for body in bodies("geojson") for feature in orjson.loads(body)["features"]]
    assert [each["id"] for each in features] == PARCELS_LAYER.ids.tolist()
    kinds = [each["geometry"]["type"] for each in features if each["geometry"]]
    assert kinds.count("MultiPolygon") == FLAWS["multipolygons"]
    assert sum(each["geometry"] is None for each in features) == FLAWS["null_geometry"]
    holed = [each["geometry"]["coordinates"] for each in features if each["geometry"] and _holes(each["geometry"])]
    assert len(holed) == FLAWS["holes"]
    turns = [[shapely.LinearRing(ring).is_ccw for ring in rings] for rings in holed]
    assert turns == [[False, True]] * len(holed)


def _holes(geometry):
    return geometry["type"] == "Polygon" and len(geometry["coordinates"]) > 1


@pytest.mark.parametrize("form", FORMS)
def test_rows_without_shapes_and_with_few_columns(form):
    """returnGeometry=false and a list of columns are understood in every form."""
    (first, *_) = bodies(form, returnGeometry="false", outFields="OBJECTID,PIN")
    rows = page_readers.READERS[form](first, {})
    assert {tuple(row) for row in rows.attributes} >= {("OBJECTID", "PIN")} or form == "geojson"
    assert shapely.is_missing(rows.geometry).all()
    assert rows.flaws == {}


def test_another_crs_is_written_in_steps_of_degrees():
    """outSR=4326 in protocol buffers: within half of 1e-9 degrees of what f=json says."""
    ours = [page_readers.READERS["pbf"](body, {}) for body in bodies("pbf", outSR="4326")]
    theirs = [page_readers.READERS["esrijson"](body, {}) for body in bodies("esrijson", outSR="4326")]
    for one, other in zip(ours, theirs, strict=True):
        here, there = shapely.get_coordinates(one.geometry), shapely.get_coordinates(other.geometry)
        assert np.abs(here - there).max() <= 0.51e-9


@pytest.mark.parametrize("name", ["returnCountOnly", "returnIdsOnly", "returnExtentOnly", "returnDistinctValues"])
@pytest.mark.parametrize("form", ["pbf", "geojson"])
def test_what_is_no_row_comes_as_json_only(form, name):
    """Counts, ids, extents and distinct values are refused in other forms, in one line."""
    with pytest.raises(RefusalError):
        layer_query.answer(PARCELS_LAYER, {"where": "1=1", "f": form, name: "true"})
    assert layer_query.answer(PARCELS_LAYER, {"where": "1=0", "f": form, name: "false"})


async def test_each_form_has_its_content_type():
    """Over HTTP: protocol buffers are called so, errors are JSON in any form, and all of it is compressed."""
    async with county_portal(RELEASES).running() as address, aiohttp.ClientSession(address) as session:
        url = "/arcgis/rest/services/County/FeatureServer/0/query"
        kinds = {}
        for form in ("json", "geojson", "pbf"):
            async with session.get(url, params={"where": "1=1", "f": form}) as response:
                assert response.headers["Content-Encoding"] == "gzip"
                kinds[form] = response.content_type
        async with session.get(url, params={"where": "NOPE =", "f": "pbf"}) as response:
            assert (response.content_type, (await response.json())["error"]["code"]) == ("application/json", 400)
        assert kinds == {"json": "application/json", "geojson": "application/json", "pbf": "application/x-protobuf"}


def test_a_file_is_served_with_the_corners_it_has(tmp_path):
    """A layer made from a file has no resolution of its own: both forms give its doubles back to the last bits."""
    rng = np.random.default_rng(5)
    lots = shapely.box(*(rng.uniform(700_000, 800_000, (2, 50))), *(rng.uniform(800_000, 3_000_000, (2, 50))))
    gpd.GeoDataFrame({"A": range(50)}, geometry=lots, crs=2249).to_file(tmp_path / "lots.gpkg")
    layer = ServedLayer.from_file(tmp_path / "lots.gpkg")
    asked = {"where": "1=1", "outFields": "*"}
    ours, theirs = (
        page_readers.READERS[form](layer_query.answer(layer, {**asked, "f": FORMS[form][0]}), {})
        for form in ("pbf", "esrijson")
    )
    assert ours.attributes == theirs.attributes
    assert np.abs(shapely.get_coordinates(ours.geometry) - shapely.get_coordinates(theirs.geometry)).max() < 1e-9
