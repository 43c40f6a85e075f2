"""Rows in the equal-area frame of their jurisdiction, in which areas and distances are measured."""

import geopandas as gpd
import pandas as pd

from zoning_assets.model import Jurisdiction
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.polygon_overlay import polygons


def in_metric_frame(rows: pd.DataFrame, jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    """Reproject rows (`geometry` in the target CRS) to crs.metric_frame (metres).

    Returns:
        The same rows. Shapes are valid polygons; an empty polygon if a shape has no area.
    """
    frame = crs.metric_frame(jurisdiction.bounds)
    stored = crs.densified(rows["geometry"].to_numpy(), jurisdiction.target_crs)
    shapes = polygons(crs.reproject(stored, jurisdiction.target_crs, frame))
    return gpd.GeoDataFrame(rows.drop(columns="geometry"), geometry=shapes, crs=frame)
