"""A town whose layers are files that a test may spoil: releases of the simulated county, good and bad."""

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np

from tests.conftest import read_toml
from zoning_assets.model import Jurisdiction
from zoning_assets.simulation.county.county import BOUNDS, ID, County
from zoning_assets.simulation.county.county_table import CountyTable

EDIT = Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]
_TOML = """
id = "{id}"
name = "A town of files"
bounds = {bounds}
tile_resolution = {tiles}
[feeds.parcels]
type = "download"
url = "{folder}/parcels.geojson"
key = "PIN"
on_repeated_key = "dissolve"
may_shrink = {may_shrink}
  [feeds.parcels.fields]
  address = "SITE_ADDR"
  land_use = "USE_CODE"
  zoning_code = "ZONE"
[feeds.zoning]
type = "download"
url = "{folder}/zoning.geojson"
may_shrink = {may_shrink}
  [feeds.zoning.fields]
  code = "ZONE_CODE"
{more}
"""


def town(folder: Path, *, may_shrink: float = 0.1, tiles: int = 8, more: str = "") -> Jurisdiction:
    """The town's jurisdiction; its files lie in the same folder."""
    return read_toml(folder / "toml", text(folder, may_shrink=may_shrink, tiles=tiles, more=more), ID)


def text(folder: Path, name: str = ID, *, may_shrink: float = 0.1, tiles: int = 8, more: str = "") -> str:
    """Its jurisdiction file."""
    return _TOML.format(id=name, bounds=list(BOUNDS), folder=folder, may_shrink=may_shrink, tiles=tiles, more=more)


def release(folder: Path, county: County, parcels: EDIT = lambda rows: rows, zoning: EDIT = lambda rows: rows) -> None:
    """What the town serves from now on; edits see shapes in EPSG:2249 (US survey feet)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table, edit in (("parcels", county.parcels, parcels), ("zoning", county.zoning, zoning)):
        (folder / f"{name}.geojson").write_text(edit(_frame(table)).to_crs("EPSG:4326").to_json(drop_id=True))


def _frame(table: CountyTable) -> gpd.GeoDataFrame:
    dates = {name for name, values in table.columns.items() if np.issubdtype(values.dtype, np.datetime64)}
    columns = {name: values for name, values in table.columns.items() if name not in dates}
    return gpd.GeoDataFrame(columns, geometry=table.shapes.to_shapely(), crs="EPSG:2249")


def truncated(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A third of the rows is missing."""
    return rows.iloc[: len(rows) * 2 // 3]


def one_code(column: str) -> EDIT:
    """All codes are one."""
    return lambda rows: rows.assign(**{column: rows[column].iloc[0]})


def shifted(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """200 m to the east: another false easting."""
    return rows.set_geometry(rows.geometry.translate(200 / 0.3048006))


def swapped(one: str, other: str) -> EDIT:
    """Each of two columns holds what the other should."""
    return lambda rows: rows.assign(**{one: rows[other], other: rows[one]})


def shrunk(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The rows are all there, and have lost most of their ground."""
    return rows.set_geometry(rows.geometry.scale(0.8, 0.8))


def rekeyed(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Half of the rows have other keys."""
    return rows.assign(PIN=[pin and (f"{pin}-X" if row % 2 else pin) for row, pin in enumerate(rows["PIN"])])


def edited(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Two rows of five have another land use: much, and less than a swapped column."""
    return rows.assign(USE_CODE=["999" if row % 5 < 2 else use for row, use in enumerate(rows["USE_CODE"])])
