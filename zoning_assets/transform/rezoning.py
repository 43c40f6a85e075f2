"""Which ground of which parcels lies in another code than before, and whether that means something.

Geometries are in one equal-area frame, metres. A change of ground is an event only where it is wider than the
release's tolerance (drift.Drift): eroded by half of it, something must be left. What is thinner is kept for
review. What counts is North Carolina's map amendment (FACTS 3): another district for given property.
"""

from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.transform.shares import TIE_M2, Geometries, areal, latest, pieces, union_by

REZONED, PARTLY = "rezoned", "partly_rezoned"
#: A lot whose largest code gave up so much of its ground has no boundary noise to be afraid of: it is enough that the
#: ground around it is wide.
_WHOLE = 0.9
#: Overlapping districts: more of a parcel than this is covered twice.
_TWICE_M2 = 0.05
_BY = ["parcel", "facet", "code"]


def rezonings(
    parcels: gpd.GeoDataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float
) -> pd.DataFrame:
    """The ground of each parcel that changed its code.

    Args:
        parcels: `key`; as they are now.
        before: the map of one release: `facet`, `code` (canonical), `effective`.
        after: that of the next.
        tolerance_m: see drift.Drift.

    Returns:
        One row for each parcel, facet, old and new code (None: no code of that facet), sorted so: `parcel_id`,
        `facet`, `old`, `new`, `kind` (rezoned: the parcel's largest code changed; partly_rezoned: it did not),
        `largest_old`, `largest_new` (the parcel's largest codes, "" for none),
        `area_m2`, `share` (of the parcel), `width_m` (of the changed ground, about), `confirmed` (wider than the
        tolerance), `effective` (the latest date of the new code's districts there), `geometry`.
    """
    was, now = (_by_code(parcels, each) for each in (before, after))
    which = _differing(was, now)
    was, now = was[was["parcel"].isin(which)], now[now["parcel"].isin(which)]
    changed = _changed(parcels, was, now)
    shapes, whole = changed["geometry"].to_numpy(), shapely.area(parcels.geometry.to_numpy())[changed["parcel"]]
    area = shapely.area(shapes)
    wide = ~shapely.is_empty(shapely.buffer(shapes, -tolerance_m / 2))
    largest_was, largest_now = (_largest(side, changed) for side in (was, now))
    kinds = np.where(largest_was != largest_now, REZONED, PARTLY).astype(object)
    share = np.minimum(area / whole, 1.0)
    doubtful = np.flatnonzero(~wide & (kinds == REZONED) & (area >= _WHOLE * _had(changed, was)))
    wide[doubtful] = [_on_wide_ground(changed.iloc[i], before, after, tolerance_m) for i in doubtful.tolist()]
    found = changed.assign(
        parcel_id=parcels["key"].to_numpy()[changed["parcel"]],
        kind=kinds,
        largest_old=largest_was,
        largest_new=largest_now,
        area_m2=np.round(area, 2),
        share=np.round(share, 6),
        width_m=np.round(2 * area / np.maximum(shapely.length(shapes), 1e-9), 2),
        confirmed=wide,
    )
    columns = [
        "parcel_id",
        "facet",
        "old",
        "new",
        "kind",
        "largest_old",
        "largest_new",
        "area_m2",
        "share",
        "width_m",
        "confirmed",
        "effective",
        "geometry",
    ]
    return found[columns].sort_values(["parcel_id", "facet", "old", "new"], ignore_index=True)


def _by_code(parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame) -> pd.DataFrame:
    """Each parcel's ground in each code."""
    parts = pieces(parcels.geometry.to_numpy(), districts.geometry.to_numpy())
    facet, code = (districts[name].to_numpy()[parts["district"]] for name in ("facet", "code"))
    parts = parts.assign(facet=facet, code=code, effective=districts["effective"].to_numpy()[parts["district"]])
    whole = union_by(parts, _BY)
    dates = [latest(each) for each in parts.groupby(_BY, sort=True)["effective"].agg(list)]
    whole = whole.assign(area=shapely.area(whole["geometry"].to_numpy()), effective=pd.Series(dates, dtype=object))
    return whole[[*_BY, "area", "effective", "geometry"]]


