"""Rows are judged, never dropped: each is accepted, or rejected with a reason."""

from collections.abc import Iterable
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import shapely

from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.transform import canonical, crs, esri, geometry
from zoning_assets.transform.columns import COLUMNS

NULL_KEY, REPEATED_KEY, REPEATED_ROW = "null_key", "repeated_key", "repeated_row"
OUT_OF_BOUNDS, CURVED = "out_of_bounds", "curve"

REJECTION_COLUMNS = ("page", "row", "reason", "detail")


@dataclass(frozen=True)
class Judged:
    """`rows_in == accepted + len(rejections)`; `table` may have fewer rows than accepted, where keys were dissolved."""

    table: gpd.GeoDataFrame
    rejections: pd.DataFrame  # REJECTION_COLUMNS
    accepted: int
    repaired: int


def judge(normalized: gpd.GeoDataFrame, *, jurisdiction: Jurisdiction, feed: Feed, listed: bool = False) -> Judged:
    """Judge normalized rows.

    Args:
        normalized: as columns.normalize gives it, with a column `page`; several pages may stand together.
        jurisdiction: gives bounds and target CRS.
        feed: gives the policies for null and repeated keys.
        listed: the rows of whole keys stand here together, so that the policy for repeated keys can be applied.

    Returns:
        Accepted rows: `key`, COLUMNS of the feed, `attributes`, `geometry` (valid MultiPolygon, canonical form,
        target CRS), `area_m2` (jurisdiction's equal-area frame), `content_hash`, `repair` (what was wrong),
        `repair_area_m2` (area after minus before), `page`, `row`.
    """
    grid = canonical.GRID[jurisdiction.target_crs]
    frame = crs.metric_frame(jurisdiction.bounds)
    before = normalized.geometry.to_numpy()
    mended = geometry.mend(before, grid)
    reasons = _reasons(normalized, mended, jurisdiction, feed)
    fine = pd.isna(reasons)
    table = normalized.drop(columns=["flaw", "lon", "lat"])
    table = table.set_geometry(gpd.GeoSeries(mended.geometry, index=table.index, crs=jurisdiction.target_crs))
    table["repair"] = np.where(pd.isna(mended.repaired), normalized["flaw"], mended.repaired)
    table["area_m2"] = areas_m2(mended.geometry, jurisdiction.target_crs, frame)
    table["repair_area_m2"] = _repair_areas(before, table, frame)
    rejections = _rejections(table[~fine], reasons[~fine])
    accepted = table[fine].reset_index(drop=True)
    repaired = int(accepted["repair"].notna().sum())
    settle = resolve_repeats if feed.key else _same_rows
    settled, repeats = settle(accepted, feed, jurisdiction) if listed else (accepted, rejections[:0])
    rejections = pd.concat([rejections, repeats], ignore_index=True) if len(repeats) else rejections
    return Judged(_hashed(settled, feed), rejections, len(normalized) - len(rejections), repaired)


def areas_m2(shapes: npt.NDArray[np.object_], source: str, frame: str) -> npt.NDArray[np.float64]:
    """Areas in square metres, rounded to the square centimetre; 0 where there is no shape."""
    flat = shapely.area(crs.reproject(shapes, source, frame))
    return np.round(np.where(np.isfinite(flat), flat, 0.0), 4)


def _reasons(
    rows: gpd.GeoDataFrame, mended: geometry.Mended, jurisdiction: Jurisdiction, feed: Feed
) -> npt.NDArray[np.object_]:
    """The first thing that speaks against each row, None where nothing does."""
    outside = crs.outside(rows[["lon", "lat"]].to_numpy(), jurisdiction.bounds)
    no_key = rows["key"].isna().to_numpy() if feed.key else np.zeros(len(rows), dtype=bool)
    curved = (rows["flaw"] == esri.CURVE).to_numpy()
    conditions = [curved, ~pd.isna(mended.rejected), no_key, outside]
    choices = [CURVED, mended.rejected, NULL_KEY, OUT_OF_BOUNDS]
    return np.select(conditions, [np.broadcast_to(np.array(c, dtype=object), len(rows)) for c in choices], None)


def _repair_areas(
    before: npt.NDArray[np.object_], table: gpd.GeoDataFrame, frame: str
) -> npt.NDArray[np.float64]:
    """For repaired rows the area gained, in m2; NaN for the others."""
    touched = table["repair"].notna().to_numpy() & table.geometry.notna().to_numpy()
    gained = np.full(len(table), np.nan)
    was = areas_m2(before[touched], str(table.crs), frame)
    gained[touched] = np.round(table["area_m2"].to_numpy()[touched] - was, 4)
    return gained


