"""`[feeds.overlays.NAME]`: overlay layers of a zoning map, with the history and the changes of all districts."""

import asyncio
import shutil
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from tests.conftest import read_toml, rows, sync
from tests.support.shared_data import cambridge
from tests.support.town import release, text
from zoning_assets.errors import AcceptanceNeeded, CrsRefused, ZoningError
from zoning_assets.model import ZONING, Jurisdiction, Place
from zoning_assets.operations.history_rollback import roll_back
from zoning_assets.operations.integrity_check import verify
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.simulation.county.county import ID, County
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.postgis.records import hold_records, release_profiles

OVERLAY = """
[feeds.overlays.flood]
type = "download"
url = "{folder}/flood.geojson"
separator = " / "
  [feeds.overlays.flood.fields]
  code = "ZONE"
"""
SHARES = """SELECT parcel_id, code, fraction FROM zoning.parcel_zoning
    WHERE facet = 'overlay' ORDER BY parcel_id, code"""
EVENTS = """SELECT kind, parcel_ids[1], old, new FROM zoning.change
    WHERE state = 'event' AND facet = 'overlay' ORDER BY kind, parcel_ids, old, new"""


@pytest.fixture(scope="module")
def county() -> County:
    return County.build(300)


def write(folder: Path, areas: dict[str, shapely.Geometry], crs: str = "EPSG:4326") -> None:
    frame = gpd.GeoDataFrame({"ZONE": list(areas)}, geometry=list(areas.values()), crs="EPSG:4326").to_crs(crs)
    frame.to_file(folder / "flood.geojson", driver="GeoJSON")


@cache
def extent() -> tuple[float, float, float, float]:
    """The extent of the county's parcels; degrees."""
    shapes = gpd.GeoSeries(County.build(300).parcels.shapes.to_shapely(), crs="EPSG:2249")
    west, south, east, north = shapes.to_crs("EPSG:4326").total_bounds
    return float(west), float(south), float(east), float(north)


def part(start: float, end: float) -> shapely.Polygon:
    """A part of the width of all parcels, from 0 to 1."""
    west, south, east, north = extent()
    return shapely.box(west + start * (east - west), south, west + end * (east - west), north)


def with_flood(folder: Path, *, overlay: bool = True) -> Jurisdiction:
    more = OVERLAY.format(folder=folder) if overlay else ""
    return read_toml(folder / "toml", text(folder, may_shrink=1.0, more=more), ID)


def publish(pipeline: Pipeline, town: Jurisdiction) -> change_detection.ReleaseChanges | None:
    """The zoning map and all that follows from it."""
    outcomes = sync(pipeline, town, ZONING)
    if error := next((each.error for each in outcomes if each.error), None):
        raise error
    change_detection.update_parcel_zoning(pipeline.database, town)
    return change_detection.detect_changes(pipeline.database, town)


@pytest.fixture
def town(pipeline: Pipeline, tmp_path: Path, county: County) -> Jurisdiction:
    """A county whose parcels are published, and its zoning map with an overlay layer of two codes."""
    release(tmp_path, county)
    write(tmp_path, {"AE": part(0, 0.5), "AE / X": part(0.5, 0.6)})
    found = with_flood(tmp_path)
    sync(pipeline, found)
    return found


def expected(database: str, areas: dict[str, shapely.Geometry]) -> dict[tuple[str, str], float]:
    """The share of each parcel in areas, computed with GeoPandas in the county's own CRS."""
    found = rows(database, "SELECT parcel_id, ST_AsBinary(geom) FROM zoning.parcel")
    lots = gpd.GeoSeries([shapely.from_wkb(bytes(wkb)) for _, wkb in found], [key for key, _ in found], "EPSG:4326")
    lots = lots.to_crs("EPSG:2249")
    result = {}
    for code, area in areas.items():
        dense = gpd.GeoSeries([shapely.segmentize(area, 0.001)], crs="EPSG:4326").to_crs("EPSG:2249")[0]
        share = lots.intersection(dense).area / lots.area
        result |= {(key, code): value for key, value in share.items() if value > 1e-3}
    return result


def test_shares_of_parcels_in_overlays(pipeline: Pipeline, database: str, town: Jurisdiction) -> None:
    """Each overlay of a code has a share of its own, beside the base zoning; a second run writes nothing."""
    publish(pipeline, town)
    found = {(key, code.removeprefix("overlay flood: ")): share for key, code, share in rows(database, SHARES)}
    wanted = expected(database, {"AE": part(0, 0.6), "X": part(0.5, 0.6)})
    assert len(wanted) > 100
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=2e-3)
    assert all(found[key] < 2e-3 for key in found.keys() - wanted.keys())
    base = "SELECT count(DISTINCT parcel_id) FROM zoning.parcel_zoning WHERE facet = 'base'"
    assert rows(database, base)[0][0] > 250
    misplaced = "SELECT count(*) FROM zoning.parcel_zoning WHERE facet = 'base' AND code LIKE 'overlay%'"
    assert rows(database, misplaced) == [(0,)]
    assert rows(database, EVENTS) == []
    batches = rows(database, "SELECT count(*) FROM zoning.batch")
    publish(pipeline, town)
    assert rows(database, "SELECT count(*) FROM zoning.batch") == batches


