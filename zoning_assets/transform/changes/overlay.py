"""Zoning per parcel: the exact area of each parcel in each code, and the codes that are listed for the parcel.

Geometries are in one equal-area frame, metres (crs.metric_frame). The rules are those of New York's Department of City
Planning (DCP) for split lots (its zoningtaxlots models). Parts of one code are summed first. A code is listed if it
covers at least a tenth of the lot. The largest code of a lot is always listed. The lot that has most of a district
always lists its code. Areas that differ by less than 0.01 m2 are a tie. DCP breaks ties by a list of codes; here they
are broken by the spelling of the code.
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
#: DCP: a district is assigned to a lot if it covers a tenth of it; areas that differ by less than TIE_M2 are a tie.
LISTED_SHARE, TIE_M2 = 0.10, 0.01


def shares(parcels: pd.DataFrame, districts: pd.DataFrame, best: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Compute each parcel's share in each code, by facet.

    Args:
        parcels: `key`, `geometry`; valid polygons.
        districts: `facet`, `code` (None: area without a code), `effective` (date or None), `geometry`; valid polygons;
            may overlap.
        best: best_lots of all parcels, if `parcels` are only some of them; then districts have `district_id`.

    Returns:
        One row for each parcel, facet and code that share area, sorted by these: `parcel_id`, `facet`, `code`,
            `area_m2`, `fraction` (of the parcel), `rank` (1: the largest of its facet), `listed` (see above),
            `effective` (the latest date of the districts).
    """
    districts = districts[districts["code"].notna()]
    parts = _measure_pieces(parcels, districts)
    if best is None:
        is_best = _best(parts)
    else:
        ids = districts["district_id"].to_numpy()[parts["district"]]
        is_best = np.array([best.get(each) == key for each, key in zip(ids, parts["key"], strict=True)], dtype=bool)
    return _ranked(_with_codes(parts.assign(best=is_best), districts), parcels)


@dataclass(frozen=True)
class PartialShares:
    """The result for some of a jurisdiction's parcels, before the other parcels are computed.

    Attributes:
        shares: see `shares`; without the parcels in `undecided`.
        leading: see `leading_lots`.
        undecided: keys of parcels that list a code only if they have most of a district.
    """

    shares: pd.DataFrame
    leading: pd.DataFrame
    undecided: list[str]


def part_shares(parcels: pd.DataFrame, districts: pd.DataFrame, facets: pd.DataFrame) -> PartialShares:
    """Compute the shares of some of a jurisdiction's parcels, in one overlay.

    Args:
        parcels: `key`, `geometry`; valid polygons.
        districts: `district_id`, `geometry`; valid polygons; may overlap.
        facets: `district` (position in `districts`, ascending), `facet`, `code`, `effective`; none without a code.
    """
    parts = _measure_pieces(parcels, districts)
    leading = _possible_best(_lots_of_districts(parts, districts))
    parts["best"] = parts.index.isin(leading.index)
    rows = _rows_of(facets["district"].to_numpy(), parts["district"].to_numpy())
    found = _ranked(_with_codes(parts.iloc[rows[0]].assign(district=rows[1]), facets), parcels)
    doubtful = found["listed"] & (found["rank"] > 1) & (found["fraction"] < LISTED_SHARE)
    undecided = found.loc[doubtful, "parcel_id"].unique().tolist()
    decided = found[~found["parcel_id"].isin(undecided)] if undecided else found
    return PartialShares(decided, leading.reset_index(drop=True), undecided)


def _rows_of(sorted_ids: Ints, ids: Ints) -> tuple[Ints, Ints]:
    """Return pairs of positions: of each id in `ids`, and of the same id in `sorted_ids`."""
    starts, ends = (np.searchsorted(sorted_ids, ids, side) for side in ("left", "right"))
    counts = ends - starts
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(ids)), counts), np.repeat(starts, counts) + np.arange(counts.sum()) - before


def _measure_pieces(parcels: pd.DataFrame, districts: pd.DataFrame) -> pd.DataFrame:
    """Return `pieces` with `key` (of the parcel) and `area_m2`."""
    parts = pieces(parcels["geometry"].to_numpy(), districts["geometry"].to_numpy())
    keys, area = parcels["key"].to_numpy()[parts["parcel"]], shapely.area(parts["geometry"].to_numpy())
    return parts.assign(key=keys, area_m2=area)


