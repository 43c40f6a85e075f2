"""The areas of parcels that have another zoning code than before, and whether they are wide enough to be real.

Geometries are in one equal-area frame, metres. A changed area is an event only if it is wider than the tolerance of the
release (boundary_drift.Drift): something must remain of it after an erosion by half the tolerance. Thinner areas are
kept for review. What counts as a change follows North Carolina's definition of a zoning map amendment: another
district for given property.
"""

from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.transform.changes.overlay import BASE, TIE_M2, Geometries, latest, pieces, ranked_by_area
from zoning_assets.transform.geometry.polygon_overlay import (
    NOISE_M,
    areal,
    buffered,
    difference,
    eroded,
    intersection,
    is_wider,
    union,
    union_by,
)

REZONED, PARTLY = "rezoned", "partly_rezoned"
COLUMNS = (
    "parcel_id", "facet", "old", "new", "kind", "largest_old", "largest_new", "area_m2", "share", "width_m",
    "confirmed", "effective", "geometry",
)  # fmt: skip
#: If a lot's largest code lost this share of its area in the lot, the change is no boundary noise: it is enough that
#: the changed area around the lot is wide.
_WHOLE = 0.9
#: Districts overlap in a parcel if they cover more than this twice.
_STACKED_M2 = 0.05
_PLACE = ["parcel", "facet"]
_BY = [*_PLACE, "code"]


def rezonings(
    parcels: gpd.GeoDataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float
) -> pd.DataFrame:
    """The areas of each parcel whose zoning code changed.

    Args:
        parcels: the current parcels: `key`, `geometry`.
        before: the map of one release: `facet`, `code` (canonical; None: no code), `effective`, `geometry`.
        after: the map of the next release.
        tolerance_m: see boundary_drift.Drift.

    Returns:
        One row for each parcel, facet, old and new code (None: no code of that facet), sorted by these: `parcel_id`,
            `facet`, `old`, `new`, `kind` (rezoned: the parcel's largest code changed; partly_rezoned: it did not),
            `largest_old`, `largest_new` (the parcel's largest codes, "" for none), `area_m2`, `share` (of the parcel, 0
            to 1), `width_m` (approximate width of the changed area), `confirmed` (wider than the tolerance),
            `effective` (the latest date of the new code's districts there), `geometry`.
    """
    before, after = before[before["code"].notna()], after[after["code"].notna()]
    was, now = (_by_code(parcels, each) for each in (before, after))
    which = _differing(parcels, was, now)
    was, now = was[was["parcel"].isin(which)], now[now["parcel"].isin(which)]
    changed = _changed(parcels, was, now)
    shapes, lots = changed["geometry"].to_numpy(), parcels.geometry.to_numpy()[changed["parcel"]]
    area = shapely.area(shapes)
    largest_old, largest_new = (_largest(side, changed) for side in (was, now))
    found = changed.assign(
        parcel_id=parcels["key"].to_numpy()[changed["parcel"]],
        kind=np.where(largest_old != largest_new, REZONED, PARTLY).astype(object),
        largest_old=largest_old,
        largest_new=largest_new,
        area_m2=np.round(area, 2),
        share=np.round(np.minimum(area / shapely.area(lots), 1.0), 6),
        width_m=np.round(2 * area / np.maximum(shapely.length(shapes), 1e-9), 2),
    )
    found["confirmed"] = _confirmed(found, area, _old_areas(changed, was), (before, after), tolerance_m)
    return found[list(COLUMNS)].sort_values(["parcel_id", "facet", "old", "new"], ignore_index=True)


def _confirmed(
    found: pd.DataFrame,
    area: npt.NDArray[np.float64],
    had: npt.NDArray[np.float64],
    maps: tuple[gpd.GeoDataFrame, gpd.GeoDataFrame],
    tolerance_m: float,
) -> npt.NDArray[np.bool_]:
    """Which areas are wider than the tolerance, or are all that a lot's largest code had (`had`, m2) within a wide
    changed area.
    """
    wide = is_wider(found["geometry"].to_numpy(), tolerance_m)
    left_code = (found["kind"] == REZONED) & (found["old"] == found["largest_old"]) & (area >= _WHOLE * had)
    doubtful = np.flatnonzero(~wide & found["new"].notna() & left_code)
    wide[doubtful] = _on_wide_change(found.iloc[doubtful], *maps, tolerance_m)
    wide &= ~found["conflicts"].to_numpy()
    return wide


def _by_code(parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame) -> pd.DataFrame:
    """The area of each parcel in each code."""
    parts = pieces(parcels.geometry.to_numpy(), districts.geometry.to_numpy())
    facet, code = (districts[name].to_numpy()[parts["district"]] for name in ("facet", "code"))
    parts = parts.assign(facet=facet, code=code, effective=districts["effective"].to_numpy()[parts["district"]])
    merged = union_by(parts, _BY)
    dates = [latest(each) for each in parts.groupby(_BY, sort=True)["effective"].agg(list)]
    merged = merged.assign(area=shapely.area(merged["geometry"].to_numpy()), effective=pd.Series(dates, dtype=object))
    return merged[[*_BY, "area", "effective", "geometry"]]


