"""Null heights, no shapes at all, swapped axes and datum shifts without their grid: right, or refused in words that
mend it."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from tests.integration.cases.publishing import published
from tests.integration.cases.serving import CasePortal, box, case, geojson, layer_of, lots, running
from tests.integration.cases.shapefiles import shapefile
from zoning_assets.errors import CrsRefused, NotALayer
from zoning_assets.http import Http
from zoning_assets.model import OWN_AXES, PARCELS, Feed, Jurisdiction
from zoning_assets.onboarding.proposal import Proposal, propose
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import crs, datum_shifts
from zoning_assets.transform.normalize import normalize

pytestmark = pytest.mark.sampled(4)
BOX = (-71.12, 42.37, -71.08, 42.40)


@pytest.mark.parametrize("name", ["case11", "case11b"])
def test_a_null_height_is_none(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    """Cases 11 and 11b: [x, y, null] is x and y."""
    with running(CasePortal({"a.geojson": case(f"11/{name}.geojson")})) as portal:
        done = published(pipeline, portal, portal.file_url("a.geojson"), tmp_path)
    assert not done.errors
    assert len(done.keys) == 20
    assert done.rejections() == []


def heights(number: int, *more: Any) -> list[list[Any]]:
    return [[*corner, *more] for corner in box(number)]


@pytest.mark.parametrize("more", [(None,), (None, None), (12.5, None), (12.5,)])
@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
@pytest.mark.parametrize("form", ["collection", "lines"])
def test_heights_of_any_kind_are_left_behind(
    pipeline: Pipeline, tmp_path: Path, more: tuple[Any, ...], kind: str, form: str
) -> None:
    """Heights and measures, null or not, in each kind of polygon."""
    rows = lots(6)
    for number, row in enumerate(rows):
        rings = [heights(number, *more)]
        row["geometry"] = {"type": kind, "coordinates": rings if kind == "Polygon" else [rings]}
    body = geojson(rows)
    if form == "lines":
        body = b"\n".join(json.dumps(each).encode() for each in json.loads(body)["features"])
    with running(CasePortal({"a.geojson": body})) as portal:
        done = published(pipeline, portal, portal.file_url("a.geojson"), tmp_path)
    assert not done.errors
    assert len(done.keys) == 6


def test_a_text_that_looks_like_a_null_height_stays(pipeline: Pipeline, tmp_path: Path) -> None:
    """Only positions lose their nulls."""
    rows = lots(
        6,
        NOTE="[1, 2, null] and, [ 1, 2, null ]",
        geometry=lambda n: {"type": "Polygon", "coordinates": [heights(n, None)]},
    )
    with running(CasePortal({"a.geojson": geojson(rows)})) as portal:
        done = published(pipeline, portal, portal.file_url("a.geojson"), tmp_path)
    assert {note for (note,) in done.parcels("attributes ->> 'NOTE'")} == {"[1, 2, null] and, [ 1, 2, null ]"}


def test_a_layer_without_a_shape_is_refused_in_one_line(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 44: twenty features with geometry null."""
    files = {"a.geojson": case("11/case44.geojson")}
    with running(CasePortal(files)) as portal, pytest.raises(NotALayer, match="none of 20 rows has a shape"):
        published(pipeline, portal, portal.file_url("a.geojson"), tmp_path)


def test_an_arcgis_layer_without_a_shape_is_refused_in_one_line(pipeline: Pipeline, tmp_path: Path) -> None:
    """The same of a layer that is asked by area."""
    layer = layer_of(lots())
    layer.rows = [(n, row[: row.index(b', "geometry"')] + b"}") for n, row in layer.rows]
    respond = layer.respond
    layer.respond = lambda asked: (
        respond(asked)
        if "geometry" not in asked
        else layer.head + b"]}"
        if asked.get("returnIdsOnly") != "true"
        else b'{"objectIdFieldName": "OBJECTID", "objectIds": []}'
    )  # type: ignore[method-assign]
    with (
        running(CasePortal(layers={"a": layer})) as portal,
        pytest.raises(NotALayer, match="none of 20 rows has a shape"),
    ):
        published(pipeline, portal, portal.layer_url("a"), tmp_path, type="arcgis")


def test_rows_without_a_shape_are_held_back_as_they_came(pipeline: Pipeline, tmp_path: Path) -> None:
    """Two of twenty: held back by name, and what is kept of them says all that the file said."""
    rows = lots(60)
    rows[3]["geometry"] = None
    with running(CasePortal({"a.geojson": geojson(rows)})) as portal:
        done = published(pipeline, portal, portal.file_url("a.geojson"), tmp_path)
    assert len(done.keys) == 59
    ((reason, raw),) = done.rejections("reason, raw")
    assert reason == "no_geometry"
    assert "12-004" in json.dumps(raw)


# Swapped axes.


def proposed_at(url: str, folder: Path, place: str | None = "us-xx-case") -> Proposal:
    """What `zoning onboard` proposes for an address."""

    async def ask() -> Proposal:
        async with Http() as http:
            return await propose(http.for_work(), url, folder, place)

    return asyncio.run(ask())


