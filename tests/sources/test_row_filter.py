"""A feed with `where` is exactly its part of the layer, or one line refuses it, with the feed and the clause."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.sources import portals
from tests.sources.ckan.fake_ckan import TABLE, FakeCkan
from tests.sources.ogc_api_features import ogc_request
from tests.sources.ogc_api_features.fake_ogc import FakeOgc
from tests.sources.opendatasoft.fake_opendatasoft import ID as DATASET
from tests.sources.opendatasoft.fake_opendatasoft import FakeOpendatasoft
from tests.sources.selecting import Selecting
from tests.sources.socrata import fake_socrata
from tests.sources.wfs import fake_wfs
from zoning_assets.errors import FeedRefused, JurisdictionInvalid, PortalUnreachable, ZoningError
from zoning_assets.sources import Request, feed_type

LOTS = portals.lots(1200)
NUMBERED = ogc_request.lots(1200)
TOWN = "pin < 'pin-000500'"
FES = (
    '<fes:Filter xmlns:fes="http://www.opengis.net/fes/2.0"><fes:PropertyIsLessThan><fes:ValueReference>fid'
    "</fes:ValueReference><fes:Literal>501</fes:Literal></fes:PropertyIsLessThan></fes:Filter>"
)


def _json_error(why: str) -> web.Response:
    return web.json_response({"error": True, "code": "query.soql", "message": why}, status=400)


def socrata() -> Selecting:
    table = [fake_socrata.row(number, pin, shape) for number, (pin, shape) in enumerate(LOTS)]
    return Selecting(fake_socrata.FakeSocrata(table), "rows", lambda row: {"pin": row["pin"]}, _json_error)


def ogc(**lie: Any) -> Selecting:
    return Selecting(FakeOgc(NUMBERED, **lie), "lots", lambda lot: {"pin": lot[1], "number": lot[0]}, _json_error)


def wfs(**lie: Any) -> Selecting:
    def refusal(why: str) -> web.Response:
        text = fake_wfs.refusal("InvalidParameterValue", why)
        return web.Response(text=text, content_type="text/xml", status=400)

    return Selecting(fake_wfs.FakeWfs(NUMBERED, **lie), "lots", lambda lot: {"pin": lot[1], "fid": lot[0]}, refusal)


def opendatasoft() -> Selecting:
    return Selecting(FakeOpendatasoft(LOTS), "lots", lambda lot: {"ml": lot[0]}, _json_error)


PATHS = {
    "socrata": f"/resource/{fake_socrata.ID}.json",
    "ogc-features": "/api/collections/lots",
    "wfs": "/wfs",
    "opendatasoft": f"/explore/dataset/{DATASET}/",
}


def asking(kind: str, answers: Any, folder: Path, where: str, **feed: Any) -> AbstractAsyncContextManager[Request]:
    key = "ml" if kind == "opendatasoft" else "pin"
    layer = {"layer": "t:lots"} if kind == "wfs" else {}
    described = {"type": kind, "key": key, "where": where, "page_size": 100, **layer, **feed}
    return portals.asking(answers, PATHS[kind], folder, **described)


@pytest.mark.parametrize(
    ("kind", "portal", "where"),
    [
        ("socrata", socrata, TOWN),
        ("ogc-features", ogc, TOWN),
        ("ogc-features", lambda: ogc(counts=None, next_="drops f", speaks=("json",)), TOWN),
        ("wfs", wfs, TOWN),
        ("wfs", wfs, FES),
        ("opendatasoft", opendatasoft, "ml < 'pin-000500'"),
    ],
)
async def test_a_feed_is_its_part_of_the_layer(tmp_path: Path, kind: str, portal: Any, where: str) -> None:
    """Five hundred of 1,200 rows, proven by the count of the part; the clause is sent as it stands in the file."""
    answers = portal()
    async with asking(kind, answers, tmp_path, where) as request:
        whole = await feed_type(kind).open_source(request)
        signals = await feed_type(kind).probe(request)
    assert portals.rows_of(whole).keys() == {pin for pin, _ in LOTS[:500]}
    assert where in answers.clauses
    assert signals.get("count", 500) == 500
    assert whole.here.proof.get("rows by the portal's count", 500) == 500


@pytest.mark.parametrize(
    ("kind", "portal"), [("socrata", socrata), ("ogc-features", ogc), ("wfs", wfs), ("opendatasoft", opendatasoft)]
)
@pytest.mark.parametrize("open_", ["open_source", "probe"])
async def test_a_refused_clause_is_one_line(tmp_path: Path, kind: str, portal: Any, open_: str) -> None:
    """It names the feed, the clause and the portal's reason, and nothing else is tried."""
    async with asking(kind, portal(), tmp_path, "town = 'Mytown'") as request:
        with pytest.raises(FeedRefused) as caught:
            await getattr(feed_type(kind), open_)(request)
    message = str(caught.value)
    for part in ("us-ma-cambridge parcels", "where = \"town = 'Mytown'\"", "no column", "fix `where`"):
        assert part in message
    assert "\n" not in message
    assert caught.value.final


