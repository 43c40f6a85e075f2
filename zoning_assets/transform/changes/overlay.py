"""Zoning per parcel, exact: how much of each parcel lies in each code, and what follows from that.

Geometries are in one equal-area frame, metres (crs.metric_frame). The rules are those of New York's Department of City
Planning for split lots (its zoningtaxlots models): parts of one code are summed first; a code is listed where it covers
at least a tenth of the lot; a lot's largest code always; the lot that holds most of a district always lists its code;
areas that differ by less than 0.01 m2 are a tie. DCP breaks ties by a list of codes, this by spelling.
"""

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.transform.geometry.polygon_overlay import areal, intersection, union_by

Geometries = npt.NDArray[np.object_]
Ints = npt.NDArray[np.int64]

COLUMNS = ("parcel_id", "facet", "code", "area_m2", "fraction", "rank", "listed", "effective")
BASE = "base"
#: DCP: a district is assigned to a lot of which it covers a tenth; areas closer than this are a tie.
LISTED_SHARE, TIE_M2 = 0.10, 0.01


def shares(
    parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame, best: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Each parcel's share in each code, by facet.

    Args:
        parcels: `key`; valid polygons.
        districts: `facet`, `code` (None: ground without one), `effective` (date or None); valid polygons; may overlap.
        best: best_lots of all parcels, where these are not all; then districts have `district_id`.

    Returns:
        One row for each parcel, facet and code that share ground, sorted so: `parcel_id`, `facet`, `code`, `area_m2`,
        `fraction` (of the parcel), `rank` (1: the largest of its facet), `listed` (see above), `effective` (the latest
        of the districts' dates).
    """
    districts = districts[districts["code"].notna()]
    parts = pieces(parcels.geometry.to_numpy(), districts.geometry.to_numpy())
    found = parts.assign(
        facet=districts["facet"].to_numpy()[parts["district"]],
        code=districts["code"].to_numpy()[parts["district"]],
        effective=districts["effective"].to_numpy()[parts["district"]],
        area_m2=shapely.area(parts["geometry"].to_numpy()),
    )
    keys = parcels["key"].to_numpy()[parts["parcel"]]
    if best is None:
        found["best"] = _best(found.assign(key=keys))
    else:
        ids = districts["district_id"].to_numpy()[parts["district"]]
        found["best"] = [best.get(each) == key for each, key in zip(ids, keys, strict=True)]
    summed = _summed(found)
    summed["parcel_id"] = parcels["key"].to_numpy()[summed["parcel"]]
    whole = shapely.area(parcels.geometry.to_numpy())[summed["parcel"]]
    summed["area_m2"] = np.minimum(summed["area_m2"], whole)
    summed["fraction"] = np.round(summed["area_m2"] / whole, 6)
    kept = summed[summed["area_m2"] >= TIE_M2]
    ranked = ranked_by_area(kept.assign(area=kept["area_m2"]))
    ranked["area_m2"] = np.round(ranked["area_m2"], 2)
    ranked["listed"] = (ranked["rank"] == 1) | (ranked["fraction"] >= LISTED_SHARE) | ranked["best"]
    return ranked.sort_values(["parcel_id", "facet", "rank"], ignore_index=True)[list(COLUMNS)]


def pieces(parcels: Geometries, districts: Geometries) -> pd.DataFrame:
    """The ground that each parcel and each district share: `parcel`, `district` (positions), `geometry`.

    A parcel that lies within a district is its own piece; only what a boundary crosses is cut.
    """
    parcels, districts = areal(parcels), areal(districts)
    within, cut = _meetings(parcels, districts)
    return _cut(parcels, districts, within, cut)


def _meetings(parcels: Geometries, districts: Geometries) -> tuple[Ints, Ints]:
    """Pairs of district and parcel (positions): the parcel lies within the district; a boundary may cross it."""
    tree = shapely.STRtree(parcels)
    within = tree.query(districts, predicate="contains").T
    touched = tree.query(districts, predicate="intersects").T
    width = max(len(parcels), 1)
    return within, touched[~np.isin(touched @ [width, 1], within @ [width, 1])]


def _cut(parcels: Geometries, districts: Geometries, within: Ints, cut: Ints) -> pd.DataFrame:
    district, parcel = np.concatenate([within, cut]).T
    geometry = np.concatenate([parcels[within[:, 1]], intersection(districts[cut[:, 0]], parcels[cut[:, 1]])])
    found = pd.DataFrame({"parcel": parcel, "district": district, "geometry": pd.Series(geometry, dtype=object)})
    kept: pd.DataFrame = found[shapely.area(geometry) > 0].sort_values(["parcel", "district"], ignore_index=True)
    return kept


def _summed(found: pd.DataFrame) -> pd.DataFrame:
    """Parts of one code together, before anything is compared."""
    by = ["parcel", "facet", "code"]
    whole = union_by(found, by)
    groups = found.groupby(by, sort=True)
    together = (groups.size() > 1).to_numpy()
    areas = whole["area_m2"].to_numpy(copy=True)
    areas[together] = shapely.area(whole["geometry"].to_numpy()[together])
    dates = whole["effective"].to_numpy(copy=True)
    if together.any() and found["effective"].notna().any():
        dates[together] = [latest(each) for each in groups["effective"].agg(list)[together]]
    return whole.assign(area_m2=areas, best=groups["best"].any().to_numpy(), effective=pd.Series(dates, dtype=object))


def latest(dates: list[Any]) -> Any:
    """The latest of some dates, None where there is none."""
    return max((each for each in dates if not pd.isna(each)), default=None)


def leading_lots(
    parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame, others: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The lots that may hold most of each district, among these parcels and those of which `others` was made.

    Args:
        parcels: `key`; valid polygons. May be a part of a jurisdiction's.
        districts: `district_id`; valid polygons.
        others: the result for other parcels.

    Returns:
        `district` (id), `key`, `area_m2`: a few rows for each district, however many parcels there are.
    """
    parts = _large_pieces(parcels, districts, others)
    found = pd.DataFrame(
        {
            "district": districts["district_id"].to_numpy()[parts["district"]],
            "key": parcels["key"].to_numpy()[parts["parcel"]],
            "area_m2": shapely.area(parts["geometry"].to_numpy()),
        }
    )
    known = found if others is None else pd.concat([others, found])
    return _unbeaten(known.sort_values(["district", "key"], ignore_index=True))


def _large_pieces(parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame, others: pd.DataFrame | None) -> pd.DataFrame:
    """As `pieces`, without lots that are smaller than a piece which is known already: they need not be cut."""
    lots, ground = areal(parcels.geometry.to_numpy()), areal(districts.geometry.to_numpy())
    within, cut = _meetings(lots, ground)
    areas, most = shapely.area(lots), np.zeros(len(ground))
    np.maximum.at(most, within[:, 0], areas[within[:, 1]])
    if others is not None:
        known = others.groupby("district")["area_m2"].max()
        most = np.maximum(most, known.reindex(districts["district_id"]).fillna(0.0).to_numpy())
    return _cut(lots, ground, within, cut[areas[cut[:, 1]] > most[cut[:, 0]] - TIE_M2])


def best_lots(leading: pd.DataFrame) -> dict[str, str]:
    """The parcel (`key`) that holds most of each district, of leading lots; of those that hold as much, the first."""
    chosen = leading[_best(leading)]
    return dict(zip(chosen["district"], chosen["key"], strict=True))


def _unbeaten(found: pd.DataFrame) -> pd.DataFrame:
    """Sorted lots without those that another beats whatever comes: one that is first by key and as large, or larger by
    more than a tie."""
    of_district = found.groupby("district")["area_m2"]
    before = of_district.cummax().groupby(found["district"]).shift(fill_value=0.0)
    beaten = (found["area_m2"] <= before) | (found["area_m2"] <= of_district.transform("max") - TIE_M2)
    kept: pd.DataFrame = found[~beaten].reset_index(drop=True)
    return kept


def _best(found: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """The lot that holds most of each district; of several that hold as much, the first by key."""
    most = found.groupby("district")["area_m2"].transform("max")
    nearly = found[found["area_m2"] > most - TIE_M2]
    best = np.zeros(len(found), dtype=bool)
    best[nearly.sort_values("key", kind="stable").drop_duplicates("district").index] = True
    return best


def ranked_by_area(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted, and with `rank`, by `area` (m2) within `parcel` and `facet`; areas that tie, by the code's spelling."""
    by = ["parcel", "facet"]
    largest = table.sort_values([*by, "area", "code"], ascending=[True, True, False, True], ignore_index=True)
    steps = largest.groupby(by)["area"].diff().fillna(0.0).to_numpy() <= -TIE_M2
    largest["tier"] = pd.Series(steps).groupby([largest[name] for name in by]).cumsum().to_numpy()
    ranked = largest.sort_values([*by, "tier", "code"], ignore_index=True)
    return ranked.assign(rank=ranked.groupby(by).cumcount() + 1)
