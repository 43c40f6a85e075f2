"""OGC API Features: all rows by whatever way a server gives them, or a refusal that names why not."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.sources.ogc_api_features.fake_ogc import CRS84, FakeOgc
from tests.sources.ogc_api_features.ogc_request import asking, lots, same
from zoning_assets.errors import CrsRefused, FeedRefused, HarvestIncomplete, JurisdictionInvalid, NotALayer, ZoningError
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.ogc_api_features import ogc_source

COLLECTION = "/api/collections/lots"
EPSG_4326 = "http://www.opengis.net/def/crs/EPSG/0/4326"


async def harvest(server: FakeOgc, folder: Path, path: str = COLLECTION, **feed: Any) -> FullLayer:
    async with asking("ogc-features", server, path, folder, **{"page_size": 100, **feed}) as request:
        return await ogc_source.open_source(request)


async def refused(
    kind: type[ZoningError] | tuple[type[ZoningError], ...], server: FakeOgc, folder: Path, **feed: Any
) -> str:
    """The message of a harvest that must fail."""
    with pytest.raises(kind) as caught:
        await harvest(server, folder, **feed)
    assert not list((folder / "store").rglob("latest.json"))
    return str(caught.value)


@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"most": 30},
        {"most": 30, "refuses_more": True},
        {"next_": "drops f", "speaks": ("json",)},
        {"next_": "on the last page"},
        {"next_": "relative"},
        {"speaks": ("geojson",)},
        {"speaks": (None,)},
        {"speaks": ("json", "geojson"), "other_json": True},
        {"ids": False},
        {"etag": '"a"', "hour": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("counts", ["true", None], ids=["counted", "not counted"])
async def test_all_rows_come_whatever_the_servers_habits(tmp_path: Path, lie: dict[str, Any], counts: Any) -> None:
    """Pages throttled or refused, links without f, one link too many, no ids, no count: just the rows it has."""
    served = lots(250, shapeless=77)
    server = FakeOgc(served, counts=counts, **lie)
    whole = await harvest(server, tmp_path)
    assert same(whole, served)
    assert whole.layer["crs"] == "OGC:CRS84"
    assert "next links" in whole.here.proof["way"]


@pytest.mark.parametrize(
    "path", [COLLECTION, f"{COLLECTION}/items", f"{COLLECTION}/items?f=html&limit=5", "/api", "/api/"]
)
async def test_a_collection_may_be_named_in_any_way(tmp_path: Path, path: str) -> None:
    """By its own address, that of its items, or the landing page's and `layer`."""
    layer = {} if "collections" in path else {"layer": "lots"}
    assert same(await harvest(FakeOgc(lots(5)), tmp_path, path, **layer), lots(5))


async def test_what_the_address_says_besides_goes_with_each_request(tmp_path: Path) -> None:
    """A key in the file's address is said again where the server's links drop it."""
    server = FakeOgc(lots(250))
    await harvest(server, tmp_path, f"{COLLECTION}?key=secret")
    assert len(server.asked) > 5
    assert {query.get("key") for _, query in server.asked} == {"secret"}


async def test_a_server_that_ignores_its_own_offsets_is_refused(tmp_path: Path) -> None:
    """MapServer's way: each page is the first, and the count and the number of rows agree."""
    for counts in ("true", None):
        said = await refused(HarvestIncomplete, FakeOgc(lots(250), next_="ignores offset", counts=counts), tmp_path)
        assert "ignores its own `next` link" in said


async def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    """Without a count nothing else would end the walk."""
    said = await refused(HarvestIncomplete, FakeOgc(lots(250), next_="circle", counts=None), tmp_path)
    assert "repeats an earlier one" in said or "in a circle" in said


async def test_a_link_to_another_origin_is_not_followed(tmp_path: Path) -> None:
    """Not even one request goes there."""
    said = await refused(FeedRefused, FakeOgc(lots(250), next_="elsewhere"), tmp_path)
    assert "its `next` link points to another address: http://169.254.169.254/api" in said


@pytest.mark.parametrize("counted", [249, 251])
async def test_a_wrong_count_is_a_refusal(tmp_path: Path, counted: int) -> None:
    """One row more or less than the server counts is no proof."""
    assert "250" in await refused(HarvestIncomplete, FakeOgc(lots(250), counts=counted), tmp_path)


async def test_rows_that_change_between_two_walks_are_found_out(tmp_path: Path) -> None:
    """A server that does not count is walked through twice, and must give the same rows."""
    server = FakeOgc(lots(250), counts=None)

    async def changing(request: Any) -> Any:
        server.lots = lots(251) if request.query.get("limit") == "71" else server.lots
        return await server(request)

    async with asking("ogc-features", changing, COLLECTION, tmp_path, page_size=100) as request:
        with pytest.raises(HarvestIncomplete, match="rows of a second walk: received 251, the portal states 250"):
            await ogc_source.open_source(request)


async def test_latitude_first_is_read_as_the_answers_say(tmp_path: Path) -> None:
    """Content-Crs names the axis order; the numbers are swapped, and the proof says so."""
    served = lots(20)
    whole = await harvest(FakeOgc(served, crs=[EPSG_4326], header=EPSG_4326, swaps=True), tmp_path)
    assert same(whole, served)
    assert whole.here.proof["axes"] == "EPSG:4326 by Content-Crs; the second number is x"


