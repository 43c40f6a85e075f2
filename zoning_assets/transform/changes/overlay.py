"""Zoning per parcel, exact: how much of each parcel lies in each code, and what follows from that.

Geometries are in one equal-area frame, metres (crs.metric_frame). The rules are those of New York's Department of City
Planning for split lots (its zoningtaxlots models): parts of one code are summed first; a code is listed where it covers
at least a tenth of the lot; a lot's largest code always; the lot that holds most of a district always lists its code;
areas that differ by less than 0.01 m2 are a tie. DCP breaks ties by a list of codes, this by spelling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def shares(parcels: pd.DataFrame, districts: pd.DataFrame, best: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Each parcel's share in each code, by facet.

    Args:
        parcels: `key`, `geometry`; valid polygons.
        districts: `facet`, `code` (None: ground without one), `effective` (date or None), `geometry`; valid polygons;
            may overlap.
        best: best_lots of all parcels, where these are not all; then districts have `district_id`.

    Returns:
        One row for each parcel, facet and code that share ground, sorted so: `parcel_id`, `facet`, `code`, `area_m2`,
        `fraction` (of the parcel), `rank` (1: the largest of its facet), `listed` (see above), `effective` (the latest
        of the districts' dates).
    """
    districts = districts[districts["code"].notna()]
    parts = _measured(parcels, districts)
    if best is None:
        is_best = _best(parts)
    else:
        ids = districts["district_id"].to_numpy()[parts["district"]]
        is_best = np.array([best.get(each) == key for each, key in zip(ids, parts["key"], strict=True)], dtype=bool)
    return _ranked(_coded(parts.assign(best=is_best), districts), parcels)


@dataclass(frozen=True)
class Part:
    """What is known of some of a jurisdiction's parcels before the others are.

    Attributes:
        shares: as of `shares`, without the parcels of `undecided`.
        leading: as of `leading_lots`.
        undecided: keys of parcels that list a code only if they hold most of a district.
    """

    shares: pd.DataFrame
    leading: pd.DataFrame
    undecided: list[str]


def part_shares(parcels: pd.DataFrame, districts: pd.DataFrame, facets: pd.DataFrame) -> Part:
    """The shares of some of a jurisdiction's parcels, in one overlay.

    Args:
        parcels: `key`, `geometry`; valid polygons.
        districts: `district_id`, `geometry`; valid polygons; may overlap.
        facets: `district` (position in `districts`, ascending), `facet`, `code`, `effective`; none without a code.
    """
    parts = _measured(parcels, districts)
    leading = _unbeaten(_led(parts, districts))
    parts["best"] = parts.index.isin(leading.index)
    rows = _rows_of(facets["district"].to_numpy(), parts["district"].to_numpy())
    found = _ranked(_coded(parts.iloc[rows[0]].assign(district=rows[1]), facets), parcels)
    doubtful = found["listed"] & (found["rank"] > 1) & (found["fraction"] < LISTED_SHARE)
    undecided = found.loc[doubtful, "parcel_id"].unique().tolist()
    decided = found[~found["parcel_id"].isin(undecided)] if undecided else found
    return Part(decided, leading.reset_index(drop=True), undecided)


def _rows_of(sorted_ids: Ints, ids: Ints) -> tuple[Ints, Ints]:
    """Pairs of positions: each of `ids`, and where it stands in `sorted_ids`."""
    starts, ends = (np.searchsorted(sorted_ids, ids, side) for side in ("left", "right"))
    counts = ends - starts
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(ids)), counts), np.repeat(starts, counts) + np.arange(counts.sum()) - before


def _measured(parcels: pd.DataFrame, districts: pd.DataFrame) -> pd.DataFrame:
    """`pieces`, with the parcel's `key` and `area_m2`."""
    parts = pieces(parcels["geometry"].to_numpy(), districts["geometry"].to_numpy())
    keys, area = parcels["key"].to_numpy()[parts["parcel"]], shapely.area(parts["geometry"].to_numpy())
    return parts.assign(key=keys, area_m2=area)


def _coded(parts: pd.DataFrame, districts: pd.DataFrame) -> pd.DataFrame:
    """Measured pieces with what their districts say."""
    at = parts["district"].to_numpy()
    return parts.assign(**{name: districts[name].to_numpy()[at] for name in ("facet", "code", "effective")})


def _ranked(found: pd.DataFrame, parcels: pd.DataFrame) -> pd.DataFrame:
    """The shares that pieces make: `parcel`, `facet`, `code`, `effective`, `area_m2`, `geometry`, `best`."""
    summed = _summed(found).copy()
    summed["parcel_id"] = parcels["key"].to_numpy()[summed["parcel"]]
    whole = shapely.area(parcels["geometry"].to_numpy())[summed["parcel"]]
    summed["area_m2"] = np.minimum(summed["area_m2"], whole)
    summed["fraction"] = np.round(summed["area_m2"] / whole, 6)
    kept = summed[summed["area_m2"] >= TIE_M2]
    ranked = _with_ranks(kept)
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
    """Pairs of district and parcel (positions): the parcel lies within the district; a boundary crosses it.

    Most parcels lie wholly inside a district, which is the cheapest to prove. Parcels that only touch a district share
    no ground with it.
    """
    pairs = shapely.STRtree(parcels).query(districts).T
    near = districts[np.unique(pairs[:, 0])]
    shapely.prepare(near)
    inside = shapely.contains_properly(districts[pairs[:, 0]], parcels[pairs[:, 1]])
    others = pairs[~inside]
    others = others[shapely.intersects(districts[others[:, 0]], parcels[others[:, 1]])]
    contained = shapely.contains(districts[others[:, 0]], parcels[others[:, 1]])
    within, others = np.concatenate([pairs[inside], others[contained]]), others[~contained]
    cut = others[~shapely.touches(districts[others[:, 0]], parcels[others[:, 1]])]
    shapely.destroy_prepared(near)  # it takes many times the memory of the shapes
    return within, cut


