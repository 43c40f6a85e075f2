"""Which ground of which parcels lies in another code than before, and whether that means something.

Geometries are in one equal-area frame, metres. A change of ground is an event only where it is wider than the
release's tolerance (drift.Drift): eroded by half of it, something must be left. What is thinner is kept for
review. What counts is North Carolina's map amendment (docs/explanation/change-detection.md): another district for
given property.
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
#: A lot whose largest code gave up so much of its ground has no boundary noise to be afraid of: it is enough that the
#: ground around it is wide.
_WHOLE = 0.9
#: Overlapping districts: more of a parcel than this is covered twice.
_TWICE_M2 = 0.05
_PLACE = ["parcel", "facet"]
_BY = [*_PLACE, "code"]


def rezonings(
    parcels: gpd.GeoDataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float
) -> pd.DataFrame:
    """The ground of each parcel that changed its code.

    Args:
        parcels: `key`; as they are now.
        before: the map of one release: `facet`, `code` (canonical; None: ground without one), `effective`.
        after: that of the next.
        tolerance_m: see drift.Drift.

    Returns:
        One row for each parcel, facet, old and new code (None: no code of that facet), sorted so: `parcel_id`,
        `facet`, `old`, `new`, `kind` (rezoned: the parcel's largest code changed; partly_rezoned: it did not),
        `largest_old`, `largest_new` (the parcel's largest codes, "" for none),
        `area_m2`, `share` (of the parcel), `width_m` (of the changed ground, about), `confirmed` (wider than the
        tolerance), `effective` (the latest date of the new code's districts there), `geometry`.
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
    found["confirmed"] = _confirmed(found, area, _had(changed, was), (before, after), tolerance_m)
    return found[list(COLUMNS)].sort_values(["parcel_id", "facet", "old", "new"], ignore_index=True)


def _confirmed(
    found: pd.DataFrame,
    area: npt.NDArray[np.float64],
    had: npt.NDArray[np.float64],
    maps: tuple[gpd.GeoDataFrame, gpd.GeoDataFrame],
    tolerance_m: float,
) -> npt.NDArray[np.bool_]:
    """Which ground is wider than the tolerance; or is all that a lot's largest code had (`had`), of ground that is."""
    wide = is_wider(found["geometry"].to_numpy(), tolerance_m)
    gave_up = (found["kind"] == REZONED) & (found["old"] == found["largest_old"]) & (area >= _WHOLE * had)
    doubtful = np.flatnonzero(~wide & found["new"].notna() & gave_up)
    wide[doubtful] = _on_wide_ground(found.iloc[doubtful], *maps, tolerance_m)
    wide &= ~found["beside"].to_numpy()
    return wide


def _by_code(parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame) -> pd.DataFrame:
    """Each parcel's ground in each code."""
    parts = pieces(parcels.geometry.to_numpy(), districts.geometry.to_numpy())
    facet, code = (districts[name].to_numpy()[parts["district"]] for name in ("facet", "code"))
    parts = parts.assign(facet=facet, code=code, effective=districts["effective"].to_numpy()[parts["district"]])
    whole = union_by(parts, _BY)
    dates = [latest(each) for each in parts.groupby(_BY, sort=True)["effective"].agg(list)]
    whole = whole.assign(area=shapely.area(whole["geometry"].to_numpy()), effective=pd.Series(dates, dtype=object))
    return whole[[*_BY, "area", "effective", "geometry"]]


def _differing(parcels: gpd.GeoDataFrame, was: pd.DataFrame, now: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The parcels that may have changed: all but those that lay whole in the code in which they lie whole now."""
    both = was.merge(now, on=_BY, how="outer", suffixes=("_was", "_now"))
    same = (both["area_was"] - both["area_now"]).abs() < TIE_M2  # NaN, one side only, is not the same
    # In a part of the lot, or in several codes, the same areas may be other ground.
    whole = shapely.area(parcels.geometry.to_numpy())[both["parcel"]] - both["area_now"] < TIE_M2
    several = both.duplicated(["parcel", "facet"], keep=False)
    found: npt.NDArray[np.int64] = np.unique(both.loc[~same | ~whole | several, "parcel"].to_numpy())
    return found


def _changed(parcels: gpd.GeoDataFrame, was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Each parcel's ground by old and new code, where those differ. `beside`: it has another base code still."""
    twice = [*{*_twice(was), *_twice(now)}]
    upon = _upon(*(side[pd.MultiIndex.from_frame(side[_PLACE]).isin(twice)] for side in (was, now)))
    was, now = (_with_rest(parcels, each, was, now) for each in (was, now))
    pairs = was.merge(now, on=_PLACE, suffixes=("_was", "_now"))
    pairs = pairs[pairs["code_was"].fillna("") != pairs["code_now"].fillna("")]
    pairs = pairs[~pd.MultiIndex.from_frame(pairs[_PLACE]).isin(twice)]
    shapes = intersection(pairs["geometry_was"].to_numpy(), pairs["geometry_now"].to_numpy())
    plain = pd.DataFrame(
        {"parcel": pairs["parcel"], "facet": pairs["facet"], "old": pairs["code_was"], "new": pairs["code_now"]}
    ).assign(
        effective=pairs["effective_now"], geometry=pd.Series(shapes, index=pairs.index, dtype=object), beside=False
    )
    changed = pd.concat([plain, upon], ignore_index=True) if len(upon) else plain.reset_index(drop=True)
    changed = _without_contradictions(changed)
    shapes = changed["geometry"].to_numpy()
    ground = (shapely.area(shapes) >= TIE_M2) & is_wider(shapes, NOISE_M)
    kept: pd.DataFrame = changed[ground].reset_index(drop=True)
    return kept


def _without_contradictions(changed: pd.DataFrame) -> pd.DataFrame:
    """What a code both gained and lost on the same ground of a parcel did not change."""
    lost, gained = (changed[changed[other].isna()] for other in ("new", "old"))
    pairs = lost.reset_index().merge(
        gained.reset_index(), left_on=[*_PLACE, "old"], right_on=[*_PLACE, "new"], suffixes=("_lost", "_gained")
    )
    shapes = changed["geometry"].to_numpy(copy=True)
    one, two = (pairs[f"index_{side}"].to_numpy(dtype=np.int64) for side in ("lost", "gained"))
    shapes[one], shapes[two] = difference(shapes[one], shapes[two]), difference(shapes[two], shapes[one])
    return changed.assign(geometry=pd.Series(shapes, index=changed.index, dtype=object))


def _with_rest(parcels: gpd.GeoDataFrame, side: pd.DataFrame, was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """With the ground that no code of a facet covers, as code None, for the parcels that either side knows."""
    places = pd.concat([was, now])[["parcel", "facet"]].drop_duplicates()
    covered = union_by(side, ["parcel", "facet"])[["parcel", "facet", "geometry"]]
    rest = places.merge(covered, on=["parcel", "facet"], how="left")
    whole = parcels.geometry.to_numpy()[rest["parcel"]]
    missing = rest["geometry"].isna().to_numpy()
    left = difference(whole, np.where(missing, shapely.Polygon(), rest["geometry"].to_numpy()))
    rest = rest.assign(geometry=pd.Series(left, dtype=object), code=None, effective=None, area=shapely.area(left))
    return pd.concat([side, rest[rest["area"] >= TIE_M2]], ignore_index=True)


def _twice(side: pd.DataFrame) -> list[tuple[int, str]]:
    """The parcels and facets whose codes lie upon one another, as overlays do."""
    sums = side.groupby(_PLACE)["area"].sum()
    union = union_by(side, _PLACE)["geometry"].to_numpy()
    return list(sums.index[sums.to_numpy() - shapely.area(union) > _TWICE_M2])


def _upon(was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """The same for codes that lie upon one another: each came to some ground and left some, whatever others did."""
    sides = [_by_place(side) for side in (was, now)]
    rows: list[tuple[Any, ...]] = []
    for place in sorted({*sides[0], *sides[1]}):
        had, has = ({code: shape for code, (_, shape) in side.get(place, {}).items()} for side in sides)
        dates = {code: date for code, (date, _) in sides[1].get(place, {}).items()}
        lost, gained = _more(had, has), _more(has, had)
        rows += [(*place, old, new, dates[new], _both(lost[old], gained[new]), False) for old in lost for new in gained]
        left = {old: _less(lost[old], union([*gained.values()])) for old in lost}
        come = {new: _less(gained[new], union([*lost.values()])) for new in gained}
        rows += [(*place, old, None, None, shape, _is_beside(place, shape, has)) for old, shape in left.items()]
        rows += [(*place, None, new, dates[new], shape, _is_beside(place, shape, had)) for new, shape in come.items()]
    found = pd.DataFrame(rows, columns=[*_PLACE, "old", "new", "effective", "geometry", "beside"], dtype=object)
    shapes = pd.Series(areal(found["geometry"].to_numpy()), dtype=object)
    return found.assign(geometry=shapes).astype({"parcel": np.int64, "beside": bool})


def _by_place(side: pd.DataFrame) -> dict[tuple[int, str], dict[str, tuple[Any, Any]]]:
    """By parcel and facet, the date and the ground of each code."""
    places: dict[tuple[int, str], dict[str, tuple[Any, Any]]] = {}
    columns = (side[name] for name in (*_BY, "effective", "geometry"))
    for parcel, facet, code, date, shape in zip(*columns, strict=True):
        places.setdefault((parcel, facet), {})[code] = date, shape
    return places


def _more(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """By code, the ground that one has and two has not."""
    return {code: _less(shape, two[code]) if code in two else shape for code, shape in sorted(one.items())}


def _both(one: Any, two: Any) -> Any:
    return intersection(np.array([one]), np.array([two]))[0]


def _less(one: Any, two: Any) -> Any:
    return difference(np.array([one]), np.array([two]))[0]


def _is_beside(place: tuple[int, str], shape: Any, others: dict[str, Any]) -> bool:
    """Whether ground that a base code came to or left has another base code all the same: an error of the map."""
    return place[1] == BASE and any(shapely.area(_both(shape, other)) >= TIE_M2 for other in others.values())


def _largest(side: pd.DataFrame, changed: pd.DataFrame) -> npt.NDArray[np.object_]:
    """The largest code of each row's parcel and facet, as the shares have it."""
    ranked = ranked_by_area(side)
    largest = ranked[ranked["rank"] == 1].set_index(_PLACE)["code"]
    places = pd.MultiIndex.from_frame(changed[_PLACE])
    codes: npt.NDArray[np.object_] = largest.reindex(places).fillna("").to_numpy(dtype=object)
    return codes


def _had(changed: pd.DataFrame, was: pd.DataFrame) -> npt.NDArray[np.float64]:
    """How much of each parcel had the old code."""
    places = pd.MultiIndex.from_frame(changed[["parcel", "facet", "old"]])
    had: npt.NDArray[np.float64] = was.set_index(_BY)["area"].reindex(places).to_numpy()
    return had


def _on_wide_ground(
    rows: pd.DataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float
) -> npt.NDArray[np.bool_]:
    """Whether lots that are themselves thinner than the tolerance lie on changed ground that is not."""
    shapes = rows["geometry"].to_numpy()
    near = buffered(shapes, 4 * tolerance_m)
    ground = intersection(_around(near, rows, "old", before), _around(near, rows, "new", after))
    opened = buffered(eroded(ground, tolerance_m / 2), tolerance_m / 2)
    wide: npt.NDArray[np.bool_] = shapely.area(intersection(opened, shapes)) >= shapely.area(shapes) / 2
    return wide


def _around(near: Geometries, rows: pd.DataFrame, column: str, side: gpd.GeoDataFrame) -> Geometries:
    """The ground of each row's code and facet near it."""
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
