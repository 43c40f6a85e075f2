"""A layer as a frame, as far as a true harvest would publish it; for tests and benchmarks that need no portal."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from zoning_assets.simulation.county.county_table import Table
from zoning_assets.simulation.county.plat import EPSG
from zoning_assets.transform.geometry import validity

_GRID_FT = 0.001


def frame(table: Table, **columns: str) -> gpd.GeoDataFrame:
    """Rows that have a shape, mended: the named columns, and `geometry` (MultiPolygon, EPSG:2249).

    Where there is a column `key`, rows without one are left out, and those of one key are dissolved; what else they
    say is taken from the first.
    """
    shapes = validity.repair_shapes(table.shapes.to_shapely(), _GRID_FT).geometry
    rows = pd.DataFrame({name: table.columns[column] for name, column in columns.items()})
    there = ~shapely.is_missing(shapes)
    if "key" in columns:
        there &= (rows["key"].fillna("").str.strip() != "").to_numpy()
    whole = gpd.GeoDataFrame(rows[there].reset_index(drop=True), geometry=shapes[there], crs=EPSG)
    return _dissolved(whole) if "key" in columns else whole


def _dissolved(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    repeated = rows["key"].duplicated(keep=False)
    groups = rows[repeated].groupby("key", sort=True)
    unions = [shapely.union_all(group.to_numpy(), grid_size=_GRID_FT) for _, group in groups.geometry]
    first = (
        groups.head(1).sort_values("key").assign(geometry=validity.repair_shapes(np.array(unions), _GRID_FT).geometry)
    )
    return gpd.GeoDataFrame(pd.concat([rows[~repeated], first], ignore_index=True), crs=rows.crs)