async def test_an_order_that_the_bounds_deny_is_not_believed(tmp_path: Path) -> None:
    """A server that says latitude first and sends longitude first, or the other way round."""
    served = lots(20)
    for lie in ({"crs": [EPSG_4326], "header": EPSG_4326}, {"swaps": True}):
        whole = await harvest(FakeOgc(served, **lie), tmp_path)
        assert same(whole, served)
        assert "unlike its definition, as the jurisdiction's bounds show" in whole.here.proof["axes"]


async def test_rows_that_lie_nowhere_near_are_refused(tmp_path: Path) -> None:
    """Degrees said to be feet are no parcels of Cambridge, in either order."""
    feet = "http://www.opengis.net/def/crs/EPSG/0/2249"
    said = await refused(CrsRefused, FakeOgc(lots(20), crs=[feet], header=feet), tmp_path)
    assert "EPSG:2249; EPSG:2249 swapped" in said


async def test_longitude_and_latitude_are_taken_where_they_are_offered(tmp_path: Path) -> None:
    """No other CRS is asked for, and no number is swapped."""
    server = FakeOgc(lots(20), crs=[EPSG_4326, CRS84])
    await harvest(server, tmp_path)
    assert all("crs" not in query for _, query in server.asked)


@pytest.mark.parametrize(
    ("path", "why"), [("/api", "this is not a collection"), ("/other/collections/lots", "HTTP 404")]
)
async def test_an_address_of_no_collection_is_refused(tmp_path: Path, path: str, why: str) -> None:
    """One line that says what to do."""
    assert why in await refused((NotALayer, FeedRefused), FakeOgc(lots(5)), tmp_path, path=path)


async def test_records_are_no_features(tmp_path: Path) -> None:
    """A catalogue's collection is refused by its kind."""
    assert "a collection of record" in await refused(NotALayer, FakeOgc(lots(5), item_type="record"), tmp_path)


async def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The queryables are asked before a column is said to be missing: an empty layer shows none in its rows."""
    said = await refused(JurisdictionInvalid, FakeOgc([]), tmp_path, key="apn")
    assert "no column 'apn'; it has: number, pin" in said


async def test_mapserver_must_leave_out_no_number(tmp_path: Path) -> None:
    """Its count is that of the rows it shows; only ids without a gap prove that there are no others."""
    title = "Items for this collection as GeoJSON"
    whole = await harvest(FakeOgc(lots(250), title=title), tmp_path)
    assert whole.here.proof["rows that the server hides"] == "none: its ids are 1 to 250 without a gap"
    shown = [lot for lot in lots(250) if lot[0] != 77]
    said = await refused(HarvestIncomplete, FakeOgc(shown, title=title), tmp_path)
    assert "249 rows came, and its ids have gaps (1 in all)" in said
    whole = await harvest(FakeOgc(shown, title=title), tmp_path / "accepted", hidden_rows="accept")
    assert same(whole, shown)
    assert whole.here.proof["rows that the server hides"].startswith("accepted")


async def test_a_broken_harvest_goes_on_where_it_was(tmp_path: Path) -> None:
    """Pages that came are not asked for again."""
    server, ill = FakeOgc(lots(250)), [True]

    async def dying(request: web.Request) -> web.Response:
        if ill and request.query.get("offset") == "200":
            ill.clear()
            return web.Response(status=404, text="{}")
        return await server(request)

    async with asking("ogc-features", dying, COLLECTION, tmp_path, page_size=100) as request:
        with pytest.raises(FeedRefused):
            await ogc_source.open_source(request)
        server.asked.clear()
        whole = await ogc_source.open_source(request)
    assert same(whole, lots(250))
    assert whole.here.proof["resumed"] == "continued with 2 pages of an earlier run"
    assert [query["offset"] for _, query in server.asked if "offset" in query] == ["200"]


async def test_a_probe_costs_three_requests_at_most(tmp_path: Path) -> None:
    """And says what the stamp says, where that many are enough."""
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({}, None),
        ({"speaks": (None,)}, None),
        ({"etag": '"a"', "hour": False}, '"a"'),
        ({"etag": '"a"'}, None),  # an answer that carries the hour is new each time, and so is its tag
        ({"etag": '"a"', "hour": False, "speaks": (None,)}, None),  # no request is left to see whether it stays
    ]
    for number, (lie, tag) in enumerate(cases):
        server = FakeOgc(lots(250), **lie)
        async with asking("ogc-features", server, COLLECTION, tmp_path / str(number)) as request:
            assert await ogc_source.probe(request) == {"count": 250, **({"etag": tag} if tag else {})}
            assert request.http.tally.requests <= 3
            assert (await ogc_source.open_source(request)).stamp.keys() == {"sha256", "count", "etag"}


async def test_a_probe_of_a_server_that_says_nothing_is_empty(tmp_path: Path) -> None:
    """So that it is known that only fetching can tell."""
    async with asking("ogc-features", FakeOgc(lots(5), counts=None), COLLECTION, tmp_path) as request:
        assert await ogc_source.probe(request) == {}
