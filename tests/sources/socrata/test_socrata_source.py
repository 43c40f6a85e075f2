"""A Socrata dataset comes whole or not at all: recorded answers, and a portal that goes wrong in each known way."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.sources.portals import Counted, asking, lots, rows_of
from tests.sources.socrata.fake_socrata import ID, VIEW, FakeSocrata, row
from tests.support.shared_data import recorded
from zoning_assets.errors import (
    FeedRefused,
    HarvestIncomplete,
    JurisdictionInvalid,
    NotALayer,
    PortalBusy,
    PortalUnreachable,
    ZoningError,
)
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.socrata import socrata_source, view_metadata

LOTS = lots(1234)


def portal(**ways: Any) -> FakeSocrata:
    return FakeSocrata([row(i, *lot) for i, lot in enumerate(LOTS)], **ways)


async def opened(answers: Any, folder: Path, path: str = f"/d/{ID}", **feed: Any) -> FullLayer:
    async with asking(answers, path, folder, **{"key": "pin", "page_size": 100, **feed}) as request:
        return await socrata_source.open_source(request)


async def refused(answers: Any, folder: Path, kind: type[ZoningError], says: str, **feed: Any) -> None:
    """It fails by that name, in one line, and leaves no file that a later run could take."""
    with pytest.raises(kind, match=says) as caught:
        await opened(answers, folder, **feed)
    assert "\n" not in str(caught.value)
    assert left(folder) == []


def left(folder: Path) -> list[Path]:
    return list(folder.rglob("assembled.*"))


# Addresses.


@pytest.mark.parametrize(
    "path",
    [
        "/resource/abcd-1234.json",
        "/resource/abcd-1234.geojson?$limit=5",
        "/resource/ABCD-1234",
        "/d/abcd-1234",
        "/d/abcd-1234/about_data",
        "/datasets/abcd-1234",
        "/api/views/abcd-1234.json",
        "/Land-Use/City-Maps/abcd-1234",
        "/dataset/city-maps/abcd-1234/data",  # a name that looks like an id
    ],
)
def test_an_address_in_any_form_is_understood(path):
    """Whatever form of a dataset's address is pasted, its portal and its id are found."""
    assert view_metadata.address(f"https://data.example.org{path}", "here") == ("https://data.example.org", "abcd-1234")


@pytest.mark.parametrize("url", ["https://data.example.org/browse", "abcd-1234", "file:///resource/abcd-1234.json", ""])
def test_an_address_without_a_dataset_is_refused(url):
    """An address that names no dataset is refused, with the form that is needed."""
    with pytest.raises(NotALayer, match="has no dataset id"):
        view_metadata.address(url, "here")


# A portal as it should be.


