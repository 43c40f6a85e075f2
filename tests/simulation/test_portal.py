"""The simulated portal over HTTP, as files, as a process of its own, and with real data."""

import asyncio
import io
import json
import subprocess
import sys
import zipfile
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import geopandas as gpd
import numpy as np
import orjson
import pyproj
import pytest
import shapely
from aiohttp import web

from zoning_assets.errors import PortalUnreachable
from zoning_assets.simulation.portal import served_files
from zoning_assets.simulation.portal.portal import (
    CountyReleases,
    SimulatedPortal,
    county_portal,
    serving,
    switch_release,
)
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.transform.decode.esri import esri_json

CAMBRIDGE = Path(__file__).parents[3] / "shared/data/cambridge_ma/parcels_FY2014_2249_shp.zip"
SERVICE = "/arcgis/rest/services/County"
RELEASES = CountyReleases(1200, page_rows=250)
PARCELS, ZONING = RELEASES(1)
FLAWS = RELEASES.county(1).flaws
ALL = {"where": "1=1"}
SHAPES = PARCELS.shapes.to_shapely()


def column(name, layer=PARCELS):
    return layer.columns[name]


@asynccontextmanager
async def running(**options):
    portal = county_portal(RELEASES, **options)
    async with portal.running() as address, aiohttp.ClientSession(address) as session:
        yield portal, session


# Over HTTP


async def test_metadata_of_both_kinds_of_service():
    async with running() as (_, session):
        answers = {}
        for kind in ("FeatureServer", "MapServer"):
            async with session.get(f"{SERVICE}/{kind}/0?f=json") as response:
                answers[kind] = await response.json()
            async with session.get(f"{SERVICE}/{kind}?f=json") as response:
                assert [each["name"] for each in (await response.json())["layers"]] == ["Parcels", "Zoning"]
    feature, map_ = answers["FeatureServer"], answers["MapServer"]
    assert feature["currentVersion"] == 10.91
    assert (feature["objectIdField"], feature["globalIdField"]) == ("OBJECTID", "GlobalID")
    assert feature["editingInfo"]["lastEditDate"] == RELEASES.county(1).edited_ms
    assert feature["extent"]["spatialReference"] == {"wkid": 102686, "latestWkid": 2249}
    assert feature["maxRecordCount"] == 250
    kinds = {each["name"]: each["type"] for each in feature["fields"]}
    assert kinds["OBJECTID"] == "esriFieldTypeOID"
    assert kinds["LAST_EDIT"] == "esriFieldTypeDate"
    assert kinds["GlobalID"] == "esriFieldTypeGlobalID"
    assert feature["advancedQueryCapabilities"]["supportsPagination"]
    assert "editingInfo" not in map_
    assert "objectIdField" not in map_
    assert map_["fields"] == feature["fields"]


def test_the_wkid_is_esris_number_for_the_same_crs():
    """Esri's definition and EPSG's put a point to the same place, within a thousandth of a foot."""
    point = (-71.6, 42.3)
    places = [
        pyproj.Transformer.from_crs("EPSG:4269", crs, always_xy=True).transform(*point)
        for crs in ("ESRI:102686", "EPSG:2249")
    ]
    assert places[0] == pytest.approx(places[1], abs=1e-3)


async def test_post_and_get_and_gzip_give_the_same():
    params = {**ALL, "outFields": "*", "f": "json"}
    async with running() as (portal, session):
        async with session.get(f"{SERVICE}/FeatureServer/0/query", params=params) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            one = await response.read()
        plain = {"Accept-Encoding": "identity"}
        async with session.post(f"{SERVICE}/FeatureServer/0/query", data=params, headers=plain) as response:
            assert "Content-Encoding" not in response.headers
            assert await response.read() == one
        assert portal.requests == {f"{SERVICE}/FeatureServer/0/query": 2}


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/FeatureServer/0/query", {"where": "PIN = 5"}, 400),
        ("/FeatureServer/0/query", {"where": "DROP TABLE parcels"}, 400),
        ("/FeatureServer/0/query", {}, 400),
        ("/FeatureServer/0/query", {"where": "1=1", "outFields": "NOPE"}, 400),
        ("/FeatureServer/0/query", {"where": "1=1", "resultOffset": "-1"}, 400),
        ("/FeatureServer/0/query", {"where": "1=1", "f": "amf"}, 400),
        ("/FeatureServer/0/query", {"where": "1=1", "f": "pbf", "returnCountOnly": "true"}, 400),
        ("/FeatureServer/9", {"f": "json"}, 400),
        ("/FeatureServer/0/applyEdits", {"f": "json"}, 400),
        ("X/FeatureServer", {"f": "json"}, 404),
    ],
)
async def test_errors_come_with_http_200(path, params, code):
    async with running() as (_, session), session.get(f"{SERVICE}{path}", params=params) as response:
        assert response.status == 200
        error = (await response.json())["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code


async def test_a_fault_may_answer_first_and_may_spoil_the_true_answer():
    async def spoil(request):
        if "returnCountOnly" in request.query:
            return web.Response(status=503, headers={"Retry-After": "7"})
        if "returnIdsOnly" in request.query:
            true = await portal.answered(request)
            return web.Response(body=true.body[:10])
        return None

    async with running(fault=spoil) as (portal, session):
        url = f"{SERVICE}/FeatureServer/0/query?where=1%3D1"
        async with session.get(f"{url}&returnCountOnly=true") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "7")
        async with session.get(f"{url}&returnIdsOnly=true", headers={"Accept-Encoding": "identity"}) as response:
            assert await response.read() == b'{"objectId'
        async with session.get(f"{url}&f=json") as response:
            assert len((await response.json())["features"]) == 250


