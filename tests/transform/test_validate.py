"""Rows are judged, never dropped; measures are square metres; nothing depends on the order of rows."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import orjson
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sampling import examples
from tests.transform.strategies import X, Y, lots
from zoning_assets.model import PARCELS, ZONING, Feed, Jurisdiction
from zoning_assets.transform import normalize
from zoning_assets.transform.geometry import crs, metric_frame
from zoning_assets.transform.validate import REJECTION_COLUMNS, ValidatedRows, validate_rows

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
FEED = Feed(PARCELS, "download", "lots.geojson", key="ML")
DISTRICTS = Feed(ZONING, "download", "zoning.geojson")
CITY = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: FEED, ZONING: DISTRICTS})
METRES = replace(CITY, target_crs="EPSG:3857")
POLICIES = ["reject", "dissolve", "suffix"]


def square(i: int, j: int = 0, size: float = 1e-4) -> shapely.Polygon:
    """Lots side by side, from west to east, each about 11 m tall."""
    west, south = -71.1 + i * 1e-4, 42.37 + j * 1e-4
    return shapely.box(west, south, west + size, south + size)


def bow_tie(i: int) -> shapely.Polygon:
    west, south, east, north = square(i).bounds
    return shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])


def table(rows: list[dict], feed: Feed = FEED) -> gpd.GeoDataFrame:
    """Normalized rows as columns.normalize gives them; what a row does not say is None."""
    shapes = np.empty(len(rows), dtype=object)
    shapes[:] = [row.get("shape") for row in rows]
    lon, lat = normalize.representative_points(shapes, crs.DEGREES).T
    names = ("key", *normalize.COLUMNS[feed.name], "attributes", "flaw")
    data = {name: np.array([row.get(name) for row in rows] + [None], dtype=object)[:-1] for name in names}
    data["attributes"] = [row.get("attributes", "{}") for row in rows]
    places = {
        "row": np.array([row.get("row", i) for i, row in enumerate(rows)], dtype=int),
        "lon": lon,
        "lat": lat,
        "page": "p",
    }
    return gpd.GeoDataFrame({**data, **places}, geometry=gpd.GeoSeries(shapes, crs="EPSG:4326"))


def judged(rows: list[dict], policy: str = "reject", *, listed: bool = True, feed: Feed = FEED) -> ValidatedRows:
    return validate_rows(
        table(rows, feed), jurisdiction=CITY, feed=replace(feed, on_repeated_key=policy), listed=listed
    )


shapes = st.one_of(
    st.integers(0, 5).map(square),
    st.integers(0, 5).map(bow_tie),
    st.sampled_from(
        [None, shapely.Point(-71.1, 42.37), shapely.box(0, 0, 1, 1), shapely.Polygon(), square(2, 0, 3e-4)]
    ),
    lots(X + 2_000_000, Y).map(lambda lot: lot.shape()),
)
codes = st.sampled_from([None, "R-1", "B-2"])
records = st.fixed_dictionaries(
    {
        "key": st.sampled_from([None, "A", "B", "C", "D"]),
        "shape": shapes,
        "zoning_code": codes,
        "land_use": codes,
        "address": codes,
        "attributes": st.sampled_from(["{}", '{"a":1}', '{"a":2,"b":"x"}']),
        "flaw": st.sampled_from([None, None, None, "curve", "a ring of fewer than three corners was removed"]),
    }
)
tables = st.lists(records, max_size=12).map(lambda rows: [{**row, "row": i} for i, row in enumerate(rows)])


def _like(row: dict, feed: Feed) -> tuple:
    """What a row says in the columns of its feed, without its place in the layer and its shape."""
    of_parcels = () if feed is DISTRICTS else ("zoning_code", "land_use", "address")
    return tuple(row.get(name) for name in ("key", "attributes", *of_parcels))


@settings(max_examples=examples(80), deadline=None)
@given(tables, st.sampled_from(POLICIES), st.booleans(), st.sampled_from([FEED, DISTRICTS]))
def test_every_row_is_accepted_or_rejected(rows, policy, listed, feed):
    """Rows in = accepted + rejected, no row is both, and a row that ends in neither was dissolved into another."""
    found = judged(rows, policy, listed=listed, feed=feed)
    assert len(rows) == found.accepted + len(found.rejections)
    assert tuple(found.rejections.columns) == REJECTION_COLUMNS
    stand, fell = set(found.table["row"]), set(found.rejections["row"])
    assert stand & fell == set()
    assert len(stand) == len(found.table)
    neither = set(range(len(rows))) - stand - fell
    assert len(neither) == found.accepted - len(found.table)
    assert {rows[row].get("key") for row in neither} <= {rows[row].get("key") for row in stand}
    alike = [_like(rows[row], feed) for row in stand]
    assert policy == "dissolve" or all(_like(rows[row], feed) in alike for row in neither)
    assert found.rejections["reason"].notna().all()
    assert shapely.is_valid(found.table["geometry"].to_numpy()).all()
    assert {shape.geom_type for shape in found.table["geometry"]} <= {"MultiPolygon"}
    assert not listed or not found.table["key"].duplicated().any()


#: Few keys and few shapes, so that rows often share both and differ in the rest.
alike = st.fixed_dictionaries(
    {
        "key": st.sampled_from("AB"),
        "shape": st.sampled_from([square(0), square(0), bow_tie(0), bow_tie(1), square(0, 0, 2.5e-4)]),
        "address": codes,
        "attributes": st.sampled_from(["{}", '{"a":1}']),
    }
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(alike, min_size=2, max_size=6), st.sampled_from(POLICIES), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, policy, random):
    """Rejecting, dissolving and numbering give the same parcels whatever order the portal sent the rows in."""

    def parcels(of: ValidatedRows) -> list[tuple]:
        names = [
            "key",
            *normalize.COLUMNS[PARCELS],
            "attributes",
            "content_hash",
            "area_m2",
            "repair",
            "repair_area_m2",
        ]
        return sorted(map(repr, of.table[names].replace({np.nan: None}).itertuples(index=False)))

    assert parcels(judged(rows, policy)) == parcels(judged(random.sample(rows, len(rows)), policy))


@given(tables, st.sampled_from(POLICIES))
@settings(max_examples=examples(50), deadline=None)
def test_the_callers_table_is_not_changed(rows, policy):
    """Judging leaves the normalized table as it was, shapes and all."""
    given_table = table(rows)
    before = given_table.copy(deep=True)
    validate_rows(given_table, jurisdiction=CITY, feed=replace(FEED, on_repeated_key=policy), listed=True)
    assert given_table.equals(before)
    assert list(given_table.columns) == list(before.columns)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"key": "A", "shape": square(0)}, None),
        ({"key": "A", "shape": bow_tie(0)}, None),
        ({"key": None, "shape": square(0)}, "null_key"),
        ({"key": "A", "shape": None}, "no_geometry"),
        ({"key": None, "shape": shapely.Polygon()}, "no_geometry"),
        ({"key": "A", "shape": shapely.Point(-71.1, 42.37)}, "not_an_area"),
        ({"key": "A", "shape": shapely.box(0, 0, 1, 1)}, "out_of_bounds"),
        ({"key": "A", "shape": square(0), "flaw": "curve"}, "curve"),
    ],
)
def test_each_flaw_has_its_reason(row, reason):
    """A row is held back for one named reason, the first that speaks against it."""
    found = judged([row])
    assert found.rejections["reason"].tolist() == ([reason] if reason else [])
    assert found.rejections["page"].tolist() == (["p"] if reason else [])


def test_a_repair_says_what_was_wrong_and_what_it_cost():
    """A mended shape carries the flaw's name and the area gained; a sound one carries neither."""
    found = judged([{"key": "A", "shape": bow_tie(0)}, {"key": "B", "shape": square(1)}]).table.set_index("key")
    assert found.loc["A", "repair"] == "Self-intersection"
    assert found.loc["A", "repair_area_m2"] == pytest.approx(found.loc["B", "area_m2"] / 2, rel=1e-3)
    assert found.loc["B", ["repair", "repair_area_m2"]].isna().all()
    pair = judged([{"key": "A", "shape": bow_tie(0)}, {"key": "A", "shape": bow_tie(2)}], "dissolve")
    assert (pair.repaired, len(pair.table)) == (2, 1)
    assert pair.table["repair_area_m2"][0] == pytest.approx(found.loc["B", "area_m2"], rel=1e-3)


