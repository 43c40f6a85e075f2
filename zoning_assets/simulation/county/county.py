"""A deterministic simulated county: parcels and zoning in EPSG:2249 (US survey feet), near longitude -71.6, latitude
42.3.

The same arguments always give the same county. Its flaws are counted (`flaws`), and the changes from one release to the
next are known (`truth`), so that tests and the demo can check their figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np

from zoning_assets.model import Bounds
from zoning_assets.simulation.county import plat
from zoning_assets.simulation.county.county_changes import change
from zoning_assets.simulation.county.county_table import Column, CountyTable, texts
from zoning_assets.simulation.county.flaws import FEWEST, with_flaws
from zoning_assets.simulation.county.release_plan import Plan, Truth
from zoning_assets.simulation.expected_frames import frame
from zoning_assets.simulation.portal.polygon_arrays import Ints, Shapes

#: Contains every county of up to nine towns (360,000 lots); west, south, east, north; degrees, EPSG:4326.
BOUNDS: Bounds = (-71.80, 42.15, -71.40, 42.45)
ID = "us-xx-simulated"
#: Code and name of each district; codes that only later releases have are in county_changes.
ZONES: Mapping[str, str] = {
    "R-1": "Single residence",
    "R-2": "Two-family residence",
    "R-3": "Multifamily residence",
    "C-1": "Neighborhood business",
    "C-2": "General business",
    "M-1": "Light industry",
    "OS": "Open space",
    "PD-12": "Planned development 12",
}
_USES = ("101", "102", "104", "105", "109", "111", "130", "316", "340", "390", "903")
_STREETS = ("ELM", "OAK", "MAPLE", "PINE", "CEDAR", "WALNUT", "CHURCH", "MILL", "RIVER", "HIGH", "SCHOOL", "SPRING")


@dataclass(frozen=True)
class County:
    """One release of the county.

    Attributes:
        parcels: the parcel layer.
        zoning: the layer of zoning districts.
        flaws: the number of rows with each flaw; see flaws.with_flaws.
        seed: of the county.
        release: its number, from 1.
        truth: the changes since the previous release; None in the first one.
    """

    parcels: CountyTable
    zoning: CountyTable
    flaws: Mapping[str, int]
    seed: int
    release: int = 1
    truth: Truth | None = field(default=None, repr=False)

    @classmethod
    def build(cls, parcels: int = 3000, seed: int = 7) -> "County":
        """The first release, with exactly so many parcel rows.

        Raises:
            ValueError: too few parcels for the flaws.
        """
        if parcels < FEWEST:
            message = f"a county has at least {FEWEST} parcels, not {parcels}"
            raise ValueError(message)
        rng = np.random.default_rng([seed, 1])
        towns = plat.towns(parcels)
        zoning = _zoning(towns, rng)
        table, flaws = with_flaws(_parcels(towns, zoning, rng), rng)
        return cls(table.with_server_columns(rng), zoning.with_server_columns(rng), flaws, seed)

    def after_changes(self, plan: Plan | None = None) -> "County":
        """The next release: changes as planned, and harmless noise that must not be detected as a change."""
        rng = np.random.default_rng([self.seed, self.release + 1])
        parcels, zoning, truth = change(self.parcels, self.zoning, plan or Plan(), rng, self.release + 1)
        return County(parcels, zoning, self.flaws, self.seed, self.release + 1, truth)

    @property
    def edited_ms(self) -> int:
        """When the portal states that the layers were edited last: milliseconds since 1970, a month later in each
        release."""
        return 1_700_000_000_000 + (self.release - 1) * 30 * 86_400_000

    def frames(self) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
        """Parcels (`key`, `code`) and districts (`code`) with `geometry` in EPSG:2249, as a correct harvest publishes
        them if repeated keys are dissolved."""
        return frame(self.parcels, key="PIN", code="ZONE"), frame(self.zoning, code="ZONE_CODE")

    def parcels_by_policy(self) -> dict[str, int]:
        """The number of parcels that a correct harvest publishes, by the feed's policy for repeated keys."""
        flaws = self.flaws
        accepted = len(self.parcels) - flaws["empty_rings"] - flaws["null_geometry"] - flaws["null_keys"]
        unique = accepted - flaws["repeated_rows"]
        return {"reject": unique, "dissolve": unique + flaws["repeated_keys"], "suffix": accepted}


def county_toml(address: str, *, bounds: Bounds = BOUNDS, tile_resolution: int | str = 7) -> str:
    """The jurisdiction file of the simulated county, served at `address` ("http://127.0.0.1:8123")."""
    service = f"{address.rstrip('/')}/arcgis/rest/services/County/FeatureServer"
    resolution = tile_resolution if isinstance(tile_resolution, int) else f'"{tile_resolution}"'
    return f"""\
# Written by zoning_assets.simulation.county.county; the portal is a process on this machine.
id = "{ID}"
name = "Simulated County"
bounds = {list(bounds)}
target_crs = "EPSG:4326"
tile_resolution = {resolution}

[feeds.parcels]
type = "arcgis"
url = "{service}/0"
key = "PIN"
on_null_key = "reject"
on_repeated_key = "dissolve"
full_refresh_days = 30
  [feeds.parcels.fields]
  address = "SITE_ADDR"
  land_use = "USE_CODE"
  zoning_code = "ZONE"

[feeds.zoning]
type = "arcgis"
url = "{service}/1"
  [feeds.zoning.fields]
  code = "ZONE_CODE"
  effective = "EFFECTIVE"

[portal]                                     # a server on loopback needs no limits
requests_per_minute = 60000
connections = 8
"""