def _differing(was: pd.DataFrame, now: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The parcels that may have changed: all but those that lay whole in the codes in which they lie now."""
    both = was.merge(now, on=_BY, how="outer", suffixes=("_was", "_now"))
    same = (both["area_was"] - both["area_now"]).abs() < TIE_M2  # NaN, one side only, is not the same
    several = both.duplicated(["parcel", "facet"], keep=False)  # in several codes the same areas may be other ground
    found: npt.NDArray[np.int64] = np.unique(both.loc[~same | several, "parcel"].to_numpy())
    return found


def _changed(parcels: gpd.GeoDataFrame, was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Each parcel's ground by old and new code, where those differ."""
    was, now = (_with_rest(parcels, each, was, now) for each in (was, now))
    pairs = was.merge(now, on=["parcel", "facet"], suffixes=("_was", "_now"))
    pairs = pairs[pairs["code_was"].fillna("") != pairs["code_now"].fillna("")]
    shapes = areal(shapely.intersection(pairs["geometry_was"].to_numpy(), pairs["geometry_now"].to_numpy()))
    changed = pd.DataFrame(
        {"parcel": pairs["parcel"], "facet": pairs["facet"], "old": pairs["code_was"], "new": pairs["code_now"]}
    ).assign(
        effective=pairs["effective_now"],
        geometry=pd.Series(_without_overlaps(pairs, shapes, was, now), index=pairs.index, dtype=object),
    )
    area = shapely.area(changed["geometry"].to_numpy())
    kept: pd.DataFrame = changed[area >= TIE_M2].reset_index(drop=True)
    return kept


def _with_rest(parcels: gpd.GeoDataFrame, side: pd.DataFrame, was: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """With the ground that no code of a facet covers, as code None, for the parcels that either side knows."""
    places = pd.concat([was, now])[["parcel", "facet"]].drop_duplicates()
    covered = union_by(side, ["parcel", "facet"])[["parcel", "facet", "geometry"]]
    rest = places.merge(covered, on=["parcel", "facet"], how="left")
    whole = parcels.geometry.to_numpy()[rest["parcel"]]
    missing = rest["geometry"].isna().to_numpy()
    left = areal(shapely.difference(whole, np.where(missing, shapely.Polygon(), rest["geometry"].to_numpy())))
    rest = rest.assign(geometry=pd.Series(left, dtype=object), code=None, effective=None, area=shapely.area(left))
    return pd.concat([side, rest[rest["area"] >= TIE_M2]], ignore_index=True)


def _without_overlaps(pairs: pd.DataFrame, shapes: Geometries, was: pd.DataFrame, now: pd.DataFrame) -> Geometries:
    """Where districts overlap, ground that had the new code already, or has the old one still, did not change."""
    for side, column, codes in ((was, "code_now", "geometry"), (now, "code_was", "geometry")):
        sums = side.groupby(["parcel", "facet"])["area"].sum()
        union = union_by(side, ["parcel", "facet"]).set_index(["parcel", "facet"])[codes]
        twice = set(sums[sums - shapely.area(union.to_numpy()) > _TWICE_M2].index)
        places = list(zip(pairs["parcel"], pairs["facet"], strict=True))
        held = side.set_index(_BY)["geometry"].to_dict() if twice else {}
        for i, place in enumerate(places):
            other = held.get((*place, pairs[column].iloc[i])) if place in twice else None
            shapes[i] = shapes[i] if other is None else shapely.difference(shapes[i], other)
    return shapes


def _largest(side: pd.DataFrame, changed: pd.DataFrame) -> npt.NDArray[np.object_]:
    """The largest code of each row's parcel and facet; of those that tie, the first by spelling (shares.TIE_M2)."""
    tied = side.assign(area=(side["area"] / TIE_M2).round())
    ranked = tied.sort_values(["parcel", "facet", "area", "code"], ascending=[True, True, False, True])
    largest = ranked.drop_duplicates(["parcel", "facet"]).set_index(["parcel", "facet"])["code"]
    places = pd.MultiIndex.from_frame(changed[["parcel", "facet"]])
    codes: npt.NDArray[np.object_] = largest.reindex(places).fillna("").to_numpy(dtype=object)
    return codes


def _had(changed: pd.DataFrame, was: pd.DataFrame) -> npt.NDArray[np.float64]:
    """How much of each parcel had the old code."""
    places = pd.MultiIndex.from_frame(changed[["parcel", "facet", "old"]])
    had: npt.NDArray[np.float64] = was.set_index(_BY)["area"].reindex(places).to_numpy()
    return had


def _on_wide_ground(
    row: "pd.Series[Any]", before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, tolerance_m: float
) -> bool:
    """Whether a lot that is itself thinner than the tolerance lies on changed ground that is not."""
    sides = [
        side.geometry[(side["facet"] == row["facet"]) & (side["code"] == code)]
        for side, code in ((before, row["old"]), (after, row["new"]))
        if not pd.isna(code)
    ]
    near = shapely.buffer(row["geometry"], 4 * tolerance_m)
    ground = shapely.intersection_all(
        [shapely.union_all(shapely.intersection(each[each.intersects(near)].to_numpy(), near)) for each in sides]
    )
    opened = shapely.buffer(shapely.buffer(ground, -tolerance_m / 2), tolerance_m / 2)
    return bool(shapely.area(shapely.intersection(opened, row["geometry"])) >= shapely.area(row["geometry"]) / 2)