def _cut(parcels: Geometries, districts: Geometries, within: Ints, cut: Ints) -> pd.DataFrame:
    district, parcel = np.concatenate([within, cut]).T
    geometry = np.concatenate([parcels[within[:, 1]], intersection(districts[cut[:, 0]], parcels[cut[:, 1]])])
    found = pd.DataFrame({"parcel": parcel, "district": district, "geometry": pd.Series(geometry, dtype=object)})
    kept: pd.DataFrame = found[shapely.area(geometry) > 0].sort_values(["parcel", "district"], ignore_index=True)
    return kept


def _summed(found: pd.DataFrame) -> pd.DataFrame:
    """Parts of one code together, before anything is compared."""
    by = ["parcel", "facet", "code"]
    again = found.duplicated(by, keep=False)
    if not again.any():
        return found
    groups = found[again].groupby(by, sort=True)
    whole = union_by(found[again], by)
    dates = [latest(each) for each in groups["effective"].agg(list)]
    together = whole.assign(
        area_m2=shapely.area(whole["geometry"].to_numpy()),
        best=groups["best"].any().to_numpy(),
        effective=pd.Series(dates, dtype=object),
    )
    return pd.concat([found[~again], together], ignore_index=True)


def latest(dates: list[Any]) -> Any:
    """The latest of some dates, None where there is none."""
    return max((each for each in dates if not pd.isna(each)), default=None)


def leading_lots(parcels: pd.DataFrame, districts: pd.DataFrame, others: pd.DataFrame | None = None) -> pd.DataFrame:
    """The lots that may hold most of each district, among these parcels and those of which `others` was made.

    Args:
        parcels: `key`, `geometry`; valid polygons. May be a part of a jurisdiction's.
        districts: `district_id`, `geometry`; valid polygons.
        others: the result for other parcels.

    Returns:
        `district` (id), `key`, `area_m2`: a few rows for each district, however many parcels there are.
    """
    parts = _large_pieces(parcels, districts, others)
    keys, area = parcels["key"].to_numpy()[parts["parcel"]], shapely.area(parts["geometry"].to_numpy())
    return joined_leading(
        [each for each in (others, _led(parts.assign(key=keys, area_m2=area), districts)) if each is not None]
    )


def joined_leading(several: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """`leading_lots` of several sets of parcels as one."""
    together = pd.concat(several).sort_values(["district", "key"], ignore_index=True)
    return _unbeaten(together).reset_index(drop=True)


def _led(parts: pd.DataFrame, districts: pd.DataFrame) -> pd.DataFrame:
    """Measured pieces as lots of a district, sorted: `district` (id), `key`, `area_m2`."""
    ids = districts["district_id"].to_numpy()[parts["district"]]
    return parts.assign(district=ids)[["district", "key", "area_m2"]].sort_values(["district", "key"])


def _large_pieces(parcels: pd.DataFrame, districts: pd.DataFrame, others: pd.DataFrame | None) -> pd.DataFrame:
    """As `pieces`, without lots that are smaller than a piece which is known already: they need not be cut."""
    lots, ground = areal(parcels["geometry"].to_numpy()), areal(districts["geometry"].to_numpy())
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
    kept: pd.DataFrame = found[~beaten]
    return kept


def _best(found: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """The lot that holds most of each district; of several that hold as much, the first by key."""
    most = found.groupby("district")["area_m2"].transform("max")
    nearly = found[found["area_m2"] > most - TIE_M2]
    best = np.zeros(len(found), dtype=bool)
    best[nearly.sort_values("key", kind="stable").drop_duplicates("district").index] = True
    return best


def _with_ranks(kept: pd.DataFrame) -> pd.DataFrame:
    """With `rank`; most parcels have one code of a facet, which need not be compared."""
    alone = ~kept.duplicated(["parcel", "facet"], keep=False)
    if alone.all():
        return kept.assign(rank=1)
    several = kept[~alone]
    return pd.concat([kept[alone].assign(rank=1), ranked_by_area(several.assign(area=several["area_m2"]))])


def ranked_by_area(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted, and with `rank`, by `area` (m2) within `parcel` and `facet`; areas that tie, by the code's spelling."""
    by = ["parcel", "facet"]
    largest = table.sort_values([*by, "area", "code"], ascending=[True, True, False, True], ignore_index=True)
    steps = largest.groupby(by)["area"].diff().fillna(0.0).to_numpy() <= -TIE_M2
    largest["tier"] = pd.Series(steps).groupby([largest[name] for name in by]).cumsum().to_numpy()
    ranked = largest.sort_values([*by, "tier", "code"], ignore_index=True)
    return ranked.assign(rank=ranked.groupby(by).cumcount() + 1)