def proposed(portal: CasePortal, name: str, folder: Path, place: str | None = "us-xx-case") -> Proposal:
    return proposed_at(portal.file_url(name), folder, place)


def test_swapped_axes_are_refused_with_the_remedy(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 46: the line names the key, and with it the rows lie where they are."""
    with running(CasePortal({"a.geojson": case("18/case46.geojson")})) as portal:
        url = portal.file_url("a.geojson")
        with pytest.raises(CrsRefused, match=r'axes are swapped; set `axes = "lat-lon"`'):
            published(pipeline, portal, url, tmp_path / "refused")
        done = published(pipeline, portal, url, tmp_path, axes="lat-lon")
    assert len(done.keys) == 20
    centres = done.parcels("st_x(st_centroid(geom)), st_y(st_centroid(geom))")
    assert all(-71.12 < x < -71.08 and 42.37 < y < 42.40 for x, y in centres)


def test_swapped_axes_are_refused_with_the_column_that_is_right(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 18: another column of the table holds the shapes with x first."""
    with running(CasePortal({"a.csv": case("18/case18b.csv")})) as portal:
        url = portal.file_url("a.csv")
        with pytest.raises(CrsRefused, match='geometry = "WKT_LNG_LAT"'):
            published(pipeline, portal, url, tmp_path / "refused")
        done = published(pipeline, portal, url, tmp_path, geometry="WKT_LNG_LAT")
    assert len(done.keys) == 20


@pytest.mark.parametrize("kind", sorted(OWN_AXES))
def test_where_the_file_may_not_turn_the_axes_the_remedy_is_the_crs(kind: str) -> None:
    """An ArcGIS, OGC or WFS feed refuses `axes`; a message that named it would lead nowhere."""
    feed = Feed(PARCELS, kind, "https://x/0", key="PIN")
    place = Jurisdiction("us-xx-case", "A case", BOX, {PARCELS: feed})
    turned = shapely.Polygon([(lat, lon) for lon, lat in box(0)])
    with pytest.raises(CrsRefused, match="axes are swapped; set `crs` of the feed") as refused:
        normalize(
            Rows([{"PIN": "1"}], np.array([turned], dtype=object), {}),
            jurisdiction=place,
            feed=feed,
            layer={"crs": "EPSG:4326"},
        )
    assert "lat-lon" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"), [("case46.geojson", 'axes = "lat-lon"'), ("case18b.csv", 'geometry = "WKT_LNG_LAT"')]
)
def test_onboarding_proposes_what_is_right(pipeline: Pipeline, tmp_path: Path, name: str, said: str) -> None:
    """Never bounds in Antarctica: the column that is right, or the order of the axes; that can be synced."""
    with running(CasePortal({name: case(f"18/{name}")})) as portal:
        found = proposed(portal, name, tmp_path)
        feed = tomllib.loads(found.toml())["feeds"]["parcels"]
        way = {key: feed[key] for key in ("axes", "geometry") if key in feed}
        done = published(pipeline, portal, portal.file_url(name), tmp_path, **way)
    assert said in found.toml()
    west, south, east, north = found.bounds or (0, 0, 0, 0)
    assert -71.2 < west < east < -71.0
    assert 42.3 < south < north < 42.5
    assert len(done.keys) == 20


