"""The benchmark's ArcGIS server gives true answers, counts them, and each variant costs what it says."""

import time
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
import shapely
from aiohttp.test_utils import TestServer

from benchmarks.arcgis_process import serving
from benchmarks.arcgis_query import Answer, BenchLayer, QueryError, answer
from benchmarks.arcgis_server import SERVICE, RateLimit, Server, describe
from benchmarks.arcgis_table import EDITED, EDITED_USE, ID, BenchTable, county, edited
from benchmarks.arcgis_where import rows_where
from benchmarks.variants import UNHINDERED, VARIANTS, ServerVariant

PARCELS, PAGE = 1000, 300
FEET = {"inSR": "2249"}
COUNT = '[{"statisticType": "count", "onStatisticField": "OBJECTID", "outStatisticFieldName": "n"}]'


@pytest.fixture(scope="module")
def table() -> BenchTable:
    return county(PARCELS)[0]


def offered(table: BenchTable, variant: str = "plain") -> BenchLayer:
    return BenchLayer(table, VARIANTS[variant], PAGE, shapely.STRtree(table.shapes))


def asked(layer: BenchLayer, **params: str) -> Any:
    return orjson.loads(answer(layer, params).body)


def ids_of(page: Any) -> list[int]:
    return [feature["attributes"][ID] for feature in page["features"]]


def test_the_county_is_whole_and_the_same_each_time() -> None:
    parcels, districts = county(PARCELS)
    again, _ = county(PARCELS)
    assert (len(parcels), parcels.rows["PIN"].nunique()) == (PARCELS, PARCELS)
    assert parcels.written == again.written
    assert parcels.ids[-1] > PARCELS, "object ids have gaps"
    assert (np.diff(parcels.ids) > 0).all()
    shapes = np.concatenate([parcels.shapes, districts.shapes])
    assert shapely.is_valid(shapes).all()
    assert not shapely.is_ccw(shapely.get_exterior_ring(shapes)).any()
    inside = shapely.intersects(shapely.union_all(districts.shapes), shapely.point_on_surface(parcels.shapes))
    assert inside.all()


def test_an_edit_changes_so_many_rows(table: BenchTable) -> None:
    after = edited(table, 17)
    changed = [at for at in range(PARCELS) if after.written[at] != table.written[at]]
    assert len(changed) == 17
    assert set(after.rows["USE_CODE"].iloc[changed]) == {EDITED_USE}
    assert set(after.rows[EDITED].iloc[changed]) == {after.edited_ms}
    assert after.edited_ms > table.edited_ms == table.rows[EDITED].max()
    assert [ids_of(asked(offered(after), where="1=1", resultRecordCount="5"))] == [table.ids[:5].tolist()]


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("1=1", "True"),
        ("1=0", "False"),
        ("OBJECTID = OBJECTID", "True"),
        ("OBJECTID >= 10 AND OBJECTID <= 20", "10 <= row.OBJECTID <= 20"),
        ("objectid between 10 and 20", "10 <= row.OBJECTID <= 20"),
        ("(1=1) AND OBJECTID > 990 OR OBJECTID IN (1, 3)", "row.OBJECTID > 990 or row.OBJECTID in (1, 3)"),
        ("ZONE <> 'R-1' and (USE_CODE='101' or YEAR_BUILT<1900)",
         "row.ZONE != 'R-1' and (row.USE_CODE == '101' or row.YEAR_BUILT < 1900)"),
        ("last_edited_date > TIMESTAMP '2020-09-13 12:26:40'", "row.last_edited_date > 1_600_000_000_000"),
        ("last_edited_date >= DATE '2020-09-13' OR last_edited_date IS NULL",
         "row.last_edited_date >= 1_599_955_200_000"),
        ("PIN IS NOT NULL", "True"),
    ],
)  # fmt: skip
def test_where(table: BenchTable, text: str, python: str) -> None:
    expected = [bool(eval(python, {"row": row})) for row in table.rows.itertuples()]  # noqa: S307 - texts of this test
    assert rows_where(text, table.rows).tolist() == expected


