"""Each format holds the rows of PostGIS, as programs that are not ours read them."""

import csv
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
from lxml import etree
from pmtiles.reader import MmapSource, Reader, all_tiles

from tests.conftest import rows
from tests.exports.conftest import HOSTILE, ID, LOTS, Town, publish
from zoning_assets.exports import read_back, shapefile_writer
from zoning_assets.exports.formats import FORMATS
from zoning_assets.exports.layers import LAYERS
from zoning_assets.model import ZONE_TYPES
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.transform.geometry import h3_cells
from zoning_assets.transform.map_colors import type_color
from zoning_assets.transform.normalize import representative_points

WITH_SHAPES = [name for name in FORMATS if name not in ("csv", "pmtiles", "geoparquet")]
TABLES = {"parcels": "parcel", "districts": "district", "zoned_parcels": "zoned_parcel", "changes": "change"}


def published(town: Town, layer: str) -> tuple[int, float]:
    """Rows and the sum of area_m2 in PostGIS."""
    ((count, area),) = rows(town.url, f"SELECT count(*), sum(area_m2) FROM zoning.{TABLES[layer]}")
    return int(count), float(area)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("format_", WITH_SHAPES)
def test_gdal_reads_the_rows_the_crs_and_the_area(town: Town, format_: str, layer: str) -> None:
    result = town.export(format_, layer)
    options = {"layer": layer} if format_ == "geopackage" else {}
    frame = pyogrio.read_dataframe(result.path, **options)
    count, area = published(town, layer)
    assert (len(frame), result.description["rows"]) == (count, count)
    assert frame["area_m2"].sum() == pytest.approx(area) == result.description["area_m2"]
    assert frame.crs == pyproj.CRS("EPSG:4326")
    assert frame.geometry.is_valid.all()
    assert not frame.geometry.is_empty.any()


@pytest.mark.parametrize("layer", LAYERS)
def test_geoparquet_is_read_by_geopandas_and_duckdb(town: Town, layer: str) -> None:
    path = town.export("geoparquet", layer).path
    count, area = published(town, layer)
    frame = gpd.read_parquet(path)
    assert (len(frame), frame.crs) == (count, pyproj.CRS("EPSG:4326"))
    assert frame["area_m2"].sum() == pytest.approx(area)
    (told,) = duckdb.sql(f"SELECT count(*), sum(area_m2) FROM read_parquet('{path}')").fetchall()
    assert told == (count, pytest.approx(area))
    types = {name: kind for name, kind, *_ in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    assert types["geometry"].startswith("GEOMETRY('{")
    assert '"code":4326' in types["geometry"]
    assert set(frame.columns) == {*LAYERS[layer].columns, "geometry"}, "the covering is no column"


def test_the_metadata_of_geoparquet_is_that_of_the_specification(town: Town) -> None:
    """Version 1.1: covering, bounding box, CRS and types; a reader with a box reads only what is in it."""
    path = town.export("geoparquet", "parcels").path
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    about = geo["columns"][geo["primary_column"]]
    assert (geo["version"], about["encoding"], about["geometry_types"]) == ("1.1.0", "WKB", ["MultiPolygon"])
    assert pyproj.CRS.from_json_dict(about["crs"]) == pyproj.CRS("EPSG:4326")
    corners = ("xmin", "ymin", "xmax", "ymax")
    assert about["covering"] == {"bbox": {name: ["bbox", name] for name in corners}}
    frame = gpd.read_parquet(path)
    assert about["bbox"] == pytest.approx(list(frame.total_bounds))
    boxes = np.array([[row[name] for name in corners] for row in pq.read_table(path)["bbox"].to_pylist()])
    assert (boxes == frame.geometry.bounds.to_numpy()).all()
    few = gpd.read_parquet(path, bbox=(-71.18, 42.31, -71.1795, 42.3105))
    assert 0 < len(few) < 5


def test_geoparquet_is_sorted_by_h3_cell(town: Town) -> None:
    frame = gpd.read_parquet(town.export("geoparquet", "parcels").path)
    cells = h3_cells.finest_cells(representative_points(frame.geometry.to_numpy(), "EPSG:4326"))
    assert len(set(frame["tile"])) > 1
    assert (np.diff(cells.astype(np.int64)) > 0).all()


def test_a_geopackage_has_a_style_of_fixed_categories(town: Town) -> None:
    """QGIS finds it by table and column; no text of the portal is in it."""
    path = town.export("geopackage", "zoned_parcels").path
    with sqlite3.connect(path) as connection:
        (style,) = connection.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
        columns = {name for _, name, *_ in connection.execute("PRAGMA table_info(zoned_parcels)")}
    connection.close()
    assert style[:3] == ("zoned_parcels", "geom", 1)
    assert "geom" in columns
    renderer = etree.fromstring(style[3]).find("renderer-v2")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("attr")) == ("categorizedSymbol", "zone_type")
    values = {each.get("value") for each in renderer.iter("category")}
    colors = {each.get("value", "").split(",255")[0] for each in renderer.iter("Option") if each.get("name") == "color"}
    assert colors == {",".join(map(str, bytes.fromhex(type_color(each)[1:]))) for each in (*ZONE_TYPES, None)}
    assert {"Primarily Residential", "Nonresidential", ""} <= values
    assert {each.get("symbol") for each in renderer.iter("category")} == {
        each.get("name") for each in renderer.iter("symbol")
    }
    assert not [text for text in HOSTILE if text in style[3]]
    assert f"{','.join(map(str, bytes.fromhex(type_color('Nonresidential')[1:])))},255" in style[3], "as on the map"
    assert {name for name, _ in pyogrio.list_layers(path)} == {"zoned_parcels", "layer_styles"}


