"""WFS 2.0 and 1.1: all rows by whatever way a server gives them, or a refusal that names why not."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.sources.ogc_api_features.ogc_request import asking, lots, same
from tests.sources.wfs.fake_wfs import NAMESPACES, FakeWfs, refusal
from zoning_assets.errors import (
    CrsRefused,
    FeedRefused,
    HarvestIncomplete,
    NotALayer,
    PortalUnreachable,
    ZoningError,
)
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.wfs import wfs_source

GML_ONLY: dict[str, Any] = {"formats": ()}
ONE_ONE: dict[str, Any] = {"versions": ("1.1.0",)}


async def harvest(server: FakeWfs, folder: Path, path: str = "/wfs", **feed: Any) -> FullLayer:
    async with asking("wfs", server, path, folder, **{"layer": "lots", **feed}) as request:
        return await wfs_source.open_source(request)


async def refused(kind: type[ZoningError], server: FakeWfs, folder: Path, **feed: Any) -> str:
    """The message of a harvest that must fail."""
    with pytest.raises(kind) as caught:
        await harvest(server, folder, **feed)
    return str(caught.value)


@pytest.mark.parametrize("version", [{}, ONE_ONE], ids=["2.0", "1.1"])
@pytest.mark.parametrize("form", [{}, GML_ONLY], ids=["geojson", "gml"])
@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"sorts": False},
        {"pages": "sorted"},
        {"ids": None},
        {"ids": "new"},
        {"most": 30},
        {"hits": "unknown"},
        {"hits": "page", "most": 100},
        {"refuses_behind": True},
        {"pages": False},
    ],
    ids=str,
)
async def test_all_rows_come_whatever_the_servers_habits(
    tmp_path: Path, version: dict[str, Any], form: dict[str, Any], lie: dict[str, Any]
) -> None:
    """Sorting refused or needed, ids missing or made up, answers cut short, counts that are unknown or a page's."""
    served = lots(250, shapeless=77)
    server = FakeWfs(served, **version, **form, **lie)
    whole = await harvest(server, tmp_path)
    assert same(whole, served)
    assert whole.here.proof["way"].startswith("GML" if form else "GeoJSON")
    assert whole.layer["crs"] == ("EPSG:4326" if form else "OGC:CRS84")
    assert ("in the server's order" in whole.here.proof["way"]) == (lie.get("sorts") is False)


async def test_geojson_that_tells_no_rows_apart_is_not_taken(tmp_path: Path) -> None:
    """MapServer's has no ids: where no column numbers rows, GML has them."""
    served = [(number, key, shape) for number, key, shape in lots(20)]
    server = FakeWfs(served, ids=None)
    server._schema = lambda: FakeWfs._schema(server).replace('name="fid"', 'name="acres"')
    whole = await harvest(server, tmp_path)
    assert whole.here.proof["way"].startswith("GML")


