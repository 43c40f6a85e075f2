"""A CKAN resource, file or table, comes whole or not at all: recorded answers, and a CKAN that goes wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import shapely
from aiohttp import web

from tests.sources.ckan.fake_ckan import FILE, TABLE, FakeCkan, resource
from tests.sources.portals import Counted, asking, lots, rows_of
from tests.support.shared_data import recorded
from zoning_assets.errors import FeedRefused, FileRefused, HarvestIncomplete, NotALayer, PortalUnreachable, ZoningError
from zoning_assets.sources.ckan import ckan_source, package_metadata
from zoning_assets.sources.ckan.package_metadata import CkanAddress
from zoning_assets.sources.full_layer import FullLayer

LOTS = lots(1234)
PATH = f"/dataset/cambridge/resource/{TABLE}"
FILE_PATH = f"/dataset/cambridge/resource/{FILE}"


def wkt(shape: shapely.Geometry) -> str:
    return str(shapely.to_wkt(shape, rounding_precision=-1))


def table(lots: list[tuple[str, Any]] = LOTS, write: Any = wkt, **ways: Any) -> FakeCkan:
    return FakeCkan([{"ml": pin, "the_geom": shape and write(shape)} for pin, shape in lots], **ways)


async def opened(answers: Any, folder: Path, path: str = PATH, **feed: Any) -> FullLayer:
    async with asking(answers, path, folder, **{"type": "ckan", "key": "ml", "page_size": 100, **feed}) as request:
        return await ckan_source.open_source(request)


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
    ("path", "address"),
    [
        ("/dataset/cambridge", ("", "cambridge", "")),
        (f"/dataset/cambridge/resource/{TABLE}", ("", "cambridge", TABLE)),
        (f"/dataset/cambridge/resource/{TABLE}/download/a.csv", ("", "cambridge", TABLE)),
        (f"/open/en/dataset/cambridge/resource/{TABLE}?view_id=1", ("/open/en", "cambridge", TABLE)),
        ("/api/3/action/package_show?id=cambridge", ("", "cambridge", "")),
        (f"/api/3/action/resource_show?id={TABLE}", ("", "", TABLE)),
        (f"/api/action/datastore_search?resource_id={TABLE}&limit=5", ("", "", TABLE)),
        (f"/data/datastore/dump/{TABLE}?bom=True", ("/data", "", TABLE)),
    ],
)
def test_an_address_in_any_form_is_understood(path, address):
    """A page of CKAN, an action of its API or a dump: the portal's root, the package and the resource are found."""
    root, package, named = address
    found = package_metadata.address(f"https://data.example.org{path}", "here")
    assert found == CkanAddress(f"https://data.example.org{root}", package, named)


@pytest.mark.parametrize("url", ["https://data.example.org/about", "https://a/api/3/action/package_show", "/dataset/x"])
def test_an_address_without_a_dataset_is_refused(url):
    """An address that names neither a package nor a resource is refused, with the form that is needed."""
    with pytest.raises(NotALayer, match="names no dataset of CKAN"):
        package_metadata.address(url, "here")


# A table as it should be.


