"""OGC API Features: the requirements of Core, GeoJSON, CRS, Filtering and CQL2, by name, against a real server.

Each test names the requirements that it checks; docs/reference/ogc-api.md has the verdicts. The last test compares
both.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyogrio
import pytest
import shapely

from tests.api.conftest import TOWN, WEB, Client

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
EPSG4326, EPSG3857 = (f"http://www.opengis.net/def/crs/EPSG/0/{code}" for code in (4326, 3857))
ITEMS = "/collections/zoning.zoned_parcel/items"
TILES = "/collections/zoning.zoned_parcel/tiles/WebMercatorQuad"
TOWN_TILE, WEB_TILE = "12/1240/1520", "12/1228/1505"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "ogc-api.md"
_CHECKED: set[str] = set()
Check = Callable[..., Any]


def requirement(*names: str) -> Callable[[Check], Check]:
    """The requirements that a test checks."""
    _CHECKED.update(names)
    return lambda check: check


def items(api: Client, query: str = "", of: str = "zoning.zoned_parcel") -> Any:
    """A page of features."""
    return api.json(f"/collections/{of}/items?{query}")


def ids(api: Client, query: str) -> set[str]:
    """The ids of parcels that a query returns."""
    return {each["properties"]["parcel_id"] for each in items(api, f"limit=1000&{query}")["features"]}


def filtered(api: Client, text: str, more: str = "") -> set[str]:
    """The ids of parcels that a filter returns."""
    return ids(api, f"filter={quote(text)}{more}")


def links(document: Any) -> dict[str, dict[str, str]]:
    """The links by relation."""
    return {each["rel"]: each for each in document["links"]}


@requirement(
    "/req/core/root-op",
    "/req/core/root-success",
    "/req/core/api-definition-op",
    "/req/core/api-definition-success",
    "/req/core/conformance-op",
    "/req/core/conformance-success",
    "/req/core/http",
)
def test_landing_page_api_document_and_conformance(api: Client) -> None:
    found = links(api.json("/?f=json"))
    assert {"self", "service-desc", "conformance", "data"} <= set(found)
    for rel in ("service-desc", "conformance", "data"):
        assert api.get(found[rel]["href"].removeprefix(f"http://127.0.0.1:{api.port}")).status == 200
    assert api.json("/openapi.json")["openapi"].startswith("3.1")
    classes = api.json("/conformance")["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in classes
    assert "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs" in classes
    assert api.get("/", Accept="application/json, */*").document["links"]
    for accept in ("text/html", "*/*"):
        assert b"<html" in api.get("/", Accept=accept).body


@requirement("/req/core/query-param-unknown", "/req/core/query-param-invalid")
@pytest.mark.parametrize(
    "query",
    [
        "nonsense=1", "bbox=1,2,3", "bbox=a,b,c,d", "bbox=nan,1,2,3", "bbox=0,80,1,70", "bbox=", "limit=0", "limit=x",
        "limit=-1", "offset=-1", "datetime=yesterday", "datetime=../..",
        "datetime=2026-02-01T00:00:00Z/2026-01-01T00:00:00Z",
        "datetime=2026-01-01T00:00:00Z/2026-01-02T00:00:00Z/2026-01-03T00:00:00Z", "crs=EPSG:2249",
        "bbox-crs=x&bbox=1,2,3,4",
        "filter-crs=x&filter=area_m2=1", "filter=nonsense=1", "filter=area_m2", "filter='x'", "filter=1",
        "filter-lang=sql",
        "filter-lang=cql2-json&filter=area_m2=1", "sortby=nonsense", "area_m2=text", "f=html", "f=csv", "simplify=nan",
        "simplify=-1", "geom-column=nonsense", "datetime-column=nonsense&datetime=2026-01-01T00:00:00Z",
        "offset=99999999999999999999", "ids=x",
        "limit=1&limit=2", "bbox=1e400,1,2,3", "filter=zoning_codes=1",
    ],
)  # fmt: skip
def test_unknown_or_invalid_parameters_are_refused(api: Client, query: str) -> None:
    answer = api.get(f"{ITEMS}?{query.replace(' ', '%20')}")
    assert answer.status in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@requirement(
    "/req/core/crs84",
    "/req/core/fc-op",
    "/req/core/fc-response",
    "/req/core/fc-links",
    "/req/core/fc-rel-type",
    "/req/core/fc-numberMatched",
    "/req/core/fc-numberReturned",
    "/req/geojson/definition",
    "/req/geojson/content",
)
def test_a_page_of_features(api: Client) -> None:
    answer = api.get(f"{ITEMS}?limit=5")
    assert answer.headers["content-type"] == "application/geo+json"
    page = answer.document
    assert page["type"] == "FeatureCollection"
    assert (page["numberMatched"], page["numberReturned"], len(page["features"])) == (47, 5, 5)
    assert {"self", "next"} <= set(links(page))
    assert all("type" in each and "rel" in each for each in page["links"])
    for each in page["features"]:
        west, south, east, north = shapely.geometry.shape(each["geometry"]).bounds
        assert -72 < west < east < -70
        assert 41 < south < north < 44


@requirement("/req/core/fc-limit-definition", "/req/core/fc-limit-response-1")
def test_pages_of_any_size_give_every_feature_once(api: Client) -> None:
    """A larger limit than the maximum is no error."""
    assert len(items(api)["features"]) == 10
    assert len(items(api, "limit=99999999999999999999999")["features"]) == 47
    found, target = [], f"{ITEMS}?limit=9"
    while target:
        page = api.json(target)
        assert len(page["features"]) <= 9
        found += [each["id"] for each in page["features"]]
        following = links(page).get("next")
        target = following["href"].removeprefix(f"http://127.0.0.1:{api.port}") if following else None
    assert len(found) == len(set(found)) == 47


@requirement("/req/core/fc-bbox-definition", "/req/core/fc-bbox-response")
def test_bounding_boxes(api: Client) -> None:
    assert ids(api, "bbox=-70.99895,42.0001,-70.99755,42.0005") == {"P1", "P2"}
    assert ids(api, "bbox=-70.99895,42.0001,0,-70.99755,42.0005,100") == {"P1", "P2"}
    assert ids(api, "bbox=-71.9985,43.0001,-71.9975,43.0005") == {"W1", "W2"}  # a county in EPSG:3857
    assert ids(api, "bbox=10,10,11,11") == set()
    assert ids(api, "bbox=179,42,-71.99785,44") == {"W1", "W2"}  # over the antimeridian
    assert "P40" in ids(api, "bbox=-70.9601,40,-100,43")
    assert items(api, "bbox=10,10,11,11")["numberMatched"] == 0


@requirement("/req/core/fc-time-definition", "/req/core/fc-time-response")
def test_times_and_intervals_with_their_ends(api: Client) -> None:
    day = "2026-01-{:02d}T00:00:00Z".format
    assert ids(api, f"datetime={day(3)}") == {"P2"}
    assert ids(api, f"datetime={day(3)}/{day(5)}") == {"P2", "P3", "P4"}
    assert ids(api, "datetime=2026-02-09T00:00:00Z/..") == {"P39", "P40"}
    assert {"P1", "W1"} <= ids(api, f"datetime=../{day(2)}")
    assert ids(api, "datetime=2030-01-01T00:00:00Z/") == set()


@requirement(
    "/req/core/fc-md-op",
    "/req/core/fc-md-success",
    "/req/core/fc-md-links",
    "/req/core/fc-md-items",
    "/req/core/fc-md-items-links",
    "/req/core/fc-md-extent",
    "/req/core/sfc-md-op",
    "/req/core/sfc-md-success",
    "/req/crs/fc-md-crs-list-A",
    "/req/crs/fc-md-storageCrs",
    "/req/crs/fc-md-storageCrs-valid-value",
    "/req/crs/crs-uri",
)
def test_the_collections(api: Client) -> None:
    found = api.json("/collections")
    listed = {each["id"]: each for each in found["collections"]}
    assert set(listed) == {
        "zoning.zoned_parcel", "zoning.zoned_district", "zoning.change_feature", "zoning.parcel_as_of",
        "zoning.zoning_as_of",
    }  # fmt: skip
    assert links(found)["self"]["type"] == "application/json"
    for id_, each in listed.items():
        assert api.json(f"/collections/{id_}") == each
        assert links(each)["items"]["type"] == "application/geo+json"
        assert each["crs"] == [CRS84, EPSG4326, EPSG3857]
        assert each["storageCrs"] in each["crs"]
        west, south, east, north = each["extent"]["spatial"]["bbox"][0]
        assert (round(west, 2), round(south, 2), round(east, 2), round(north, 2)) == (-72.0, 42.0, -70.95, 43.0)
    assert api.get("/collections/zoning.parcel").status == 404
    assert api.get("/collections/zoning.audit/items").status == 404
    assert api.get("/collections/pg_catalog.pg_authid/items").status == 404


@requirement("/req/core/f-op", "/req/core/f-success", "/req/core/f-links")
@pytest.mark.parametrize("of", ["zoning.zoned_parcel", "zoning.zoned_district", "zoning.change_feature"])
def test_one_feature(api: Client, of: str) -> None:
    for each in items(api, "limit=100", of)["features"]:
        answer = api.get(f"/collections/{of}/items/{each['id']}")
        assert answer.headers["content-type"] == "application/geo+json"
        assert answer.document["properties"] == each["properties"]
        assert {"self", "collection"} <= set(links(answer.document))
    assert api.get(f"/collections/{of}/items/12345").status == 404
    assert api.get(f"/collections/{of}/items/nonsense").status == 404


@requirement(
    "/req/crs/fc-crs-definition",
    "/req/crs/fc-crs-valid-value",
    "/req/crs/fc-crs-default-value",
    "/req/crs/fc-crs-action",
    "/req/crs/ogc-crs-header",
    "/req/crs/ogc-crs-header-value",
    "/req/crs/geojson",
)
def test_features_in_other_crss(api: Client) -> None:
    """EPSG:4326 has the latitude first; the header names the CRS."""
    first: dict[str, tuple[float, float]] = {}
    for uri in (None, CRS84, EPSG4326, EPSG3857):
        answer = api.get(f"{ITEMS}?parcel_id=P1" + (f"&crs={uri}" if uri else ""))
        assert answer.headers["content-crs"] == f"<{uri or CRS84}>"
        x, y = answer.document["features"][0]["geometry"]["coordinates"][0][0][0]
        first[uri or "default"] = (round(x, 2), round(y, 2)) if uri == EPSG3857 else (round(x, 3), round(y, 3))
    assert first["default"] == first[CRS84] == (-70.999, 42.0)
    assert first[EPSG4326] == (42.0, -70.999)
    assert first[EPSG3857] == (-7903572.53, 5160979.44)
    one = items(api, "parcel_id=P1")["features"][0]["id"]
    assert api.get(f"{ITEMS}/{one}?crs={EPSG3857}").headers["content-crs"] == f"<{EPSG3857}>"


@requirement(
    "/req/crs/fc-bbox-crs-definition",
    "/req/crs/fc-bbox-crs-valid-value",
    "/req/crs/fc-bbox-crs-valid-default-value",
    "/req/crs/fc-bbox-crs-action",
)
def test_bounding_boxes_in_other_crss(api: Client) -> None:
    expected = {"P1", "P2"}
    assert ids(api, f"bbox-crs={CRS84}&bbox=-70.99895,42.0001,-70.99755,42.0005") == expected
    assert ids(api, f"bbox-crs={EPSG4326}&bbox=42.0001,-70.99895,42.0005,-70.99755") == expected
    assert ids(api, f"bbox-crs={EPSG3857}&bbox=-7903567,5160995,-7903411,5161054") == expected


@requirement("queryables", "queryables-query-parameters")
def test_queryables_and_filters_by_one_column(api: Client) -> None:
    found = api.get("/collections/zoning.zoned_parcel/queryables")
    assert found.headers["content-type"] == "application/schema+json"
    assert {"parcel_id", "zoning_code", "geom", "last_changed"} <= set(found.document["properties"])
    assert ids(api, "zoning_code=B-2") == {"P1", "P2"}
    assert ids(api, f"zoning_code=B-2&jurisdiction={WEB}") == set()


@requirement(
    "/req/filter/filter-param",
    "/req/filter/filter-lang-param",
    "/req/filter/filter-crs-wgs84",
    "/req/filter/filter-crs-param",
    "/req/filter/mixing-expressions",
    "/req/filter/response",
)
def test_the_parameter_filter(api: Client) -> None:
    point = "S_INTERSECTS(geom,POINT({} {}))".format
    assert filtered(api, "parcel_id = 'P7'") == {"P7"}
    assert filtered(api, "parcel_id = 'P7'", "&filter-lang=cql2-text") == {"P7"}
    as_json = '{"op": "=", "args": [{"property": "parcel_id"}, "P7"]}'
    assert filtered(api, as_json, "&filter-lang=cql2-json") == filtered(api, as_json) == {"P7"}
    assert filtered(api, point(-70.9985, 42.0005)) == {"P1"}
    assert filtered(api, point(42.0005, -70.9985), f"&filter-crs={EPSG4326}") == {"P1"}
    assert filtered(api, point(-7903511, 5161054), f"&filter-crs={EPSG3857}") == {"P1"}
    assert filtered(api, "zoning_code = 'R-1'", "&bbox=-70.99895,42.0001,-70.9965,42.0005") == {"P3"}


@requirement(
    "cql2-text",
    "cql2-json",
    "basic-cql2",
    "advanced-comparison-operators",
    "case-insensitive-comparison",
    "basic-spatial-functions",
    "spatial-functions",
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zoning_code = 'B-2'", {"P1", "P2"}),
        ("zoning_code <> 'R-1' AND parcel_id LIKE 'P%'", {"P1", "P2"}),
        ("area_m2 > 99 AND area_m2 < 101 AND parcel_id = 'W1'", {"W1"}),
        ("area_m2 >= 100 AND area_m2 <= 100 AND parcel_id = 'W1'", {"W1"}),
        ("NOT (parcel_id LIKE 'P%' OR parcel_id LIKE 'W%') AND address IS NULL", {"12/34 A?b=c"}),
        ("split_zoned = TRUE AND parcel_id = 'P1'", {"P1"}),
        ("address IS NOT NULL AND parcel_id = 'P1'", {"P1"}),
        ("parcel_id IN ('P3', 'P4', 'it''s')", {"P3", "P4"}),
        ("zoning_share BETWEEN 0.5 AND 0.9 AND parcel_id = 'P1'", {"P1"}),
        ("CASEI(parcel_id) = CASEI('p5')", {"P5"}),
        ("last_changed < TIMESTAMP('2026-01-03T00:00:00Z') AND parcel_id LIKE 'P%'", {"P1"}),
        ("S_INTERSECTS(geom, BBOX(-70.99895, 42.0001, -70.99755, 42.0005))", {"P1", "P2"}),
        ("S_WITHIN(geom, POLYGON((-71 41.9, -70.998 41.9, -70.998 42.1, -71 42.1, -71 41.9)))", {"P1"}),
        ("S_CONTAINS(geom, POINT(-70.9985 42.0005))", {"P1"}),
        ("S_DISJOINT(geom, BBOX(-73, 40, -70.95, 45)) AND parcel_id LIKE '12%'", {"12/34 A?b=c"}),
        ('{"op": "and", "args": [{"op": "like", "args": [{"property": "parcel_id"}, "W%"]}, {"op": "in", "args": '
         '[{"property": "parcel_id"}, ["W1", "P1"]]}]}', {"W1"}),
    ],
)  # fmt: skip
def test_cql2(api: Client, text: str, expected: set[str]) -> None:
    assert filtered(api, text) == expected


def test_vector_tiles(api: Client) -> None:
    """Tiles have the parcels of both kinds of counties; outside of the map there is none."""
    town = api.get(f"{TILES}/{TOWN_TILE}")
    assert (town.status, town.headers["content-type"]) == (200, "application/vnd.mapbox-vector-tile")
    assert b"P7" in town.body
    assert "content-crs" not in town.headers
    web = api.get(f"{TILES}/{WEB_TILE}?properties=parcel_id")
    assert b"W3" in web.body
    assert b"Web Ave" not in web.body
    assert api.get(f"{TILES}/0/0/0?limit=1").status == 200
    for wrong in ("12/4096/0", "-1/0/0", "23/0/0", "12/a/0", "99999999999999999999/0/0"):
        assert api.get(f"{TILES}/{wrong}").status in (400, 404)
    assert api.get("/collections/zoning.zoned_parcel/tiles/Nonsense/1/0/0").status == 400


def test_the_past_by_the_functions(api: Client) -> None:
    """What was known at a time, within bounds, as features and as tiles."""
    query = f"jurisdiction={TOWN}&bbox=-70.99895,42.0001,-70.99755,42.0005&limit=100"
    now = items(api, query, "zoning.parcel_as_of")["features"]
    assert {each["properties"]["address"] for each in now} == {"1 Main St", "2 Main St"}
    assert {each["properties"]["zoning_code"] for each in now} == {"B-2"}
    then = items(api, f"{query}&system_time=2025-06-01T00:00:00Z", "zoning.parcel_as_of")["features"]
    assert {each["properties"]["address"] for each in then} == {"before 1 Main St", "before 2 Main St"}
    across = f"jurisdiction={TOWN}&bbox=179,40,-70.9901,43&limit=100"  # over the antimeridian
    assert len(items(api, across, "zoning.parcel_as_of")["features"]) == 9
    shares = items(api, query, "zoning.zoning_as_of")["features"]
    assert sorted((each["properties"]["parcel_id"], each["properties"]["code"]) for each in shares) == [
        ("P1", "B-2"), ("P1", "R-1"), ("P2", "B-2"),
    ]  # fmt: skip
    tiles = TILES.replace("zoned_parcel", "parcel_as_of")
    then_tile = api.get(f"{tiles}/{TOWN_TILE}?jurisdiction={TOWN}&system_time=2025-06-01T00:00:00Z")
    assert b"before 7 Main" in then_tile.body
    assert b"W3" in api.get(f"{tiles}/{WEB_TILE}?jurisdiction={WEB}").body
    for wrong in ("", f"jurisdiction={TOWN}&legal_time=x", f"jurisdiction={TOWN}&bounds=x", f"jurisdiction={TOWN}&x=1"):
        assert api.get(f"/collections/zoning.parcel_as_of/items?{wrong}").status == 400


def test_gdal_reads_features_and_tiles(api: Client, tmp_path: Path) -> None:
    """A client that is not ours: its pages, its CRS, its decoder of tiles."""
    source = f"OAPIF:http://127.0.0.1:{api.port}/collections/zoning.zoned_parcel"
    read = "import sys, pyogrio; pyogrio.write_dataframe(pyogrio.read_dataframe(sys.argv[1]), sys.argv[2])"
    copy = tmp_path / "copy.gpkg"  # by another process: GDAL keeps the interpreter's lock while it waits for the server
    subprocess.run([sys.executable, "-c", read, source, str(copy)], check=True, timeout=100)
    found = pyogrio.read_dataframe(copy)
    assert len(found) == found["parcel_id"].nunique() == 47
    assert [round(each, 3) for each in found.total_bounds] == [-71.999, 42.0, -70.899, 43.001]
    tile = tmp_path / "12" / "1240" / "1520.mvt"
    tile.parent.mkdir(parents=True)
    tile.write_bytes(api.get(f"{TILES}/{TOWN_TILE}").body)
    lots = pyogrio.read_dataframe(tile).to_crs("EPSG:4326").set_index("parcel_id")
    assert {"P7", "P8"} <= set(lots.index)
    assert lots.loc["P7"].geometry.distance(shapely.box(-70.993, 42, -70.9921, 42.001)) < 1e-4


def test_every_requirement_on_the_page_has_a_verdict_and_what_is_met_is_checked() -> None:
    verdicts = dict(
        re.findall(r"^\| `([^`]+)` \| [^|]+ \| (met|partly|no) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert len(verdicts) > 70
    assert {name for name, verdict in verdicts.items() if verdict == "met"} == _CHECKED
