"""The table of a stage in the store: GeoParquet that other programs can read, with its CRS."""

import io
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from zoning_assets.model import VALIDATED
from zoning_assets.storage.object_store.geoparquet_tables import StageTable
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.normalize import framed


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_geopandas_reads_rows_and_crs(tmp_path: Path, crs: str) -> None:
    """Geometry, text, null and numbers are read back, by geopandas and by us."""
    shapes = [shapely.multipolygons([shapely.box(0, 0, 1, 1)]), None]
    frame = framed({"key": ["a", None], "geometry": shapes}, {"row": np.array([3, 5])})
    objects, table = Objects(str(tmp_path)), StageTable(VALIDATED, "us-xx-town", "parcels", "t", "h", "r")
    table.write(objects, 0, frame, crs)
    stored = gpd.read_parquet(io.BytesIO(objects.get(f"{table.folder}/00000.parquet")))
    assert stored.crs == crs
    for read in (stored, table.read(objects, 0)):
        assert read["key"].isna().tolist() == [False, True]
        assert read["row"].tolist() == [3, 5]
        assert read["geometry"][0].equals(shapes[0])
        assert read["geometry"][1] is None