async def test_a_portal_that_fails_on_a_clause(tmp_path: Path) -> None:
    """tipg answers 500 if a column does not exist. It may be an outage, so that a later try is allowed."""
    answers = ogc()
    answers.refusal = lambda why: web.json_response({"detail": why}, status=500)
    async with asking("ogc-features", answers, tmp_path, "town = 'Mytown'") as request:
        with pytest.raises(PortalUnreachable) as caught:
            await feed_type("ogc-features").open_source(request)
    assert "where = \"town = 'Mytown'\": the portal fails on it: HTTP 500" in str(caught.value)
    assert caught.value.is_temporary


@pytest.mark.parametrize(
    ("kind", "answers"),
    [("ogc-features", FakeOgc(NUMBERED)), ("wfs", fake_wfs.FakeWfs(NUMBERED))],
)
async def test_a_server_that_ignores_clauses_is_refused(tmp_path: Path, kind: str, answers: Any) -> None:
    """Else the county would be published as the town."""
    async with asking(kind, answers, tmp_path, TOWN) as request:
        with pytest.raises(FeedRefused, match="ignores it"):
            await feed_type(kind).open_source(request)


async def test_a_wfs_that_does_not_count_is_refused(tmp_path: Path) -> None:
    """It is not known whether it obeys the clause."""
    async with asking("wfs", wfs(hits="unknown"), tmp_path, TOWN) as request:
        with pytest.raises(ZoningError, match=r"feeds\.parcels\.where: the service does not count"):
            await feed_type("wfs").open_source(request)


async def test_a_filter_in_xml_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Before anything is asked with it."""
    async with asking("wfs", wfs(), tmp_path, "<Filter><a>") as request:
        with pytest.raises(JurisdictionInvalid, match="invalid XML"):
            await feed_type("wfs").open_source(request)


async def test_a_table_of_ckan_has_no_clauses(tmp_path: Path) -> None:
    """Its files have: they are read here."""
    answers, path = FakeCkan([{"pin": "a"}]), f"/dataset/cambridge/resource/{TABLE}"
    async with portals.asking(answers, path, tmp_path, type="ckan", key="pin", where=TOWN) as request:
        with pytest.raises(JurisdictionInvalid, match=r"feeds\.parcels\.where"):
            await feed_type("ckan").open_source(request)


async def test_an_edit_of_the_clause_is_another_draft(tmp_path: Path) -> None:
    """Pages of a harvest that broke off are not taken for pages of another part."""
    answers = socrata()
    answers.fake.broken_from = 200
    async with asking("socrata", answers, tmp_path, TOWN) as request:
        with pytest.raises(ZoningError):
            await feed_type("socrata").open_source(request)
    answers.fake.broken_from = None
    async with asking("socrata", answers, tmp_path, f"NOT ({TOWN})") as request:
        whole = await feed_type("socrata").open_source(request)
    assert portals.rows_of(whole).keys() == {pin for pin, _ in LOTS[500:]}