def test_a_shapefile_tells_what_was_cut(town: Town) -> None:
    result = town.export("shapefile", "parcels")
    with zipfile.ZipFile(result.path) as archive:
        names = {Path(name).suffix: name for name in archive.namelist()}
        assert {".shp", ".shx", ".dbf", ".prj", ".cpg"} < set(names)
        assert archive.read(names[".cpg"]) == b"UTF-8"
        told = json.loads(archive.read("cut.json"))
    assert told == result.description["remarks"]
    assert told["left_out"] == ["attributes"]
    assert told["cut_texts"] == {"address": LOTS // len(HOSTILE)}
    frame = pyogrio.read_dataframe(result.path)
    assert set(frame.columns) == {*told["columns"].values(), "geometry"}
    assert frame["address"].str.len().max() == 127, "254 bytes of a letter of two bytes"


def test_short_names_are_distinct() -> None:
    names = [f"zoning_code_{n}" for n in range(120)][:90]
    found = shapefile_writer.short_names(names)
    assert len(set(found.values())) == len(names)
    assert max(map(len, found.values())) == shapefile_writer.MOST_NAME


@pytest.mark.parametrize("layer", ["parcels", "districts", "changes"])
def test_tiles_are_read_by_the_reader_of_pmtiles(town: Town, layer: str) -> None:
    path = town.export("pmtiles", layer).path
    with Path(path).open("rb") as file:
        reader = Reader(MmapSource(file))
        header = reader.header()
        first, last = LAYERS[layer].zooms
        assert (header["min_zoom"], header["max_zoom"]) == (first, last)
        zooms = {zxy[0] for zxy, body in all_tiles(MmapSource(file)) if body}
        assert zooms == set(range(first, last + 1))
        assert [each["id"] for each in reader.metadata()["vector_layers"]] == [layer]
    count, area = published(town, layer)
    found = read_back.tiles(Path(path), LAYERS[layer])
    assert (found.rows, found.area_m2) == (count, pytest.approx(area))


def test_neighbours_in_tiles_have_no_gaps_at_any_zoom(town: Town) -> None:
    """The squares tile their rectangle; at each zoom level their union in each tile is one shape without holes."""
    path = town.export("pmtiles", "parcels").path
    for zoom in range(LAYERS["parcels"].zooms[0], LAYERS["parcels"].zooms[1] + 1):
        frame = pyogrio.read_dataframe(path, ZOOM_LEVEL=str(zoom))
        together = shapely.union_all(shapely.set_precision(frame.geometry.to_numpy(), 0.001))
        assert len(shapely.get_parts(together)) == 1
        assert sum(shapely.get_num_interior_rings(shapely.get_parts(together))) == 0
        assert together.area == pytest.approx(shapely.box(*together.bounds).area)


def test_csv_has_no_formulas_and_no_control_characters(town: Town) -> None:
    """A cell that a spreadsheet would execute begins with an apostrophe; a row is a line."""
    path = Path(town.export("csv", "parcels").path)
    lines = path.read_bytes().decode().split("\r\n")
    assert len(lines) == LOTS + 2
    assert not {ord(each) for line in lines for each in line} & {*range(32), 0x202E, 0x202C}
    found = duckdb.sql(f"SELECT parcel_id, address FROM read_csv('{path}', all_varchar = true)").fetchall()
    starts = {text.lstrip()[:1] for row in found for text in row if text}
    assert not starts & set("=+-@")
    assert ("'=7", "'=cmd|' /C calc'!A0") in found


def test_a_list_of_many_parcels_is_read_back_from_csv(tmp_path: Path) -> None:
    """A code that was renamed has all its parcels in one cell; Python's reader refuses 131,073 characters."""
    csv.field_size_limit(131_072)
    path = tmp_path / "changes.csv"
    path.write_text(f"parcel_ids,area_m2\r\n{'P-1 ' * 50_000},2.5\r\n")
    assert read_back.csv_file(path, LAYERS["changes"]) == read_back.FileContents(1, 2.5, None)


@pytest.mark.parametrize("format_", ["geopackage", "flatgeobuf", "geojson", "geojsonseq", "geoparquet"])
def test_attributes_go_through_unchanged(town: Town, format_: str) -> None:
    """Hostile texts are data: exactly as in the database, in every format that can hold them."""
    path = town.export(format_, "parcels").path
    read: Any = gpd.read_parquet if format_ == "geoparquet" else pyogrio.read_dataframe
    frame = read(path, **({"layer": "parcels"} if format_ == "geopackage" else {}))
    stored = dict(rows(town.url, "SELECT parcel_id, address FROM zoning.parcel"))
    assert dict(zip(frame["parcel_id"], frame["address"], strict=True)) == stored
    attributes = dict(rows(town.url, "SELECT parcel_id, attributes FROM zoning.parcel"))
    found = [each if isinstance(each, dict) else json.loads(each) for each in frame["attributes"]]
    assert dict(zip(frame["parcel_id"], found, strict=True)) == attributes
    assert {*map(len, stored.values())} > {25}


def test_geojson_is_that_of_the_specification(town: Town) -> None:
    """RFC 7946: longitude first, no `crs`; one feature a line in a sequence."""
    document = json.loads(Path(town.export("geojson", "districts").path).read_text())
    assert document["type"] == "FeatureCollection"
    assert "crs" not in document
    lines = Path(town.export("geojsonseq", "districts").path).read_text().splitlines()
    assert len(lines) == len(document["features"]) == published(town, "districts")[0]
    (x, y) = json.loads(lines[0])["geometry"]["coordinates"][0][0][0]
    assert -71.2 < x < -71.0 < 42.3 < y < 42.5
    assert {json.loads(line)["properties"]["jurisdiction"] for line in lines} == {ID}


def test_a_jurisdiction_in_web_mercator(pipeline: Pipeline, tmp_path: Path) -> None:
    """Files have its CRS, also the sorted ones; GeoJSON is in degrees all the same."""
    mercator = Town(pipeline.database, publish(pipeline, tmp_path, "EPSG:3857"), tmp_path)
    for format_ in ("geopackage", "flatgeobuf", "shapefile"):
        options = {"layer": "districts"} if format_ == "geopackage" else {}
        frame = pyogrio.read_dataframe(mercator.export(format_, "districts").path, **options)
        assert frame.crs.to_epsg() == 3857
        corners = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform_bounds(-71.18, 42.31, -71.14, 42.35)
        assert frame.total_bounds == pytest.approx(corners, abs=0.01)
    frame = gpd.read_parquet(mercator.export("geoparquet", "parcels").path)
    cells = h3_cells.finest_cells(representative_points(frame.geometry.to_numpy(), "EPSG:3857"))
    assert frame.crs == pyproj.CRS("EPSG:3857")
    assert (np.diff(cells.astype(np.int64)) > 0).all()
    result = mercator.export("geojson", "districts")
    assert result.description["remarks"] == {"crs": "EPSG:4326"}
    west, south, east, north = pyogrio.read_dataframe(result.path).total_bounds
    assert (west, south, east, north) == pytest.approx((-71.18, 42.31, -71.14, 42.35))
    box = "S_INTERSECTS(geometry, BBOX(-71.18, 42.31, -71.179, 42.311))"
    assert mercator.export("csv", "parcels", where=box).description["rows"] == 1
