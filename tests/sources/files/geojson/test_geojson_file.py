"""GeoJSON as it is met: in feet, of mixed properties, one feature a line; and the same layer in another format."""

import json
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import shapely

from tests.sources.files.test_file_reader import find, read, refused, table
from tests.sources.judged import hashes, judged
from zoning_assets.errors import CrsRefused
from zoning_assets.sources.files import file_reader

CAMBRIDGE = (-71.2, 42.3, -71.0, 42.5)
FEET = shapely.box(760_000, 2_960_000, 760_100, 2_960_100)
DEGREES = shapely.box(-0.001, -0.001, 0.001, 0.001)
BOUNDS = (-1.0, -1.0, 1.0, 1.0)


def feature(shape: Any = DEGREES, **properties: Any) -> dict[str, Any]:
    geometry = None if shape is None else shapely.geometry.mapping(shape)
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(path: Path, *features: dict[str, Any], **members: Any) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", **members, "features": list(features)}))
    return path


@pytest.mark.parametrize(
    "name", ["EPSG:2249", "urn:ogc:def:crs:EPSG::2249", "http://www.opengis.net/def/crs/EPSG/0/2249"]
)
def test_a_crs_member_is_believed(tmp_path, name):
    """The old member that names another CRS than degrees, in any of its spellings."""
    crs = {"type": "name", "properties": {"name": name}}
    path = collection(tmp_path / "a.geojson", feature(FEET, ml="1"), crs=crs)
    assert find(path).crs == "EPSG:2249"
    assert judged(path, bounds=CAMBRIDGE).accepted == 1


@pytest.mark.parametrize("members", [{}, {"crs": None}])
def test_feet_without_a_crs_are_not_taken_for_degrees(tmp_path, members):
    """Refused by the bounds; read where the jurisdiction file says which feet."""
    path = collection(tmp_path / "a.geojson", feature(FEET, ml="1"), **members)
    with pytest.raises(CrsRefused):
        judged(path, bounds=CAMBRIDGE)
    assert judged(path, bounds=CAMBRIDGE, crs="EPSG:2249").accepted == 1


def test_mixed_properties(tmp_path):
    """Columns are all that any row has; a value of another type in another row is text, and nothing is lost."""
    rows = [
        feature(ml="1", a=1, b=None, c=[1, 2]),
        feature(ml="2", a="x", d={"k": 1}),
        feature(ml="3", a=None, b=2.5, c=["u"], e=True),
        {**feature(ml="4"), "properties": None},
        {**feature(ml="5"), "id": "x"},
    ]
    found = read(collection(tmp_path / "a.geojson", *rows))
    assert found["a"].to_pylist() == ["1", "x", None, None, None]
    assert found["b"].to_pylist() == [None, None, 2.5, None, None]
    assert found["c"].to_pylist() == [["1", "2"], None, ["u"], None, None]
    assert json.loads(found["d"].to_pylist()[1]) == {"k": 1}
    done = judged(tmp_path / "a.geojson", bounds=BOUNDS)
    assert done.table["key"].tolist() == ["1", "2", "3", "5"]
    assert done.rejections["reason"].tolist() == ["null_key"]


def lines(path: Path, *features: dict[str, Any], separator: str = "") -> Path:
    path.write_text("".join(f"{separator}{json.dumps(each)}\n" for each in features))
    return path


