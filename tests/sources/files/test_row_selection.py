"""The rows of a file that meet a clause: just those that GDAL itself selects, read like all others."""

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from aiohttp import web

from tests.sources.desk import FileDesk, request_for
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock, served
from tests.support.shared_data import cambridge
from zoning_assets.errors import FileRefused
from zoning_assets.sources.download import download_source
from zoning_assets.sources.files import file_reader, row_selection
from zoning_assets.sources.full_layer import FullLayer

FORMATS = ["a.geojson", "a.geojsonl", "a.fgb", "a.gpkg", "a.shp", "a.gdb", "a.csv", "a.kml"]


def table(rows: int = 30) -> gpd.GeoDataFrame:
    boxes = [shapely.box(i * 0.01, 0, i * 0.01 + 0.005, 0.005) for i in range(rows)]
    columns = {"ml": [f"p{i}" for i in range(rows)], "town": ["A", "B", "O'Hara"] * (rows // 3)}
    return gpd.GeoDataFrame(columns, geometry=boxes, crs="EPSG:4326")


def written(folder: Path, name: str) -> Path:
    path, rows = folder / name, table()
    if name.endswith("csv"):
        rows.assign(wkt=rows.to_wkt()["geometry"]).drop(columns="geometry").to_csv(path, index=False)
    else:
        drivers = {"gdb": "OpenFileGDB", "geojsonl": "GeoJSONSeq", "kml": "KML"}
        pyogrio.write_dataframe(rows, path, driver=drivers.get(name.partition(".")[2]))
    return path


def selected(path: Path, clause: str, folder: Path) -> tuple[file_reader.LayerFile, list[str], int]:
    """The layer, the keys of the selected rows, and how many ids were found."""
    found = file_reader.find_layer(path, where="us-x parcels", layer=None, into=folder / "unpacked")
    ids = row_selection.matching_ids(found, clause, folder / "kept" / "ids.npy")
    batches = row_selection.selected(lambda: file_reader.batches(found, rows=7), ids)
    return found, [key for batch in batches() for key in batch.column("ml").to_pylist()], len(ids)


@pytest.mark.parametrize("name", FORMATS)
def test_the_rows_are_those_that_meet_the_clause(tmp_path: Path, name: str) -> None:
    """In every format that GDAL reads."""
    _, keys, number = selected(written(tmp_path, name), "town = 'O''Hara' OR ml = 'p0'", tmp_path)
    assert sorted(keys) == sorted(["p0", *(f"p{i}" for i in range(2, 30, 3))])
    assert number == len(keys)


def test_real_parcels(tmp_path: Path) -> None:
    """Of Cambridge's 13,116 parcels just those that GDAL selects, read twice: the second time the ids are kept."""
    path = cambridge() / "parcels_FY2014_4326.geojson"
    clause = "ML LIKE '1%'"
    wanted = pyogrio.read_dataframe(path, where=clause, read_geometry=False)["ML"].tolist()
    found = file_reader.find_layer(path, where="us-ma-cambridge parcels", layer=None, into=tmp_path)
    for _ in range(2):
        ids = row_selection.matching_ids(found, clause, tmp_path / "ids.npy")
        batches = row_selection.selected(lambda: file_reader.batches(found), ids)
        assert [key for batch in batches() for key in batch.column("ML").to_pylist()] == wanted
    assert 0 < len(wanted) < 13_116


@pytest.mark.parametrize("clause", ["city = 'A'", "town = = 'A'"])
def test_a_wrong_clause_is_one_line_with_the_columns(tmp_path: Path, clause: str) -> None:
    """It names the feed and the clause."""
    with pytest.raises(FileRefused) as caught:
        selected(written(tmp_path, "a.gpkg"), clause, tmp_path)
    message = str(caught.value)
    assert message.startswith(f'us-x parcels: where = "{clause}": GDAL refuses it (')
    assert "the columns are: ml, town" in message
    assert "\n" not in message
    assert not (tmp_path / "kept").exists()


def test_geoparquet_is_refused(tmp_path: Path) -> None:
    """GDAL does not read it here; nothing is published that was not selected."""
    table().to_parquet(tmp_path / "a.parquet")
    with pytest.raises(FileRefused, match="GeoParquet file cannot be selected"):
        selected(tmp_path / "a.parquet", "town = 'A'", tmp_path)


def test_a_file_that_is_cut_is_still_refused(tmp_path: Path) -> None:
    """The clause does not go around the check that the file has all rows that it states."""
    path = written(tmp_path, "a.fgb")
    found = file_reader.find_layer(path, where="us-x parcels", layer=None, into=tmp_path / "unpacked")
    ids = row_selection.matching_ids(found, "town = 'A'", tmp_path / "ids.npy")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(FileRefused):
        list(row_selection.selected(lambda: file_reader.batches(found), ids)())


def test_a_name_of_a_long_column_and_long_numbers(tmp_path: Path) -> None:
    """The repairs of a shapefile apply to the selected rows: full names of columns, and numbers of 17 digits."""
    rows = table().rename(columns={"town": "town_of_mail"})
    rows["pin"] = np.arange(30) + 10_000_000_000_000_001
    with warnings.catch_warnings(action="ignore"):  # the name is cut, which is the matter
        rows.astype({"pin": str}).to_file(tmp_path / "a.shp")
    found = file_reader.find_layer(
        tmp_path / "a.shp", where="x", layer=None, into=tmp_path, named=["town_of_mail", "pin"]
    )
    ids = row_selection.matching_ids(found, "town_of_ma = 'A'", tmp_path / "ids.npy")
    [batch] = row_selection.selected(lambda: file_reader.batches(found), ids)()
    assert set(batch.column("town_of_mail").to_pylist()) == {"A"}
    assert batch.column("pin").to_pylist() == [str(10_000_000_000_000_001 + i) for i in range(0, 30, 3)]


async def opened(folder: Path, body: bytes, **feed: object) -> FullLayer:
    desk = FileDesk(body)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await desk(request)

    async with served(answer) as url, plain_client(sleep=Clock().sleep) as http:
        return await download_source.open_source(request_for(url, folder, http, **feed))


async def test_a_download_is_proven_relative_to_the_clause(tmp_path: Path) -> None:
    """Its rows are those of the clause, and the harvest checks that exactly these came."""
    body = written(tmp_path, "a.geojson").read_bytes()
    whole = await opened(tmp_path, body, where="town = 'A'")
    assert whole.rows == 10
    assert sum(map(len, whole.here.batches())) == 10
    other = await opened(tmp_path, body, where="town = 'B' AND ml <> 'p1'")
    assert (other.rows, sum(map(len, other.here.batches()))) == (9, 9)
    assert other.stamp == whole.stamp  # the clause is compared by extract._settings_of
