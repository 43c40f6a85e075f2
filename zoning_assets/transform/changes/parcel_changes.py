"""Changes between two releases of the parcels: lineage by area, and the codes of the parcel layer if there is no zoning
map.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import geopandas as gpd
import pandas as pd

from zoning_assets.transform.changes import parcel_lineage
from zoning_assets.transform.changes.boundary_drift import Drift, drift
from zoning_assets.transform.changes.change_event import DetectedChanges, change, records, table_of
from zoning_assets.transform.changes.rezoning import REZONED
from zoning_assets.transform.geometry.polygon_overlay import union


def detect_parcel_changes(
    before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, *, has_own_codes: bool, same: int = 0
) -> DetectedChanges:
    """Compare two releases of the parcels.

    Args:
        before: parcels that differ: `key`, `zoning_code`, `content_hash`, `geometry` (equal-area frame, metres).
        after: the same of the new release.
        has_own_codes: the parcel layer is the only source of the parcels' zoning.
        same: the number of parcels that are equal in both releases.
    """
    unchanged = same / max(same + len(before), 1)
    moved = drift(before.geometry.to_numpy(), after.geometry.to_numpy(), unchanged=unchanged)
    hashes = [dict(zip(side["key"], side["content_hash"], strict=True)) for side in (before, after)]
    shapes = [dict(zip(side["key"], side.geometry, strict=True)) for side in (before, after)]
    traced = parcel_lineage.trace(before, after, moved.tolerance_m)
    rows = [_traced(event, hashes, shapes, moved) for event in records(traced)]
    rows += list(_recoded_parcels(before, after)) if has_own_codes else []
    return DetectedChanges(table_of(rows), moved)


def _traced(
    event: Mapping[str, Any], hashes: Sequence[Mapping[str, str]], shapes: Sequence[Mapping[str, Any]], moved: Drift
) -> dict[str, Any]:
    """A lineage event as a change. `hashes` and `shapes`: of the rows before and after, by key."""
    parents, children = (list(event[name]) for name in ("parents", "children"))
    states = [sorted(hashes[i][key] for key in keys) for i, keys in enumerate((parents, children))]
    evidence = {name: event[name] for name in ("score", "overlap_m2", "before_m2", "after_m2", "passed_m2")}
    more = {"parents": parents, "children": children, "reused": list(event["reused"]), "rows": states}
    affected = [shapes[1][key] for key in children] or [shapes[0][key] for key in parents]
    return change(
        event["kind"],
        facet="parcel",
        parcel_ids=sorted({*parents, *children}),
        old=", ".join(parents) or None,
        new=", ".join(children) or None,
        area_m2=round(float(event["after_m2"] or event["before_m2"]), 2),
        confidence=round(float(event["score"]), 3),
        evidence={**evidence, **more, "drift_m": moved.drift_m, "tolerance_m": moved.tolerance_m},
        geometry=union(affected),
        of=states,
    )


def _recoded_parcels(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> Iterable[dict[str, Any]]:
    """Parcels whose own layer has another code, in a jurisdiction without a zoning map."""
    both = before.merge(pd.DataFrame(after), on="key", suffixes=("_was", "_now"))
    both = both[both["zoning_code_was"].notna() & both["zoning_code_now"].notna()]
    for row in both[both["zoning_code_was"] != both["zoning_code_now"]].pipe(records):
        states = [row["content_hash_was"], row["content_hash_now"]]
        yield change(
            REZONED,
            parcel_ids=[row["key"]],
            old=row["zoning_code_was"],
            new=row["zoning_code_now"],
            share=1.0,
            confidence=0.7,  # a single source, and no area to measure
            evidence={"rows": states, "source": "the parcel layer"},
            geometry=row["geometry_now"],
            of=states,
        )
