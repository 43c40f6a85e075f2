"""A file from a stranger gives all of its rows, or one clear line."""

import json
import pickle
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from pyarrow import parquet

from tests.sources.judged import below_pytest
from tests.support.shared_data import cambridge, need
from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import file_reader

_VRT_LAYER = '<OGRVRTLayer name="lots"><SrcDataSource>{target}</SrcDataSource></OGRVRTLayer>'
VRT = f"<OGRVRTDataSource>{_VRT_LAYER}</OGRVRTDataSource>"


def find(path: Path, layer: str | None = None, into: Path | None = None) -> file_reader.LayerFile:
    return file_reader.find_layer(path, where="the feed", layer=layer, into=into or below_pytest())


def read(path: Path, layer: str | None = None, into: Path | None = None, rows: int = 2000) -> pa.Table:
    found = find(path, layer, into)
    return pa.Table.from_batches(list(file_reader.batches(found, rows=rows)))


def refused(path: Path, match: str, layer: str | None = None, into: Path | None = None) -> str:
    with pytest.raises(FileRefused, match=match) as caught:
        read(path, layer, into)
    message = str(caught.value)
    assert message.startswith("the feed: ")
    assert "\n" not in message
    return message


def zip_of(folder: Path, target: Path, below: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, below + str(path.relative_to(folder)))
    return target


def table(rows: int = 5) -> gpd.GeoDataFrame:
    boxes = [shapely.box(i * 10, 0, i * 10 + 5, 5) for i in range(rows)]
    return gpd.GeoDataFrame({"ml": [f"p{i}" for i in range(rows)], "n": range(rows)}, geometry=boxes, crs="EPSG:2249")


@pytest.fixture
def shapefile(tmp_path):
    (tmp_path / "shp").mkdir()
    table().to_file(tmp_path / "shp" / "lots.shp")
    return tmp_path / "shp" / "lots.shp"


# Real files.


def test_cambridge_shapefile(tmp_path):
    zipped = cambridge() / "parcels_FY2014_2249_shp.zip"
    found = find(zipped, into=tmp_path)
    assert (found.format, found.crs, found.rows, found.layer) == (
        *("ESRI Shapefile", "EPSG:2249", 13_116),
        "parcels_FY2014",
    )
    whole = read(zipped, into=tmp_path)
    assert whole.schema.names == [*(name for name, _ in found.columns), "geometry", "fid"]
    assert whole["fid"].to_pylist() == list(range(13_116))
    assert whole["geometry"].type == pa.binary()
    assert len(list(tmp_path.iterdir())) == 1  # unpacked once


def test_cambridge_geojson():
    found = find(cambridge() / "parcels_FY2014_4326.geojson")
    assert (found.format, found.crs, found.rows) == ("GeoJSON", "EPSG:4326", 13_116)
    sizes = [len(batch) for batch in file_reader.batches(found, rows=1000)]
    assert sum(sizes) == 13_116
    assert max(sizes) == 1000


def test_cambridge_geopackage():
    assert len(read(cambridge() / "parcels_FY2013_2249.gpkg")) == 13_159


def test_san_jose_without_cpg(tmp_path):
    found = find(need("sanjose_ca/Zoning_2014-07-23.zip"), into=tmp_path)
    assert (found.crs, sum(map(len, file_reader.batches(found)))) == ("EPSG:2227", 4191)


def test_forest_city_in_feet_has_a_column_called_fid():
    found = find(need("forestcity_nc/zoning_epsg2264.geojson"))
    assert (found.crs, found.rows) == ("EPSG:2264", 608)
    assert ("fid_", "double") in found.columns
    assert pa.Table.from_batches(list(file_reader.batches(found)))["fid"].to_pylist() == list(range(608))


