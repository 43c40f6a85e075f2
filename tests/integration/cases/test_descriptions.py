"""Descriptions that disagree with the rows: the rows win where they prove themselves, and only there."""

import io
import json
import os
import sqlite3
import struct
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pyproj
import pytest
import shapely

from tests.conftest import rows
from tests.integration.cases.serving_files import ArcgisLayer, asked, cell, expected, keys, lot, served, taken
from tests.support.shared_data import case
from zoning_assets.errors import FileRefused, HarvestIncomplete, NotALayer, ZoningError
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.sources.files import row_counts

pytestmark = pytest.mark.sampled(4)


@pytest.mark.parametrize(
    ("folder", "name", "number"),
    [("03", "case03", 20), ("05", "case05a", 20), ("05", "case05b", 18), ("06", "case06", 20), ("29", "case29", 20)],
)
def test_the_shared_cases_give_all_of_their_rows(pipeline: Pipeline, folder: str, name: str, number: int) -> None:
    """Each with its own jurisdiction file, through to PostGIS, where its bounds say."""
    assert len(keys(pipeline, taken(folder, pipeline, name))) == number
    [(west, east)] = rows(pipeline.database, "SELECT min(ST_XMin(geom)), max(ST_XMax(geom)) FROM zoning.parcel")
    assert -71.1001 < west < east < -71.09


# ArcGIS.

DESCRIPTION = {
    "currentVersion": 10.81,
    "id": 0,
    "name": "Parcels",
    "type": "Feature Layer",
    "geometryType": "esriGeometryPolygon",
    "objectIdField": "OBJECTID",
    "maxRecordCount": 1000,
    "advancedQueryCapabilities": {"supportsPagination": True},
    "extent": {"xmin": -71.1, "ymin": 42.38, "xmax": -71.09, "ymax": 42.39, "spatialReference": {"wkid": 4326}},
    "fields": [{"name": name, "type": "esriFieldTypeString"} for name in ("OBJECTID", "PIN", "ADDR", "ZONE_CODE")],
}


def portal(changes: dict[str, Any], *, spelled: dict[str, str] | None = None, **more: Any) -> ArcgisLayer:
    """Twenty rows; `changes` to the description (None: the member is missing), and other names of columns."""
    names = spelled or {}
    layer = {name: value for name, value in (DESCRIPTION | changes).items() if value is not None}
    features = [
        {
            "attributes": {names.get(name, name): value for name, value in {"OBJECTID": i + 1, **lot(i)}.items()},
            "geometry": {"rings": [shapely.get_coordinates(cell(i)).tolist()]},
        }
        for i in range(20)
    ]
    page = {"spatialReference": {"wkid": 4326}, "features": features, **more.pop("page", {})}
    return ArcgisLayer(layer, page, id=names.get("OBJECTID", "OBJECTID"), **more)


def plain(*names: str) -> dict[str, Any]:
    """A description with these columns, of which none is said to be the object id."""
    return {"objectIdField": None, "fields": [{"name": name, "type": "esriFieldTypeInteger"} for name in names]}


@pytest.mark.parametrize(
    ("changes", "spelled", "more"),
    [
        (plain("OBJECTID", "PIN", "ADDR", "ZONE_CODE"), {}, {}),  # named by the list of ids
        (plain("OBJECTID", "PIN", "ADDR", "ZONE_CODE"), {}, {"listed_as": None}),  # a column that is called so
        (plain("PIN", "ADDR", "ZONE_CODE"), {"OBJECTID": "FID"}, {"listed_as": None}),  # only the rows have it
        (plain("ROWNO", "PIN"), {"OBJECTID": "ROWNO"}, {"listed_as": "rowno"}),  # spelled otherwise
        (plain("PIN"), {"OBJECTID": "town.Parcels.OBJECTID"}, {"listed_as": "OBJECTID"}),  # of a join
        ({"objectIdField": "objectid"}, {}, {}),
        ({"fields": []}, {}, {}),
        ({"fields": None, "objectIdField": None}, {}, {"page": {"objectIdFieldName": "OBJECTID"}}),
    ],
)
def test_an_object_id_is_found_however_it_is_named(
    pipeline: Pipeline, changes: dict[str, Any], spelled: dict[str, str], more: dict[str, Any]
) -> None:
    """By the description, the list of ids, a page or its usual name: twenty rows, proven by the list."""
    outcomes = asked(pipeline, portal(changes, spelled=spelled, **more))
    assert keys(pipeline, outcomes) == expected()
    assert outcomes[0].harvest.proof["rows by the server's list"] == 20