@pytest.mark.parametrize("cap", [32_000, 37])
@pytest.mark.parametrize("path", [PATH, "/dataset/cambridge", f"/api/3/action/datastore_search?resource_id={TABLE}"])
async def test_every_row_comes_once(tmp_path, cap, path):
    """1,234 rows in pages of 100, or of the 37 that CKAN silently gives instead."""
    whole = await opened(table(cap=cap), tmp_path, path)
    found = rows_of(whole)
    assert found.keys() == {pin for pin, _ in LOTS}
    assert all(found[pin].equals(shape) for pin, shape in LOTS)
    assert whole.layer == {"crs": None, "geometry": "the_geom", "managed": ["_id"]}
    expected = {"rows by the portal's count": 1234, "newest after": 1234, "pages": -(-1234 // min(cap, 100))}
    assert whole.here.proof.items() >= expected.items()


def ewkt(shape: shapely.Geometry) -> str:
    return f"SRID=2249;{wkt(shape)}"


def geojson_text(shape: shapely.Geometry) -> str:
    return str(shapely.to_geojson(shape))


@pytest.mark.parametrize(
    ("write", "crs"),
    [(wkt, None), (ewkt, "EPSG:2249"), (geojson_text, None), (shapely.geometry.mapping, None)],
)
async def test_a_shape_is_read_however_it_is_written(tmp_path, write, crs):
    """WKT, EWKT with its SRID, GeoJSON as text or as JSON: the column is found by its values."""
    rows = [{"ml": pin, "remark": "POLYGON of land", "area_text": write(shape)} for pin, shape in LOTS[:50]]
    whole = await opened(FakeCkan(rows), tmp_path)
    assert all(rows_of(whole)[pin].equals(shape) for pin, shape in LOTS[:50])
    assert (whole.layer["crs"], whole.layer["geometry"]) == (crs, "area_text")


async def test_a_shape_that_cannot_be_read_stays_as_it_came(tmp_path):
    """Such a row is fetched and counted; its flaw and the column as it came are there to judge by."""
    texts = ["POLYGON((0 0,1 0", "CURVEPOLYGON(CIRCULARSTRING(0 0,1 1,0 0))", "SRID=26986;POLYGON((0 0,1 0,1 1,0 0))"]
    hostile = "GEOMETRYCOLLECTION(" * 50_000 + "POINT(0 0)" + ")" * 50_000  # GEOS would read it until the stack ends
    rows = [*table(write=ewkt).rows[:30], *({"ml": f"odd-{i}", "the_geom": t} for i, t in enumerate((*texts, hostile)))]
    whole = await opened(FakeCkan(rows), tmp_path)
    [batch] = whole.here.batches()
    flaws = batch.column("flaw").to_pylist()
    assert (flaws[:30], flaws[31]) == ([None] * 30, "curve")
    assert all(flaws[30:])
    assert [json.loads(text).get("the_geom") for text in batch.column("properties").to_pylist()[29:33]] == [
        None,
        *texts,
    ]


async def test_a_probe_costs_two_requests_and_no_shape(tmp_path):
    """What a probe learns is what the harvest's stamp says; one row id is all of the data that it asks for."""
    stamp = (await opened(table(), tmp_path)).stamp
    counted = Counted(table())
    async with asking(counted, PATH, tmp_path, type="ckan", key="ml") as request:
        assert {"sha256": stamp["sha256"], **await ckan_source.probe(request)} == stamp
        assert request.http.tally.requests == 2
    assert (counted.asked[1][1]["fields"], counted.asked[1][1]["limit"]) == ("_id", "1")
    assert stamp["newest"] == stamp["count"] == 1234


# A table that goes wrong.


async def test_rows_without_order_are_refused(tmp_path):
    """A CKAN that ignores `sort` repeats rows and leaves others out, to the right number: refused."""
    await refused(table(sorts=False), tmp_path, HarvestIncomplete, r"\d+ of 1,234 rows came twice|newest after")


async def test_a_ckan_that_ignores_offsets_is_refused(tmp_path):
    """The same page again ends the walk at once."""
    await refused(table(moves=False), tmp_path, HarvestIncomplete, "the page at row 100 repeats an earlier one")


@pytest.mark.parametrize(("total", "says"), [(1235, "received 1234, the portal states 1235"), (1200, "more rows")])
async def test_a_total_that_differs_is_refused(tmp_path, total, says):
    """Fewer rows than counted, or more: nothing is proven."""
    await refused(table(total=total), tmp_path, HarvestIncomplete, says)


@pytest.mark.parametrize(
    "ways", [{"estimates": True, "total": 1300}, {"total": "many"}, {"total": -1}, {"total": True}]
)
async def test_an_estimate_is_no_count(tmp_path, ways):
    """Where CKAN estimates or says nonsense, all rows are fetched twice, in pages of another size."""
    desk = table(**ways)
    whole = await opened(desk, tmp_path)
    assert (whole.stamp["count"], len(rows_of(whole)), desk.pages) == (None, 1234, 14 + 20)


def added_and_removed(desk: FakeCkan) -> None:
    desk.numbered = [*desk.numbered[1:], {"_id": 1235, "ml": "new", "the_geom": shapely.to_wkt(LOTS[0][1])}]


def added(desk: FakeCkan) -> None:
    added_and_removed(desk)
    desk.numbered = [{**desk.numbered[0], "_id": 1}, *desk.numbered]


def touched(desk: FakeCkan) -> None:
    desk.modified = "2026-11-24"


@pytest.mark.parametrize("edit", [added_and_removed, added, touched])
async def test_an_edit_between_pages_is_refused(tmp_path, edit):
    """A row removed and another added move no date of CKAN's; the newest row's id gives it away."""
    await refused(table(edit=edit), tmp_path, HarvestIncomplete, "the portal states|more rows came")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"ml": "a", "lat": "42.37", "lon": "-71.1"}], r"the table has points \(lat, lon\), no polygons"),
        ([{"ml": "a", "place": "POINT(-71.1 42.37)"}], "no column holds polygons; name one as `geometry`.*ml, place"),
        ([{"ml": "a", "one": LOTS[0][1].wkt, "other": LOTS[1][1].wkt}], "several columns hold polygons: one, other"),
        ([], "no column holds polygons"),
    ],
)
async def test_a_table_without_one_column_of_polygons_is_refused_by_name(tmp_path, rows, says):
    """Points, tables and doubts are said before any page is fetched, with the columns there are."""
    desk = FakeCkan(rows)
    await refused(desk, tmp_path, NotALayer, says)
    assert desk.pages == 0