def test_an_overlay_changes(pipeline: Pipeline, database: str, town: Jurisdiction, tmp_path: Path) -> None:
    """Parcels that come under an overlay, and that leave it, have an event each; base zoning has none. A rollback takes
    them back."""
    publish(pipeline, town)
    before, districts = rows(database, SHARES), "SELECT district_id, code, content_hash FROM zoning.district ORDER BY 1"
    first = rows(database, districts)
    write(tmp_path, {"AE": part(0.1, 0.5), "AE / X": part(0.5, 0.6), "VE": part(0.8, 1)})
    found = publish(pipeline, town)
    assert found
    assert found.alarms == ()
    events = rows(database, EVENTS)
    left, came = expected(database, {"AE": part(0, 0.1)}), expected(database, {"VE": part(0.8, 1)})
    clear = [{key for (key, _), share in side.items() if share > 0.2} for side in (left, came)]
    assert {kind for kind, *_ in events} == {"overlay_added", "overlay_removed"}
    removed = {key for kind, key, old, new in events if kind == "overlay_removed" and old == "overlay flood: AE"}
    added = {key for kind, key, old, new in events if kind == "overlay_added" and new == "overlay flood: VE"}
    assert clear[0] <= removed <= {key for key, _ in left}
    assert clear[1] <= added <= {key for key, _ in came}
    assert min(len(removed), len(added)) > 5
    assert rows(database, "SELECT count(*) FROM zoning.change WHERE state = 'event' AND facet = 'base'") == [(0,)]
    [(batch,)] = rows(database, "SELECT max(id) FROM zoning.batch WHERE feed = 'zoning'")
    roll_back(database, pipeline.objects, town, to=batch, actor="ann", reason="wrong", dry_run=False)
    assert rows(database, districts) == first
    assert rows(database, EVENTS) == []
    hold_records.resume(database, jurisdiction=ID, host=None, reason="mended", actor="bob")
    change_detection.update_parcel_zoning(database, town)
    assert rows(database, SHARES) == before


def test_a_map_that_was_rolled_back_completely(
    pipeline: Pipeline, database: str, town: Jurisdiction, tmp_path: Path
) -> None:
    """The map before has no district; the next one is no change of zoning."""
    publish(pipeline, town)
    [(batch,)] = rows(database, "SELECT min(id) FROM zoning.batch WHERE feed = 'zoning'")
    roll_back(database, pipeline.objects, town, to=batch, actor="ann", reason="wrong", dry_run=False)
    assert rows(database, "SELECT count(*) FROM zoning.district") == [(0,)]
    hold_records.resume(database, jurisdiction=ID, host=None, reason="mended", actor="bob")
    write(tmp_path, {"AE": part(0, 0.4)})
    publish(pipeline, town)
    assert rows(database, EVENTS) == []
    assert len(rows(database, SHARES)) > 50


def test_a_layer_that_is_new_or_no_longer_harvested(
    pipeline: Pipeline, database: str, town: Jurisdiction, tmp_path: Path
) -> None:
    """The first map of a layer is no change of zoning, and neither is its end; the base map stays bit for bit."""
    plain = with_flood(tmp_path, overlay=False)
    publish(pipeline, plain)
    hashes = "SELECT district_id, content_hash FROM zoning.district WHERE code NOT LIKE 'overlay%' ORDER BY 1"
    base = rows(database, hashes)
    for each in (town, plain):
        try:
            publish(pipeline, each)
        except AcceptanceNeeded:
            accept(pipeline, each)
            publish(pipeline, each)
        assert rows(database, hashes) == base
        assert bool(rows(database, SHARES)) == (each is town)
        assert rows(database, "SELECT kind, old, new FROM zoning.change WHERE state <> 'retracted'") == []


def accept(pipeline: Pipeline, town: Jurisdiction) -> None:
    """A person accepts the held release."""
    state = release_profiles.ACCEPTED
    release_profiles.decide(pipeline.database, town.id, ZONING, state, actor="ann", reason="the overlay is wanted")