@pytest.mark.parametrize("cap", [50_000, 37])
async def test_every_row_comes_once(tmp_path, cap):
    """1,234 rows in pages of 100, or of the 37 that the portal gives instead; the manifest says how it was proven."""
    whole = await opened(portal(cap=cap), tmp_path)
    found = rows_of(whole)
    assert found.keys() == {pin for pin, _ in LOTS}
    assert all(found[pin].equals(shape) for pin, shape in LOTS)
    assert whole.layer == {"crs": "EPSG:4326", "geometry": "the_geom", "managed": VIEW_MANAGED}
    expected = {"rows by the portal's count": 1234, "count after": 1234, "rowsUpdatedAt after": 1_700_000_000}
    assert whole.here.proof.items() >= {**expected, "pages": -(-1234 // min(cap, 100))}.items()
    assert whole.here.proof["rows are identified by"] == ":id"


VIEW_MANAGED = [":@computed_region_x1y2_z3w4", ":id"]


async def test_a_row_without_a_shape_or_a_key_is_kept(tmp_path):
    """What a row lacks is judged later; it is fetched and counted all the same."""
    rows = [row(0, "a", LOTS[0][1]), row(1, "b", None), row(2, None, LOTS[1][1])]
    found = rows_of(await opened(FakeSocrata(rows), tmp_path))
    assert (found["b"], found["a"].equals(LOTS[0][1]), found[None].equals(LOTS[1][1])) == (None, True, True)


async def test_it_is_fetched_once_for_runs_that_follow_one_another(tmp_path):
    """Opened again at once nothing is asked but the signals; a changed portal is asked for everything."""
    desk = portal()
    async with asking(desk, f"/d/{ID}", tmp_path, key="pin") as request:
        first = await socrata_source.open_source(request)
        again = await socrata_source.open_source(request)
        assert (again.stamp, desk.pages) == (first.stamp, 2)
        desk.view = {**desk.view, "rowsUpdatedAt": 1_700_000_999}
        await socrata_source.open_source(request)
        assert desk.pages == 4


async def test_another_dataset_of_the_same_count_is_not_taken_for_this_one(tmp_path):
    """The file put together last is of its address: another dataset with the same count and dates is fetched."""
    desk = portal()
    async with asking(desk, f"/d/{ID}", tmp_path, key="pin") as request:
        await socrata_source.open_source(request)
        desk.rows = [row(i, f"other-{i}", shape) for i, (_, shape) in enumerate(LOTS)]
        desk.view = {**VIEW, "id": "wxyz-9876"}
        url = request.feed.url.replace(ID, "wxyz-9876")
        other = await socrata_source.open_source(replace(request, feed=replace(request.feed, url=url)))
    assert "other-7" in rows_of(other)


async def test_a_probe_costs_two_requests_and_no_feature(tmp_path):
    """What a probe learns is what the harvest's stamp says; it asks for the metadata and the count."""
    stamp = (await opened(portal(), tmp_path)).stamp
    counted = Counted(portal())
    async with asking(counted, f"/d/{ID}", tmp_path, key="pin") as request:
        assert {"sha256": stamp["sha256"], **await socrata_source.probe(request)} == stamp
        assert request.http.tally.requests == 2
    assert [path for path, _ in counted.asked] == [f"/api/views/{ID}.json", f"/resource/{ID}.json"]


# A portal that goes wrong.


async def test_rows_without_order_are_refused(tmp_path):
    """A portal that ignores $order repeats rows and leaves others out, to the right number: refused."""
    await refused(portal(orders=False), tmp_path, HarvestIncomplete, r"\d+ of 1,234 rows came twice")


async def test_a_portal_that_ignores_offsets_is_refused(tmp_path):
    """The same page again ends the walk at once."""
    desk = portal(moves=False)
    await refused(desk, tmp_path, HarvestIncomplete, "the page at row 100 repeats an earlier one")
    assert desk.pages == 2


@pytest.mark.parametrize(("count", "says"), [("1235", "received 1234, the portal states 1235"), ("1200", "more rows")])
async def test_a_count_that_differs_is_refused(tmp_path, count, says):
    """Fewer rows than counted, or more: nothing is proven."""
    await refused(portal(count=count), tmp_path, HarvestIncomplete, says)


@pytest.mark.parametrize("count", ["", "-5", "1e3", True, 10**15, [3], {"n": 1}])
async def test_a_portal_that_does_not_count_is_asked_twice(tmp_path, count):
    """Where the count is no number that can be, all rows are fetched twice, in pages of another size."""
    desk = portal(count=count)
    assert len(rows_of(await opened(desk, tmp_path))) == 1234
    assert desk.pages == 14 + 20  # 100 a page, then 66; each walk ends with an empty page


@pytest.mark.parametrize("way", ["edited", "added", "removed and added"])
async def test_an_edit_between_pages_is_refused(tmp_path, way):
    """What changes while it is fetched is not published: the date or the count says so."""

    def edit(desk: FakeSocrata) -> None:
        if "removed" in way:
            desk.rows = desk.rows[1:]
        if "added" in way:
            desk.rows = [*desk.rows, row(9999, "new", LOTS[0][1])]
        if way != "added":
            desk.view = {**desk.view, "rowsUpdatedAt": 1_700_009_999}

    await refused(portal(edit=edit), tmp_path, HarvestIncomplete, "the portal states|more rows came|came twice")


async def test_an_answer_in_the_making_is_waited_for(tmp_path):
    """202 is asked again, and twelve times at most."""
    assert len(rows_of(await opened(portal(preparing=3), tmp_path))) == 1234
    with pytest.raises(PortalBusy, match="HTTP 202, 12 requests"):
        await opened(portal(preparing=99), tmp_path / "again")


async def test_a_page_too_large_for_the_portal_is_asked_for_in_smaller_ones(tmp_path):
    """Where a page of 100 times out, pages of 20 are asked for from the same row."""
    whole = await opened(portal(most=25), tmp_path)
    assert len(rows_of(whole)) == 1234
    assert whole.here.proof["pages"] == 62


async def test_a_broken_harvest_goes_on_where_it_was(tmp_path):
    """A portal that dies at row 700 is not asked again for the pages before it."""
    desk = portal(broken_from=700)
    async with asking(desk, f"/d/{ID}", tmp_path, key="pin", page_size=100) as request:
        with pytest.raises(PortalUnreachable, match=r'HTTP 503, it says "Request timed out"'):
            await socrata_source.open_source(request)
        pages, desk.broken_from = desk.pages, None
        whole = await socrata_source.open_source(request)
    assert (pages, desk.pages) == (7, 14)
    assert len(rows_of(whole)) == 1234
    assert whole.here.proof["resumed"] == "continued with 7 pages of an earlier run"


async def test_a_portal_without_row_ids_is_proven_by_the_rows_themselves(tmp_path):
    """Where `:id` may not be selected, as many different rows as the portal counts are all of them."""
    whole = await opened(portal(gives_ids=False), tmp_path)
    assert len(rows_of(whole)) == 1234
    assert whole.here.proof["rows are identified by"] == "all their values"
    twins = FakeSocrata([row(7, *LOTS[0]), {**row(7, *LOTS[0]), ":id": "row-twin"}], gives_ids=False)
    await refused(twins, tmp_path / "twins", HarvestIncomplete, "1 of 2 rows came twice")


async def test_a_column_that_is_not_there_is_named_before_any_row_is_fetched(tmp_path):
    """The jurisdiction file's key is looked for in the metadata."""
    desk = portal()
    await refused(desk, tmp_path, JurisdictionInvalid, "no column 'PIN'; it has: the_geom, pin, units", key="PIN")
    assert desk.pages == 0


# Which column, which view.


def with_columns(**kinds: str) -> dict[str, Any]:
    columns = [{"fieldName": name, "dataTypeName": kind} for name, kind in {"pin": "text", **kinds}.items()]
    return {**VIEW, "columns": columns}


async def test_of_several_columns_of_shapes_one_is_named(tmp_path):
    """Never the first one: the jurisdiction file's `geometry` says which."""
    view = with_columns(the_geom="multipolygon", hull="polygon")
    says = "several columns of polygons: the_geom, hull; name one as `geometry`"
    await refused(portal(view=view), tmp_path, NotALayer, says)
    assert len(rows_of(await opened(portal(view=view), tmp_path, geometry="the_geom"))) == 1234
    await refused(portal(view=view), tmp_path / "none", NotALayer, "no column 'shape'", geometry="shape")


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (with_columns(place="location"), r"points or lines, not polygons: place \(location\)"),
        (with_columns(), "no shapes, only: pin"),
        ({**VIEW, "columns": [], "viewType": "blobby"}, "the view is blobby and has no rows"),
        ({**VIEW, "columns": "many", "viewType": 7}, "of an unknown type"),
    ],
)
async def test_a_view_without_polygons_is_refused_by_name(tmp_path, view, says):
    """Points, tables and files are no layer of parcels."""
    await refused(portal(view=view), tmp_path, NotALayer, says)


