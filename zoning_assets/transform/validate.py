"""Validate normalized rows: each row is accepted, or rejected with a reason; no row is dropped.

Shapes are repaired in geometry/validity.py, and rows that share a key are resolved in repeated_keys.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.transform import repeated_keys
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import content_hash, crs, metric_frame, validity
from zoning_assets.transform.normalize import COLUMNS, framed, text_values

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
    settled, refused = repeated_keys.resolve(accepted, feed, jurisdiction) if listed else (accepted, accepted[:0])
    if len(refused):
        repeats = _all_rejected(refused, REPEATED_KEY, "several rows share this key")
        rejections = pd.concat([rejections, repeats], ignore_index=True)
    return ValidatedRows(
        repeated_keys.with_content_hash(settled, feed), rejections, len(normalized) - len(rejections), repaired
    )


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
    areas = metric_frame.areas_m2(objects["geometry"], target, frame)
    touched = ~_is_null(objects["repair"])
    gained = np.full(len(touched), np.nan)
    was = metric_frame.areas_m2(rows["geometry"].to_numpy()[fine][touched], target, frame)
    gained[touched] = np.round(areas[touched] - was, 4)  # NaN where nothing was repaired
    return framed(objects, {"row": rows["row"].to_numpy()[fine], "area_m2": areas, "repair_area_m2": gained})


def _reasons(
    rows: pd.DataFrame, repaired_shapes: validity.RepairedShapes, jurisdiction: Jurisdiction, feed: Feed
) -> npt.NDArray[np.object_]:
    """Return the most serious reason to reject each row; None if there is none."""
    outside = crs.outside(np.column_stack([rows["lon"], rows["lat"]]), jurisdiction.bounds)
    no_key = _is_null(rows["key"].to_numpy()) if feed.key else np.zeros(len(rows), dtype=bool)
    inexact = content_hash.inexact(text_values(rows["key"]))
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