def _differing(parcels: gpd.GeoDataFrame, was: pd.DataFrame, now: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The parcels that may have changed: all but those that are, and were, entirely within one and the same code."""
    both = was.merge(now, on=_BY, how="outer", suffixes=("_was", "_now"))
    same = (both["area_was"] - both["area_now"]).abs() < TIE_M2  # NaN (on one side only) is not the same
    # In a part of the lot, or with several codes, equal areas may be in different places.
    is_covered = shapely.area(parcels.geometry.to_numpy())[both["parcel"]] - both["area_now"] < TIE_M2
    several = both.duplicated(["parcel", "facet"], keep=False)
    found: npt.NDArray[np.int64] = np.unique(both.loc[~same | ~is_covered | several, "parcel"].to_numpy())
    return found


def _changed(parcels: gpd.GeoDataFrame, was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """The area of each parcel by old and new code, where those differ. `conflicts`: it has another base code too."""
    stacked = [*{*_stacked_places(was), *_stacked_places(now)}]
    stacked_changes = _stacked_changes(
        *(side[pd.MultiIndex.from_frame(side[_PLACE]).isin(stacked)] for side in (was, now))
    )
    was, now = (_with_rest(parcels, each, was, now) for each in (was, now))
    pairs = was.merge(now, on=_PLACE, suffixes=("_was", "_now"))
    pairs = pairs[pairs["code_was"].fillna("") != pairs["code_now"].fillna("")]
    pairs = pairs[~pd.MultiIndex.from_frame(pairs[_PLACE]).isin(stacked)]
    shapes = intersection(pairs["geometry_was"].to_numpy(), pairs["geometry_now"].to_numpy())
    plain = pd.DataFrame(
        {"parcel": pairs["parcel"], "facet": pairs["facet"], "old": pairs["code_was"], "new": pairs["code_now"]}
    ).assign(
        effective=pairs["effective_now"], geometry=pd.Series(shapes, index=pairs.index, dtype=object), conflicts=False
    )
    changed = (
        pd.concat([plain, stacked_changes], ignore_index=True) if len(stacked_changes) else plain.reset_index(drop=True)
    )
    changed = _without_contradictions(changed)
    shapes = changed["geometry"].to_numpy()
    ground = (shapely.area(shapes) >= TIE_M2) & is_wider(shapes, NOISE_M)
    kept: pd.DataFrame = changed[ground].reset_index(drop=True)
    return kept


def _without_contradictions(changed: pd.DataFrame) -> pd.DataFrame:
    """Remove areas that a code both lost and gained in the same place of a parcel."""
    lost, gained = (changed[changed[other].isna()] for other in ("new", "old"))
    pairs = lost.reset_index().merge(
        gained.reset_index(), left_on=[*_PLACE, "old"], right_on=[*_PLACE, "new"], suffixes=("_lost", "_gained")
    )
    shapes = changed["geometry"].to_numpy(copy=True)
    one, two = (pairs[f"index_{side}"].to_numpy(dtype=np.int64) for side in ("lost", "gained"))
    shapes[one], shapes[two] = difference(shapes[one], shapes[two]), difference(shapes[two], shapes[one])
    return changed.assign(geometry=pd.Series(shapes, index=changed.index, dtype=object))


def _with_rest(parcels: gpd.GeoDataFrame, side: pd.DataFrame, was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Add the area that no code of a facet covers, as code None, for all parcels with that facet on either side."""
    places = pd.concat([was, now])[["parcel", "facet"]].drop_duplicates()
    covered = union_by(side, ["parcel", "facet"])[["parcel", "facet", "geometry"]]
    rest = places.merge(covered, on=["parcel", "facet"], how="left")
    lots = parcels.geometry.to_numpy()[rest["parcel"]]
    missing = rest["geometry"].isna().to_numpy()
    left = difference(lots, np.where(missing, shapely.Polygon(), rest["geometry"].to_numpy()))
    rest = rest.assign(geometry=pd.Series(left, dtype=object), code=None, effective=None, area=shapely.area(left))
    return pd.concat([side, rest[rest["area"] >= TIE_M2]], ignore_index=True)


def _stacked_places(side: pd.DataFrame) -> list[tuple[int, str]]:
    """The parcels and facets whose codes overlap, as overlays do."""
    sums = side.groupby(_PLACE)["area"].sum()
    union = union_by(side, _PLACE)["geometry"].to_numpy()
    return list(sums.index[sums.to_numpy() - shapely.area(union) > _STACKED_M2])


def _stacked_changes(was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """The changes of overlapping codes: each code is compared with itself, independently of the others."""
    sides = [_by_place(side) for side in (was, now)]
    rows: list[tuple[Any, ...]] = []
    for place in sorted({*sides[0], *sides[1]}):
        had, has = ({code: shape for code, (_, shape) in side.get(place, {}).items()} for side in sides)
        dates = {code: date for code, (date, _) in sides[1].get(place, {}).items()}
        lost, gained = _exclusive(had, has), _exclusive(has, had)
        rows += [
            (*place, old, new, dates[new], _common(lost[old], gained[new]), False) for old in lost for new in gained
        ]
        left = {old: _minus(lost[old], union([*gained.values()])) for old in lost}
        added = {new: _minus(gained[new], union([*lost.values()])) for new in gained}
        rows += [(*place, old, None, None, shape, _conflicts(place, shape, has)) for old, shape in left.items()]
        rows += [(*place, None, new, dates[new], shape, _conflicts(place, shape, had)) for new, shape in added.items()]
    found = pd.DataFrame(rows, columns=[*_PLACE, "old", "new", "effective", "geometry", "conflicts"], dtype=object)
    shapes = pd.Series(areal(found["geometry"].to_numpy()), dtype=object)
    return found.assign(geometry=shapes).astype({"parcel": np.int64, "conflicts": bool})


def _by_place(side: pd.DataFrame) -> dict[tuple[int, str], dict[str, tuple[Any, Any]]]:
    """Date and area of each code, by parcel and facet."""
    places: dict[tuple[int, str], dict[str, tuple[Any, Any]]] = {}
    columns = (side[name] for name in (*_BY, "effective", "geometry"))
    for parcel, facet, code, date, shape in zip(*columns, strict=True):
        places.setdefault((parcel, facet), {})[code] = date, shape
    return places


def _exclusive(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """By code, the area that it has in `one` and not in `two`."""
    return {code: _minus(shape, two[code]) if code in two else shape for code, shape in sorted(one.items())}


def _common(one: Any, two: Any) -> Any:
    return intersection(np.array([one]), np.array([two]))[0]


def _minus(one: Any, two: Any) -> Any:
    return difference(np.array([one]), np.array([two]))[0]


def _conflicts(place: tuple[int, str], shape: Any, others: dict[str, Any]) -> bool:
    """Whether an area that a base code gained or lost has another base code too, which is an error of the map."""
    return place[1] == BASE and any(shapely.area(_common(shape, other)) >= TIE_M2 for other in others.values())


def _largest(side: pd.DataFrame, changed: pd.DataFrame) -> npt.NDArray[np.object_]:
    """The largest code of each row's parcel and facet, ranked as in parcel_zoning."""
    ranked = ranked_by_area(side)
    largest = ranked[ranked["rank"] == 1].set_index(_PLACE)["code"]
    places = pd.MultiIndex.from_frame(changed[_PLACE])
    codes: npt.NDArray[np.object_] = largest.reindex(places).fillna("").to_numpy(dtype=object)
    return codes


def _old_areas(changed: pd.DataFrame, was: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The area of each parcel that had the old code, m2."""
    places = pd.MultiIndex.from_frame(changed[["parcel", "facet", "old"]])
    had: npt.NDArray[np.float64] = was.set_index(_BY)["area"].reindex(places).to_numpy()
    return had


def _on_wide_change(
    rows: pd.DataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float
) -> npt.NDArray[np.bool_]:
    """Whether lots that are thinner than the tolerance themselves are part of a wider changed area."""
    shapes = rows["geometry"].to_numpy()
    near = buffered(shapes, 4 * tolerance_m)
    ground = intersection(_nearby(near, rows, "old", before), _nearby(near, rows, "new", after))
    opened = buffered(eroded(ground, tolerance_m / 2), tolerance_m / 2)
    wide: npt.NDArray[np.bool_] = shapely.area(intersection(opened, shapes)) >= shapely.area(shapes) / 2
    return wide


def _nearby(near: Geometries, rows: pd.DataFrame, column: str, side: gpd.GeoDataFrame) -> Geometries:
    """The area of each row's code and facet in its neighbourhood."""
    shapes, ground = side.geometry.to_numpy(), np.full(len(near), shapely.Polygon(), dtype=object)
    row, district = shapely.STRtree(shapes).query(near, predicate="intersects")
    same = np.ones(len(row), dtype=bool)
    for mine, theirs in (("facet", "facet"), (column, "code")):
        same &= rows[mine].to_numpy()[row] == side[theirs].to_numpy()[district]
    row, district = row[same], district[same]
    cut = intersection(shapes[district], near[row])
    found = union_by(pd.DataFrame({"row": row, "geometry": pd.Series(cut, dtype=object)}), ["row"])
    ground[found["row"].to_numpy()] = found["geometry"].to_numpy()
    return ground