def test_dissolving_keeps_what_the_rows_agree_on():
    """A key's rows become one parcel: the union, the values all share, and a list where they differ."""
    west = {"key": "A", "shape": square(0), "zoning_code": "R-1", "land_use": "101", "attributes": '{"v":1,"w":2}'}
    east = {"key": "A", "shape": square(1), "zoning_code": "R-1", "land_use": "102", "attributes": '{"v":1,"w":3}'}
    found = judged([west, east, {"key": "B", "shape": square(4)}], "dissolve")
    one = found.table.set_index("key").loc["A"]
    assert (one["zoning_code"], one["land_use"], found.accepted) == ("R-1", None, 3)
    assert orjson.loads(one["attributes"]) == {"v": 1, "w": [2, 3], "land_use": ["101", "102"]}
    assert shapely.symmetric_difference(one.geometry, shapely.union(square(0), square(1))).area < 1e-12
    assert one["area_m2"] == pytest.approx(2 * found.table.set_index("key").loc["B", "area_m2"], rel=1e-4)


def test_suffixes_go_from_west_to_east():
    """Rows that share a key are numbered by where they lie, rows of the same shape by what they say."""
    rows = [{"key": "A", "shape": square(i), "address": f"{i} Elm"} for i in (3, 1, 2)]
    condos = [{"key": "B", "shape": square(5), "address": name} for name in ("Unit 2", "Unit 1")]
    found = judged(rows + condos, "suffix").table.set_index("address")["key"].to_dict()
    assert found == {"1 Elm": "A#1", "2 Elm": "A#2", "3 Elm": "A#3", "Unit 1": "B#1", "Unit 2": "B#2"}


