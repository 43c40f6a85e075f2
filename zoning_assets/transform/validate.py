"""Rows are judged, never dropped: each is accepted, or rejected with a reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import shapely

from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import content_hash, crs, validity
from zoning_assets.transform.normalize import COLUMNS, framed

NULL_KEY, REPEATED_KEY = "null_key", "repeated_key"
INEXACT_KEY = "inexact_key"
OUT_OF_BOUNDS, CURVED = "out_of_bounds", "curve"

REJECTION_COLUMNS = ("page", "row", "reason", "detail")


@dataclass(frozen=True)
class Judged:
    """`rows_in == accepted + len(rejections)`; `table` may have fewer rows than accepted, where keys were dissolved."""

    table: pd.DataFrame
    rejections: pd.DataFrame  # REJECTION_COLUMNS
    accepted: int
    repaired: int


def judge(normalized: pd.DataFrame, *, jurisdiction: Jurisdiction, feed: Feed, listed: bool = False) -> Judged:
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
    before = normalized["geometry"].to_numpy()
    mended = validity.mend(before, content_hash.GRID[jurisdiction.target_crs])
    reasons = _reasons(normalized, mended, jurisdiction, feed)
    fine = _nothing(reasons)
    repair = np.where(_nothing(mended.repaired), normalized["flaw"].to_numpy(), mended.repaired)
    accepted = _accepted(normalized, mended.geometry, repair, fine, jurisdiction, feed)
    rejections = _rejections(normalized[~fine], reasons[~fine], repair[~fine]) if not fine.all() else _none()
    repaired = int(np.count_nonzero(~_nothing(repair[fine])))
    settled, repeats = resolve_repeats(accepted, feed, jurisdiction) if listed else (accepted, _none())
    rejections = pd.concat([rejections, repeats], ignore_index=True) if len(repeats) else rejections
    return Judged(_hashed(settled, feed), rejections, len(normalized) - len(rejections), repaired)


def _nothing(values: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Where a column of objects says nothing."""
    nothing: npt.NDArray[np.bool_] = pd.isna(values)
    return nothing


def _accepted(  # noqa: PLR0913 - a table is made of rows, and of what was found out about them
    rows: pd.DataFrame,
    shapes: npt.NDArray[np.object_],
    repair: npt.NDArray[np.object_],
    fine: npt.NDArray[np.bool_],
    jurisdiction: Jurisdiction,
    feed: Feed,
) -> pd.DataFrame:
    """The rows that nothing speaks against, with their mended shapes and measures."""
    target, frame = jurisdiction.target_crs, crs.metric_frame(jurisdiction.bounds)
    texts = {name: rows[name].to_numpy()[fine] for name in ("key", *COLUMNS[feed.name], "attributes", "page")}
    objects = {**texts, "repair": repair[fine], "geometry": shapes[fine]}
    areas = areas_m2(objects["geometry"], target, frame)
    touched = ~_nothing(objects["repair"])
    gained = np.full(len(touched), np.nan)
    was = areas_m2(rows["geometry"].to_numpy()[fine][touched], target, frame)
    gained[touched] = np.round(areas[touched] - was, 4)  # NaN where nothing was repaired
    return framed(objects, {"row": rows["row"].to_numpy()[fine], "area_m2": areas, "repair_area_m2": gained})


def areas_m2(shapes: npt.NDArray[np.object_], source: str, frame: str) -> npt.NDArray[np.float64]:
    """Areas in square metres, rounded to the square centimetre; 0 where there is no shape."""
    flat = shapely.area(crs.reproject(shapes, source, frame))
    areas: npt.NDArray[np.float64] = np.round(np.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0), 4)
    return areas


def _reasons(
    rows: pd.DataFrame, mended: validity.Mended, jurisdiction: Jurisdiction, feed: Feed
) -> npt.NDArray[np.object_]:
    """The gravest thing that speaks against each row, None where nothing does."""
    outside = crs.outside(np.column_stack([rows["lon"], rows["lat"]]), jurisdiction.bounds)
    no_key = _nothing(rows["key"].to_numpy()) if feed.key else np.zeros(len(rows), dtype=bool)
    inexact = content_hash.inexact(_plain(rows["key"]))
    curved = rows["flaw"].to_numpy() == esri_json.CURVE
    reasons: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    for speaks, reason in ((outside, OUT_OF_BOUNDS), (no_key, NULL_KEY), (inexact, INEXACT_KEY)):
        reasons[speaks] = reason
    shapeless = ~_nothing(mended.rejected)
    reasons[shapeless] = mended.rejected[shapeless]
    reasons[curved] = CURVED
    return reasons


def _none() -> pd.DataFrame:
    """No rejections."""
    return _NONE.copy()


def _rejections(rows: pd.DataFrame, reasons: Iterable[str], details: Iterable[str | None]) -> pd.DataFrame:
    said: dict[str, Any] = {"page": rows["page"].to_numpy(), "reason": list(reasons), "detail": list(details)}
    return framed(said, {"row": rows["row"].to_numpy()})[list(REJECTION_COLUMNS)]