def test_no_object_id_at_all_is_refused_in_a_line(pipeline: Pipeline) -> None:
    """Nothing names one: there is nothing to prove a harvest by."""
    layer = portal(plain("PIN", "ADDR", "ZONE_CODE"), spelled={"OBJECTID": "NUMBER"}, listed_as=None)
    with pytest.raises(NotALayer, match="neither the layer nor its rows name an object id"):
        asked(pipeline, layer)


@pytest.mark.parametrize("name", ["pin", "Pin", "parcels.PIN", "TOWN.Parcels.pin"])
@pytest.mark.parametrize("described", [True, False])
def test_a_column_is_found_however_the_rows_spell_it(pipeline: Pipeline, name: str, described: bool) -> None:
    """`key = "PIN"`: in the description or not, the rows have the column under another spelling."""
    changes = {} if described else {"fields": []}
    layer = portal(changes, spelled={"PIN": name, "ADDR": "addr"})
    assert keys(pipeline, asked(pipeline, layer)) == expected()
    [(address,)] = rows(pipeline.database, "SELECT address FROM zoning.parcel WHERE parcel_id = '12-003'")
    assert address == "13 Elm St"


def test_a_column_that_two_spellings_could_mean_is_not_guessed(pipeline: Pipeline) -> None:
    """A join of two tables, each with a PIN."""
    fields = [{"name": name, "type": "esriFieldTypeString"} for name in ("OBJECTID", "a.PIN", "b.PIN", "ADDR")]
    with pytest.raises(ZoningError, match="no column 'PIN'"):
        asked(pipeline, portal({"fields": fields}, spelled={"PIN": "a.PIN"}))


@pytest.mark.parametrize(
    "extent",
    [
        None,
        {},
        {"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN", "spatialReference": {"wkid": 4326}},
        {"xmin": None, "ymin": None, "xmax": None, "ymax": None},
        {"xmin": 20.0, "ymin": -30.0, "xmax": 21.0, "ymax": -29.0, "spatialReference": {"wkid": 4326}},  # stale
        {"xmin": -180, "ymin": -90, "xmax": 180, "ymax": 90, "spatialReference": {"wkid": 4326}},
    ],
)
def test_an_extent_need_not_be_right(pipeline: Pipeline, extent: Any) -> None:
    """Missing, empty, of no numbers, elsewhere or the whole globe: the rows say where they are."""
    assert keys(pipeline, asked(pipeline, portal({"extent": extent}))) == expected()


def test_rows_in_another_reference_than_the_layer_is_described_in_are_refused(pipeline: Pipeline) -> None:
    """The description says State Plane feet, each page degrees: one of them is wrong, and nobody knows which."""
    layer = portal({"extent": DESCRIPTION["extent"] | {"spatialReference": {"wkid": 2249}}})
    with pytest.raises(HarvestIncomplete, match="rows are in EPSG:4326, but the layer states EPSG:2249"):
        asked(pipeline, layer)
    assert keys(pipeline, asked(pipeline, layer, more='crs = "EPSG:4326"')) == expected()  # a person knows


@pytest.mark.parametrize(("one", "other"), [(102100, 3857), (102686, 2249)])
def test_two_numbers_of_one_reference_are_no_contradiction(pipeline: Pipeline, one: int, other: int) -> None:
    """Esri's own number in the description, EPSG's in the pages."""
    page = json.loads(case("29/case29-query.json").read_text())
    if other == 3857:
        page = portal({}).page
        reference = {"spatialReference": {"wkid": other}}
        for each in page["features"]:
            each["geometry"]["rings"] = [
                shapely.get_coordinates(mercator(shapely.Polygon(ring))).tolist() for ring in each["geometry"]["rings"]
            ]
        page = {**page, **reference}
    extent = {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1, "spatialReference": {"wkid": one}}
    page = {**page, "spatialReference": {"wkid": other}}
    layer = ArcgisLayer(DESCRIPTION | {"extent": extent}, page)
    assert len(keys(pipeline, asked(pipeline, layer))) == 20


def mercator(shape: shapely.Polygon) -> shapely.Polygon:
    to_mercator = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)
    return shapely.transform(shape, to_mercator.transform, interleaved=False)