def swapped(rows: list[dict[str, Any]], x: float, y: float) -> bytes:
    """Lots about a place, latitude first."""
    for number, row in enumerate(rows):
        ring = [[lat - 42.38 + y, lon + 71.1 + x] for lon, lat in box(number)]
        row["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    return geojson(rows)


@pytest.mark.parametrize(("x", "y"), [(-157.86, 21.31), (-149.9, 61.2), (-66.1, 18.4), (144.75, 13.47), (-122.3, 47.6)])
def test_onboarding_knows_all_of_the_united_states(tmp_path: Path, x: float, y: float) -> None:
    """Honolulu, Anchorage, San Juan, Guam and Seattle, latitude first."""
    with running(CasePortal({"a.geojson": swapped(lots(), x, y)})) as portal:
        found = proposed(portal, "a.geojson", tmp_path)
    west, south, east, north = found.bounds or (0, 0, 0, 0)
    assert west < x + 1e-3 < east
    assert south < y + 1e-3 < north
    assert 'axes = "lat-lon"' in found.toml()


def test_onboarding_believes_the_columns_beside_the_shapes(tmp_path: Path) -> None:
    """A city elsewhere (Madrid) whose rows say LAT and LNG: the shapes are read in their order."""
    rows = lots(20, LAT=lambda n: 40.41 + n * 1e-4, LNG=lambda n: -3.70 + n * 1e-4)
    with running(CasePortal({"a.geojson": swapped(rows, -3.70, 40.41)})) as portal:
        found = proposed(portal, "a.geojson", tmp_path, "es-md-madrid")
    west, south, east, north = found.bounds or (0, 0, 0, 0)
    assert west < -3.6999 < east
    assert south < 40.4101 < north


def test_onboarding_refuses_ground_that_is_not_the_jurisdictions(tmp_path: Path) -> None:
    """A us- jurisdiction with rows in Madrid is refused, and nothing is proposed."""
    rows = lots()
    for number, row in enumerate(rows):
        row["geometry"] = {"type": "Polygon", "coordinates": [[[lon + 67.4, lat - 1.97] for lon, lat in box(number)]]}
    with (
        running(CasePortal({"a.geojson": geojson(rows)})) as portal,
        pytest.raises(CrsRefused, match="not in the United States"),
    ):
        proposed(portal, "a.geojson", tmp_path, "us-md-madrid")


# Datum shifts.


def test_nad27_without_its_grid_is_refused_in_words_that_mend_it(pipeline: Pipeline, tmp_path: Path) -> None:
    """Case 28: the grid by its name, how to fetch it, and how to allow the shift as it is."""
    bounds = [-104.75, 38.75, -104.65, 38.85]
    with running(CasePortal({"case28.zip": case("28/case28.zip")})) as portal:
        url = portal.file_url("case28.zip")
        with pytest.raises(CrsRefused) as refused:
            published(pipeline, portal, url, tmp_path / "refused", bounds=bounds)
        done = published(pipeline, portal, url, tmp_path, bounds=bounds, shift_accuracy_m=10)
    assert "us_noaa_conus.tif" in str(refused.value)
    assert "pyproj sync --file us_noaa_conus.tif" in str(refused.value)
    assert "shift_accuracy_m = 7" in str(refused.value)
    assert len(done.keys) == 20
    assert all("may be wrong by 7 m" in each.as_dict()["remark"] for each in done.outcomes)


#: Where -> a box about it.
ABOUT = {
    "Denver": (-105.0, 39.7, -104.9, 39.8),
    "Boston": (-71.2, 42.3, -71.0, 42.4),
    "Seattle": (-122.4, 47.5, -122.2, 47.7),
    "San Juan": (-66.2, 18.3, -66.0, 18.5),
    "Honolulu": (-158.2, 21.2, -157.6, 21.7),
    "London": (-0.2, 51.4, 0.1, 51.6),
    "Sydney": (150.9, -34.0, 151.3, -33.7),
    "Tokyo": (139.6, 35.6, 139.8, 35.8),
    "Madrid": (-3.8, 40.3, -3.6, 40.5),
}


@pytest.mark.parametrize(
    ("code", "place"),
    [
        *(("EPSG:4267", "Denver"), ("EPSG:26753", "Denver"), ("EPSG:26786", "Boston"), ("EPSG:4135", "Honolulu")),
        *(("EPSG:4139", "San Juan"), ("EPSG:27700", "London"), ("EPSG:4202", "Sydney"), ("EPSG:4301", "Tokyo")),
        *(("EPSG:4230", "Madrid"), ("EPSG:23030", "Madrid")),
    ],
)
def test_old_datums_without_their_grid_are_refused(code: str, place: str) -> None:
    """Each is metres off; who allows that has the remark."""
    with pytest.raises(CrsRefused, match="WGS 84 may be wrong"):
        datum_shifts.check(code, Feed(PARCELS, "download", "x"), ABOUT[place], "here")
    said = datum_shifts.check(code, Feed(PARCELS, "download", "x", shift_accuracy_m=50), ABOUT[place], "here")
    assert said is not None
    assert "may be wrong by" in said


@pytest.mark.parametrize(
    ("code", "place"),
    [
        *(("EPSG:4326", "Boston"), ("EPSG:3857", "Boston"), ("OGC:CRS84", "Boston"), ("ESRI:102100", "Boston")),
        *(("EPSG:4269", "Denver"), ("EPSG:2249", "Boston"), ("EPSG:2286", "Seattle"), ("EPSG:2926", "Seattle")),
        *(("EPSG:6318", "Denver"), ("EPSG:32161", "San Juan"), ("EPSG:26963", "Honolulu"), ("EPSG:25830", "Madrid")),
        *(("EPSG:7844", "Sydney"), ("EPSG:4283", "Sydney"), ("EPSG:6668", "Tokyo"), (None, "Boston")),
    ],
)
def test_the_datums_of_today_need_no_grid(code: str | None, place: str) -> None:
    """NAD83 and its kin count as WGS 84, as their portals have it."""
    assert datum_shifts.check(code, Feed(PARCELS, "download", "x"), ABOUT[place], "here") is None


def test_an_esri_prj_of_nad27_is_known(pipeline: Pipeline, tmp_path: Path) -> None:
    """A CRS that is only a text is judged like its number."""
    text = crs.pyproj.CRS("EPSG:4267").to_wkt("WKT1_ESRI")
    with pytest.raises(CrsRefused, match=r"us_noaa_conus\.tif"):
        datum_shifts.check(text, Feed(PARCELS, "download", "x"), BOX, "here")
    body = shapefile(tmp_path, lots(), crs="EPSG:4267")
    with running(CasePortal({"old.zip": body})) as portal, pytest.raises(CrsRefused, match=r"us_noaa_conus\.tif"):
        published(pipeline, portal, portal.file_url("old.zip"), tmp_path)
