"""A portal's row in our columns."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
import shapely

from zoning_assets.model import PARCELS, ZONING, Feed, Jurisdiction
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.normalize import key_of, normalize

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
FEED = Feed(PARCELS, "arcgis", "https://x/0", key="ML", fields={"address": "SITE_ADDR", "zoning_code": "ZONE"})
DISTRICTS = Feed(ZONING, "download", "z.geojson", fields={"code": "ZONE_TYPE", "effective": "EFF"})
CITY = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: FEED, ZONING: DISTRICTS})


def lot(lon: float = -71.1, lat: float = 42.38) -> shapely.Polygon:
    return shapely.box(lon, lat, lon + 1e-4, lat + 1e-4)


def normalized(*attributes: dict[str, Any], feed: Feed = FEED, shapes=None, **more: Any):
    """Rows through normalize."""
    array = np.empty(len(attributes), dtype=object)
    array[:] = shapes or [lot()] * len(attributes)
    layer = {"crs": "EPSG:4326", **more}
    rows = Rows(list(attributes), array, {})
    return normalize(rows, jurisdiction=CITY, feed=feed, layer=layer)


def test_columns_follow_the_field_map():
    """Named columns become ours as text, the rest stays in attributes, nothing stands twice and nothing is lost."""
    row = {
        "ML": " 1-2 ",
        "SITE_ADDR": " 1 Elm ",
        "ZONE": 7.0,
        "OWNER": "Ann",
        "YEAR": 1900.0,
        "NOTE": " ",
        "DEAD": None,
    }
    found = normalized(row).iloc[0]
    assert (found["key"], found["address"], found["zoning_code"], found["land_use"]) == ("1-2", "1 Elm", "7", None)
    assert orjson.loads(found["attributes"]) == {"OWNER": "Ann", "YEAR": 1900}


def test_rows_with_different_columns_stand_together():
    """A page whose rows differ in their columns keeps each row's own, and a missing key or field is null."""
    found = normalized({"ML": "a", "X": 1}, {"Y": "z", "ZONE": "R"}, {})
    assert found["key"].fillna("none").tolist() == ["a", "none", "none"]
    assert found["zoning_code"].fillna("none").tolist() == ["none", "R", "none"]
    assert [orjson.loads(text) for text in found["attributes"]] == [{"X": 1}, {"Y": "z"}, {}]
    assert found["row"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        (float("nan"), None),
        (12.0, "12"),
        (12, "12"),
        (" 0012 ", "0012"),
        (1.5, "1.5"),
    ],
)
def test_a_key_is_text_or_nothing(raw, key):
    """Blank, null and not-a-number keys are null; a whole float is a whole number; leading zeros stand."""
    assert key_of(raw) == key
    assert normalized({"ML": raw}).iloc[0]["key"] == key


def test_a_feed_without_a_key_has_null_keys():
    """Zoning may do without a key; its columns are its own."""
    found = normalized({"ZONE_TYPE": "R-1", "EFF": "2020/01/02"}, feed=DISTRICTS).iloc[0]
    assert (found["key"], found["code"], found["zone_type"], found["effective"]) == (None, "R-1", None, "2020-01-02")


MANAGED = ["OBJECTID", "objectid_1", "FID", "ogc_fid", "GlobalID", "GLOBALID_2", "DB.DBO.Lots.OBJECTID", "SHAPE"]
MANAGED += [
    "Shape_Area",
    "Shape.STArea()",
    "SHAPE_Length",
    "Shape__Area",
    "Shape__Length",
    "Shape_Leng",
    "ST_Area(Shape)",
]
KEPT = ["AREA", "LOT_AREA", "OBJECT", "FIDDLE", "LENGTH", "SHAPE_TYPE", "PERIMETER", "GLOBAL"]


@pytest.mark.parametrize("name", MANAGED)
def test_what_servers_renumber_is_no_attribute(name):
    """Columns that a server keeps for itself would make each row of a republished layer look changed."""
    assert orjson.loads(normalized({"ML": "a", name: 5}).iloc[0]["attributes"]) == {}


@pytest.mark.parametrize("name", KEPT)
def test_what_only_resembles_them_is_kept(name):
    """A city's own columns stay, however close their names."""
    assert orjson.loads(normalized({"ML": "a", name: 5}).iloc[0]["attributes"]) == {name: 5}


