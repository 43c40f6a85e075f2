"""Real cities, published and compared with what is known of them (../shared/data/MANIFEST.md)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

from tests.conftest import going_on, read_toml, rows, sync
from tests.support.databases import copied
from tests.support.shared_data import cambridge, need
from zoning_assets.model import ZONING, Counts, Jurisdiction, Outcome
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry import content_hash, crs

CAMBRIDGE = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "{type}"
url = "{url}"
key = "ML"
on_repeated_key = "{policy}"
[portal]
requests_per_minute = 60000
connections = 8
"""
#: Each day the three ways are compared by one policy, and the three policies by one way.
OTHER_WAYS = ("geojson", "arcgis")
EVERY_HASH = "SELECT parcel_id, content_hash FROM zoning.parcel ORDER BY 1"


@pytest.fixture(scope="module")
def arcgis_url() -> Iterator[str]:
    """The FY2014 shapefile, served page by page over the ArcGIS protocol by a process of its own."""
    with serving(file=cambridge() / "parcels_FY2014_2249_shp.zip") as address:
        yield f"{address}/arcgis/rest/services/County/FeatureServer/0"


def by_way(way: str, folder: Path, policy: str, arcgis_url: str) -> Jurisdiction:
    """Cambridge's parcels by one of three ways."""
    kind, url = {
        "shapefile": ("download", str(cambridge() / "parcels_FY2014_2249_shp.zip")),
        "geojson": ("download", str(cambridge() / "parcels_FY2014_4326.geojson")),
        "arcgis": ("arcgis", arcgis_url),
    }[way]
    return read_toml(folder / way, CAMBRIDGE.format(type=kind, url=url, policy=policy))


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Pipeline, Jurisdiction, str, Path]]:
    """Cambridge's shapefile, published once; for those that go on from there, the names of its database and store."""
    folder = tmp_path_factory.mktemp("cambridge")
    with copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        jurisdiction = by_way("shapefile", folder, "dissolve", "")
        sync(pipeline, jurisdiction)
        yield pipeline, jurisdiction, name, folder / "store"


def total(outcomes: list[Outcome]) -> Counts:
    """The sum over all tiles, none of which failed."""
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    return sum((outcome.counts for outcome in outcomes), Counts())


def reasons(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(reason for outcome in outcomes for reason in outcome.rejections["reason"])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("policy", "parcels"), [("dissolve", 13_034), ("suffix", 13_114), ("reject", 13_021)])
@pytest.mark.parametrize("way", ["shapefile", *(pytest.param(way, marks=pytest.mark.slow) for way in OTHER_WAYS)])
def test_every_row_of_cambridge_is_accounted_for(
    pipeline: Pipeline, tmp_path: Path, arcgis_url: str, way: str, policy: str, parcels: int
) -> None:
    """13,116 fetched = accepted + rejected by each way, and the policy for repeated keys decides the parcels."""
    outcomes = sync(pipeline, by_way(way, tmp_path, policy, arcgis_url))
    counts, held = total(outcomes), reasons(outcomes)
    assert counts.fetched == 13_116 == counts.accepted + counts.rejected
    assert counts.added == parcels
    repeated = {"repeated_key": 93} if policy == "reject" else {}
    assert held == {"no_geometry": 1, "null_key": 1, **repeated}
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == [(parcels,)]
    query = "SELECT raw->'attributes'->>'OBJECTID' FROM zoning.rejection WHERE reason = 'no_geometry'"
    raw = rows(pipeline.database, query)
    assert raw == [("1896",)], "the raw row of the empty polygon is kept"