async def test_the_county_changes_while_the_portal_runs():
    async with running() as (_, session):
        stamps = []
        for release in (1, 2, 1):
            async with session.post(f"/_release?release={release}") as response:
                assert response.status == 200
            async with session.get(f"{SERVICE}/FeatureServer/0?f=json") as response:
                stamps.append((await response.json())["editingInfo"]["lastEditDate"])
        async with session.post("/_release?release=99") as response:
            assert response.status == 400
    assert stamps == [RELEASES.county(each).edited_ms for each in (1, 2, 1)]


# Files


async def test_files_are_conditional():
    async with running() as (_, session):
        async with session.get("/files/parcels.geojson") as response:
            assert response.status == 200
            tag, modified = response.headers["ETag"], response.headers["Last-Modified"]
            body = await response.read()
        for header in ({"If-None-Match": tag}, {"If-Modified-Since": modified}):
            async with session.get("/files/parcels.geojson", headers=header) as response:
                assert response.status == 304
                assert await response.read() == b""
        async with session.get("/files/parcels.geojson", headers={"If-None-Match": '"x"'}) as response:
            assert await response.read() == body
        await session.post("/_release?release=2")
        async with session.get("/files/parcels.geojson", headers={"If-None-Match": tag}) as response:
            assert response.status == 200
        async with session.get("/files/nothing.geojson") as response:
            assert response.status == 404
        await session.post("/_release?release=1")


@pytest.mark.parametrize("ending", ["geojson", "zip"])
def test_a_file_holds_the_layer_and_is_always_the_same(ending, tmp_path):
    file = served_files.make_file(PARCELS, ending)
    assert served_files.make_file(PARCELS, ending).etag == file.etag
    path = tmp_path / f"parcels.{ending}"
    path.write_bytes(file.body)
    found = gpd.read_file(path).to_crs(2249)
    assert found["PIN"].isna().sum() + (found["PIN"] == "").sum() + (found["PIN"] == " ").sum() >= FLAWS["null_keys"]
    assert found["ZONE"].tolist() == column("ZONE").tolist()
    days = column("LAST_EDIT").astype("datetime64[D]").astype(str).tolist()
    assert found["LAST_EDIT"].astype(str).str[:10].tolist() == days
    assert np.allclose(np.nan_to_num(found.area), np.nan_to_num(shapely.area(SHAPES)), atol=0.5)


def test_the_zip_is_a_whole_shapefile():
    with zipfile.ZipFile(io.BytesIO(served_files.make_file(ZONING, "zip").body)) as archive:
        assert {Path(name).suffix for name in archive.namelist()} == {".shp", ".shx", ".dbf", ".prj", ".cpg"}


# A process of its own


def test_the_portal_runs_as_a_process_changes_and_stops():
    with serving(300) as address:
        before = _edited_ms(address)
        switch_release(address, 2)
        assert _edited_ms(address) > before
        with pytest.raises(PortalUnreachable):
            switch_release(address, 99)
    with pytest.raises(PortalUnreachable):
        switch_release(address, 1)


def _edited_ms(address):
    async def ask_layer():
        async with aiohttp.ClientSession() as session, session.get(f"{address}{SERVICE}/FeatureServer/0") as response:
            return (await response.json())["editingInfo"]["lastEditDate"]

    return asyncio.run(ask_layer())


def test_the_process_ends_with_the_one_that_started_it():
    command = [sys.executable, "-m", "zoning_assets.simulation.portal.portal", "--with-parent", "--parcels", "300"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["address"].startswith("http://127.0.0.1:")
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_portal_that_does_not_start_is_reported(tmp_path):
    with pytest.raises(PortalUnreachable), serving(file=tmp_path / "missing.shp"):
        pass


# Real data


@pytest.fixture(scope="module")
def cambridge():
    if not CAMBRIDGE.exists():
        pytest.skip("no Cambridge parcels here")
    return ServedLayer.from_file(CAMBRIDGE)


async def test_cambridge_is_served_page_by_page(cambridge):
    ids, empty, keys = [], 0, []
    async with SimulatedPortal([cambridge]).running() as address, aiohttp.ClientSession(address) as session:
        for _ in range(20):
            params = {**ALL, "outFields": "*", "resultOffset": len(ids), "f": "json"}
            async with session.get(f"{SERVICE}/MapServer/0/query", params=params) as response:
                page = await response.json()
            ids += [feature["attributes"]["OBJECTID"] for feature in page["features"]]
            keys += [feature["attributes"]["ML"] for feature in page["features"]]
            empty += sum(not (feature["geometry"] or {}).get("rings") for feature in page["features"])
            if not page.get("exceededTransferLimit"):
                break
    assert len(ids) == len(set(ids)) == 13_116
    assert empty == 1
    assert sum(key is None for key in keys) == 1


def test_cambridge_survives_its_way_through_the_portal(cambridge):
    source = gpd.read_file(CAMBRIDGE).sort_values("OBJECTID", kind="stable")
    body = orjson.loads(b"[" + cambridge.features(np.arange(3000), 2249, list(cambridge.columns), shapes=True) + b"]")
    shapes, _ = esri_json.shapes_of([feature["geometry"] or {} for feature in body])
    wanted = source.geometry.to_numpy()[:3000]
    there = [shape is not None for shape in shapes]
    assert np.allclose(shapely.area(shapes[there]), shapely.area(wanted[there]), rtol=1e-9)
    assert [f["attributes"]["ML"] for f in body] == source["ML"][:3000].where(source["ML"].notna(), None).tolist()
