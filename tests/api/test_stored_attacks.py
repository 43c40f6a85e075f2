"""Texts of portals that are markup, script, formulae or control characters are only data in every answer."""

import json
from urllib.parse import quote

import pytest

from tests.api.conftest import FORMULA, REVERSED, SCRIPT, TOWN, Client

PLACES = [
    "/api/changes?limit=1000", f"/api/changes?parcel={quote(SCRIPT)}", f"/api/parcels/{TOWN}/{quote(SCRIPT)}",
    f"/api/search?q={quote(SCRIPT)}", f"/api/legend/{TOWN}", "/api/jurisdictions", "/api/rejections",
    "/collections/zoning.zoned_parcel/items?limit=100",
    f"/collections/zoning.zoned_parcel/items?parcel_id={quote(SCRIPT)}",
    f"/collections/zoning.parcel_as_of/items?jurisdiction={TOWN}&limit=100",
]  # fmt: skip


@pytest.mark.parametrize("target", PLACES)
def test_hostile_texts_are_json_strings_that_no_browser_runs(api: Client, target: str) -> None:
    """The media type is JSON and may not be guessed; the text is there as it was sent, as a JSON string."""
    answer = api.get(target, Accept="text/html,*/*")
    assert answer.status == 200
    assert answer.headers["content-type"] in ("application/json", "application/geo+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert SCRIPT in json.dumps(answer.document)
    assert answer.document is not None


def test_the_page_is_the_same_whatever_its_address(api: Client) -> None:
    """Nothing of the address or of the data is written into the page."""
    plain = api.get(f"/parcel/{TOWN}/P1")
    attack = api.get(f"/parcel/{quote(SCRIPT)}/{quote(SCRIPT)}?q={quote(SCRIPT)}")
    assert (plain.status, plain.body) == (attack.status, attack.body)
    assert SCRIPT.encode() not in attack.body


@pytest.mark.parametrize(
    "target",
    [
        f"/{quote(SCRIPT)}", f"/api/{quote(SCRIPT)}", f"/collections/{quote(SCRIPT)}/items",
        f"/api/changes?kind={quote(SCRIPT)}", f"/collections/zoning.zoned_parcel/items?filter={quote(SCRIPT)}",
        f"/api/changes?{quote(SCRIPT)}=1", f"/static/{quote(SCRIPT)}",
    ],
)  # fmt: skip
def test_errors_are_problem_documents_not_pages(api: Client, target: str) -> None:
    answer = api.get(target, Accept="text/html")
    assert answer.status in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_formulae_and_reversed_texts_are_only_texts(api: Client) -> None:
    (found,) = api.json(f"/collections/zoning.zoned_parcel/items?parcel_id={quote(SCRIPT)}")["features"]
    assert (found["properties"]["land_use"], found["properties"]["address"]) == (FORMULA, REVERSED)
    assert api.get("/collections/zoning.zoned_parcel/items?f=csv").status == 400  # no spreadsheet runs the formula
    assert api.get("/collections/zoning.zoned_parcel/items?f=html").status == 400  # the library's pages do not escape


@pytest.mark.parametrize(
    "target",
    [
        "/api/search?q=%27%3B%20DROP%20TABLE%20zoning.parcel%3B--", "/api/changes?parcel=%27%20OR%201=1--",
        "/api/parcels/us-xx-town/%27%20OR%20%271%27=%271",
        "/collections/zoning.zoned_parcel/items?parcel_id=%27%20OR%201=1--",
        "/collections/zoning.zoned_parcel/items?sortby=id%3BDROP%20TABLE%20zoning.parcel",
        "/collections/zoning.zoned_parcel/items?properties=id%22%3BDROP%20TABLE%20zoning.parcel",
        "/collections/zoning.zoned_parcel/items?ids=1)%3BDROP%20TABLE%20zoning.parcel",
        "/collections/zoning.zoned_parcel/items?geom-column=geom)%3BDROP",
        "/collections/zoning.zoned_parcel/items?filter=parcel_id%20LIKE%20%27%25%27%27%20OR%201=1--",
        "/collections/zoning.zoned_parcel/items?filter=parcel_id=%27%5C%27%27%20OR%201=1--%27",
        "/collections/zoning.parcel_as_of/items?jurisdiction=%27)%3BDROP&limit=1",
    ],
)  # fmt: skip
def test_sql_in_values_is_only_a_value(api: Client, target: str) -> None:
    """Nothing is found, or the value is refused; the tables are there."""
    answer = api.get(target)
    assert answer.status in (200, 400, 404)
    if answer.status == 200:
        found = answer.document
        empty = found.get("results", found.get("changes", found.get("features")))
        assert empty == [] or "properties=" in target
    assert api.json("/collections/zoning.zoned_parcel/items?limit=1")["numberMatched"] == 47


def test_errors_name_no_internals(api: Client) -> None:
    """No SQL, no path of a file, no name of a class."""
    for target in ("/collections/zoning.zoned_parcel/items?area_m2=x", "/api/changes?cursor=x", "/api/changes/x%27"):
        text = api.get(target).body.decode()
        assert not any(word in text for word in ("SELECT", "asyncpg", "psycopg", "Traceback", ".py", "postgresql"))
