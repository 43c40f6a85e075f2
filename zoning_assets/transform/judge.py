"""Rows are judged, never dropped: each is accepted, or rejected with a reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

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
    before = normalized.geometry.to_numpy()
    mended = geometry.mend(before, canonical.GRID[jurisdiction.target_crs])
    reasons = _reasons(normalized, mended, jurisdiction, feed)
    fine = pd.isna(reasons)
    repair = np.where(pd.isna(mended.repaired), normalized["flaw"].to_numpy(), mended.repaired)
    accepted = _accepted(normalized, mended.geometry, repair, fine, jurisdiction, feed)
    rejections = _rejections(normalized.assign(repair=repair)[~fine], reasons[~fine]) if not fine.all() else _none()
    repaired = int(accepted["repair"].notna().sum())
    settle = resolve_repeats if feed.key else _same_rows
    settled, repeats = settle(accepted, feed, jurisdiction) if listed else (accepted, _none())
    rejections = pd.concat([rejections, repeats], ignore_index=True) if len(repeats) else rejections
    return Judged(_hashed(settled, feed), rejections, len(normalized) - len(rejections), repaired)


def _accepted(  # noqa: PLR0913 - a table is made of rows, and of what was found out about them
    rows: gpd.GeoDataFrame,
    shapes: npt.NDArray[np.object_],
    repair: npt.NDArray[np.object_],
    fine: npt.NDArray[np.bool_],
    jurisdiction: Jurisdiction,
    feed: Feed,
) -> gpd.GeoDataFrame:
    """The rows that nothing speaks against, with their mended shapes and measures."""
    target, frame = jurisdiction.target_crs, crs.metric_frame(jurisdiction.bounds)
    texts = {name: rows[name].to_numpy()[fine] for name in ("key", *COLUMNS[feed.name], "attributes", "page")}
    texts["repair"] = repair[fine]
    columns: dict[str, Any] = {name: pd.Series(values, dtype=object) for name, values in texts.items()}
    columns["row"], columns["area_m2"] = rows["row"].to_numpy()[fine], areas_m2(shapes[fine], target, frame)
    touched = columns["repair"].notna().to_numpy()
    gained = np.full(len(touched), np.nan)
    was = areas_m2(rows.geometry.to_numpy()[fine][touched], target, frame)
    gained[touched] = np.round(columns["area_m2"][touched] - was, 4)
    columns["repair_area_m2"] = gained  # NaN where nothing was repaired
    return gpd.GeoDataFrame(columns, geometry=shapes[fine], crs=rows.crs)


def areas_m2(shapes: npt.NDArray[np.object_], source: str, frame: str) -> npt.NDArray[np.float64]:
    """Areas in square metres, rounded to the square centimetre; 0 where there is no shape."""
    flat = shapely.area(crs.reproject(shapes, source, frame))
    areas: npt.NDArray[np.float64] = np.round(np.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0), 4)
    return areas


def _reasons(
    rows: gpd.GeoDataFrame, mended: geometry.Mended, jurisdiction: Jurisdiction, feed: Feed
) -> npt.NDArray[np.object_]:
    """The gravest thing that speaks against each row, None where nothing does."""
    outside = crs.outside(rows[["lon", "lat"]].to_numpy(), jurisdiction.bounds)
    no_key = rows["key"].isna().to_numpy() if feed.key else np.zeros(len(rows), dtype=bool)
    curved = (rows["flaw"] == esri.CURVE).to_numpy()
    reasons: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    for speaks, reason in ((outside, OUT_OF_BOUNDS), (no_key, NULL_KEY)):
        reasons[speaks] = reason
    shapeless = ~pd.isna(mended.rejected)
    reasons[shapeless] = mended.rejected[shapeless]
    reasons[curved] = CURVED
    return reasons


def _none() -> pd.DataFrame:
    """No rejections."""
    return _NONE.copy()


def _rejections(rows: gpd.GeoDataFrame, reasons: Iterable[str], detail: str | None = None) -> pd.DataFrame:
    details = rows["repair"] if detail is None else np.full(len(rows), detail, dtype=object)
    columns = (rows["page"], rows["row"], list(reasons), details)
    held = pd.DataFrame({name: list(column) for name, column in zip(REJECTION_COLUMNS, columns, strict=True)})
    return held.astype({"row": "int64"})  # an empty list would make it another kind


_NONE = pd.DataFrame({name: pd.Series([], dtype=object) for name in REJECTION_COLUMNS}).astype({"row": "int64"})


def resolve_repeats(
    rows: gpd.GeoDataFrame, feed: Feed, jurisdiction: Jurisdiction
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Apply the feed's policy to keys that stand in several rows; never "first one wins".

    `reject`: all rows of the key are held back. `dissolve`: one parcel, the union of the shapes; where the rows
    disagree, the column is null and `attributes` lists the values. `suffix`: each row a parcel of its own, `KEY#1`
    and so on, from west to east.
    """
    repeated = rows["key"].duplicated(keep=False).to_numpy()
    none = _none()
    if not repeated.any():
        return rows, none
    again = rows[repeated]
    if feed.on_repeated_key == "reject":
        return rows[~repeated], _rejections(again, [REPEATED_KEY] * len(again), "several rows share this key")
    settled = _suffixed(again, feed) if feed.on_repeated_key == "suffix" else _dissolved(again, feed, jurisdiction)
    return gpd.GeoDataFrame(pd.concat([rows[~repeated], settled], ignore_index=True), crs=rows.crs), none