def _all_rejected(rows: pd.DataFrame, reason: str, detail: str) -> pd.DataFrame:
    return _rejections(rows, [reason] * len(rows), [detail] * len(rows))


_NONE = pd.DataFrame({name: pd.Series([], dtype=object) for name in REJECTION_COLUMNS}).astype({"row": "int64"})


def resolve_repeats(rows: pd.DataFrame, feed: Feed, jurisdiction: Jurisdiction) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make identical rows one, and apply the feed's policy to keys that still stand in several rows; never "first one
    wins".

    Identical rows have the same key, columns, attributes and shape (the same content hash). They count as accepted, and
    all but one of them as dissolved. Where a feed has no key, rows are named by their content, so no other repeats.
    `reject`: all rows of the key are held back. `dissolve`: one parcel, the union of the shapes; where the rows
    disagree, the column is null and `attributes` lists the values. `suffix`: each row a parcel of its own, `KEY#1`
    and so on, from west to east.
    """
    none, all_rows = _none(), rows
    rows = _without_copies(rows, feed)
    repeated = rows["key"].duplicated(keep=False).to_numpy()
    if not feed.key or not repeated.any():
        return rows, none
    again = rows[repeated]
    if feed.on_repeated_key == "reject":
        with_copies = all_rows[all_rows["key"].isin(set(again["key"]))]
        return rows[~repeated], _all_rejected(with_copies, REPEATED_KEY, "several rows share this key")
    settled = _suffixed(again, feed) if feed.on_repeated_key == "suffix" else _dissolved(again, feed, jurisdiction)
    return pd.concat([rows[~repeated], settled], ignore_index=True), none


def _without_copies(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """One of each set of identical rows, if possible one that was not repaired; only rows that share a key, or have
    none, are compared."""
    suspects = rows[rows["key"].duplicated(keep=False)].sort_values(["repair", "repair_area_m2"], na_position="first")
    if suspects.empty:
        return rows
    return rows.drop(index=suspects.index[_hashed(suspects, feed)["content_hash"].duplicated()])


def _suffixed(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """Each row under its key and a number, from west to east; rows of one shape by what they say."""
    said = zip(*(_plain(rows[name]) for name in (*COLUMNS[feed.name], "attributes")), strict=True)
    shapes = rows["geometry"].to_numpy()
    order = pd.DataFrame(shapely.bounds(shapes), rows.index, ["minx", "miny", "maxx", "maxy"])
    order["key"], order["shape"] = rows["key"], shapely.to_wkb(shapes, hex=True)
    order["said"] = [orjson.dumps(row).decode() for row in said]
    ranked = order.sort_values(["key", "minx", "miny", "maxx", "maxy", "shape", "said"])
    numbers = ranked.groupby("key").cumcount() + 1
    return rows.assign(key=rows["key"] + "#" + numbers.reindex(rows.index).astype(str))


def _dissolved(rows: pd.DataFrame, feed: Feed, jurisdiction: Jurisdiction) -> pd.DataFrame:
    """One row a key: what its rows agree on, and a list of values where they do not."""
    grid, frame = content_hash.GRID[jurisdiction.target_crs], crs.metric_frame(jurisdiction.bounds)
    groups = [positions for _, positions in sorted(rows.groupby("key").indices.items())]
    shapes = rows["geometry"].to_numpy()
    whole = validity.mend(np.array([shapely.union_all(shapes[g], grid_size=grid) for g in groups]), grid).geometry
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
    columns["attributes"] = [content_hash.dumps(each) for each in merged]
    columns["repair"] = ["; ".join(sorted({mends[i] or "" for i in g} - {""})) or None for g in groups]
    first = rows.iloc[[g[0] for g in groups]]
    return first.assign(
        **{name: pd.Series(values, first.index, dtype=object) for name, values in columns.items()},
        geometry=pd.Series(whole, first.index, dtype=object),
        area_m2=areas_m2(whole, jurisdiction.target_crs, frame),
        # NaN: none was mended
        repair_area_m2=rows.groupby("key")["repair_area_m2"].sum(min_count=1).round(4).to_numpy(),
    )


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


def _hashed(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """With `content_hash`; rows of a feed without a key are named by their content."""
    columns = [rows[name].tolist() for name in ("key", *COLUMNS[feed.name], "attributes")]
    hashes = content_hash.content_hashes(columns, rows["geometry"].to_numpy())
    keys = rows["key"] if feed.key else [each[:16] for each in hashes]
    return rows.assign(content_hash=pd.Series(hashes, rows.index, dtype=object), key=keys)


def _plain(column: pd.Series) -> list[str | None]:
    """A text column as Python's own: text or None, never NaN."""
    return [value if isinstance(value, str) else None for value in column.tolist()]
