"""Ways through an ArcGIS layer: each gives all rows, proven, or says why not; against the simulated portal."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import web

from tests.conftest import read_toml
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock
from zoning_assets.errors import HarvestIncomplete, PortalUnreachable
from zoning_assets.model import PARCELS, Place
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal import layer_description
from zoning_assets.simulation.portal import layer_query as portal_query
from zoning_assets.simulation.portal.portal import CountyReleases, SimulatedPortal, county_portal
from zoning_assets.sources import Request
from zoning_assets.sources.arcgis import arcgis_source
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.object_store.raw_harvests import page_name, read_packed
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import feature_batches, page_readers
from zoning_assets.transform.geometry import crs

RELEASES = CountyReleases(600, page_rows=100)
LAYER = RELEASES(1)[0]
EVERY_ID = sorted(LAYER.ids.tolist())

Answered = Callable[[Mapping[str, str]], Mapping[str, Any] | bytes | None]


class Desk:
    """A portal whose answers to some queries are replaced; keeps the queries."""

    def __init__(self, instead: Answered = lambda _: None) -> None:
        self.instead, self.queries = instead, []

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        form = dict(await request.post()) if request.method == "POST" else {}
        query = {**request.query, **{k: str(v) for k, v in form.items()}, "path": request.path}
        self.queries.append(query)
        said = self.instead(query)
        if said is None:
            return None
        return web.Response(body=said if isinstance(said, bytes) else orjson.dumps(said))

    @property
    def pages(self) -> list[Mapping[str, str]]:
        """The queries for whole rows."""
        return [each for each in self.queries if each.get("outFields") == "*"]


def neither(query: Mapping[str, str]) -> Mapping[str, Any] | None:
    """A server that sends features where it should count or list."""
    asked = any(query.get(name) == "true" for name in ("returnCountOnly", "returnIdsOnly"))
    return {"features": []} if asked else None


@asynccontextmanager
async def opened(
    tmp_path: Path, desk: Desk, clock: Clock | None = None, **changes: object
) -> AsyncIterator[tuple[SimulatedPortal, Any, Request]]:
    """The county's parcels as a source."""
    portal, clock = county_portal(RELEASES, fault=desk), clock or Clock()
    async with portal.running() as address, plain_client(sleep=clock.sleep, clock=clock) as http:
        county = read_toml(tmp_path, county_toml(address), ID)
        feed = replace(county.feeds[PARCELS], **{"format": "json", **changes})
        draft = HarvestDraft(Objects(str(tmp_path / "store")), Place(ID), PARCELS)
        request = Request(county, feed, http, tmp_path / "scratch", draft)
        yield portal, await arcgis_source.open_source(request), request


def rows_of(source: Any, draft: HarvestDraft, objects: Objects) -> list[int]:
    """The object ids of all rows of a draft."""
    found: list[int] = []
    for page in draft.pages:
        body = draft_body(draft, page, objects)
        if source.form == "features":
            found += [int(each["OBJECTID"]) for each in feature_batches.read(body, {}).attributes]
        else:
            found += [each["OBJECTID"] for each in page_readers.READERS[source.form](body, {}).attributes]
    return sorted(found)


def draft_body(draft: HarvestDraft, page: Any, objects: Objects) -> bytes:
    return read_packed(objects, page_name(draft.place, draft.feed, page.name))


async def fetched(source: Any, draft: HarvestDraft) -> dict[str, Any]:
    """All pages into the draft; the proof."""
    proof: dict[str, Any] = {}
    async for _ in source.pages(draft, proof):
        pass
    return proof


async def harvested(tmp_path: Path, desk: Desk, **changes: object) -> tuple[list[int], dict[str, Any]]:
    """All rows of the layer, and the proof."""
    async with opened(tmp_path, desk, **changes) as (_, source, _request):
        draft = HarvestDraft(Objects(str(tmp_path / "store")), Place(ID), PARCELS)
        proof = await fetched(source, draft)
        return rows_of(source, draft, draft.objects), proof