async def test_the_jurisdiction_file_names_the_column(tmp_path):
    """Its `geometry` decides where values do not, and is refused where there is no such column."""
    rows = [{"ml": pin, "was": shapely.to_wkt(shape), "now": shapely.to_wkt(shape)} for pin, shape in LOTS[:9]]
    whole = await opened(FakeCkan(rows), tmp_path, geometry="now")
    assert (whole.layer["geometry"], len(rows_of(whole))) == ("now", 9)
    await refused(FakeCkan(rows), tmp_path / "no", NotALayer, "no column 'geom'; fix `geometry`", geometry="geom")


# Files, and which resource is meant.

COLLECTION = {
    "type": "FeatureCollection",
    "features": [
        {"type": "Feature", "properties": {"ml": pin}, "geometry": shapely.geometry.mapping(shape)}
        for pin, shape in LOTS[:40]
    ],
}
UPLOADED = resource(FILE, name="lots", format="GeoJSON", url_type="upload", datastore_active=False, url="/f.geojson")


def with_file(**says: Any) -> FakeCkan:
    files = {"/f.geojson": json.dumps(COLLECTION).encode()}
    return FakeCkan([], resources=[{**UPLOADED, **says}, resource(TABLE)], files=files)


async def test_a_file_is_handed_over_to_download(tmp_path):
    """A resource that is a file is fetched as such, conditionally; what CKAN says of it stands in the stamp."""
    counted = Counted(with_file())
    async with asking(counted, FILE_PATH, tmp_path, type="ckan", key="ml") as request:
        first = await ckan_source.open_source(request)
        again = await ckan_source.open_source(request)
        assert request.http.tally.requests == 4
        assert len(rows_of(again)) == 40
        assert first.stamp == again.stamp
        assert first.stamp.items() >= (await ckan_source.probe(request)).items()
        assert request.http.tally.requests == 5
    assert first.stamp["package_modified"] == "2026-11-23T23:10:43.941311"


async def test_a_file_that_lies_elsewhere_is_probed_itself(tmp_path):
    """CKAN's dates say nothing of a file on another server: the probe asks whether it changed."""
    desk = with_file(url_type=None)
    async with asking(desk, FILE_PATH, tmp_path, type="ckan", key="ml") as request:
        before = await ckan_source.probe(request)
        assert await ckan_source.probe(request) == before
        desk.files = {"/f.geojson": json.dumps({**COLLECTION, "features": COLLECTION["features"][1:]}).encode()}
        after = await ckan_source.probe(request)
        assert request.http.tally.requests == 6
    assert {name for name in before if before[name] != after[name]} == {"etag", "size"}


async def test_a_csv_with_a_table_is_asked_as_a_table(tmp_path):
    """A file that is not read, but has its rows in the datastore, comes from there."""
    desk = table(resources=[resource(TABLE, format="CSV", url_type="upload", url="/lots.csv")])
    assert len(rows_of(await opened(desk, tmp_path))) == 1234


async def test_a_package_of_several_layers_asks_which(tmp_path):
    """Never the first one: the message holds what to add to the address."""
    says = (
        f"2 resources of the package may be layers; add one.*'lots' is /resource/{FILE}; 'parcels' is /resource/{TABLE}"
    )
    await refused(with_file(), tmp_path, NotALayer, says, path="/dataset/cambridge")
    await refused(
        with_file(), tmp_path, NotALayer, "no single resource 'x'.*lots", path="/dataset/cambridge/resource/x"
    )
    pdf = FakeCkan([], resources=[resource(FILE, name="map", format="PDF", datastore_active=False)])
    says = "no resource of the package may be a layer.*map"
    await refused(pdf, tmp_path, NotALayer, says, path="/dataset/cambridge")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/a.zip", "//[", "", "http://10.0.0.1/a.zip", "http://localhost:5432/a.zip"]
)
async def test_nothing_of_this_machine_or_network_is_opened_because_a_stranger_names_it(tmp_path, url):
    """`download` opens paths that a jurisdiction file names; a portal may name addresses of the web only."""
    counted = Counted(with_file(url=url))
    await refused(counted, tmp_path, FeedRefused, "'lots' has an address that is not followed", path=FILE_PATH)
    assert len(counted.asked) == 1