async def test_a_column_that_numbers_something_else_is_no_id(tmp_path: Path) -> None:
    """Rows without ids whose `fid` repeats are told apart by all that they say."""
    served = [(number // 3, key, shape) for number, key, shape in lots(20)]
    whole = await harvest(FakeWfs(served, ids=None), tmp_path)
    assert same(whole, served)
    assert whole.here.proof["way"].startswith("GML")


async def test_a_service_that_refuses_2_0_is_asked_for_1_1(tmp_path: Path) -> None:
    """Some answer a version that they do not speak with a refusal, instead of with one that they do."""
    server = FakeWfs(lots(20), **ONE_ONE)

    async def strict(request: web.Request) -> web.Response:
        if request.query["version"] == "2.0.0":
            return web.Response(status=400, text=refusal("VersionNegotiationFailed", "2.0.0"), content_type="text/xml")
        return await server(request)

    async with asking("wfs", strict, "/wfs", tmp_path, layer="lots") as request:
        assert same(await wfs_source.open_source(request), lots(20))


async def test_a_count_of_a_page_is_not_believed(tmp_path: Path) -> None:
    """MapServer's hits may be those of one page: rows stand behind them, so all is asked for twice."""
    whole = await harvest(FakeWfs(lots(250), hits="page", most=100), tmp_path)
    assert whole.here.proof["count"].startswith("not used")
    assert whole.here.proof["rows of a second walk"] == 250


@pytest.mark.parametrize("form", [{}, GML_ONLY], ids=["geojson", "gml"])
async def test_a_server_without_pages_must_give_all_at_once(tmp_path: Path, form: dict[str, Any]) -> None:
    """It ignores startIndex: what one answer holds is all, or nothing is published."""
    cut = FakeWfs(lots(250), pages=False, most=100, **form)
    assert "received 100, the portal states 250" in await refused(HarvestIncomplete, cut, tmp_path)
    uncounted = FakeWfs(lots(250), pages=False, hits="unknown", **form)
    said = await refused(HarvestIncomplete, uncounted, tmp_path)
    assert "ignores `startIndex` and does not count" in said


async def test_a_count_too_high_is_a_refusal(tmp_path: Path) -> None:
    """A row that is counted and does not come."""
    said = await refused(HarvestIncomplete, FakeWfs(lots(250), hits=251), tmp_path)
    assert "received 250, the portal states 251" in said


async def test_a_row_twice_is_a_refusal(tmp_path: Path) -> None:
    """Even where the count agrees, as one row more and one row less do."""
    for row, why in ((3, "1 rows of the page after row 200 came twice"), (103, "1 of 350 rows came twice")):
        twice = [*lots(350)[:349], lots(350)[row]] if row > 100 else [*lots(250)[:249], lots(250)[row]]
        assert why in await refused(HarvestIncomplete, FakeWfs(twice), tmp_path)


@pytest.mark.parametrize(
    ("crs", "swaps", "why"),
    [
        ("urn:ogc:def:crs:EPSG::4326", True, "the second number is x"),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", True, "the second number is x"),
        ("EPSG:4326", False, "the first number is x"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", False, "the first number is x"),
        ("urn:ogc:def:crs:EPSG::4326", False, "the first number is x, unlike its definition"),
        ("EPSG:4326", True, "the second number is x, unlike its definition"),
        ("http://www.opengis.net/gml/srs/epsg.xml#4326", True, "the second number is x, unlike its definition"),
    ],
)
async def test_the_order_of_axes_is_decided_by_the_bounds(tmp_path: Path, crs: str, swaps: bool, why: str) -> None:
    """What a name says is tried first; what was decided stands in the proof."""
    served = lots(20)
    whole = await harvest(FakeWfs(served, crs=crs, swaps=swaps, **GML_ONLY), tmp_path)
    assert same(whole, served)
    assert why in whole.here.proof["axes"]


async def test_geojson_may_be_in_degrees_whatever_the_default_crs(tmp_path: Path) -> None:
    """RFC 7946 says degrees; a page's own `crs` says otherwise, and a layer in feet is not taken for degrees."""
    served = lots(20)
    whole = await harvest(FakeWfs(served, crs="urn:ogc:def:crs:EPSG::2249"), tmp_path)
    assert whole.layer["crs"] == "OGC:CRS84"
    said = await refused(CrsRefused, FakeWfs(served, member="urn:ogc:def:crs:EPSG::2249"), tmp_path / "feet")
    assert "EPSG:2249; EPSG:2249 swapped" in said


async def test_a_crs_that_changes_between_pages_is_refused(tmp_path: Path) -> None:
    """No page is read as another's."""
    server = FakeWfs(lots(250), **GML_ONLY)

    async def turning(request: web.Request) -> web.Response:
        server.crs = "EPSG:3857" if request.query.get("startIndex") == "100" else "urn:ogc:def:crs:EPSG::4326"
        return await server(request)

    async with asking("wfs", turning, "/wfs", tmp_path, layer="lots") as request:
        with pytest.raises(CrsRefused, match="some rows are in EPSG:3857, others in urn:ogc"):
            await wfs_source.open_source(request)


async def test_a_refusal_in_an_answer_of_200_is_named(tmp_path: Path) -> None:
    """With the server's own words, and nothing of it is kept for the next run."""
    server = FakeWfs(lots(5), fault=refusal("InvalidParameterValue", "Feature type lots unknown"))
    said = await refused(FeedRefused, server, tmp_path)
    assert "the service refused the request: InvalidParameterValue: Feature type lots unknown" in said
    server.fault = None
    assert same(await harvest(server, tmp_path), lots(5))


async def test_a_refusal_that_may_pass_is_asked_again(tmp_path: Path) -> None:
    """A server out of connections is busy, not of another opinion; and one that stays so is unreachable."""
    server = FakeWfs(
        lots(5), fault=refusal("NoApplicableCode", "Could not get a connection: connection pool exhausted")
    )
    said = await refused(PortalUnreachable, server, tmp_path)
    assert "connection pool exhausted" in said


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><wfs:FeatureCollection/>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        "<html><body>Request blocked</body></html>",
        "",
        "{",
    ],
)
async def test_what_is_no_answer_is_no_answer(tmp_path: Path, body: str) -> None:
    """Document types, pages for people and nothing at all are asked again, and then given up."""
    await refused(PortalUnreachable, FakeWfs(lots(5), fault=body), tmp_path)


async def test_a_page_that_says_another_number_of_rows_is_refused(tmp_path: Path) -> None:
    """numberReturned is the server's own count of the page."""
    body = f'<wfs:FeatureCollection {NAMESPACES} numberMatched="5" numberReturned="4"></wfs:FeatureCollection>'
    server = FakeWfs(lots(5), fault=body, **GML_ONLY)
    assert "a page has 0 rows, but states 4" in await refused(HarvestIncomplete, server, tmp_path)


@pytest.mark.parametrize(
    ("lie", "layer", "why"),
    [
        ({}, "nope", "no single layer is called 'nope'; there are: t:lots, t:other"),
        ({}, None, "the service has 2 layers; there are: t:lots, t:other"),
        ({"shape": "gml:PointPropertyType"}, "lots", "this is a layer of Point, not of polygons"),
        ({"versions": ("1.0.0",)}, "lots", "supports only WFS 1.0"),
        ({"versions": ("3.0.0",)}, "lots", "WFS_Capabilities 3.0.0, not the capabilities of a WFS 2.0 or 1.1"),
    ],
)
async def test_what_is_no_layer_is_named(tmp_path: Path, lie: dict[str, Any], layer: str | None, why: str) -> None:
    """One line that says what to do."""
    assert why in await refused(NotALayer, FakeWfs(lots(5), **lie), tmp_path, layer=layer)


@pytest.mark.parametrize(
    "path",
    ["/wfs?map=CITY&service=WFS&request=GetCapabilities&version=1.1.0&typeName=t:lots", "/wfs?VERSION=1.1.0&map=CITY"],
)
async def test_the_address_may_be_that_of_any_request(tmp_path: Path, path: str) -> None:
    """Its version and layer are heeded, its own words go with each request, the rest is ours to say."""
    server = FakeWfs(lots(5))
    layer = None if "typeName" in path else "lots"
    assert same(await harvest(server, tmp_path, path, layer=layer), lots(5))
    assert {query["version"] for query in server.asked} == {"1.1.0"}
    assert {query["map"] for query in server.asked} == {"CITY"}
    assert all("typenames" not in query and "count" not in query for query in server.asked)


async def test_mapserver_must_leave_out_no_number(tmp_path: Path) -> None:
    """Its count is that of the rows it shows; only ids without a gap prove that there are no others."""
    mapserver: dict[str, Any] = {"namespace": "http://mapserver.gis.umn.edu/mapserver", "ids": None}
    whole = await harvest(FakeWfs(lots(250), **mapserver), tmp_path / "whole")
    assert whole.here.proof["rows that the server hides"] == "none: its ids are 1 to 250 without a gap"
    shown = [lot for lot in lots(250) if lot[0] != 77]
    for form in ({}, GML_ONLY):
        said = await refused(HarvestIncomplete, FakeWfs(shown, **mapserver, **form), tmp_path / "gap")
        assert "249 rows came, and its ids have gaps (1 in all)" in said
    whole = await harvest(FakeWfs(shown, **mapserver), tmp_path / "accepted", hidden_rows="accept")
    assert same(whole, shown)


async def test_a_service_that_is_described_anew_meanwhile_is_refused(tmp_path: Path) -> None:
    """updateSequence is part of the stamp."""
    server = FakeWfs(lots(250))

    async def moving(request: web.Request) -> web.Response:
        server.sequence = "8" if request.query.get("startIndex") == "200" else server.sequence
        return await server(request)

    async with asking("wfs", moving, "/wfs", tmp_path, layer="lots") as request:
        with pytest.raises(HarvestIncomplete, match="sequence after: received 8, the portal states 7"):
            await wfs_source.open_source(request)


async def test_a_probe_costs_three_requests_at_most(tmp_path: Path) -> None:
    """And no row."""
    for number, lie in enumerate(({}, ONE_ONE)):
        server = FakeWfs(lots(250), **lie)
        async with asking("wfs", server, "/wfs", tmp_path / str(number), layer="lots") as request:
            assert await wfs_source.probe(request) == {"count": 250, "sequence": "7"}
            assert request.http.tally.requests <= 3
            assert {**(await wfs_source.open_source(request)).stamp, "sha256": ""} == {
                "count": 250,
                "sequence": "7",
                "sha256": "",
            }
        assert all(query.get("resulttype") == "hits" for query in server.asked[:2] if query["request"] == "GetFeature")