@pytest.mark.parametrize("strategy", ["auto", "offset", "ranges", "ids"])
async def test_each_way_gives_every_row_once(tmp_path: Path, strategy: str) -> None:
    """What is published does not depend on how a server wants to be asked."""
    ids, proof = await harvested(tmp_path, Desk(), strategy=strategy)
    assert ids == EVERY_ID
    assert proof["strategy"] == ("ranges" if strategy == "auto" else strategy)
    assert proof["rows by the server's list"] == len(EVERY_ID)


@pytest.mark.parametrize("form", ["json", "geojson", "pbf"])
async def test_each_form_gives_every_row_where_it_lies(tmp_path: Path, form: str) -> None:
    """The same ids; and the same places, though GeoJSON comes in degrees and the others in feet."""
    async with opened(tmp_path, Desk(), format=form) as (_, source, request):
        draft = HarvestDraft(Objects(str(tmp_path / "store")), Place(ID), PARCELS)
        await fetched(source, draft)
        assert rows_of(source, draft, draft.objects) == EVERY_ID
        rows = page_readers.READERS[source.form](draft_body(draft, draft.pages[0], draft.objects), source.layer)
        points = normalize.representative_points(rows.geometry, source.layer["crs"])
        placed = points[~np.isnan(points).any(axis=1)]
        assert len(placed) > 90
        assert not crs.outside(placed, request.jurisdiction.bounds).any()


async def test_by_area_gives_every_row_once(tmp_path: Path) -> None:
    """A quadtree meets rows on its borders several times and keeps them once; rows without a place come by id."""
    ids, proof = await harvested(tmp_path, Desk(), strategy="area")
    assert (ids, proof["strategy"]) == (EVERY_ID, "area")


async def test_by_area_without_count_and_ids_no_row_is_forgotten(tmp_path: Path) -> None:
    """Rows without a shape no area meets; the statistics count them, and the harvest is refused."""
    with pytest.raises(
        HarvestIncomplete, match=r"rows were found by area, and the server counts 600 in its statistics"
    ):
        await harvested(tmp_path, Desk(neither), strategy="area")


async def test_a_server_that_neither_counts_nor_lists_is_walked_twice(tmp_path: Path) -> None:
    """us-il-cook: features come back instead of a count. Two walks in pages of other sizes must agree."""
    desk = Desk(neither)
    ids, proof = await harvested(tmp_path, desk)
    assert ids == EVERY_ID
    assert "ids of a second walk" in proof
    assert {each["resultRecordCount"] for each in desk.pages} == {"100", "70"}


async def test_a_capped_list_of_ids_does_not_end_the_walk(tmp_path: Path) -> None:
    """A list that stops at 300 of 600 is a contradiction: the rows themselves, agreeing with the count, decide."""
    few = {"objectIdFieldName": "OBJECTID", "objectIds": EVERY_ID[:300]}
    desk = Desk(lambda query: few if query.get("returnIdsOnly") == "true" else None)
    ids, _ = await harvested(tmp_path, desk)
    assert ids == EVERY_ID


async def test_a_range_that_is_ignored_is_found_out_and_another_way_taken(tmp_path: Path) -> None:
    """A server that answers each range with the first page; the proof tells what was tried before."""
    asked = {"where": "1=1", "outFields": "*", "returnGeometry": "true", "resultRecordCount": "100"}
    page = portal_query.answer(LAYER, {**asked, "orderByFields": "OBJECTID ASC"})
    ids, proof = await harvested(tmp_path, Desk(lambda q: page if ">=" in q.get("where", "") else None))
    assert ids == EVERY_ID
    assert proof["strategy"] == "offset"
    assert "ranges" in proof["tried before"]


async def test_an_ignored_offset_is_found_out(tmp_path: Path) -> None:
    """The same page again is no second page."""
    asked = {"where": "1=1", "outFields": "*", "returnGeometry": "true", "resultRecordCount": "100"}
    page = portal_query.answer(LAYER, {**asked, "orderByFields": "OBJECTID ASC"})
    desk = Desk(lambda q: page if q.get("resultOffset", "0") != "0" else None)
    with pytest.raises(HarvestIncomplete, match="ignores the offset"):
        await harvested(tmp_path, desk, strategy="offset")