# Recorded answers.


class Recorded:
    """A portal that gives recorded answers: by the view's id its metadata, by the question its count and pages."""

    def __init__(self, views: str, count: str, *pages: str) -> None:
        self.views, self.count, self.pages = views, count, list(pages)

    async def __call__(self, request: web.Request) -> web.Response:
        name = self.views if "/api/views/" in request.path else self.count
        if "$limit" in request.query:
            name = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
        body = name if name.startswith("[") else recorded(f"socrata/{name}").read_text()
        return web.Response(text=body, content_type="application/json")


class WithPolygons(Recorded):
    """The same, but one column is declared to hold polygons, so that the recorded pages are walked through."""

    def __init__(self, column: str, *names: str) -> None:
        super().__init__(*names)
        self.column = column

    async def __call__(self, request: web.Request) -> web.Response:
        answer = await super().__call__(request)
        if "/api/views/" in request.path:
            view = json.loads(answer.text)
            view["columns"] = [
                {**each, "dataTypeName": "polygon"} if each["fieldName"] == self.column else each
                for each in view["columns"]
            ]
            return web.json_response(view)
        return answer


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("crimes-views.json", NotALayer, r"points or lines, not polygons: incident_location \(location\)"),
        ("schools-view.json", NotALayer, r"points or lines, not polygons: shape \(location\)"),
        ("filtered-view.json", NotALayer, "no shapes, only: city_feature, common_name"),
        ("missing-views.json", FeedRefused, r"Cannot find view with id missing \(not_found\)"),
        ("403_response_json.txt", FeedRefused, "You must be logged in to access this resource"),
    ],
)
async def test_a_recorded_view_is_refused_by_name(tmp_path, name, kind, says):
    """What was recorded holds points, tables and errors: each is said, and no row is asked for."""
    counted = Counted(Recorded(name, "[]", "[]"))
    await refused(counted, tmp_path, kind, says)
    assert len(counted.asked) == 1