def _rejections(rows: gpd.GeoDataFrame, reasons: Iterable[str], detail: str | None = None) -> pd.DataFrame:
    details = rows["repair"] if detail is None else np.full(len(rows), detail, dtype=object)
    columns = (rows["page"], rows["row"], list(reasons), details)
    return pd.DataFrame(dict(zip(REJECTION_COLUMNS, map(list, columns), strict=True)), columns=list(REJECTION_COLUMNS))


def resolve_repeats(
    rows: gpd.GeoDataFrame, feed: Feed, jurisdiction: Jurisdiction
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Apply the feed's policy to keys that stand in several rows; never "first one wins".

    `reject`: all rows of the key are held back. `dissolve`: one parcel, the union of the shapes; where the rows
    disagree, the column is null and `attributes` lists the values. `suffix`: each row a parcel of its own, `KEY#1`
    and so on, from west to east.
    """
    repeated = rows["key"].duplicated(keep=False).to_numpy()
    none = _rejections(rows[:0], [])
    if not repeated.any():
        return rows, none
    if feed.on_repeated_key == "reject":
        held = rows[repeated]
        return rows[~repeated], _rejections(held, [REPEATED_KEY] * len(held), "several rows share this key")
    groups = [group for _, group in rows[repeated].groupby("key", sort=True)]
    settle = _suffixed if feed.on_repeated_key == "suffix" else _dissolved
    settled = [settle(group, feed, jurisdiction) for group in groups]
    return gpd.GeoDataFrame(pd.concat([rows[~repeated], *settled], ignore_index=True), crs=rows.crs), none


def _suffixed(group: gpd.GeoDataFrame, _feed: Feed, _jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    order = group.bounds.assign(shape=shapely.to_wkb(group.geometry.to_numpy(), hex=True))
    ranks = order.sort_values([*order.columns]).index
    numbers = pd.Series(range(1, len(group) + 1), index=ranks)
    return group.assign(key=group["key"] + "#" + numbers.astype(str).reindex(group.index))


def _dissolved(group: gpd.GeoDataFrame, feed: Feed, jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    """One row: what all agree on, and a list of values where they do not."""
    grid, frame = canonical.GRID[jurisdiction.target_crs], crs.metric_frame(jurisdiction.bounds)
    whole = geometry.mend(np.array([shapely.union_all(group.geometry.to_numpy(), grid_size=grid)]), grid).geometry
    one = group.iloc[[0]].copy()
    one = one.set_geometry(gpd.GeoSeries(whole, index=one.index, crs=group.crs))
    one["area_m2"] = areas_m2(whole, jurisdiction.target_crs, frame)
    attributes = _merged([orjson.loads(text) for text in group["attributes"]])
    for column in COLUMNS[feed.name]:
        values = sorted(set(group[column].dropna()))
        one[column] = values[0] if len(values) == 1 and group[column].notna().all() else None
        if len(values) > 1:
            attributes[column] = values
    one["attributes"] = canonical.dumps(attributes)
    mends = sorted(set(group["repair"].dropna()))
    one["repair"] = "; ".join(mends) or None
    return one


def _merged(rows: list[dict[str, object]]) -> dict[str, object]:
    """Attributes of several rows as one: the value all share, else the sorted list of values."""
    names = sorted(set().union(*rows))
    merged: dict[str, object] = {}
    for name in names:
        values = {orjson.dumps(row[name]): row[name] for row in rows if name in row}
        shared = len(values) == 1 and all(name in row for row in rows)
        merged[name] = next(iter(values.values())) if shared else [values[text] for text in sorted(values)]
    return merged


def _same_rows(
    rows: gpd.GeoDataFrame, feed: Feed, _jurisdiction: Jurisdiction
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Rows of a feed without a key are named by content; one of several that are the same in everything is kept."""
    again = _hashed(rows, feed)["key"].duplicated().to_numpy()
    return rows[~again], _rejections(rows[again], [REPEATED_ROW] * int(again.sum()), "the same row stands twice")


def _hashed(rows: gpd.GeoDataFrame, feed: Feed) -> gpd.GeoDataFrame:
    """With `content_hash`; rows of a feed without a key are named by their content."""
    columns = [[None if pd.isna(v) else v for v in rows[name]] for name in ("key", *COLUMNS[feed.name], "attributes")]
    hashes = canonical.content_hashes(columns, rows.geometry.to_numpy())
    keys = rows["key"] if feed.key else [each[:16] for each in hashes]
    return rows.assign(content_hash=hashes, key=keys)