@pytest.mark.parametrize("kept", ["editingInfo", "statistics", "neither"])
async def test_a_harvest_costs_its_pages_and_five_requests(tmp_path: Path, kept: str) -> None:
    """Description, count, list of ids; the pages; list and description once more."""

    def instead(query: Mapping[str, str]) -> Mapping[str, Any] | None:
        if query["path"].endswith("/0") and kept != "editingInfo":
            about = {**layer_description.layer(0, LAYER, layer_description.FEATURE)}
            about.pop("editingInfo", None)
            can = {**about["advancedQueryCapabilities"], "supportsStatistics": kept == "statistics"}
            return {**about, "advancedQueryCapabilities": can}
        return None

    desk = Desk(instead)
    ids, _ = await harvested(tmp_path, desk)
    assert ids == EVERY_ID
    assert len(desk.pages) == 6
    assert len(desk.queries) <= len(desk.pages) + 5
    assert not [each for each in desk.queries if "geometry" in each]


async def test_a_row_that_the_server_cannot_give_is_named(tmp_path: Path) -> None:
    """One shape makes every query that touches it fail: no harvest, and its id in the message."""
    poison = EVERY_ID[250]
    broken = {"error": {"code": 400, "message": "Unable to complete operation.", "details": []}}

    def instead(query: Mapping[str, str]) -> Mapping[str, Any] | None:
        if query.get("outFields") != "*" or not query["path"].endswith("/query"):
            return None
        if "objectIds" in query:
            return broken if str(poison) in query["objectIds"].split(",") else None
        return broken

    with pytest.raises(HarvestIncomplete, match=f"the server fails on the row OBJECTID {poison}"):
        await harvested(tmp_path, Desk(instead))


async def test_pages_that_are_too_large_are_asked_for_in_smaller_pieces(tmp_path: Path) -> None:
    """A server that answers HTML to pages of more than 10 rows gives all of them in the end."""

    def instead(query: Mapping[str, str]) -> bytes | None:
        return b"<html>Gateway Timeout</html>" if int(query.get("resultRecordCount", "0")) > 10 else None

    for strategy in ("offset", "ids"):
        ids, proof = await harvested(tmp_path / strategy, Desk(instead), strategy=strategy)
        assert (ids, proof["strategy"]) == (EVERY_ID, strategy)


async def test_a_harvest_that_broke_goes_on_where_it_was(tmp_path: Path) -> None:
    """No page that was stored is asked for again; and the proof says that it went on."""
    dead = [True]
    late = EVERY_ID[400]

    def instead(query: Mapping[str, str]) -> bytes | None:
        asked = query.get("outFields") == "*" and dead[0]
        later = "objectIds" in query or "resultOffset" in query or f">= {late}" in query.get("where", "")
        return b"broken" if asked and later else None

    desk, clock = Desk(instead), Clock()
    async with opened(tmp_path, desk, clock) as (_, source, _request):
        objects, place = Objects(str(tmp_path / "store")), Place(ID)
        with pytest.raises(PortalUnreachable):
            await fetched(source, HarvestDraft(objects, place, PARCELS))
        dead[0], clock.now_s = False, clock.now_s + 3600  # until then the portal is left alone
        desk.queries.clear()
        draft = HarvestDraft(objects, place, PARCELS)
        proof = await fetched(source, draft)
        assert rows_of(source, draft, objects) == EVERY_ID
        assert len(desk.pages) < 6
        assert "continued with" in proof["resumed"]


async def test_a_probe_costs_three_requests_and_no_row(tmp_path: Path) -> None:
    """And it sees what the county changed from one release to the next."""
    desk = Desk()
    async with opened(tmp_path, desk) as (portal, _, request):
        desk.queries.clear()
        first = await arcgis_source.probe(request)
        assert len(desk.queries) <= 3
        assert not desk.pages
        assert await arcgis_source.probe(request) == first
        portal.layers = list(RELEASES(2))
        assert await arcgis_source.probe(request) != first
