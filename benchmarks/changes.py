"""A year of a town with known changes: overlay, an update of 1% of the districts, and the detected changes at three
drifts."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from benchmarks import many_codes
from zoning_assets.model import CodeRules
from zoning_assets.simulation.county.county import BOUNDS, County
from zoning_assets.simulation.county.release_plan import Plan, Truth
from zoning_assets.transform.changes import change_event, zoning_changes, zoning_codes
from zoning_assets.transform.changes.overlay import shares
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.content_hash import content_hashes

_FRAME = crs.metric_frame(BOUNDS)
_DRIFTS_M = (0.0, 1.5, 3.0)


def measure(lots: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything in one run."""
    say(f"{lots:,} lots: building the town")
    base = County.build(lots)
    parcels, districts, known = _layers(base, {})
    say("overlay")
    overlay = _overlay(parcels, districts)
    releases = []
    for drift_m in _DRIFTS_M:
        say(f"a year with a drift of {drift_m} m")
        plan = replace(Plan.town(drift_m, lots=lots), parcels_drift_m=drift_m)
        releases.append(_release(parcels, districts, known, base.after_changes(plan), drift_m))
    say("a city of 1,500 codes, stacked and invalid")
    found = {"lots": len(parcels), "districts": len(districts), "overlay": overlay, "releases": releases}
    return {**found, "many_codes": many_codes.measure()}


def _overlay(parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame) -> dict[str, Any]:
    started = time.monotonic()
    whole = shares(parcels, districts)
    whole_s = time.monotonic() - started
    few = districts.iloc[np.linspace(0, len(districts) - 1, max(1, len(districts) // 100)).astype(int)]
    started = time.monotonic()
    touched = parcels.iloc[
        np.unique(shapely.STRtree(parcels.geometry.to_numpy()).query(few.geometry.to_numpy(), "intersects")[1])
    ]
    near = np.unique(shapely.STRtree(districts.geometry.to_numpy()).query(touched.geometry.to_numpy(), "intersects")[1])
    shares(touched, districts.iloc[near])
    update_s = time.monotonic() - started
    return {
        "seconds": round(whole_s, 2),
        "shares": len(whole),
        "update_districts": len(few),
        "update_parcels": len(touched),
        "update_seconds": round(update_s, 3),
    }


def _release(
    parcels: gpd.GeoDataFrame, districts: gpd.GeoDataFrame, known: dict[str, str], after: County, drift_m: float
) -> dict[str, Any]:
    lots, map_, _ = _layers(after, known)
    truth = after.truth or Truth()
    started = time.monotonic()
    zoning = zoning_changes.detect_zoning_changes(lots, districts, map_)
    zoning_s = time.monotonic() - started
    started = time.monotonic()
    lineage = detect_parcel_changes(*_differing(parcels, lots), has_own_codes=False)
    return {
        "drift_m": drift_m,
        "measured_drift_m": zoning.drift.drift_m,
        **_rezonings(zoning, truth, lots, map_),
        **_lineage(lineage, truth),
        "zoning_seconds": round(zoning_s, 1),
        "lineage_seconds": round(time.monotonic() - started, 1),
    }


def _rezonings(
    detected: change_event.DetectedChanges, truth: Truth, lots: gpd.GeoDataFrame, map_: gpd.GeoDataFrame
) -> dict[str, Any]:
    """Compare detected and true rezonings. The width of a partial rezoning is that in this release's map."""
    events = detected.changes[detected.changes["state"] == change_event.EVENT]
    reported = {
        ids[0] for kind, ids in zip(events["kind"], events["parcel_ids"], strict=True) if kind.endswith("rezoned")
    }
    true = {**truth.rezoned, **truth.partly_rezoned}
    drawn = _drawn_widths(list(truth.strips), truth, lots, map_)
    wide = {pin for pin in true if drawn.get(pin, np.inf) > detected.drift.tolerance_m}
    review = detected.changes[detected.changes["state"] == change_event.REVIEW]
    kept = {pin for ids in review["parcel_ids"] for pin in ids}
    return {
        "tolerance_m": detected.drift.tolerance_m,
        "true": len(true),
        "wider_than_tolerance": len(wide),
        "told": len(reported),
        "precision": len(reported & set(true)) / max(len(reported), 1),
        "recall": len(reported & wide) / max(len(wide), 1),
        "neither_told_nor_in_review": len(set(true) - reported - kept),
        "kinds": detected.changes.groupby(["kind", "state"]).size().rename(lambda each: each).to_dict(),
    }


def _drawn_widths(pins: list[str], truth: Truth, lots: gpd.GeoDataFrame, map_: gpd.GeoDataFrame) -> dict[str, float]:
    """The diameter of the largest inscribed circle of the part of each lot that has the new code in the new map."""
    shapes = dict(zip(lots["key"], lots.geometry, strict=True))
    widths = {}
    for pin in pins:
        new = zoning_codes.fold(truth.partly_rezoned[pin][1])
        near = map_.iloc[map_.sindex.query(shapes[pin])]
        ground = shapely.union_all(near.geometry[[zoning_codes.fold(code) == new for code in near["code"]]].to_numpy())
        part = shapely.intersection(ground, shapes[pin])
        widths[pin] = 2 * shapely.maximum_inscribed_circle(part, 0.01).length if not part.is_empty else 0.0
    return widths


def _lineage(detected: change_event.DetectedChanges, truth: Truth) -> dict[str, Any]:
    reported = {
        (kind, tuple(evidence["parents"]), tuple(evidence["children"]))
        for kind, evidence in zip(detected.changes["kind"], detected.changes["evidence"], strict=True)
    }
    true = {("split", (old,), tuple(sorted(new))) for old, new in truth.split.items()}
    true |= {("merged", tuple(sorted(old)), (new,)) for new, old in truth.merged.items()}
    true |= {("renumbered", (old,), (new,)) for old, new in truth.renumbered.items()}
    return {
        "lineage_true": len(true),
        "lineage_exact": len(reported & true) / len(true),
        "lineage_false": len(reported - true),
    }


def _layers(county: County, known: dict[str, str]) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, dict[str, str]]:
    """Parcels and map in the equal-area frame, with canonical codes; and the canonical codes."""
    lots, map_ = (_metric(side) for side in county.frames())
    spelled = zoning_codes.spell({*map_["code"], *known}, CodeRules(), known)
    map_ = map_.assign(code_local=map_["code"], code=map_["code"].map(spelled), facet="base", effective=None)
    return _hashed(lots.assign(zoning_code=None), "key"), _hashed(map_, "code_local"), spelled


def _metric(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    shapes = shapely.make_valid(crs.reproject(rows.geometry.to_numpy(), "EPSG:2249", _FRAME))
    return gpd.GeoDataFrame(rows.drop(columns="geometry"), geometry=shapes, crs=_FRAME).reset_index(drop=True)


def _hashed(rows: gpd.GeoDataFrame, column: str) -> gpd.GeoDataFrame:
    return rows.assign(content_hash=content_hashes([rows[column].tolist()], rows.geometry.to_numpy()))


def _differing(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """The rows that are not the same in both."""
    both = pd.Index(before["content_hash"]).intersection(after["content_hash"])
    one, two = (side[~side["content_hash"].isin(both)] for side in (before, after))
    return one, two
