"""The JSON API: the same data as the commands, in pages, with shapes and links."""

from dataclasses import replace

import pytest

from tests.api.conftest import REVIEW_TOKEN, SCRIPT, TOWN, WEB, Client
from tests.conftest import rows
from zoning_assets.api import change_routes
from zoning_assets.api.server_settings import ServerSettings
from zoning_assets.jurisdictions.locations import Locations
from zoning_assets.storage.postgis.records import change_records


def test_the_feed_in_pages_is_the_feed_of_the_command(api: Client) -> None:
    """Every change once, newest first, whatever the size of a page; several have the same time."""
    whole = [each["id"] for each in change_records.find(api.url, state="event")]
    for limit in (1, 7, 30, 31, 1000):
        found, cursor = [], ""
        while cursor is not None:
            page = api.json(f"/api/changes?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            assert page["total"] == len(whole) == 30
            found += [each["id"] for each in page["changes"]]
            cursor = page["next"]
        assert found == whole


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("jurisdiction=us-xx-town", 30), ("jurisdiction=us-xx-none", 0), ("kind=split", 0), ("parcel=P7", 1),
        ("min_area=251", 5), ("state=review", 1), ("since=2026-01-02T05:00Z", 7), ("until=2026-01-02T01:00Z", 3),
    ],
)  # fmt: skip
def test_filters_of_the_feed(api: Client, query: str, expected: int) -> None:
    assert api.json(f"/api/changes?{query}")["total"] == expected


@pytest.mark.parametrize(
    "query",
    [
        "kind=nonsense", "limit=0", "limit=1001", "since=yesterday", "min_area=-1", "cursor=abc", "nonsense=1",
        "limit=1&limit=2", "jurisdiction=../x", "parcel=%00", "min_area=nan", "cursor=W10",
        "cursor=WyJ4IiwgImEiLCAiYiJd",
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_400_with_a_problem_document(api: Client, query: str) -> None:
    answer = api.get(f"/api/changes?{query}")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.document["status"] == 400


def test_one_change_has_its_numbers_shape_and_links(api: Client) -> None:
    (first,) = api.json("/api/changes?parcel=P7")["changes"]
    found = api.json(f"/api/changes/{first['id']}")
    assert found["geometry"]["type"] == "Polygon"
    assert found["explain"]["rules"] == "r"
    assert any("from R-1 to B-2" in line for line in found["explain"]["lines"])
    assert found["portal"] == "https://gis.example.org/zoning"
    assert found["dagster"] == f"http://127.0.0.1:3000/assets/changes?partition={TOWN}"
    assert api.get("/api/changes/zzzzzz").status == 404


def test_the_link_of_a_change_names_the_asset_of_its_group(settings: ServerSettings) -> None:
    """In a code location of its own the asset is `us_xx/changes`."""
    grouped = replace(settings, locations=Locations(None))
    (found,) = change_records.find(settings.read_url, parcel="P7")
    link = f"http://127.0.0.1:3000/assets/us_xx/changes?partition={TOWN}"
    assert change_routes.described(grouped, found)["dagster"] == link


def test_a_parcel_has_its_life(api: Client) -> None:
    found = api.json(f"/api/parcels/{TOWN}/P7")
    assert [each["zoning_code"] for each in found["parcel"]] == ["R-0", "R-1"]
    assert found["geometry"]["type"] == "MultiPolygon"
    assert found["is_current"] is True
    assert [each["parcel_ids"] for each in found["changes"]] == [["P7"]]
    assert api.json(f"/api/parcels/{TOWN}/12/34%20A%3Fb=c")["parcel_id"] == "12/34 A?b=c"
    assert api.get(f"/api/parcels/{TOWN}/none").status == 404


def test_shapes_of_a_county_in_web_mercator_are_in_degrees(api: Client) -> None:
    (west, south), *_ = api.json(f"/api/parcels/{WEB}/W1")["geometry"]["coordinates"][0][0]
    assert (round(west, 6), round(south, 6)) == (-71.999, 43.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P1", ["P1", "P10", "P11"]), ("12 main", ["P12"]), ("2 Main", ["P2", "P12", "P22", "P32"]),
        ("Web Ave", ["W1", "W2", "W3"]), ("%25", []), ("_", []), ("nothing", []), ("12/34", ["12/34 A?b=c"]),
    ],
)  # fmt: skip
def test_search_by_id_and_address(api: Client, text: str, expected: list[str]) -> None:
    found = api.json(f"/api/search?q={text.replace(' ', '%20')}&limit=100")["results"]
    assert [each["parcel_id"] for each in found][: len(expected)] == expected
    assert bool(found) == bool(expected)
    assert all(len(each["bounds"]) == 4 for each in found)


def test_the_map_gets_what_it_draws(api: Client) -> None:
    known = {each["id"]: each for each in api.json("/api/jurisdictions")["jurisdictions"]}
    town = known[TOWN]
    assert (town["name"], town["parcels"], town["districts"], town["changes"]) == (SCRIPT, 42, 5, 30)
    assert town["rejected"] == 1
    assert [round(each, 3) for each in town["bounds"]] == [-71.0, 42.0, -70.95, 42.001]
    assert round(known[WEB]["bounds"][0], 3) == -71.999  # of its parcels: it has no districts
    legend = api.json(f"/api/legend/{TOWN}")
    assert {each["code"]: each["parcels"] for each in legend["codes"]} == {"R-1": 38, "B-2": 2, SCRIPT: 1}
    assert len({each["color"] for each in legend["codes"]}) == 3
    assert [each["changes"] for each in api.json(f"/api/releases/{TOWN}")["releases"]] == [30]
    assert api.json("/api/settings")["needs_token"] is False
    assert api.json("/api/status")["jurisdictions"]
    assert api.json("/api/holds") == {"holds": []}
    (group,) = api.json(f"/api/rejections?jurisdiction={TOWN}")["rejections"]
    assert (group["reason"], group["count"]) == ("null_key", 1)


def _decision(api: Client, id_: str, body: bytes, token: str | None = REVIEW_TOKEN) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return api.get(f"/api/reviews/{id_}", "POST", body, Content_Type="application/json", **headers).status


def test_a_review_is_decided_once_by_a_person_with_a_token(api: Client) -> None:
    """Accepted: the change is an event, and the audit has the name of the person."""
    (waiting,) = api.json("/api/reviews")["reviews"]
    accept = b'{"action": "accept", "person": "Ann"}'
    assert _decision(api, waiting["id"], accept, token=None) == 401
    assert _decision(api, waiting["id"], accept, token="wrong-0123456789abcdef") == 401  # noqa: S106
    assert _decision(api, waiting["id"], b'{"action": "drop", "person": "Ann"}') == 400
    assert _decision(api, waiting["id"], b'{"action": "accept", "person": " "}') == 400
    assert _decision(api, waiting["id"], b'{"action": "accept", "person": "A\\u0000"}') == 400
    assert _decision(api, waiting["id"], b'{"action": "accept"') == 400
    assert _decision(api, "0" * 24, accept) == 409
    assert rows(api.url, "SELECT count(*) FROM zoning.audit") == [(0,)]
    assert _decision(api, waiting["id"], accept) == 200
    assert _decision(api, waiting["id"], accept) == 409
    assert api.json("/api/reviews")["reviews"] == []
    assert api.json(f"/api/changes/{waiting['id']}")["state"] == "event"
    audit = rows(api.url, "SELECT actor, action, subject->>'change' FROM zoning.audit")
    assert audit == [("Ann", "accept", waiting["id"])]