def test_keys_that_repeat_are_all_held_back_by_reject():
    """Never the first one wins: every row of a repeated key is held back."""
    found = judged([{"key": key, "shape": square(i)} for i, key in enumerate("ABA")])
    assert found.table["key"].tolist() == ["B"]
    assert found.rejections["reason"].tolist() == ["repeated_key"] * 2


def respelled(i: int) -> shapely.Polygon:
    """The same square from another corner, the other way round, with a corner said twice."""
    ring = list(square(i).exterior.coords)[:-1]
    return shapely.Polygon([*ring[2:], *ring[:2], ring[1]][::-1])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("feed", [FEED, replace(DISTRICTS, key="ID")])
def test_identical_rows_are_one_row_whatever_the_policy(policy, feed):
    """The same parcel or district sent three times stands once under its own key: accepted, and two rows dissolved."""
    copies = [{"key": "A", "shape": shape, "attributes": '{"a":1}'} for shape in (square(0), respelled(0), square(0))]
    found = judged([*copies, {"key": "B", "shape": square(1)}], policy, feed=feed)
    assert sorted(found.table["key"]) == ["A", "B"]
    assert (found.accepted, len(found.rejections), found.accepted - len(found.table)) == (4, 0, 2)
    alone = judged(copies[:1], policy, feed=feed)
    assert found.table.set_index("key")["content_hash"]["A"] == alone.table["content_hash"].iloc[0]


@pytest.mark.parametrize(
    ("policy", "keys", "held"), [("reject", [], 3), ("dissolve", ["A"], 0), ("suffix", ["A#1", "A#2"], 0)]
)
def test_rows_that_share_a_key_and_differ_follow_the_policy_though_some_are_identical(policy, keys, held):
    """Two copies and a row of another place under one key: the copies are one, then the policy is for what differs."""
    found = judged([{"key": "A", "shape": square(i)} for i in (0, 1, 0)], policy)
    assert sorted(found.table["key"]) == keys
    assert (found.accepted, len(found.rejections)) == (3 - held, held)


@given(tables, st.sampled_from(POLICIES))
@settings(max_examples=examples(40), deadline=None)
def test_a_layer_sent_twice_is_the_layer(rows, policy):
    """Each row once more, whatever it is: the same parcels stand; and fetched = accepted + rejected."""
    once, twice = judged(rows, policy), judged([*rows, *rows], policy)
    assert sorted(twice.table["content_hash"]) == sorted(once.table["content_hash"])
    assert twice.accepted + len(twice.rejections) == 2 * len(rows)


def test_a_feed_without_a_key_names_rows_by_content():
    """A zoning polygon without a key is named by what it says; its twin is the same district."""
    rows = [
        {"code": "R-1", "shape": square(0)},
        {"code": "R-2", "shape": square(0)},
        {"code": "R-1", "shape": square(0)},
    ]
    found = judged(rows, feed=DISTRICTS)
    assert (found.accepted, len(found.rejections), len(found.table)) == (3, 0, 2)
    assert found.table["key"].tolist() == [each[:16] for each in found.table["content_hash"]]


FEET = 100 / (1200 / 3937)  # 100 m in US survey feet


@pytest.mark.parametrize("jurisdiction", [CITY, METRES], ids=["degrees", "metres"])
@pytest.mark.parametrize("source", ["EPSG:2249", "EPSG:4326", "EPSG:3857"])
def test_areas_are_square_metres_on_the_ground(source, jurisdiction):
    """A square of 100 m is 10,000 m2 within 0.01%, whatever CRS it came in and goes to."""
    feet = shapely.segmentize(shapely.box(760_000, 2_960_000, 760_000 + FEET, 2_960_000 + FEET), 50)
    ground = crs.reproject(np.array([feet]), "EPSG:2249", "EPSG:4326")
    came = crs.reproject(crs.reproject(ground, "EPSG:4326", source), source, jurisdiction.target_crs)
    area = metric_frame.areas_m2(came, jurisdiction.target_crs, crs.metric_frame(jurisdiction.bounds))[0]
    geodesic = abs(pyproj.Geod(ellps="GRS80").geometry_area_perimeter(ground[0])[0])
    assert area == pytest.approx(geodesic, rel=1e-4)
    assert area == pytest.approx(10_000, rel=2e-4)  # the State Plane's own scale is not exactly one


def test_areas_of_judged_rows_are_not_those_of_the_map():
    """A parcel's area is the same for both target CRSs, and not the 1.8 times larger one of EPSG:3857."""
    degrees = table([{"key": "A", "shape": square(0)}])
    web = degrees.set_geometry(
        gpd.GeoSeries(crs.reproject(degrees.geometry.to_numpy(), "EPSG:4326", "EPSG:3857"), crs=3857)
    )
    one, other = (validate_rows(t, jurisdiction=j, feed=FEED).table for t, j in ((degrees, CITY), (web, METRES)))
    assert one["area_m2"][0] == pytest.approx(other["area_m2"][0], rel=1e-4)
    assert other["geometry"][0].area > 1.8 * other["area_m2"][0]