def test_three_ways_give_the_same_rows_and_hashes(
    server: str, published: tuple[Pipeline, Jurisdiction, str, Path], tmp_path: Path, pool: Pool, arcgis_url: str
) -> None:
    """A shapefile in feet, a GeoJSON in degrees and an ArcGIS layer of one city publish one city: nothing changes."""
    _, _, name, store = published
    with going_on(server, name, store, tmp_path, pool) as pipeline:
        first = rows(pipeline.database, EVERY_HASH)
        assert len(first) == 13_034
        for way in ("geojson", "arcgis"):
            counts = total(sync(pipeline, by_way(way, tmp_path, "dissolve", arcgis_url)))
            assert (counts.added, counts.changed, counts.retired) == (0, 0, 0), way
            assert counts.unchanged == 13_034
        assert rows(pipeline.database, EVERY_HASH) == first
        assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel_version") == [(0,)]


def test_what_differs_between_feet_and_degrees_and_why() -> None:
    """The two files say one city in two ways, and each difference is one that a canonical form takes away.

    The direction of rings (a shapefile's shells run clockwise, half of the GeoJSON's do not); digits (the GeoJSON was
    rounded to the 8 of our grid: one of 7 digits would be another city); null for an empty polygon; a lone polygon
    called a MultiPolygon; the spelling of a date; and the order of invalid rings, until they are repaired.
    """
    feet, degrees = (
        pyogrio.read_dataframe(cambridge() / name).sort_values("OBJECTID", ignore_index=True)
        for name in ("parcels_FY2014_2249_shp.zip", "parcels_FY2014_4326.geojson")
    )
    written = [feet.geometry.to_numpy(), degrees.geometry.to_numpy()]
    assert [(sum(map(shapely.is_missing, each)), int(shapely.is_empty(each).sum())) for each in written] == [
        (1, 0),
        (0, 1),
    ]
    shells = [shapely.get_exterior_ring(shapely.get_parts(each)) for each in written]
    clockwise, mixed = (shapely.is_ccw(each).mean() for each in shells)
    assert clockwise < 0.01
    assert 0.4 < mixed < 0.6
    dates = feet["EditDate"].dropna().iloc[0], str(degrees["EditDate"].dropna().iloc[0])
    assert dates == ("2006/12/14 00:00:00", "2006-12-14 00:00:00")
    there = crs.reproject(written[0], "EPSG:2249", "EPSG:4326")
    gridded = [content_hash.on_grid(each, 1e-8) for each in (there, written[1])]
    moved = [
        np.abs(shapely.get_coordinates(before) - shapely.get_coordinates(after)).max(axis=1)
        for before, after in zip((there, written[1]), gridded, strict=True)
    ]
    assert 0.49e-8 < moved[0].max() < 0.51e-8, "feet lie anywhere between the grid's lines"
    assert moved[1].max() < 1e-12, "the degrees lie on them"
    one, other = (content_hash.normal(each) for each in gridded)
    differ = shapely.to_wkb(one) != shapely.to_wkb(other)
    invalid = ~shapely.is_valid(one)  # null is none either
    assert (differ.sum(), (differ & invalid).sum()) == (5, 4), "null, three to be repaired, and one called otherwise"
    [called] = np.flatnonzero(differ & ~invalid)
    assert shapely.to_wkb(one[called]) == shapely.to_wkb(shapely.get_geometry(other[called], 0))
    coarse = content_hash.on_grid(written[1], 1e-7)
    assert not np.array_equal(shapely.get_coordinates(coarse), shapely.get_coordinates(written[1]))


def test_publishing_again_changes_nothing(published: tuple[Pipeline, Jurisdiction, str, Path]) -> None:
    """The same harvest again writes no row, not even a batch."""
    pipeline, jurisdiction, *_ = published
    snapshot = rows(pipeline.database, "SELECT xmin::text, ctid::text, parcel_id FROM zoning.parcel ORDER BY 3")
    again = sync(pipeline, jurisdiction)
    assert [outcome.batch for outcome in again] == [None] * len(again)
    assert rows(pipeline.database, "SELECT xmin::text, ctid::text, parcel_id FROM zoning.parcel ORDER BY 3") == snapshot
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.batch") == [(len(again),)]