def test_a_managed_column_may_be_the_key():
    """Where the jurisdiction file names such a column, it is used; what the layer calls managed is left out."""
    found = normalized({"OBJECTID": 7, "SYS": 1}, feed=replace(FEED, key="OBJECTID"), managed=["SYS"]).iloc[0]
    assert (found["key"], found["attributes"]) == ("7", "{}")


def test_dates_are_days_before_1970_too():
    """Epoch milliseconds become ISO 8601 in the columns that the layer calls dates, and in no other."""
    row = {"ML": "a", "SOLD": -2208988800000, "BUILT": 1388658600000, "PRICE": 1388658600000, "NEVER": None}
    found = orjson.loads(normalized(row, dates=["SOLD", "BUILT", "NEVER"]).iloc[0]["attributes"])
    assert found == {"SOLD": "1900-01-01", "BUILT": "2014-01-02T10:30:00Z", "PRICE": 1388658600000}


def test_numbers_beyond_64_bits_go_into_json():
    """A column of absurd whole numbers is kept as text instead of stopping the page."""
    assert orjson.loads(normalized({"ML": "a", "N": 2**70}, {"ML": "b", "N": 1}).iloc[0]["attributes"]) == {
        "N": str(2**70)
    }


def test_flaws_keep_to_their_rows():
    """What was odd about a shape stays with its row."""
    rows = Rows([{"ML": "a"}, {"ML": "b"}], np.array([lot(), lot(-71.15)]), {1: "curve"})
    found = normalize(rows, jurisdiction=CITY, feed=FEED, layer={})
    assert (found["key"].tolist(), found["row"].tolist(), found["flaw"].tolist()) == (
        ["a", "b"],
        [0, 1],
        [None, "curve"],
    )


def test_rows_arrive_in_the_target_crs():
    """Shapes are in the target CRS, the point that stands for them always in degrees."""
    city = replace(CITY, target_crs="EPSG:3857")
    rows = Rows([{"ML": "a"}], np.array([lot()]), {})
    found = normalize(rows, jurisdiction=city, feed=FEED, layer={"crs": "EPSG:4326"})
    back = crs.reproject(found.geometry.to_numpy(), "EPSG:3857", "EPSG:4326")
    assert shapely.symmetric_difference(back[0], lot()).area < 1e-15
    assert shapely.contains_xy(lot(), found["lon"][0], found["lat"][0])


def test_a_row_without_a_place_is_kept():
    """A row whose shape is missing stands in the table, to be rejected rather than lost."""
    found = normalized({"ML": "a"}, {"ML": "b"}, shapes=[None, shapely.Polygon()])
    assert found["key"].tolist() == ["a", "b"]
    assert found[["lon", "lat"]].isna().all(axis=None)


def test_no_rows_are_no_rows():
    """An empty page is an empty table with all columns."""
    found = normalized()
    assert len(found) == 0
    assert {"key", "zoning_code", "attributes", "row", "flaw", "lon", "lat", "geometry"} <= set(found.columns)


NUMBERS = {"columns": {"ZONE": {"1": "One-Family", "2": "Two-Family"}}}
MIXED = {"columns": {"ZONE": {"1": "One-Family", "2": "Two-Family", "2A": "Two-Family, small"}}}
BY_KIND = {"columns": NUMBERS["columns"], "subtype": "KIND", "subtypes": {"0": {"ZONE": {"A-1": "Farm"}}}}


@pytest.mark.parametrize(
    ("called", "zone", "attributes"),
    [
        (NUMBERS, "Two-Family", {"ZONE": "2"}),
        (MIXED, "2", {"ZONE_name": "Two-Family"}),
        (BY_KIND, "2", {"ZONE_name": "Two-Family"}),
    ],
)
@pytest.mark.parametrize("other", ["1", "2A", "A-1", "7", None])
def test_a_code_has_one_spelling_whatever_stands_beside_it(called, zone, attributes, other):
    """Whether the name replaces the code is decided by the domain: not by the page, the release or the tile."""
    found = normalized({"ML": "a", "ZONE": "2"}, {"ML": "b", "ZONE": other}, names=called).iloc[0]
    assert (found["zoning_code"], orjson.loads(found["attributes"])) == (zone, attributes)


@pytest.mark.parametrize("called", [NUMBERS, MIXED])
def test_a_value_that_its_domain_lacks_stays_as_it_is(called):
    """Number or text, in a domain of numbers or of codes."""
    found = normalized({"ZONE": "9"}, {"ZONE": "X-1"}, {"ZONE": None}, names=called)
    assert found["zoning_code"].fillna("none").tolist() == ["9", "X-1", "none"]
