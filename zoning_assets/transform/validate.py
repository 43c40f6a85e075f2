"""Validate normalized rows: each row is accepted, or rejected with a reason; no row is dropped."""

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
class ValidatedRows:
    """The result. The number of input rows is `accepted + len(rejections)`. If keys were dissolved, `table` has fewer
    rows than `accepted`."""

    table: pd.DataFrame
    rejections: pd.DataFrame  # REJECTION_COLUMNS
    accepted: int
    repaired: int


def validate_rows(
    normalized: pd.DataFrame, *, jurisdiction: Jurisdiction, feed: Feed, listed: bool = False
) -> ValidatedRows:
    """Validate rows.

    Args:
        normalized: rows from normalize.normalize, with the column `page`; may be of several pages.
        jurisdiction: gives bounds and target CRS.
        feed: gives the policies for null and repeated keys.
        listed: all rows with the same key are in this table, so that the policy for repeated keys can be applied.

    Returns:
        Accepted rows: `key`, COLUMNS of the feed, `attributes`, `geometry` (valid MultiPolygon, canonical form,
            target CRS), `area_m2` (jurisdiction's equal-area frame), `content_hash`, `repair` (the fault),
            `repair_area_m2` (area after minus before), `page`, `row`.
    """
    before = normalized["geometry"].to_numpy()
    repaired_shapes = validity.repair_shapes(before, content_hash.GRID[jurisdiction.target_crs])
    reasons = _reasons(normalized, repaired_shapes, jurisdiction, feed)
    fine = _is_null(reasons)
    repair = np.where(_is_null(repaired_shapes.repaired), normalized["flaw"].to_numpy(), repaired_shapes.repaired)
    accepted = _accepted(normalized, repaired_shapes.geometry, repair, fine, jurisdiction, feed)
    rejections = _rejections(normalized[~fine], reasons[~fine], repair[~fine]) if not fine.all() else _no_rejections()
    repaired = int(np.count_nonzero(~_is_null(repair[fine])))
    settled, repeats = resolve_repeats(accepted, feed, jurisdiction) if listed else (accepted, _no_rejections())
    rejections = pd.concat([rejections, repeats], ignore_index=True) if len(repeats) else rejections
    return ValidatedRows(_hashed(settled, feed), rejections, len(normalized) - len(rejections), repaired)


