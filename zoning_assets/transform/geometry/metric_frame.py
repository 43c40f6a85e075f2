"""Rows in the equal-area frame of their jurisdiction, in which areas and distances are measured."""

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

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


def areas_m2(shapes: npt.NDArray[np.object_], source: str, frame: str) -> npt.NDArray[np.float64]:
    """Return areas in square metres, rounded to the square centimetre; 0 if there is no shape."""
    flat = shapely.area(crs.reproject(shapes, source, frame))
    areas: npt.NDArray[np.float64] = np.round(np.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0), 4)
    return areas
