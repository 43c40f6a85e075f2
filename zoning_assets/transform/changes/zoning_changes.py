"""What a release of a zoning map changed: typed events, what only looks like one, and why.

Geometries are in one equal-area frame, metres. Codes are canonical: a respelling is no change of ground. What is an
event and what is not: North Carolina's definition of a map amendment (docs/explanation/change-detection.md).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from zoning_assets.transform.changes import rezoning
from zoning_assets.transform.changes.boundary_drift import Drift, drift
from zoning_assets.transform.changes.change_event import REVIEW, Judged, change, records, table_of, text_of
from zoning_assets.transform.changes.overlay import BASE, latest
from zoning_assets.transform.changes.release_alarms import MOST_GONE, alarms
from zoning_assets.transform.geometry.content_hash import set_hash
from zoning_assets.transform.geometry.polygon_overlay import intersection, polygonal, union, union_by

REZONED, PARTLY, RECODED, REDRAWN = rezoning.REZONED, rezoning.PARTLY, "recoded", "redrawn"
ZONED, UNZONED = "zoned", "unzoned"

#: A code is renamed where all its ground, of several places, has one new code that the map never had (share, places).
_SAME_GROUND, _SEVERAL = 0.95, 3


def judge_zoning(
    parcels: gpd.GeoDataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, *, is_right: bool = False
) -> Judged:
    """Compare two releases of a map.

    Args:
        parcels: as they are now: `key`, `zoning_code` (canonical, what the parcel layer says; or None).
        before: `facet`, `code`, `code_local`, `effective`, `content_hash`.
        after: the same.
        is_right: a person said so, whatever speaks against it.

    Returns:
        Changes with COLUMNS. First publications give none.
    """
    if before.empty:
        return Judged(table_of([]))
    parcels, before, after = (polygonal(side) for side in (parcels, before, after))
    moved = drift(_ground(before), _ground(after))
    if moved.gone > MOST_GONE:  # a map that was joined by code has lost boundaries that meant nothing
        moved = drift(_joined(before), _joined(after))
    found_alarms = () if is_right else alarms(before, after, moved)
    if found_alarms:
        return Judged(table_of([]), moved, found_alarms)
    renamed = _renamed(before, after)
    states = tuple(set_hash(side["content_hash"]) for side in (before, after))
    evidence = {"maps": states, "drift_m": moved.drift_m, "tolerance_m": moved.tolerance_m}
    known = before.assign(code=[renamed.get(code, code) for code in before["code"]])
    found = rezoning.rezonings(parcels, known, after, moved.tolerance_m)
    said = dict(zip(parcels["key"], parcels["zoning_code"], strict=True))
    rows = [
        *_recoded(before, after, renamed, evidence),
        *_redrawn(moved, evidence),
        *_rezoned(found, said, moved, evidence),
        *_coverage(found, evidence),
        *_thin(found, evidence),
    ]
    return Judged(table_of(rows), moved)


def _ground(side: gpd.GeoDataFrame) -> Any:
    return side.geometry[(side["facet"] == BASE)].to_numpy()


def _joined(side: gpd.GeoDataFrame) -> Any:
    """The ground of each base code as one shape."""
    named = side[(side["facet"] == BASE) & side["code"].notna()]
    return union_by(named, ["code"])["geometry"].to_numpy()


def _renamed(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> dict[str, str]:
    """Codes all of whose places have one new code that the map never had: another name for the same district."""
    gone, come = (_only_in(a, b) for a, b in ((before, after), (after, before)))
    gone = gone[shapely.get_num_geometries(gone["geometry"].to_numpy()) >= _SEVERAL]
    was, now = gone["geometry"].to_numpy(), come["geometry"].to_numpy()
    i, j = shapely.STRtree(now).query(was, predicate="intersects")
    areas = shapely.area(was)[i], shapely.area(now)[j]
    alike = np.minimum(*areas) >= _SAME_GROUND * np.maximum(*areas)  # else they cannot share as much
    i, j, larger = i[alike], j[alike], np.maximum(*areas)[alike]
    same = shapely.area(intersection(was[i], now[j])) >= _SAME_GROUND * larger
    return dict(zip(gone["code"].to_numpy()[i[same]], come["code"].to_numpy()[j[same]], strict=True))


def _only_in(side: gpd.GeoDataFrame, other: gpd.GeoDataFrame) -> pd.DataFrame:
    """The ground of each code that the other map has not."""
    return union_by(side[side["code"].notna() & ~side["code"].isin(set(other["code"].dropna()))], ["code"])


def _recoded(
    before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, renamed: Mapping[str, str], evidence: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    """Codes that are spelled in another way, one change each; ground and uses are the same."""
    was, now = _spelled(before, renamed), _spelled(after, {})
    for code in sorted(set(was) & set(now)):
        if set(now[code]) - set(was[code]):
            how = {"spelled_before": was[code], "spelled_now": now[code], **evidence}
            old, new = " | ".join(was[code]), " | ".join(now[code])
            yield change(RECODED, old=old, new=new, confidence=1.0, evidence=how, of=[code])


def _spelled(side: gpd.GeoDataFrame, renamed: Mapping[str, str]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """The spellings of each whole code: all that it says, facet by facet."""
    named, says = side[side["code"].notna()], dict[str, set[tuple[str, str]]]()
    for local, facet, code in zip(named["code_local"], named["facet"], named["code"], strict=True):
        says.setdefault(local, set()).add((facet, renamed.get(code, code)))
    spelled = dict[tuple[tuple[str, str], ...], list[str]]()
    for local in sorted(says):
        spelled.setdefault(tuple(sorted(says[local])), []).append(local)
    return spelled


def _redrawn(moved: Drift, evidence: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """A map that was drawn anew is one event, not one for each boundary."""
    if moved.is_redrawn:
        yield change(REDRAWN, confidence=1.0, evidence={"moved_share": moved.moved, **evidence}, of=evidence["maps"])


def _rezoned(
    found: pd.DataFrame, said: Mapping[str, str | None], moved: Drift, evidence: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    """One change for each parcel whose ground has another code, wider than the tolerance; of the other facets, whose
    codes lie upon one another, one for each old and new code."""
    within = found["old"].notna() & found["new"].notna() | (found["facet"] != BASE)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in records(found[found["confirmed"] & within]):  # plain rows: a DataFrame a parcel takes 4 ms
        codes = () if row["facet"] == BASE else (text_of(row["old"]), text_of(row["new"]))
        groups.setdefault((row["parcel_id"], row["facet"], *codes), []).append(row)
    for (parcel, facet, *_), parts in groups.items():
        first = min(parts, key=lambda part: (-part["area_m2"], str(part["old"]), str(part["new"])))
        whole = facet == BASE and first["kind"] == REZONED
        old, new = (first["largest_" + side if whole else side] for side in ("old", "new"))
        share = round(min(sum(part["share"] for part in parts), 1.0), 6)
        width_m = max(part["width_m"] for part in parts)
        yield change(
            first["kind"] if facet == BASE else _facet_kind(first),
            facet=facet,
            parcel_ids=[parcel],
            old=text_of(old),
            new=text_of(new),
            area_m2=round(sum(part["area_m2"] for part in parts), 2),
            share=share,
            confidence=_confidence(width_m, share, moved.tolerance_m),
            effective=latest([part["effective"] for part in parts]),
            evidence={"parts": _strips(parts), "parcel_layer_says": said.get(parcel), **evidence},
            geometry=union([part["geometry"] for part in parts]),
            of=evidence["maps"],
        )


def _strips(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pieces of a change, as evidence: which parcel, from what to what, how much, how wide."""
    names = ("parcel_id", "area_m2", "share", "width_m")
    return [{"old": text_of(p["old"]), "new": text_of(p["new"]), **{name: p[name] for name in names}} for p in parts]