@pytest.mark.parametrize("separator", ["", "\x1e"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n\r\n"])
def test_one_feature_a_line(tmp_path, separator, ending):
    """With or without record separators, blank lines, a last line end."""
    path = lines(tmp_path / "a.geojsonl", feature(ml="01"), feature(ml="02", x=1), separator=separator)
    path.write_text(path.read_text().rstrip("\n") + ending)
    assert (find(path).format, find(path).crs, find(path).rows) == ("GeoJSONSeq", "EPSG:4326", 2)
    assert read(path)["ml"].to_pylist() == ["01", "02"]
    same = collection(tmp_path / "a.geojson", feature(ml="01"), feature(ml="02", x=1))
    assert hashes(path, bounds=BOUNDS) == hashes(same, bounds=BOUNDS)


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_line_that_is_cut_is_missed(tmp_path, cut):
    """GDAL leaves it out without a word."""
    path = lines(tmp_path / "a.geojsonl", *[feature(ml=str(i)) for i in range(9)])
    path.write_bytes(path.read_bytes()[: -cut - 1])
    refused(path, r"states \d rows, but contains \d|damaged")
    whole = lines(tmp_path / "b.geojsonl", *[feature(ml=str(i)) for i in range(9)]).read_text().splitlines()
    (tmp_path / "b.geojsonl").write_text("\n".join([*whole[:4], whole[4][:50], *whole[5:]]))
    refused(tmp_path / "b.geojsonl", "damaged")


def test_a_collection_whose_type_stands_last_and_is_cut(tmp_path):
    """Its start looks like one feature a line."""
    text = json.dumps({"features": [feature(ml="1"), feature(ml="2")], "type": "FeatureCollection"})
    (tmp_path / "a.geojson").write_text(text)
    assert read(tmp_path / "a.geojson")["ml"].to_pylist() == ["1", "2"]
    (tmp_path / "a.geojson").write_text(text[:-40])
    refused(tmp_path / "a.geojson", "damaged|the file states")


def test_topojson_is_read_where_it_lies(tmp_path):
    """A quantised topology is degrees unless the jurisdiction file says otherwise; outside the bounds it is refused."""
    ring = {"type": "Polygon", "arcs": [[0]], "properties": {"ml": "007"}}
    topology = {
        "type": "Topology",
        "transform": {"scale": [0.001, 0.001], "translate": [0, 0]},
        "arcs": [[[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]]],
        "objects": {"lots": {"type": "GeometryCollection", "geometries": [ring]}},
    }
    (tmp_path / "a.json").write_text(json.dumps(topology))
    done = judged(tmp_path / "a.json", bounds=BOUNDS)
    assert done.table["key"].tolist() == ["007"]
    assert done.table.geometry.to_numpy()[0].bounds == (0, 0, 0.001, 0.001)
    with pytest.raises(CrsRefused):
        judged(tmp_path / "a.json", bounds=CAMBRIDGE)


# The same layer in another format.


def write(lots: gpd.GeoDataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        lots.to_parquet(path)
    elif path.suffix == ".csv":
        lots.assign(wkt=lots.geometry.to_wkt(rounding_precision=12)).drop(columns="geometry").to_csv(path, index=False)
    else:
        options: dict[str, Any] = {
            ".geojson": {"COORDINATE_PRECISION": 12},
            ".geojsonl": {"COORDINATE_PRECISION": 12, "driver": "GeoJSONSeq"},
            ".fgb": {"SPATIAL_INDEX": "NO"},  # which holds no row without a place
        }.get(path.suffix, {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names are cut
            pyogrio.write_dataframe(lots, path, **options)
    return path


@pytest.mark.parametrize("suffix", [".shp", ".gpkg", ".fgb", ".parquet", ".geojson", ".csv", ".geojsonl"])
def test_a_change_of_format_changes_nothing(tmp_path, suffix):
    """Null and empty shapes, empty and missing text, a column that a shapefile cuts to ten letters: the same rows,
    the same hashes, the same rejections as from a GeoPackage.
    """
    lots = table(8).to_crs(4326).drop(columns="n")
    west, south, east, north = lots.total_bounds
    bounds = (west - 0.01, south - 0.01, east + 0.01, north + 0.01)
    lots["zoning_classification"] = ["R-1", "", None, "C 2", "R-1", "é", "x", "y"]
    lots["note"] = ["a", None, "", "  b ", "c", "d", "e", "f"]
    shapes = lots.geometry.to_numpy().copy()
    shapes[1], shapes[2] = None, shapely.Polygon()
    lots = lots.set_geometry(gpd.GeoSeries(shapes, crs=4326))
    said = {"bounds": bounds, "fields": {"zoning_code": "zoning_classification"}}
    expected = hashes(write(lots, tmp_path / "first.gpkg"), **said)
    assert (len(expected[0]), expected[1]) == (6, ["no_geometry", "no_geometry"])
    assert hashes(write(lots, tmp_path / f"then{suffix}"), **said) == expected


def test_a_cut_name_is_found_only_where_it_is_clear(tmp_path):
    """Ten letters that begin the wanted name; a column that has the name itself comes first."""
    lots = table(2).rename(columns={"ml": "parcel_number", "n": "parcel_id"})
    write(lots, tmp_path / "a.shp")
    columns = ["parcel_number", "parcel_identifier"]
    named = file_reader.find_layer(tmp_path / "a.shp", where="w", layer=None, into=tmp_path, named=columns)
    assert [name for name, _ in named.columns] == ["parcel_number", "parcel_id"]