def test_fewer_rows_than_the_server_lists_are_still_refused(pipeline: Pipeline) -> None:
    """It lists twenty and gives eighteen, whatever its description lacks."""
    layer = portal(plain("OBJECTID", "PIN", "ADDR", "ZONE_CODE"), without=frozenset({"7", "19"}))
    with pytest.raises(HarvestIncomplete, match="received 18, the portal states 20"):
        asked(pipeline, layer)
    assert rows(pipeline.database, "SELECT count(*) FROM zoning.parcel") == [(0,)]


# Files.


def lots(number: int = 20) -> gpd.GeoDataFrame:
    """So many lots as a table."""
    return gpd.GeoDataFrame([lot(i) for i in range(number)], geometry=[cell(i) for i in range(number)], crs=4326)


def written(folder: Path, name: str, table: gpd.GeoDataFrame | None = None, **options: Any) -> Path:
    """A table in the format of the name's suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    pyogrio.write_dataframe(lots() if table is None else table, folder / name, **options)
    return folder / name


def patched(path: Path, at: int, form: str, value: int) -> bytes:
    """A file's bytes with one number changed."""
    body = bytearray(path.read_bytes())
    struct.pack_into(form, body, at, value)
    return bytes(body)


def zipped(*paths: Path, names: dict[str, str] | None = None) -> bytes:
    """Files in a zip, some under other names."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, (names or {}).get(path.name, path.name))
    return sink.getvalue()


@pytest.mark.parametrize("change", ["= 7", "= 0", "= NULL", "= 900", None])
def test_the_rows_of_a_geopackage_are_counted_and_not_its_cache(
    pipeline: Pipeline, tmp_path: Path, change: str | None
) -> None:
    """GDAL's private count is too small, nothing, missing, too large, or its table is gone."""
    path = written(tmp_path, "a.gpkg")
    with closing(sqlite3.connect(path)) as database:
        told = f"UPDATE gpkg_ogr_contents SET feature_count {change}" if change else "DROP TABLE gpkg_ogr_contents"
        database.execute(told)
        database.commit()
    assert keys(pipeline, served(pipeline, "a.gpkg", path.read_bytes())) == expected()


@pytest.mark.parametrize("keep", [0.4, 0.7, 0.9])
def test_a_geopackage_that_is_cut_is_still_refused(pipeline: Pipeline, tmp_path: Path, keep: float) -> None:
    """What is counted is what is there, and a file without its end is damaged."""
    table = gpd.GeoDataFrame(
        [lot(i) | {"NOTE": "x" * 400} for i in range(2000)], geometry=[cell(i % 20) for i in range(2000)], crs=4326
    )
    body = written(tmp_path, "a.gpkg", table).read_bytes()
    with pytest.raises(FileRefused, match=r"damaged|the file states"):
        served(pipeline, "a.gpkg", body[: int(len(body) * keep)])


def test_a_view_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    """A hostile GeoPackage counts for ever."""
    path = written(tmp_path, "a.gpkg")
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        )
        database.commit()
    with pytest.raises(FileRefused, match="damaged"):
        row_counts.geopackage(path, "endless", "the feed")