async def test_the_recorded_map_of_layers_leads_to_its_child(tmp_path):
    """A view of type geo has no rows and refuses $order; its one child view has them."""
    map_view = json.loads(recorded("socrata/zip-view.json").read_text())
    child = portal(view={**VIEW, "id": "jc6v-v5jn"}, others={"3rgj-95q8": map_view})
    counted = Counted(child)
    whole = await opened(counted, tmp_path, "/d/3rgj-95q8")
    assert len(rows_of(whole)) == 1234
    assert "/resource/3rgj-95q8.json" not in {path for path, _ in counted.asked}
    async with asking(child, "/d/3rgj-95q8", tmp_path, key="pin") as request:
        await socrata_source.probe(request)
        assert request.http.tally.requests == 3


async def test_a_map_of_several_layers_asks_which(tmp_path):
    """Never the first layer: the message names their addresses."""
    map_view = {**json.loads(recorded("socrata/zip-view.json").read_text()), "childViews": ["jc6v-v5jn", "abcd-0000"]}
    await refused(
        portal(others={"3rgj-95q8": map_view}), tmp_path, NotALayer, "several layers.*/d/jc6v-v5jn", path="/d/3rgj-95q8"
    )


async def test_recorded_pages_are_read_and_counted(tmp_path):
    """80 schools, without row ids: 80 different rows of 80 counted; a shape that is none is named, row by row."""
    answers = WithPolygons("shape", "schools-view.json", "schools-count.json", "schools-page.json", "[]")
    whole = await opened(answers, tmp_path, key="objectid")
    [batch] = whole.here.batches()
    assert whole.here.proof["rows by the portal's count"] == 80 == len(batch)
    assert whole.here.proof["rows are identified by"] == "all their values"
    properties = [json.loads(text) for text in batch.column("properties").to_pylist()]
    assert sorted(int(each["objectid"]) for each in properties) == list(range(1, 81))
    said = properties[0]
    assert (said["name"], said["shape"]["latitude"]) == ("St. Paul School", "47.51042025500004")
    assert None not in batch.column("flaw").to_pylist()


async def test_a_recorded_page_that_falls_short_of_the_recorded_count_is_refused(tmp_path):
    """1,000 rows where the portal counted 1,001, as recorded: refused with both numbers."""
    answers = WithPolygons("incident_location", "crimes-views.json", "crimes-count.json", "crimes-page.json", "[]")
    await refused(answers, tmp_path, HarvestIncomplete, "received 1000, the portal states 1001", key="cad_cdw_id")


async def test_the_recorded_two_pages_are_one_table(tmp_path):
    """1,000 rows and then 1: the offset advances by the rows received, and an empty page ends it."""
    pages = ("bike_counts_page_1.json", "bike_counts_page_2.json", "[]")
    answers = WithPolygons("shape", "schools-view.json", "crimes-count.json", *pages)
    whole = await opened(answers, tmp_path, key="objectid")
    assert sum(map(len, whole.here.batches())) == 1001


@pytest.mark.parametrize(
    ("first", "kind", "says"),
    [
        ("zip-first.json", FeedRefused, r"Unrecognized arguments \[\$order:id\]"),
        ("filtered-first.json", FeedRefused, r"Unrecognized arguments \[limit\]"),
        ("missing-first.json", FeedRefused, r"No service found for this URL. \(not_found\)"),
        ("403_response_json.txt", FeedRefused, "You must be logged in"),
        ("schools-first.json", PortalUnreachable, "Internal error"),
    ],
)
async def test_a_recorded_error_in_place_of_a_page_is_said(tmp_path, first, kind, says):
    """An error with status 200 is no page; one that may pass is asked again, and then the portal is unreachable."""
    await refused(
        WithPolygons("shape", "schools-view.json", "schools-count.json", first), tmp_path, kind, says, key="objectid"
    )