def _zoning(towns: list[plat.Town], rng: np.random.Generator) -> CountyTable:
    cells = [plat.districts(town, rng).shapes for town in towns]
    codes = np.concatenate([_codes(town, rng) for town in towns])
    rows = len(codes)
    year = rng.integers(1985, 2020, rows)
    days = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]") + rng.integers(0, 360, rows)
    columns: dict[str, Column] = {
        "OBJECTID": np.zeros(rows, dtype=np.int64),
        "ZONE_CODE": codes,
        "ZONE_NAME": texts([ZONES[code] for code in codes]),
        "EFFECTIVE": days.astype("datetime64[ms]"),
        "ORDINANCE": texts([f"{y}-{n:03d}" for y, n in zip(year, rng.integers(1, 400, rows), strict=True)]),
        "GlobalID": texts([""] * rows),
        "Shape_Area": np.zeros(rows),
        "Shape_Length": np.zeros(rows),
    }
    return CountyTable(columns, {"district": np.arange(rows)}, _joined(cells))


def _codes(town: plat.Town, rng: np.random.Generator) -> Column:
    """A code for each district. Both sides of a vertical line have different codes, because some of these lines cross
    lots."""
    vertical, horizontal = town.lines
    steps = rng.integers(1, len(ZONES), (len(horizontal) - 1, len(vertical) - 1))
    return texts([list(ZONES)[k] for k in (np.cumsum(steps, axis=1) % len(ZONES)).ravel()])


def _joined(shapes: list[Shapes]) -> Shapes:
    joined = shapes[0]
    for each in shapes[1:]:
        joined = joined.joined(each)
    return joined


def _parcels(towns: list[plat.Town], zoning: CountyTable, rng: np.random.Generator) -> CountyTable:
    districts = np.cumsum([0] + [(len(t.lines[0]) - 1) * (len(t.lines[1]) - 1) for t in towns])
    tables = [_town_parcels(town, int(first), rng) for town, first in zip(towns, districts[:-1], strict=True)]
    joined = CountyTable(
        {name: np.concatenate([t.columns[name] for t in tables]) for name in tables[0].columns},
        {name: np.concatenate([t.hidden[name] for t in tables]) for name in tables[0].hidden},
        _joined([t.shapes for t in tables]),
    )
    codes = zoning.columns["ZONE_CODE"][joined.hidden["district"]]
    return joined.with_columns(ZONE=codes).with_acres(np.arange(len(joined)))


def _town_parcels(town: plat.Town, first_district: int, rng: np.random.Generator) -> CountyTable:
    cells = plat.lots(town, rng)
    block, place = np.divmod(np.arange(town.lots), plat.ALONG * plat.DEEP)
    deep, along = np.divmod(place, plat.ALONG)
    corners = cells.corners[: town.lots]
    south = corners[:, [0, 3]].mean(axis=1) - corners[:, [1, 2]].mean(axis=1)
    outward = south / np.linalg.norm(south, axis=1)[:, None] * np.where(deep == 0, 1, -1)[:, None]
    hidden: dict[str, Column] = {
        "town": np.full(town.lots, town.number),
        "block": block,
        "deep": deep,
        "along": along,
        "corners": corners,
        "outward": outward,  # unit vector to the street, EPSG:2249
        "district": first_district + _districts_of(town, block, deep, along),
        "crossed": np.isin(block % town.blocks[0], town.cut) & (along == plat.CROSSED),
        "edge": (deep == 0) & (block < town.blocks[0]),  # there is open land across the street
        "far": np.zeros(town.lots, dtype=bool),  # its key has a row in another town
        "plain": np.ones(town.lots, dtype=bool),  # without flaws and unchanged: may be changed
    }
    columns = _parcel_columns(town, block, place, rng)
    return CountyTable(columns, hidden, cells.shapes.taken(np.arange(town.lots)))


def _districts_of(town: plat.Town, block: Ints, deep: Ints, along: Ints) -> Ints:
    """The district of the middle of each lot, in the frame of the town."""
    x = block % town.blocks[0] * plat.PITCH_FT[0] + (along + 0.5) * plat.LOT_FT[0]
    y = block // town.blocks[0] * plat.PITCH_FT[1] + (deep + 0.5) * plat.LOT_FT[1]
    vertical, horizontal = town.lines
    row, column = np.searchsorted(horizontal, y) - 1, np.searchsorted(vertical, x) - 1
    return np.asarray(row * (len(vertical) - 1) + column, dtype=np.int64)


def _parcel_columns(town: plat.Town, block: Ints, place: Ints, rng: np.random.Generator) -> dict[str, Column]:
    rows = len(block)
    street = (block % town.blocks[0]) % len(_STREETS)
    days = np.datetime64("2005-01-01", "D") + rng.integers(0, 18 * 365, rows)
    uses = np.array(_USES, dtype=object)
    where = list(zip(block.tolist(), place.tolist(), street.tolist(), strict=True))
    return {
        "OBJECTID": np.zeros(rows, dtype=np.int64),
        "PIN": texts([f"{town.number + 1:02d}-{b:05d}-{p + 1:02d}" for b, p, _ in where]),
        "SITE_ADDR": texts([f"{10 * b + p + 1} {_STREETS[s]} ST" for b, p, s in where]),
        "USE_CODE": uses[rng.integers(0, len(uses), rows)],
        "ZONE": texts([None] * rows),
        "ACRES": np.zeros(rows),
        "LAST_EDIT": days.astype("datetime64[ms]"),
        "GlobalID": texts([""] * rows),
        "Shape_Area": np.zeros(rows),
        "Shape_Length": np.zeros(rows),
    }
