"""A layer as a frame, with the rows that a correct harvest publishes; for tests and benchmarks without a portal."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from zoning_assets.simulation.county.county_table import CountyTable
from zoning_assets.simulation.county.plat import EPSG
from zoning_assets.transform.geometry import validity

_GRID_FT = 0.001


def frame(table: CountyTable, **columns: str) -> gpd.GeoDataFrame:
    """The rows with a geometry, repaired.

    Args:
        table: of the layer.
        columns: column of the frame = column of the table. With a column `key`, rows without a key are left out, and
            rows with the same key are dissolved; their other values are those of the first.

    Returns:
        The named columns, and `geometry` (MultiPolygon, EPSG:2249, US survey feet, x before y).
    """
    shapes = validity.repair_shapes(table.shapes.to_shapely(), _GRID_FT).geometry
    rows = pd.DataFrame({name: table.columns[column] for name, column in columns.items()})
    usable = ~shapely.is_missing(shapes)
    if "key" in columns:
        usable &= (rows["key"].fillna("").str.strip() != "").to_numpy()
    rows_ = gpd.GeoDataFrame(rows[usable].reset_index(drop=True), geometry=shapes[usable], crs=EPSG)
    return _dissolved(rows_) if "key" in columns else rows_


def _dissolved(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    repeated = rows["key"].duplicated(keep=False)
    groups = rows[repeated].groupby("key", sort=True)
    unions = [shapely.union_all(group.to_numpy(), grid_size=_GRID_FT) for _, group in groups.geometry]
    first = (
        groups.head(1).sort_values("key").assign(geometry=validity.repair_shapes(np.array(unions), _GRID_FT).geometry)
    )
    return gpd.GeoDataFrame(pd.concat([rows[~repeated], first], ignore_index=True), crs=rows.crs)