def test_what_is_published_is_valid_metric_and_owned(published: tuple[Pipeline, Jurisdiction, str, Path]) -> None:
    """PostGIS, which is not ours, agrees: valid MultiPolygons in the target CRS, areas in square metres."""
    pipeline, *_ = published
    query = """
        SELECT count(*) FILTER (WHERE NOT ST_IsValid(geom)), count(*) FILTER (WHERE ST_SRID(geom) <> 4326),
            max(abs(area_m2 - ST_Area(geom::geography)) / greatest(area_m2, 1)) FROM zoning.parcel
    """
    [(invalid, elsewhere, worst)] = rows(pipeline.database, query)
    assert (invalid, elsewhere) == (0, 0)
    assert worst < 1e-3


def test_the_zoning_map_is_published_as_districts(pipeline: Pipeline, tmp_path: Path) -> None:
    """Two vintages: districts whose GlobalID alone changed are the same; only real differences are written."""
    toml = (
        CAMBRIDGE.format(type="download", url="x.geojson", policy="reject")
        + """
[feeds.zoning]
type = "download"
url = "{url}"
[feeds.zoning.fields]
code = "ZONE_TYPE"
"""
    )
    first, second = (str(cambridge() / f"zoning_{day}.geojson") for day in ("2014-02-06", "2014-09-30"))
    counts = total(sync(pipeline, read_toml(tmp_path, toml.replace("{url}", first)), ZONING))
    districts = counts.added
    assert counts.fetched == counts.accepted == districts
    counts = total(sync(pipeline, read_toml(tmp_path, toml.replace("{url}", second)), ZONING))
    assert counts.unchanged > 0.9 * districts
    assert counts.retired == districts - counts.unchanged


SOMERVILLE = """
id = "us-ma-somerville"
name = "Somerville, Massachusetts"
bounds = [-71.14, 42.37, -71.07, 42.42]
target_crs = "EPSG:3857"
[feeds.parcels]
type = "download"
url = "{url}"
layer = "Parcels"
key = "MBL"
on_repeated_key = "dissolve"
  [feeds.parcels.fields]
  address = "Street"
"""


def test_somerville_from_a_file_geodatabase(pipeline: Pipeline, tmp_path: Path) -> None:
    """An Esri FileGDB in feet, published in EPSG:3857, with areas that are not EPSG:3857's."""
    url = need("somerville_ma/Parcels.gdb")
    outcomes = sync(pipeline, read_toml(tmp_path, SOMERVILLE.format(url=url), "us-ma-somerville"))
    counts = total(outcomes)
    assert counts.fetched == 14_572 == counts.accepted + counts.rejected
    assert counts.added == counts.accepted - counts.dissolved
    geodesic = "ST_Area(ST_Transform(geom, 4326)::geography)"
    query = f"SELECT max(abs(area_m2 - {geodesic}) / greatest(area_m2, 1)) FROM zoning.parcel"
    assert rows(pipeline.database, query)[0][0] < 1e-3


FOREST_CITY = """
id = "us-nc-forest-city"
name = "Forest City, North Carolina"
bounds = [-81.95, 35.26, -81.80, 35.40]
[feeds.zoning]
type = "download"
url = "{url}"
  [feeds.zoning.fields]
  code = "BASE_DISTR"
"""


def test_forest_city_from_a_geojson_in_feet(pipeline: Pipeline, tmp_path: Path) -> None:
    """A GeoJSON whose `crs` member says EPSG:2264 feet is not taken for degrees."""
    url = need("forestcity_nc/zoning_epsg2264.geojson")
    outcomes = sync(pipeline, read_toml(tmp_path, FOREST_CITY.format(url=url), "us-nc-forest-city"), ZONING)
    counts = total(outcomes)
    assert counts.fetched == 608 == counts.accepted + counts.rejected
    [(west, east)] = rows(pipeline.database, "SELECT min(ST_XMin(geom)), max(ST_XMax(geom)) FROM zoning.district")
    assert -82 < west < east < -81.7