@pytest.mark.parametrize("text", ["", "OBJECTID", "OBJECTID >", "NOPE = 1", "1=1; DROP", "(1=1", "PIN > 5", "1=1 1=1"])
def test_a_where_that_makes_no_sense_is_refused(table: BenchTable, text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        rows_where(text, table.rows)
    with pytest.raises(QueryError):
        answer(offered(table), {"where": text, "f": "json"})


def test_pages_by_offset_and_by_ranges_bring_each_row_once(table: BenchTable) -> None:
    layer, ids = offered(table), table.ids
    rest = {"where": "1=1", "outFields": "*", "orderByFields": "OBJECTID ASC"}
    pages = [asked(layer, **rest, resultOffset=str(at)) for at in range(0, PARCELS, PAGE)]
    assert [number for page in pages for number in ids_of(page)] == ids.tolist()
    assert [page.get("exceededTransferLimit", False) for page in pages] == [True, True, True, False]
    spans = [ids[at : at + PAGE] for at in range(0, PARCELS, PAGE)]
    ranges = [asked(layer, where=f"OBJECTID BETWEEN {span[0]} AND {span[-1]}", outFields="*") for span in spans]
    assert [number for page in ranges for number in ids_of(page)] == ids.tolist()
    assert not any("exceededTransferLimit" in page for page in ranges)
    assert [page["features"] for page in ranges] == [page["features"] for page in pages]


def test_other_questions(table: BenchTable) -> None:
    layer, whole = offered(table), {"where": "1=1"}
    assert asked(layer, **whole, returnIdsOnly="true") == {"objectIdFieldName": ID, "objectIds": table.ids.tolist()}
    assert asked(layer, **whole, returnCountOnly="true") == {"count": PARCELS}
    three = table.ids[[7, 5, 9]].tolist()
    few = asked(layer, objectIds=",".join(map(str, three)), outFields="PIN,objectid", returnGeometry="false")
    assert ids_of(few) == sorted(three)
    assert [set(feature) for feature in few["features"]] == [{"attributes"}] * 3
    assert [set(feature["attributes"]) for feature in few["features"]] == [{"PIN", ID}] * 3
    shapes = asked(layer, objectIds=str(three[0]), outFields="PIN")["features"][0]["geometry"]["rings"]
    assert shapely.equals(shapely.Polygon(shapes[0]), table.shapes[7])
    distinct = asked(layer, **whole, outFields="ZONE", returnDistinctValues="true", returnGeometry="false")
    assert {feature["attributes"]["ZONE"] for feature in distinct["features"]} == set(table.rows["ZONE"])
    newest = asked(layer, **whole, outFields="*", orderByFields=f"{EDITED} DESC", resultRecordCount="1")
    assert newest["features"][0]["attributes"][EDITED] == table.edited_ms
    with pytest.raises(QueryError):
        answer(layer, {**whole, "f": "pbf"})


@pytest.mark.parametrize("variant", ["plain", "spatial"])
def test_by_area_the_rows_are_those_that_meet_it_and_only_a_scan_tests_them_all(
    table: BenchTable, variant: str
) -> None:
    layer = offered(table, variant)
    west, south, east, north = (table.shapes[40].bounds + np.array([5, 5, 900, 700])).tolist()
    area = shapely.Polygon([(west, south), (east, south), (west, north)])
    rings = orjson.dumps({"rings": [list(map(list, area.exterior.coords))]}).decode()
    envelope = {"geometry": f"{west},{south},{east},{north}", "geometryType": "esriGeometryEnvelope", **FEET}
    polygon = {"geometry": rings, "geometryType": "esriGeometryPolygon", **FEET}
    for params, shape in ((envelope, shapely.box(west, south, east, north)), (polygon, area)):
        found = answer(layer, {**params, "where": "OBJECTID > 0", "returnIdsOnly": "true"})
        expected = table.ids[shapely.intersects(table.shapes, shape)].tolist()
        assert orjson.loads(found.body)["objectIds"] == expected
        assert 0 < len(expected) <= found.tested
        assert (found.tested == PARCELS) == VARIANTS[variant].scans


def test_degrees_are_understood(table: BenchTable) -> None:
    layer = offered(table)
    extent = asked(layer, where="1=1", returnExtentOnly="true", outSR="4326")["extent"]
    sides = ",".join(str(extent[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
    found = asked(layer, geometry=sides, inSR="4326", returnCountOnly="true")
    assert found == {"count": PARCELS}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_knows_what_it_says(table: BenchTable, name: str) -> None:
    layer, variant = offered(table, name), VARIANTS[name]
    said = describe(0, layer)
    can = said["advancedQueryCapabilities"]
    assert (can["supportsStatistics"], can["supportsHavingClause"]) == (variant.statistics, False)
    assert said.get("editingInfo") == ({"lastEditDate": table.edited_ms} if variant.tracking else None)
    assert said.get("editFieldsInfo") == ({"editDateField": EDITED} if variant.tracking else None)
    by_zone = {"where": "1=1", "outStatistics": COUNT, "groupByFieldsForStatistics": "ZONE"}
    with pytest.raises(QueryError):
        answer(layer, {**by_zone, "having": "COUNT(OBJECTID) > 1"})
    if not variant.statistics:
        with pytest.raises(QueryError):
            answer(layer, by_zone)
        return
    counted = {row["attributes"]["ZONE"]: row["attributes"]["n"] for row in asked(layer, **by_zone)["features"]}
    assert counted == table.rows["ZONE"].value_counts().to_dict()
    assert asked(layer, where="1=1", outStatistics=COUNT)["features"] == [{"attributes": {"n": PARCELS}}]


def test_who_comes_too_early_waits_for_a_turn() -> None:
    rate_limit = RateLimit(30)
    assert [rate_limit.wait_s(100.0), rate_limit.wait_s(100.0), rate_limit.wait_s(101.0), rate_limit.wait_s(110.0)] == [
        0,
        2,
        3,
        0,
    ]
    unlimited = RateLimit(0)
    assert [unlimited.wait_s(5.0), unlimited.wait_s(5.0)] == [0, 0]


def test_what_a_limit_allows() -> None:
    assert VARIANTS["limited"].least_s(31, 4) == 60
    assert VARIANTS["latency"].least_s(40, 4) == pytest.approx(3.0)
    assert {VARIANTS[each].least_s(40, 4) for each in UNHINDERED} == {0}


@pytest.fixture
async def slow(request: pytest.FixtureRequest) -> AsyncIterator[TestServer]:
    """A server of a variant that lets clients wait."""
    variant: ServerVariant = replace(VARIANTS["plain"], **request.param)
    async with TestServer(Server(county(100), variant, PAGE).app()) as server:
        yield server


@pytest.mark.parametrize(
    ("slow", "least_s"), [({"delay_s": 0.3}, 0.3), ({"requests_per_minute": 600}, 0.2)], indirect=["slow"]
)
async def test_a_client_waits(slow: TestServer, least_s: float) -> None:
    """At least so long for three requests, on any machine; the benchmark's own questions are free."""
    async with aiohttp.ClientSession() as session:
        began = time.monotonic()
        for _ in range(3):
            async with session.get(slow.make_url(f"{SERVICE}/0")) as described_:
                assert described_.status == 200
        assert time.monotonic() - began >= least_s
        async with session.get(slow.make_url("/_counts")) as counts:
            assert (await counts.json())["Parcels"]["requests"] == 3


async def test_questions_come_by_post_too_and_a_refusal_is_an_answer(table: BenchTable) -> None:
    async with TestServer(Server(county(100), VARIANTS["plain"], PAGE).app()) as server, aiohttp.ClientSession() as web:
        url = server.make_url(f"{SERVICE}/0/query")
        async with web.post(url, data={"where": "1=1", "returnCountOnly": "true", "f": "json"}) as found:
            assert await found.json() == {"count": 100}
        async with web.get(url, params={"where": "NOPE = 1", "f": "json"}) as refused:
            assert (refused.status, (await refused.json())["error"]["code"]) == (200, 400)


def test_a_process_counts_what_it_gives() -> None:
    """Requests, rows and bytes by layer; what the benchmark itself asks is not counted."""
    with serving(100, 30, "tracked") as portal:
        assert set(portal.counts()["Parcels"].values()) == {0}
        whole = f"{portal.service}/0/query?where=1%3D1&outFields=*&f=json"
        bodies = [_get(whole), _get(whole + "&resultOffset=90"), _get(f"{portal.service}/1")]
        portal.edit(10)
        counts = portal.counts()
        assert counts["Parcels"] == {"requests": 2, "rows": 40, "bytes": len(bodies[0]) + len(bodies[1]), "tested": 0}
        assert counts["Zoning"] == {"requests": 1, "rows": 0, "bytes": len(bodies[2]), "tested": 0}
        edits = _get(f"{portal.service}/0/query?where=USE_CODE%3D'{EDITED_USE}'&returnCountOnly=true&f=json")
        assert orjson.loads(edits) == {"count": 10}
        assert portal.cpu_s > 0


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as found:  # noqa: S310 - loopback
        return bytes(found.read())


def test_no_answer_is_kept(table: BenchTable) -> None:
    """The same question twice costs the same shapes twice."""
    layer, params = offered(table, "spatial"), {"geometry": "700000,2900000,700500,2900500", "returnIdsOnly": "true"}
    first, second = answer(layer, params), answer(layer, params)
    assert first == second == Answer(first.body, 0, PARCELS)