def _facet_kind(row: Mapping[str, Any]) -> str:
    """overlay_added, overlay_removed, overlay_changed; the same for conditions and planned developments."""
    deed = "added" if pd.isna(row["old"]) else "removed" if pd.isna(row["new"]) else "changed"
    return f"{row['facet']}_{deed}"


def _confidence(width_m: float, share: float, tolerance_m: float) -> float:
    """What the ground alone says: 0.6 where it is wider than the tolerance; 0.2 more as it grows to four tolerances,
    0.1 for a whole lot. The parcel layer and ordinances add theirs whenever they come (`changes` in changes.sql); 0.95
    at most without an ordinance. Ours; no source gives numbers."""
    wider = min(max(width_m / tolerance_m - 1, 0) / 3, 1)
    return round(0.6 + 0.2 * wider + 0.1 * (share >= 0.9), 3)


def _coverage(found: pd.DataFrame, evidence: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Ground that came to the map or left it, one change a code: wider coverage, or annexed land's first zoning."""
    base = found[(found["facet"] == BASE) & found["confirmed"]]
    for kind, side, other in ((ZONED, "new", "old"), (UNZONED, "old", "new")):
        for code, rows in base[base[other].isna()].groupby(side):
            yield change(
                kind,
                facet=BASE,
                parcel_ids=sorted(set(rows["parcel_id"])),
                old=text_of(code) if kind == UNZONED else None,
                new=text_of(code) if kind == ZONED else None,
                area_m2=round(float(rows["area_m2"].sum()), 2),
                confidence=0.5,
                evidence=dict(evidence),
                geometry=union(rows["geometry"].to_numpy()),
                of=evidence["maps"],
            )


def _thin(found: pd.DataFrame, evidence: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Strips thinner than the tolerance, for review: one row a pair of codes, so that a redrawn map is no flood."""
    thin = found[~found["confirmed"]]
    for (facet, old, new), rows in thin.groupby(["facet", "old", "new"], dropna=False):
        yield change(
            REZONED if (rows["kind"] == REZONED).any() else PARTLY,
            state=REVIEW,
            facet=str(facet),
            parcel_ids=sorted(set(rows["parcel_id"])),
            old=text_of(old),
            new=text_of(new),
            area_m2=round(float(rows["area_m2"].sum()), 2),
            share=float(rows["share"].max()),
            confidence=0.2,
            evidence={"parts": _strips(records(rows)), **evidence},
            geometry=union(rows["geometry"].to_numpy()),
            of=evidence["maps"],
        )