def _with_codes(parts: pd.DataFrame, districts: pd.DataFrame) -> pd.DataFrame:
    """Add `facet`, `code` and `effective` of the districts to measured pieces."""
    at = parts["district"].to_numpy()
    return parts.assign(**{name: districts[name].to_numpy()[at] for name in ("facet", "code", "effective")})


def _ranked(found: pd.DataFrame, parcels: pd.DataFrame) -> pd.DataFrame:
    """Compute the shares from pieces: `parcel`, `facet`, `code`, `effective`, `area_m2`, `geometry`, `best`."""
    summed = _sum_by_code(found).copy()
    summed["parcel_id"] = parcels["key"].to_numpy()[summed["parcel"]]
    lot_area = shapely.area(parcels["geometry"].to_numpy())[summed["parcel"]]
    summed["area_m2"] = np.minimum(summed["area_m2"], lot_area)
    summed["fraction"] = np.round(summed["area_m2"] / lot_area, 6)
    kept = summed[summed["area_m2"] >= TIE_M2]
    ranked = _with_ranks(kept)
    ranked["area_m2"] = np.round(ranked["area_m2"], 2)
    ranked["listed"] = (ranked["rank"] == 1) | (ranked["fraction"] >= LISTED_SHARE) | ranked["best"]
    return ranked.sort_values(["parcel_id", "facet", "rank"], ignore_index=True)[list(COLUMNS)]


def pieces(parcels: Geometries, districts: Geometries) -> pd.DataFrame:
    """Return the common area of each parcel and district: `parcel`, `district` (positions), `geometry`.

    A parcel inside a district is not cut; only parcels that are crossed by a boundary are.
    """
    parcels, districts = areal(parcels), areal(districts)
    within, cut = _intersecting_pairs(parcels, districts)
    return _cut(parcels, districts, within, cut)


def _intersecting_pairs(parcels: Geometries, districts: Geometries) -> tuple[Ints, Ints]:
    """Return two arrays of pairs (positions of district and parcel): parcel inside the district; parcel crossed by it.

    Most parcels are inside a district, and this test is the cheapest. Parcels that only touch a district are in no
    pair.
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
    shapely.destroy_prepared(near)  # prepared shapes need many times the memory of the shapes
    return within, cut


def _cut(parcels: Geometries, districts: Geometries, within: Ints, cut: Ints) -> pd.DataFrame:
    district, parcel = np.concatenate([within, cut]).T
    geometry = np.concatenate([parcels[within[:, 1]], intersection(districts[cut[:, 0]], parcels[cut[:, 1]])])
    found = pd.DataFrame({"parcel": parcel, "district": district, "geometry": pd.Series(geometry, dtype=object)})
    kept: pd.DataFrame = found[shapely.area(geometry) > 0].sort_values(["parcel", "district"], ignore_index=True)
    return kept


def _sum_by_code(found: pd.DataFrame) -> pd.DataFrame:
    """Merge the parts of one code in each parcel."""
    by = ["parcel", "facet", "code"]
    again = found.duplicated(by, keep=False)
    if not again.any():
        return found
    groups = found[again].groupby(by, sort=True)
    merged = union_by(found[again], by)
    dates = [latest(each) for each in groups["effective"].agg(list)]
    together = merged.assign(
        area_m2=shapely.area(merged["geometry"].to_numpy()),
        best=groups["best"].any().to_numpy(),
        effective=pd.Series(dates, dtype=object),
    )
    return pd.concat([found[~again], together], ignore_index=True)


def latest(dates: list[Any]) -> Any:
    """Return the latest of some dates; None if there is none."""
    return max((each for each in dates if not pd.isna(each)), default=None)


def leading_lots(parcels: pd.DataFrame, districts: pd.DataFrame, others: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the lots that may have most of each district, among these parcels and those of `others`.

    Args:
        parcels: `key`, `geometry`; valid polygons. They may be a part of a jurisdiction's parcels.
        districts: `district_id`, `geometry`; valid polygons.
        others: the result for other parcels.

    Returns:
        `district` (id), `key`, `area_m2`: a few rows for each district, independent of the number of parcels.
    """
    parts = _large_pieces(parcels, districts, others)
    keys, area = parcels["key"].to_numpy()[parts["parcel"]], shapely.area(parts["geometry"].to_numpy())
    return merge_leading_lots(
        [
            each
            for each in (others, _lots_of_districts(parts.assign(key=keys, area_m2=area), districts))
            if each is not None
        ]
    )