def test_the_harvest_of_each_layer(pipeline: Pipeline, town: Jurisdiction, tmp_path: Path) -> None:
    """Each has its proof and its record; a changed overlay is seen by the probe, and alone makes a new harvest."""
    publish(pipeline, town)
    cover = raw_harvests.find_cover(pipeline.objects, town.id, ZONING)
    assert cover
    proof = raw_harvests.of(pipeline.objects, Place(town.id), ZONING, cover.harvest).proof
    assert proof["overlay flood"]["rows in the layer"] == 2
    own = raw_harvests.of(pipeline.objects, Place(town.id), "overlay-flood", proof["overlay flood"]["harvest"])
    assert sum(page.rows for page in own.pages) == 2
    assert asyncio.run(pipeline.probe(town, ZONING, datetime.now(UTC))).why is None
    write(tmp_path, {"AE": part(0, 0.4)})
    assert "overlay flood sha256" in (asyncio.run(pipeline.probe(town, ZONING, datetime.now(UTC))).why or "")


def test_the_integrity_check_reads_the_raw_pages_of_each_layer(pipeline: Pipeline, town: Jurisdiction) -> None:
    """The pages of the map are made from them."""
    publish(pipeline, town)
    assert verify(pipeline.database, pipeline.objects).faults == ()
    for feed in ("overlay-flood", "zoning-base"):
        folder = Path(pipeline.objects.url) / "raw" / town.id / feed / "whole" / "pages"
        page = next(folder.iterdir())
        body = page.read_bytes()
        page.write_bytes(body[:-4])
        [fault] = verify(pipeline.database, pipeline.objects).faults
        assert fault.startswith(f"{town.id} {feed}: page {page.stem[:12]}")
        page.write_bytes(body)


@pytest.mark.parametrize(
    ("areas", "crs", "kind", "says"),
    [
        ({}, "EPSG:4326", ZoningError, "flood"),
        ({"AE": shapely.box(10, 10, 11, 11)}, "EPSG:4326", CrsRefused, "all 1 rows lie outside the bounds"),
    ],
)
def test_an_overlay_that_is_refused(
    pipeline: Pipeline,
    database: str,
    town: Jurisdiction,
    tmp_path: Path,
    areas: dict[str, Any],
    crs: str,
    kind: type[ZoningError],
    says: str,
) -> None:
    """The map is published completely or not at all."""
    publish(pipeline, town)
    before = rows(database, "SELECT district_id, content_hash FROM zoning.district ORDER BY 1")
    if areas:
        write(tmp_path, areas, crs)
    else:
        (tmp_path / "flood.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(kind, match=says) as caught:
        publish(pipeline, town)
    assert "\n" not in str(caught.value)
    assert rows(database, "SELECT district_id, content_hash FROM zoning.district ORDER BY 1") == before


def test_an_overlay_in_another_crs(pipeline: Pipeline, database: str, town: Jurisdiction, tmp_path: Path) -> None:
    """Its shapes are brought into the CRS of the map."""
    publish(pipeline, town)
    before = {(key, code): share for key, code, share in rows(database, SHARES)}
    write(tmp_path, {"AE": part(0, 0.5), "AE / X": part(0.5, 0.6)}, "EPSG:3857")
    publish(pipeline, town)
    after = {(key, code): share for key, code, share in rows(database, SHARES)}
    assert after == pytest.approx(before, abs=1e-5)
    assert rows(database, EVENTS) == []


CAMBRIDGE = """
id = "us-ma-cambridge"
name = "Cambridge"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "{parcels}"
key = "ML"
on_repeated_key = "dissolve"
[feeds.zoning]
type = "download"
url = "{zoning}"
  [feeds.zoning.fields]
  code = "ZONE_TYPE"
[feeds.overlays.districts]
type = "download"
url = "{folder}/overlay.geojson"
separator = " / "
  [feeds.overlays.districts.fields]
  code = "Name"
"""


@pytest.mark.slow
def test_two_vintages_of_cambridge(pipeline: Pipeline, database: str, tmp_path: Path) -> None:
    """Real overlay maps of 2024 and 2025, on the same parcels and base zoning."""
    data = cambridge()
    paths = {"parcels": data / "parcels_FY2014_4326.geojson", "zoning": data / "zoning_2025-02-24.geojson"}
    city = read_toml(tmp_path / "toml", CAMBRIDGE.format(folder=tmp_path, **paths))
    sync(pipeline, city)
    shutil.copyfile(data / "overlay_2024-02-06.geojson", tmp_path / "overlay.geojson")
    publish(pipeline, city)
    assert rows(database, "SELECT count(*) FROM zoning.district WHERE code LIKE 'overlay districts: %'") == [(58,)]
    shutil.copyfile(data / "overlay_2025-03-18.geojson", tmp_path / "overlay.geojson")
    publish(pipeline, city)
    events = "SELECT kind, old, new, count(*) FROM zoning.change WHERE state = 'event' GROUP BY 1, 2, 3"
    assert rows(database, events) == [("overlay_removed", "overlay districts: Cambridge Highlands", None, 126)]