def _suffixed(rows: gpd.GeoDataFrame, feed: Feed) -> gpd.GeoDataFrame:
    """Each row under its key and a number, from west to east; rows of one shape by what they say."""
    said = zip(*(_plain(rows[name]) for name in (*COLUMNS[feed.name], "attributes")), strict=True)
    order = rows.bounds.assign(key=rows["key"], shape=shapely.to_wkb(rows.geometry.to_numpy(), hex=True))
    order["said"] = [orjson.dumps(row).decode() for row in said]
    ranked = order.sort_values(["key", "minx", "miny", "maxx", "maxy", "shape", "said"])
    numbers = ranked.groupby("key").cumcount() + 1
    return rows.assign(key=rows["key"] + "#" + numbers.reindex(rows.index).astype(str))


def _dissolved(rows: gpd.GeoDataFrame, feed: Feed, jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    """One row a key: what its rows agree on, and a list of values where they do not."""
    grid, frame = canonical.GRID[jurisdiction.target_crs], crs.metric_frame(jurisdiction.bounds)
    groups = [positions for _, positions in sorted(rows.groupby("key").indices.items())]
    shapes = rows.geometry.to_numpy()
    whole = geometry.mend(np.array([shapely.union_all(shapes[g], grid_size=grid) for g in groups]), grid).geometry
    attributes = [orjson.loads(text) for text in rows["attributes"]]
    merged = [_merged([attributes[i] for i in g]) for g in groups]
    columns: dict[str, list[str | None]] = {}
    for name in COLUMNS[feed.name]:
        values = _plain(rows[name])
        agreed = [_agreed([values[i] for i in g]) for g in groups]
        columns[name] = [one for one, _ in agreed]
        for into, (_, several) in zip(merged, agreed, strict=True):
            into.update({name: several} if several else {})
    mends = _plain(rows["repair"])
    one = rows.iloc[[g[0] for g in groups]].assign(
        **columns,
        attributes=[canonical.dumps(each) for each in merged],
        repair=["; ".join(sorted({mends[i] or "" for i in g} - {""})) or None for g in groups],
        area_m2=areas_m2(whole, jurisdiction.target_crs, frame),
        repair_area_m2=rows.groupby("key")["repair_area_m2"]
        .sum(min_count=1)
        .round(4)
        .to_numpy(),  # NaN: none was mended
    )
    return one.set_geometry(gpd.GeoSeries(whole, index=one.index, crs=rows.crs))


def _agreed(values: list[str | None]) -> tuple[str | None, list[str]]:
    """The value all rows share, or None and the sorted values where they say different things."""
    said = sorted({value for value in values if value is not None})
    if len(said) == 1:
        return (said[0], []) if None not in values else (None, said)
    return None, said


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
    columns = [_plain(rows[name]) for name in ("key", *COLUMNS[feed.name], "attributes")]
    hashes = canonical.content_hashes(columns, rows.geometry.to_numpy())
    keys = rows["key"] if feed.key else [each[:16] for each in hashes]
    return rows.assign(content_hash=pd.Series(hashes, rows.index, dtype=object), key=keys)


def _plain(column: pd.Series) -> list[str | None]:
    """A text column as Python's own: text or None, never NaN."""
    return [value if isinstance(value, str) else None for value in column.tolist()]