def merge_leading_lots(several: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Merge the `leading_lots` of several sets of parcels."""
    together = pd.concat(several).sort_values(["district", "key"], ignore_index=True)
    return _possible_best(together).reset_index(drop=True)


def _lots_of_districts(parts: pd.DataFrame, districts: pd.DataFrame) -> pd.DataFrame:
    """Return measured pieces as lots of districts, sorted: `district` (id), `key`, `area_m2`."""
    ids = districts["district_id"].to_numpy()[parts["district"]]
    return parts.assign(district=ids)[["district", "key", "area_m2"]].sort_values(["district", "key"])


def _large_pieces(parcels: pd.DataFrame, districts: pd.DataFrame, others: pd.DataFrame | None) -> pd.DataFrame:
    """Like `pieces`, without lots that are smaller than a known piece of the district: they need not be cut."""
    lots, zones = areal(parcels["geometry"].to_numpy()), areal(districts["geometry"].to_numpy())
    within, cut = _intersecting_pairs(lots, zones)
    areas, most = shapely.area(lots), np.zeros(len(zones))
    np.maximum.at(most, within[:, 0], areas[within[:, 1]])
    if others is not None:
        known = others.groupby("district")["area_m2"].max()
        most = np.maximum(most, known.reindex(districts["district_id"]).fillna(0.0).to_numpy())
    return _cut(lots, zones, within, cut[areas[cut[:, 1]] > most[cut[:, 0]] - TIE_M2])


def best_lots(leading: pd.DataFrame) -> dict[str, str]:
    """Return district id -> key of the parcel that has most of it; in a tie, the first key."""
    chosen = leading[_best(leading)]
    return dict(zip(chosen["district"], chosen["key"], strict=True))


def _possible_best(found: pd.DataFrame) -> pd.DataFrame:
    """Remove lots that cannot be the best one: a lot with a smaller key has at least their area, or another lot has
    more by at least the tie. The lots are sorted by key."""
    of_district = found.groupby("district")["area_m2"]
    before = of_district.cummax().groupby(found["district"]).shift(fill_value=0.0)
    excluded = (found["area_m2"] <= before) | (found["area_m2"] <= of_district.transform("max") - TIE_M2)
    kept: pd.DataFrame = found[~excluded]
    return kept


def _best(found: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each lot is the one that has most of its district; in a tie, the first by key."""
    most = found.groupby("district")["area_m2"].transform("max")
    nearly = found[found["area_m2"] > most - TIE_M2]
    best = np.zeros(len(found), dtype=bool)
    best[nearly.sort_values("key", kind="stable").drop_duplicates("district").index] = True
    return best


def _with_ranks(kept: pd.DataFrame) -> pd.DataFrame:
    """Add `rank`. Most parcels have one code per facet, which need not be compared."""
    alone = ~kept.duplicated(["parcel", "facet"], keep=False)
    if alone.all():
        return kept.assign(rank=1)
    several = kept[~alone]
    return pd.concat([kept[alone].assign(rank=1), ranked_by_area(several.assign(area=several["area_m2"]))])


def ranked_by_area(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by `area` (m2) within `parcel` and `facet`, in a tie by the code's spelling, and add `rank`."""
    by = ["parcel", "facet"]
    largest = table.sort_values([*by, "area", "code"], ascending=[True, True, False, True], ignore_index=True)
    steps = largest.groupby(by)["area"].diff().fillna(0.0).to_numpy() <= -TIE_M2
    largest["tier"] = pd.Series(steps).groupby([largest[name] for name in by]).cumsum().to_numpy()
    ranked = largest.sort_values([*by, "tier", "code"], ignore_index=True)
    return ranked.assign(rank=ranked.groupby(by).cumcount() + 1)
