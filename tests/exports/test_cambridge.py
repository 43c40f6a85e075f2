"""Cambridge, Massachusetts: 13,034 real lots and two vintages of its zoning map in every format."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import geopandas as gpd
import pyogrio
import pyproj
import pytest
import shapely
from pmtiles.reader import MmapSource, Reader, all_tiles

from tests.conftest import read_toml, rows, sync
from tests.support.databases import copied
from tests.support.shared_data import cambridge
from zoning_assets.exports import layer_export
from zoning_assets.exports.formats import FORMATS
from zoning_assets.exports.layer_export import ExportPlace, ExportResult
from zoning_assets.exports.layers import LAYERS
from zoning_assets.exports.row_reader import ExportRequest
from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry.polygon_overlay import polygons

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ID = "us-ma-cambridge"
TOML = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "{folder}/parcels_FY2014_2249_shp.zip"
key = "ML"
on_repeated_key = "dissolve"
[feeds.zoning]
type = "download"
url = "{folder}/{zoning}"
  [feeds.zoning.fields]
  code = "ZONE_TYPE"
"""
VINTAGES = ("zoning_2014-09-30.geojson", "zoning_2016-06-01.geojson")
TABLES = {"parcels": "parcel", "districts": "district", "zoned_parcels": "zoned_parcel", "changes": "change"}
City = tuple[str, Jurisdiction, Path]


@pytest.fixture(scope="module")
def city(server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """The city, published once: its lots, and two vintages of its map."""
    folder, data = tmp_path_factory.mktemp("cambridge"), cambridge()
    with copied(server, template) as (_, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        for number, name in enumerate(VINTAGES):
            described = read_toml(folder / str(number), TOML.format(folder=data, zoning=name))
            if number == 0:
                sync(pipeline, described)
            sync(pipeline, described, ZONING)
            change_detection.update_parcel_zoning(url, described)
            change_detection.detect_changes(url, described)
        yield url, described, folder


def export(city: City, format_: str, layer: str) -> ExportResult:
    url, described, folder = city
    return layer_export.export(url, ExportRequest(ID, LAYERS[layer]), format_, ExportPlace(folder), described)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_has_the_rows_of_postgis(city: City, format_: str, layer: str) -> None:
    """By GDAL, geopandas, DuckDB and the reader of PMTiles; the proof by reading back is that of the export itself."""
    where = "WHERE state = 'event'" if layer == "changes" else ""
    ((count, area),) = rows(city[0], f"SELECT count(*), sum(area_m2) FROM zoning.{TABLES[layer]} {where}")
    assert count > {"parcels": 13_000, "zoned_parcels": 13_000, "districts": 100, "changes": 10}[layer]
    path = export(city, format_, layer).path
    if format_ == "pmtiles":
        with Path(path).open("rb") as file:
            assert Reader(MmapSource(file)).header()["addressed_tiles_count"] > 0
        return
    if format_ in ("csv", "geoparquet"):
        reader = "read_csv" if format_ == "csv" else "read_parquet"
        ((found, summed),) = duckdb.sql(f"SELECT count(*), sum(area_m2) FROM {reader}('{path}')").fetchall()
    else:
        frame = pyogrio.read_dataframe(path, **({"layer": layer} if format_ == "geopackage" else {}))
        found, summed = len(frame), frame["area_m2"].sum()
        assert frame.crs == pyproj.CRS("EPSG:4326")
    assert (found, summed) == (count, pytest.approx(area))


@pytest.mark.parametrize("format_", ["geoparquet", "geopackage", "flatgeobuf", "geojson", "shapefile"])
def test_shapes_are_those_of_postgis(city: City, format_: str) -> None:
    """Each shape equals that of PostGIS to a millimetre."""
    path = export(city, format_, "parcels").path
    read = gpd.read_parquet if format_ == "geoparquet" else pyogrio.read_dataframe
    frame = read(path, **({"layer": "parcels"} if format_ == "geopackage" else {}))
    stored = dict(rows(city[0], "SELECT parcel_id, ST_AsBinary(geom) FROM zoning.parcel"))
    expected = shapely.from_wkb([stored[key] for key in frame["parcel_id"]])
    if format_ == "shapefile":  # it has no type of its own for several polygons
        expected = [each if len(each.geoms) > 1 else each.geoms[0] for each in expected]
    assert shapely.equals_exact(
        shapely.normalize(frame.geometry.to_numpy()), shapely.normalize(expected), tolerance=1e-8
    ).all()


def test_no_gaps_between_districts_in_tiles(city: City) -> None:
    """At each zoom level no hole is wider than the grid of its tiles, and nothing wider is missing at the edges."""
    path = export(city, "pmtiles", "districts").path
    map_ = gpd.read_parquet(export(city, "geoparquet", "districts").path).to_crs("EPSG:3857")
    covered = shapely.union_all(polygons(map_.geometry.to_numpy()), grid_size=0.001)
    assert sum(shapely.get_num_interior_rings(shapely.get_parts(covered))) == 0
    first, last = LAYERS["districts"].zooms
    with Path(path).open("rb") as file:
        assert {zxy[0] for zxy, _ in all_tiles(MmapSource(file))} == set(range(first, last + 1))
    for zoom in range(first, last + 1):
        grid_m = 40_075_016.7 / 2**zoom / 4096
        frame = pyogrio.read_dataframe(path, ZOOM_LEVEL=str(zoom))
        drawn = shapely.union_all(polygons(frame.geometry.to_numpy()), grid_size=0.001)
        holes = [shapely.Polygon(ring) for part in shapely.get_parts(drawn) for ring in part.interiors]
        widths = [2 * shapely.maximum_inscribed_circle(hole).length for hole in holes]
        assert max(widths, default=0) < grid_m
        assert covered.difference(drawn).buffer(-grid_m).is_empty