def test_a_large_geopackage_is_counted(tmp_path: Path) -> None:
    """Of 300 MB (what follows the tables is empty): the limit on the count's steps is a number that SQLite takes."""
    path = tmp_path / "large.gpkg"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE lots (fid INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO lots VALUES (?)", [(number,) for number in range(7)])
        database.commit()
    os.truncate(path, 300 << 20)
    assert row_counts.geopackage(path, "lots", "the feed") == 7


@pytest.mark.parametrize("said", [0, 3, 24])
def test_a_flatgeobuf_is_counted_feature_by_feature(pipeline: Pipeline, tmp_path: Path, said: int) -> None:
    """Its header says nothing, too few (GDAL would leave out the rest) or too many."""
    path = written(tmp_path, "a.fgb", SPATIAL_INDEX="NO")
    at = path.read_bytes().index(struct.pack("<Q", 20))
    assert keys(pipeline, served(pipeline, "a.fgb", patched(path, at, "<Q", said))) == expected()


@pytest.mark.parametrize("cut", [1, 60, 500])
def test_a_flatgeobuf_that_is_cut_is_refused_though_its_header_counts_nothing(
    pipeline: Pipeline, tmp_path: Path, cut: int
) -> None:
    """GDAL ends at the end of the file, without a word."""
    path = written(tmp_path, "a.fgb", SPATIAL_INDEX="NO")
    body = patched(path, path.read_bytes().index(struct.pack("<Q", 20)), "<Q", 0)
    with pytest.raises(FileRefused, match="cut short"):
        served(pipeline, "a.fgb", body[:-cut])


def shapefile(folder: Path) -> list[Path]:
    """The parts of a shapefile of twenty lots."""
    return [written(folder, "a.shp"), *(folder / f"a.{suffix}" for suffix in ("shx", "dbf", "prj", "cpg"))]


@pytest.mark.parametrize(("part", "at", "form"), [(2, 4, "<I"), (1, 24, ">i")])
@pytest.mark.parametrize("number", [17, 24])
def test_a_stale_count_of_a_shapefile_is_outvoted(
    pipeline: Pipeline, tmp_path: Path, part: int, at: int, form: str, number: int
) -> None:
    """The header of the .dbf or the .shx counts other rows than the other file has, and than its own bytes are. GDAL
    alone gives null attributes."""
    parts = shapefile(tmp_path)
    said = number if part == 2 else 50 + 4 * number
    parts[part].write_bytes(patched(parts[part], at, form, said))
    outcomes = served(pipeline, "a.zip", zipped(*parts))
    assert keys(pipeline, outcomes) == expected()
    assert rows(pipeline.database, "SELECT count(address) FROM zoning.parcel") == [(20,)]


@pytest.mark.parametrize(
    "names",
    [
        {"a.shp": "A.SHP", "a.shx": "A.SHX", "a.dbf": "A.DBF", "a.prj": "A.PRJ", "a.cpg": "A.CPG"},
        {"a.shp": "Lots.shp", "a.shx": "LOTS.SHX", "a.dbf": "lots.dbf", "a.prj": "lots.PRJ", "a.cpg": "lots.cpg"},
        {"a.dbf": "a.DBF"},
    ],
)
def test_the_parts_of_a_shapefile_need_not_be_spelled_alike(
    pipeline: Pipeline, tmp_path: Path, names: dict[str, str]
) -> None:
    """Where case does not count these are one shapefile; so they are here."""
    assert keys(pipeline, served(pipeline, "a.zip", zipped(*shapefile(tmp_path), names=names))) == expected()


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp", "a.csv"])
def test_a_column_of_a_file_may_be_spelled_otherwise(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    """`key = "PIN"`, and the file has `Pin`."""
    table = lots().rename(columns={"PIN": "Pin", "ADDR": "addr"})
    if name == "a.csv":
        frame = table.assign(wkt=table.geometry.to_wkt()).drop(columns="geometry")
        body = frame.to_csv(index=False).encode()
    else:
        path = written(tmp_path, name, table)
        body = path.read_bytes() if name != "a.shp" else zipped(*(path.with_suffix(s) for s in PARTS))
    outcomes = served(pipeline, name if name != "a.shp" else "a.zip", body)
    assert keys(pipeline, outcomes) == expected()
    assert rows(pipeline.database, "SELECT count(address) FROM zoning.parcel") == [(20,)]


PARTS = (".shp", ".shx", ".dbf", ".prj")


def file_gdb(folder: Path, version: int, keep: float = 1.0, *, part: str = ".gdbtable") -> bytes:
    """The FileGDB of case 06, its data table of another version, or cut."""
    with zipfile.ZipFile(case("06/case06.zip")) as archive:
        archive.extractall(folder)
    table = folder / "Parcels64.gdb" / f"a00000009{part}"
    body = patched(table, 0, "<I", version)
    table.write_bytes(body[: int(len(body) * keep)])
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return zipped(*paths, names={path.name: f"Parcels64.gdb/{path.name}" for path in paths})


@pytest.mark.parametrize("part", [".gdbtable", ".gdbtablx"])
def test_a_table_of_version_4_that_is_cut_is_refused(pipeline: Pipeline, tmp_path: Path, part: str) -> None:
    """GDAL reads it as an empty or shorter one."""
    with pytest.raises(FileRefused, match=r"cut short|damaged|the file states"):
        served(pipeline, "a.zip", file_gdb(tmp_path, 4, 0.5, part=part))


@pytest.mark.parametrize(("number", "whole"), [(20, True), (0, False)])
def test_a_table_of_an_unknown_version_is_believed_if_it_has_rows(tmp_path: Path, number: int, whole: bool) -> None:
    """What GDAL can read is read by GDAL; an empty one may be one that it could not."""
    file_gdb(tmp_path, 7)
    assert row_counts.is_gdb_whole(tmp_path / "Parcels64.gdb", number) == whole