def _is_null(values: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Whether each value of a column of objects is null."""
    is_null: npt.NDArray[np.bool_] = pd.isna(values)
    return is_null


def _accepted(  # noqa: PLR0913 - the rows, and the results of their validation
    rows: pd.DataFrame,
    shapes: npt.NDArray[np.object_],
    repair: npt.NDArray[np.object_],
    fine: npt.NDArray[np.bool_],
    jurisdiction: Jurisdiction,
    feed: Feed,
) -> pd.DataFrame:
    """Return the rows without a reason for rejection, with their repaired shapes and areas."""
    target, frame = jurisdiction.target_crs, crs.metric_frame(jurisdiction.bounds)
    texts = {name: rows[name].to_numpy()[fine] for name in ("key", *COLUMNS[feed.name], "attributes", "page")}
    objects = {**texts, "repair": repair[fine], "geometry": shapes[fine]}
    areas = areas_m2(objects["geometry"], target, frame)
    touched = ~_is_null(objects["repair"])
    gained = np.full(len(touched), np.nan)
    was = areas_m2(rows["geometry"].to_numpy()[fine][touched], target, frame)
    gained[touched] = np.round(areas[touched] - was, 4)  # NaN where nothing was repaired
    return framed(objects, {"row": rows["row"].to_numpy()[fine], "area_m2": areas, "repair_area_m2": gained})


def areas_m2(shapes: npt.NDArray[np.object_], source: str, frame: str) -> npt.NDArray[np.float64]:
    """Return areas in square metres, rounded to the square centimetre; 0 if there is no shape."""
    flat = shapely.area(crs.reproject(shapes, source, frame))
    areas: npt.NDArray[np.float64] = np.round(np.nan_to_num(flat, nan=0.0, posinf=0.0, neginf=0.0), 4)
    return areas


def _reasons(
    rows: pd.DataFrame, repaired_shapes: validity.RepairedShapes, jurisdiction: Jurisdiction, feed: Feed
) -> npt.NDArray[np.object_]:
    """Return the most serious reason to reject each row; None if there is none."""
    outside = crs.outside(np.column_stack([rows["lon"], rows["lat"]]), jurisdiction.bounds)
    no_key = _is_null(rows["key"].to_numpy()) if feed.key else np.zeros(len(rows), dtype=bool)
    inexact = content_hash.inexact(_texts(rows["key"]))
    curved = rows["flaw"].to_numpy() == esri_json.CURVE
    reasons: npt.NDArray[np.object_] = np.full(len(rows), None, dtype=object)
    for applies, reason in ((outside, OUT_OF_BOUNDS), (no_key, NULL_KEY), (inexact, INEXACT_KEY)):
        reasons[applies] = reason
    shapeless = ~_is_null(repaired_shapes.rejected)
    reasons[shapeless] = repaired_shapes.rejected[shapeless]
    reasons[curved] = CURVED
    return reasons


def _no_rejections() -> pd.DataFrame:
    """Return an empty table of rejections."""
    return _NONE.copy()


def _rejections(rows: pd.DataFrame, reasons: Iterable[str], details: Iterable[str | None]) -> pd.DataFrame:
    columns: dict[str, Any] = {"page": rows["page"].to_numpy(), "reason": list(reasons), "detail": list(details)}
    return framed(columns, {"row": rows["row"].to_numpy()})[list(REJECTION_COLUMNS)]


def _all_rejected(rows: pd.DataFrame, reason: str, detail: str) -> pd.DataFrame:
    return _rejections(rows, [reason] * len(rows), [detail] * len(rows))


_NONE = pd.DataFrame({name: pd.Series([], dtype=object) for name in REJECTION_COLUMNS}).astype({"row": "int64"})


def resolve_repeats(rows: pd.DataFrame, feed: Feed, jurisdiction: Jurisdiction) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge identical rows, then apply the feed's policy to keys of several rows. The first row is never preferred.

    Identical rows have the same key, columns, attributes and shape (the same content hash). They count as accepted, and
    all but one as dissolved. If a feed has no key, the key is the content hash, so that only identical rows repeat.

    Policies: `reject`: all rows of the key are rejected. `dissolve`: the rows become one parcel with the union of their
    shapes; a column in which they differ is null, and `attributes` lists the values. `suffix`: each row becomes a
    parcel of its own, `KEY#1` and so on, from west to east.
    """
    none, all_rows = _no_rejections(), rows
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
    """Keep one of each set of identical rows, if possible one that was not repaired. Only rows with the same key, or
    without a key, are compared."""
    suspects = rows[rows["key"].duplicated(keep=False)].sort_values(["repair", "repair_area_m2"], na_position="first")
    if suspects.empty:
        return rows
    return rows.drop(index=suspects.index[_hashed(suspects, feed)["content_hash"].duplicated()])


def _suffixed(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """Append a number to the key of each row, from west to east; rows with the same shape are sorted by content."""
    contents = zip(*(_texts(rows[name]) for name in (*COLUMNS[feed.name], "attributes")), strict=True)
    shapes = rows["geometry"].to_numpy()
    order = pd.DataFrame(shapely.bounds(shapes), rows.index, ["minx", "miny", "maxx", "maxy"])
    order["key"], order["shape"] = rows["key"], shapely.to_wkb(shapes, hex=True)
    order["content"] = [orjson.dumps(row).decode() for row in contents]
    ranked = order.sort_values(["key", "minx", "miny", "maxx", "maxy", "shape", "content"])
    numbers = ranked.groupby("key").cumcount() + 1
    return rows.assign(key=rows["key"] + "#" + numbers.reindex(rows.index).astype(str))


def _dissolved(rows: pd.DataFrame, feed: Feed, jurisdiction: Jurisdiction) -> pd.DataFrame:
    """Merge the rows of each key: common values, and lists of values if they differ."""
    grid, frame = content_hash.GRID[jurisdiction.target_crs], crs.metric_frame(jurisdiction.bounds)
    groups = [positions for _, positions in sorted(rows.groupby("key").indices.items())]
    shapes = rows["geometry"].to_numpy()
    whole = validity.repair_shapes(
        np.array([shapely.union_all(shapes[g], grid_size=grid) for g in groups]), grid
    ).geometry
    attributes = [orjson.loads(text) for text in rows["attributes"]]
    merged = [_merge_attributes([attributes[i] for i in g]) for g in groups]
    columns: dict[str, list[str | None]] = {}
    for name in COLUMNS[feed.name]:
        values = _texts(rows[name])
        agreed = [_common_value([values[i] for i in g]) for g in groups]
        columns[name] = [one for one, _ in agreed]
        for into, (_, several) in zip(merged, agreed, strict=True):
            into.update({name: several} if several else {})
    mends = _texts(rows["repair"])
    columns["attributes"] = [content_hash.dumps(each) for each in merged]
    columns["repair"] = ["; ".join(sorted({mends[i] or "" for i in g} - {""})) or None for g in groups]
    first = rows.iloc[[g[0] for g in groups]]
    return first.assign(
        **{name: pd.Series(values, first.index, dtype=object) for name, values in columns.items()},
        geometry=pd.Series(whole, first.index, dtype=object),
        area_m2=areas_m2(whole, jurisdiction.target_crs, frame),
        # NaN: none was repaired
        repair_area_m2=rows.groupby("key")["repair_area_m2"].sum(min_count=1).round(4).to_numpy(),
    )


def _common_value(values: list[str | None]) -> tuple[str | None, list[str]]:
    """Return the common value of all rows, or None and the sorted different values."""
    found = sorted({value for value in values if value is not None})
    if len(found) == 1:
        return (found[0], []) if None not in values else (None, found)
    return None, found


def _merge_attributes(rows: list[dict[str, object]]) -> dict[str, object]:
    """Merge the attributes of several rows: the common value, else the sorted list of values."""
    names = sorted(set().union(*rows))
    merged: dict[str, object] = {}
    for name in names:
        values = {orjson.dumps(row[name]): row[name] for row in rows if name in row}
        shared = len(values) == 1 and all(name in row for row in rows)
        merged[name] = next(iter(values.values())) if shared else [values[text] for text in sorted(values)]
    return merged


def _hashed(rows: pd.DataFrame, feed: Feed) -> pd.DataFrame:
    """Add `content_hash`. If the feed has no key, the start of the hash is the key."""
    columns = [rows[name].tolist() for name in ("key", *COLUMNS[feed.name], "attributes")]
    hashes = content_hash.content_hashes(columns, rows["geometry"].to_numpy())
    keys = rows["key"] if feed.key else [each[:16] for each in hashes]
    return rows.assign(content_hash=pd.Series(hashes, rows.index, dtype=object), key=keys)


def _texts(column: pd.Series) -> list[str | None]:
    """Return a text column as a list of text or None, without NaN."""
    return [value if isinstance(value, str) else None for value in column.tolist()]