async def test_a_path_that_a_stranger_names_is_one_of_the_portal(tmp_path):
    """A relative path is asked of the portal, which has no such file."""
    (tmp_path / "secret.geojson").write_text(json.dumps(COLLECTION))
    await refused(with_file(url=str(tmp_path / "secret.geojson")), tmp_path, FeedRefused, "HTTP 404", path=FILE_PATH)


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ({"format": "ArcGIS GeoServices REST API"}, "arcgis"),
        ({"format": "WFS"}, "wfs"),
        ({"format": "Esri REST"}, "arcgis"),
    ],
)
async def test_a_resource_that_is_a_service_names_its_feed_type(tmp_path, says, kind):
    """A link to another service is not downloaded: the message says which type asks it."""
    desk = with_file(url="https://maps.example.org/0?token=s3cret", **says)
    with pytest.raises(NotALayer, match=f'use type = "{kind}" and url = "https://maps.example.org/0"'):
        await opened(desk, tmp_path, FILE_PATH)


async def test_a_resource_that_is_no_layer_is_refused_by_its_content(tmp_path):
    """Named by the jurisdiction file, it is fetched; what it is, its bytes say."""
    desk = with_file(format="", url="/notes")
    desk.files["/notes"] = b"%PDF-1.7"
    await refused(desk, tmp_path, FileRefused, "the file is a PDF", path=FILE_PATH)


# Recorded answers.


class Recorded:
    """A CKAN that gives recorded answers, each with its recorded status."""

    def __init__(self, package: str = "package_show", search: str = "datastore_search") -> None:
        self.package, self.search = package, search

    async def __call__(self, request: web.Request) -> web.Response:
        action = request.path.rpartition("/")[2]
        name = self.package if action == "package_show" else self.search
        if int(request.query.get("offset", 0)) == 13_100:
            name = "datastore_search_cap"
        body = recorded(f"live_peers/ckan/{name}.json").read_text()
        status = int(recorded(f"live_peers/ckan/{name}.json.headers").read_text().split()[1])
        return web.Response(text=body, status=status, content_type="application/json")


NAMED = f"/dataset/cambridge-zoning/resource/{TABLE}"


async def test_the_recorded_package_asks_which(tmp_path):
    """It holds a file of zoning and a table of parcels: neither is taken for the other."""
    says = f"2 resources.*'zoning 2026-03-03' is /resource/{FILE}; 'parcels' is /resource/{TABLE}"
    await refused(Recorded(), tmp_path, NotALayer, says, path="/dataset/cambridge-zoning")


async def test_the_recorded_table_is_understood(tmp_path):
    """13,116 rows by its total, the shapes in `the_geom` as WKT; a probe says what was recorded."""
    async with asking(Recorded(), NAMED, tmp_path, type="ckan", key="ml") as request:
        said = await ckan_source.probe(request)
    assert said == {
        "count": 13_116,
        "newest": 1,  # as recorded, of a question in the other order
        "resource": TABLE,
        "package_modified": "2026-11-23T23:10:43.941311",
        "metadata_modified": "2026-11-23T23:10:43.940022",
        "last_modified": "2026-11-23T23:10:43.831165",
        "hash": "",
    }


async def test_recorded_pages_that_repeat_are_refused(tmp_path):
    """The one recorded page, given for every offset, is told from a walk that moves on."""
    await refused(Recorded(), tmp_path, HarvestIncomplete, "the page at row 3 repeats an earlier one", path=NAMED)


async def test_the_recorded_last_page_has_no_ids_and_no_shapes(tmp_path):
    """Asked with a limit of 50,000, CKAN 2.12 says 32,000 and gives the 16 rows there are: nothing of it is lost."""
    body = recorded("live_peers/ckan/datastore_search_cap.json").read_bytes()
    result = package_metadata.result_of(json.loads(body), "here")
    assert (result["limit"], len(result["records"]), result["total"]) == (32_000, 16, 13_116)
    says = "no column holds polygons; name one as `geometry`.*objectid, ml"
    await refused(Recorded(search="datastore_search_cap"), tmp_path, NotALayer, says, path=NAMED)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (Recorded(package="package_404"), 'HTTP 404, it says "Not found";'),
        (Recorded(search="notfound"), 'HTTP 404, it says "Not found: Resource "nope" was not found."'),
    ],
)
async def test_a_recorded_error_is_said(tmp_path, answers, says):
    """CKAN's own words stand in the message."""
    await refused(answers, tmp_path, FeedRefused, says, path=NAMED)


async def test_an_activity_is_no_package(tmp_path):
    """A recorded answer of another action has no result that is a package: asked again, and given up by name."""
    await refused(Recorded(package="activity"), tmp_path, PortalUnreachable, "the answer is no object", path=NAMED)