@pytest.mark.parametrize("form", ["folder", "zipped folder", "zipped tables", "folder above"])
def test_somerville(tmp_path, form):
    """The other table, Assess2017, is cut to nothing; it is no obstacle."""
    folder = need("somerville_ma/Parcels.gdb")
    if form == "folder above":
        folder = folder.parent
    if form.startswith("zipped"):
        folder = zip_of(folder, tmp_path / "a.zip", "Parcels.gdb/" if form == "zipped folder" else "")
    found = find(folder, into=tmp_path / "into")
    assert (found.format, found.layer, found.crs, found.rows) == ("OpenFileGDB", "Parcels", "EPSG:2249", 14_572)
    assert sum(map(len, file_reader.batches(found))) == 14_572
    refused(folder, "damaged|no geometry", layer="Assess2017", into=tmp_path / "into")


@pytest.mark.parametrize("suffix", [".gdbtable", ".gdbtablx"])
def test_a_file_gdb_cut_in_the_middle(tmp_path, suffix):
    """GDAL reads it as an empty table."""
    folder = shutil.copytree(need("somerville_ma/Parcels.gdb"), tmp_path / "x.gdb")
    largest = max(folder.glob(f"*{suffix}"), key=lambda p: p.stat().st_size if p.stem == "a00000009" else 0)
    data = largest.read_bytes()
    largest.unlink()
    largest.write_bytes(data[: len(data) // 2])
    refused(folder, "cut short|damaged")


# The same table through every format.


@pytest.mark.parametrize("name", ["a.parquet", "a.fgb", "a.gpkg", "a.shp", "a.gdb"])
def test_round_trip(tmp_path, name):
    lots = table()
    if name.endswith("parquet"):
        lots.to_parquet(tmp_path / name)
    else:
        driver = "OpenFileGDB" if name == "a.gdb" else None
        pyogrio.write_dataframe(lots.astype({"n": "int32"}), tmp_path / name, driver=driver)
    found = find(tmp_path / name)
    assert (found.crs, found.rows) == ("EPSG:2249", 5)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - our own, as the process pool does it
    once = pa.Table.from_batches(list(file_reader.batches(found, rows=2)))
    again = pa.Table.from_batches(list(file_reader.batches(found, rows=5)))
    assert once.combine_chunks() == again.combine_chunks()
    assert once["fid"].type == pa.int64()
    order = np.argsort(once["ml"].to_pylist())  # FlatGeobuf sorts by place
    shapes = shapely.from_wkb(once["geometry"].to_pylist())[order]
    # A FileGDB has a grid: 8e-6 feet by default.
    assert shapely.hausdorff_distance(shapes, lots.geometry.to_numpy()).max() < 1e-4


def test_a_plain_shapefile_without_prj_has_no_crs(shapefile):
    shapefile.with_suffix(".prj").unlink()
    assert find(shapefile).crs is None


def test_z_is_kept(tmp_path):
    lots = gpd.GeoDataFrame({"n": [1]}, geometry=[shapely.Polygon([(0, 0, 1), (1, 0, 2), (1, 1, 3)])], crs=2249)
    lots.to_file(tmp_path / "a.gpkg")
    shape = shapely.from_wkb(read(tmp_path / "a.gpkg")["geometry"][0].as_py())
    assert shapely.get_coordinates(shape, include_z=True)[:, 2].tolist() == [1, 2, 3, 1]


def test_arcs_come_as_polylines_and_the_other_rows_as_they_were(tmp_path):
    """A circle of radius 1 about (1, 0), as CURVEPOLYGON(CIRCULARSTRING(...)); shapely cannot read that."""
    ring = struct.pack("<BII10d", 1, 8, 5, 0, 0, 1, 1, 2, 0, 1, -1, 0, 0)
    shapes = [struct.pack("<BII", 1, 10, 1) + ring, shapely.box(0, 0, 1, 1).wkb, None]
    rows = pa.table({"n": pa.array([1, 2, 3], pa.int32()), "geometry": pa.array(shapes, pa.binary())})
    options = {"geometry_name": "geometry", "geometry_type": "MultiPolygon", "crs": "EPSG:2249"}
    pyogrio.write_arrow(rows, tmp_path / "a.gdb", driver="OpenFileGDB", **options)
    circle, square, nothing = shapely.from_wkb(read(tmp_path / "a.gdb")["geometry"].to_pylist())
    assert circle.area == pytest.approx(np.pi, rel=0.01)
    assert circle.distance(shapely.Point(2, 0)) == pytest.approx(0, abs=1e-3)
    assert square.hausdorff_distance(shapely.box(0, 0, 1, 1)) < 1e-4  # a FileGDB has a grid
    assert nothing is None


# Damage.


@pytest.mark.parametrize("suffix", [".shp", ".shx", ".dbf"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_shapefile_cut_in_the_middle(shapefile, suffix, keep):
    """GDAL itself gives null geometries or fewer rows, and no error."""
    part = shapefile.with_suffix(suffix)
    data = part.read_bytes()
    part.write_bytes(data[: int(len(data) * keep)])
    refused(shapefile, "cut short|is empty")


@pytest.mark.parametrize("suffix", [".shx", ".dbf"])
def test_a_shapefile_without_its_companions(shapefile, suffix):
    shapefile.with_suffix(suffix).unlink()
    refused(shapefile, f"lacks its {suffix}")


def test_a_shapefile_whose_files_are_of_two_vintages(shapefile, tmp_path):
    table(7).to_file(tmp_path / "other.shp")
    shutil.copy(tmp_path / "other.dbf", shapefile.with_suffix(".dbf"))
    refused(shapefile, "5 shapes and 7 records")


def test_deleted_records_are_no_rows(shapefile):
    part = shapefile.with_suffix(".dbf")
    data = bytearray(part.read_bytes())
    header, width = struct.unpack_from("<HH", data, 8)
    data[header + width] = ord("*")
    part.write_bytes(data)
    assert find(shapefile).rows == 4
    assert read(shapefile)["fid"].to_pylist() == [0, 2, 3, 4]


@pytest.mark.parametrize("keep", range(1, 100, 7))
def test_a_geojson_cut_in_the_middle(tmp_path, keep):
    table(200).to_crs(4326).to_file(tmp_path / "a.geojson")
    data = (tmp_path / "a.geojson").read_bytes()
    (tmp_path / "b.geojson").write_bytes(data[: len(data) * keep // 100])
    refused(tmp_path / "b.geojson", "damaged|cut short")


@pytest.mark.parametrize("name", ["a.gpkg", "a.fgb", "a.parquet"])
@pytest.mark.parametrize("keep", [0.1, 0.3, 0.6, 0.9, 0.995])
def test_a_binary_file_cut_in_the_middle(tmp_path, name, keep):
    lots = table(3000)
    lots.to_parquet(tmp_path / name) if name.endswith("parquet") else lots.to_file(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    refused(tmp_path / name, "damaged|the file states")


def test_a_zip_with_a_damaged_member(tmp_path, shapefile):
    zipped = zip_of(shapefile.parent, tmp_path / "a.zip")
    data = bytearray(zipped.read_bytes())
    data[data.index(struct.pack(">i", 9994)) + 120] ^= 0xFF
    zipped.write_bytes(data)
    refused(zipped, "Bad CRC-32", into=tmp_path / "into")


def test_fewer_rows_than_promised(tmp_path):
    """The last line of a sequence of features is cut: GDAL would leave it out without a word."""
    text = "".join(json.dumps(each) + "\n" for each in table().to_crs(4326).iterfeatures())
    (tmp_path / "a.geojsonl").write_text(text[:-40])
    refused(tmp_path / "a.geojsonl", "states 5 rows, but contains 4|cut short|damaged")


# Text.


@pytest.mark.parametrize("cpg", [None, "UTF-8", "nonsense"])
def test_text_that_is_not_utf8(tmp_path, cpg):
    lots = table(3)
    lots["ml"] = ["Peña", "Zoë", None]
    lots.to_file(tmp_path / "a.shp", encoding="ISO-8859-1")
    (tmp_path / "a.cpg").unlink() if cpg is None else (tmp_path / "a.cpg").write_text(cpg)
    assert read(tmp_path / "a.shp")["ml"].to_pylist() == ["Peña", "Zoë", None]


def test_a_column_name_that_is_not_utf8(tmp_path):
    table(3).rename(columns={"ml": "xyz"}).to_file(tmp_path / "a.shp")
    part = tmp_path / "a.dbf"
    part.write_bytes(part.read_bytes().replace(b"xyz", b"x\xf1z"))
    (tmp_path / "a.cpg").unlink()
    assert read(tmp_path / "a.shp").schema.names[0] == "xñz"


# Strangers.


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><head><title>Access Denied</title>", "an HTML page titled 'Access Denied'"),
        (b"\n<!-- x -->\n<HTML>", "an HTML page"),
        (b"<?xml version='1.0'?><wfs:FeatureCollection/>", "XML"),
        (b"{}", "not a FeatureCollection"),
        (b'{"error": {"code": 499, "message": "Token Required"}}', "an error document.*Token Required"),
        (b'{"geometryType": "esriGeometryPolygon", "features": []}', "Esri JSON"),
        (b'{"type": "FeatureCollection"}', "damaged"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"id,address\n1,Main Street", "no column of shapes .*only: id, address"),
        (b"one column\n1\n2\n", "unknown format"),
        (b"SQLite format 3\0" + b"\0" * 100, "damaged|not a GeoPackage"),
        (b"PAR1 and no more", "damaged"),
        (b"fgb\x03fgb\x00 and no more", "damaged"),
        (b"fgb\x03fgb\x00\xff\xff\xff\xff" + bytes(4000), "damaged"),
        (b"<?xml version='1.0' encoding='U'?><kml xmlns='http://www.opengis.net/kml/2.2'/>", "damaged.*encoding: U"),
    ],
)
def test_what_is_not_a_layer(tmp_path, content, says):
    (tmp_path / "parcels.geojson").write_bytes(content)
    refused(tmp_path / "parcels.geojson", says)


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "none.geojson", "cannot be opened")


@pytest.mark.parametrize("name", ["a.geojson", "a.shp", "a.gpkg", "a.vrt"])
def test_a_vrt_under_any_name_is_refused(tmp_path, name, shapefile):
    (tmp_path / name).write_text(VRT.format(target=shapefile))
    assert pyogrio.read_info(tmp_path / name)["features"] == 5 if name == "a.vrt" else True  # GDAL would obey
    refused(tmp_path / name, "virtual dataset")


def test_a_vrt_as_shp_in_a_zip(tmp_path, shapefile):
    shapefile.write_text(VRT.format(target="/etc/passwd"))
    zipped = zip_of(shapefile.parent, tmp_path / "a.zip")
    refused(zipped, "no layer that can be read, only: .*lots.shp", into=tmp_path / "into")


def test_a_feature_collection_that_is_a_vrt_too(tmp_path, shapefile):
    """GDAL's VRT driver looks for its tag anywhere in the head; the prefix keeps it away."""
    text = json.dumps({"type": "FeatureCollection", "name": "@", "features": []})
    (tmp_path / "a.geojson").write_text(text.replace("@", VRT.format(target=shapefile).replace('"', "'")))
    assert pyogrio.read_info(tmp_path / "a.geojson", layer="lots")["driver"] == "OGR_VRT"
    found = find(tmp_path / "a.geojson")
    assert (found.format, found.rows) == ("GeoJSON", 0)


def test_gdal_reaches_no_network_afterwards(tmp_path):
    table().to_file(tmp_path / "a.gpkg")
    find(tmp_path / "a.gpkg")
    assert pyogrio.get_gdal_config_option("CPL_VSIL_CURL_ALLOWED_EXTENSIONS") == ".none"
    with pytest.raises(pyogrio.errors.DataSourceError, match="does not exist in the file system"):
        pyogrio.read_info("/vsicurl/http://127.0.0.1:1/a.geojson")


def test_a_plain_sqlite_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        database.execute("CREATE TABLE t (n)")
    database.close()
    refused(tmp_path / "a.gpkg", "not a GeoPackage")


def test_native_geoparquet_is_refused_by_name(tmp_path):
    table().to_parquet(tmp_path / "a.parquet", geometry_encoding="geoarrow")
    refused(tmp_path / "a.parquet", "encoded as polygon")


def test_parquet_without_geo_is_refused(tmp_path):
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "not GeoParquet")


@pytest.mark.parametrize(("crs", "says"), [(None, None), ("EPSG:4326", "EPSG:4326")])
def test_the_crs_of_geoparquet(tmp_path, crs, says):
    table().set_crs(crs, allow_override=True).to_parquet(tmp_path / "a.parquet")
    assert find(tmp_path / "a.parquet").crs == says


# Layers.


def test_several_layers(tmp_path):
    path = tmp_path / "a.gpkg"
    table(2).to_file(path, layer="parcels")
    table(3).set_geometry(table(3).centroid).to_file(path, layer="points")
    assert find(path).layer == "parcels"
    table(4).to_file(path, layer="zoning")
    message = refused(path, "2 layers may hold polygons; there are: 'parcels', 'points', 'zoning'")
    assert "`layer`" in message
    assert find(path, "Zoning").rows == 4
    refused(path, "no single layer is called 'roads'", layer="roads")


def test_several_shapefiles_in_a_zip(tmp_path):
    (tmp_path / "in").mkdir()
    for name, rows in (("lots", 2), ("zones", 3)):
        table(rows).to_file(tmp_path / "in" / f"{name}.shp")
    zipped = zip_of(tmp_path / "in", tmp_path / "a.zip")
    refused(zipped, "2 layers may hold polygons", into=tmp_path / "into")
    assert find(zipped, "zones", tmp_path / "into").rows == 3


def test_topojson(tmp_path):
    ring = {"type": "Polygon", "arcs": [[0]], "properties": {"x": 1}}
    objects = {"a": {"type": "GeometryCollection", "geometries": [ring]}}
    text = {"type": "Topology", "arcs": [[[0, 0], [0, 1], [1, 1], [0, 0]]], "objects": objects}
    (tmp_path / "a.json").write_text(json.dumps(text))
    assert find(tmp_path / "a.json").crs is None
    assert read(tmp_path / "a.json")["x"].to_pylist() == [1]


# Memory.

_PEAK = """
import re, sys
from pathlib import Path
from zoning_assets.sources.files import file_reader
found = file_reader.find_layer(Path(sys.argv[1]), where="w", layer=None, into=Path(sys.argv[2]))
rows = sum(map(len, file_reader.batches(found)))
print(rows, int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def peak(path: Path) -> tuple[int, int]:
    """Rows read, and the peak RSS in MiB of a process that did nothing else.

    Not getrusage: on Linux its ru_maxrss outlives fork and exec, so it would be this test run's own peak.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("peak RSS is read from /proc")
    command = [sys.executable, "-c", _PEAK, str(path), str(below_pytest())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, mib = done.stdout.split()
    return int(rows), int(mib)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".geojson", ".fgb", ".shp", ".gpkg", ".parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path, suffix):
    """Ten times the rows, less than 24 MiB more. GDAL keeps 97 bytes a feature of GeoJSON."""
    peaks = []
    for rows in (30_000, 300_000):
        x = np.arange(rows) % 1000 * 1e-3
        y = np.arange(rows) // 1000 * 1e-3
        ids = np.arange(rows).astype(str)
        lots = gpd.GeoDataFrame({"ml": ids, "text": "x" * 60}, geometry=shapely.box(x, y, x + 5e-4, y + 5e-4), crs=4326)
        path = tmp_path / f"{rows}{suffix}"
        lots.to_parquet(path, row_group_size=20_000) if suffix == ".parquet" else lots.to_file(path)
        read_rows, mib = peak(path)
        assert read_rows == rows
        peaks.append(mib)
    print(suffix, peaks)  # noqa: T201 - a measurement, shown by -s
    assert peaks[1] - peaks[0] < 24
