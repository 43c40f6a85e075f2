"""Changes between two releases of a zoning map: typed events, and differences that are no change of zoning, with
evidence.

Geometries are in one equal-area frame, metres. Codes are canonical, so that another spelling is no change of area. What
counts as an event follows North Carolina's definition of a zoning map amendment: a change of the district
that applies to given property, including the first zoning of annexed land, overlays and conditional districts;
excluding the first adoption of a map, its repeal and readoption, and renamed districts with the same boundaries and
uses.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from zoning_assets.transform.changes import rezoning
from zoning_assets.transform.changes.boundary_drift import Drift, drift
from zoning_assets.transform.changes.change_event import REVIEW, DetectedChanges, change, records, table_of, text_of
from zoning_assets.transform.changes.overlay import BASE, latest
from zoning_assets.transform.changes.release_alarms import MOST_LOST, alarms
from zoning_assets.transform.geometry.content_hash import set_hash
from zoning_assets.transform.geometry.polygon_overlay import intersection, polygonal, union, union_by

REZONED, PARTLY, RECODED, REDRAWN = rezoning.REZONED, rezoning.PARTLY, "recoded", "redrawn"
ZONED, UNZONED = "zoned", "unzoned"

#: A code was renamed if at least this share of its area, in at least so many places, has one new code that the map did
#: not have before.
_SAME_AREA, _SEVERAL = 0.95, 3


def detect_zoning_changes(
    parcels: gpd.GeoDataFrame, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, *, is_confirmed: bool = False
) -> DetectedChanges:
    """Compare two releases of a zoning map.

    Args:
        parcels: the current parcels: `key`, `zoning_code` (canonical, from the parcel layer; or None), `geometry`.
        before: the districts' facets of the former release: `facet`, `code`, `code_local`, `effective`, `content_hash`,
            `geometry`.
        after: the same of the new release.
        is_confirmed: a person confirmed the release; alarms are ignored.

    Returns:
        Changes with change_event.COLUMNS; none for the first release, or if there are alarms.
    """
    if before.empty:
        return DetectedChanges(table_of([]))
    parcels, before, after = (polygonal(side) for side in (parcels, before, after))
    moved = drift(_base_shapes(before), _base_shapes(after))
    if (
        moved.lost > MOST_LOST
    ):  # districts of one code may have been joined: compare without the boundaries between them
        moved = drift(_joined_by_code(before), _joined_by_code(after))
    found_alarms = () if is_confirmed else alarms(before, after, moved)
    if found_alarms:
        return DetectedChanges(table_of([]), moved, found_alarms)
    renamed = _renamed(before, after)
    states = tuple(set_hash(side["content_hash"]) for side in (before, after))
    evidence = {"maps": states, "drift_m": moved.drift_m, "tolerance_m": moved.tolerance_m}
    known = before.assign(code=[renamed.get(code, code) for code in before["code"]])
    found = rezoning.rezonings(parcels, known, after, moved.tolerance_m)
    parcel_codes = dict(zip(parcels["key"], parcels["zoning_code"], strict=True))
    rows = [
        *_recoded(before, after, renamed, evidence),
        *_redrawn(moved, evidence),
        *_rezoned(found, parcel_codes, moved, evidence),
        *_coverage(found, evidence),
        *_strips_for_review(found, evidence),
    ]
    return DetectedChanges(table_of(rows), moved)


def _base_shapes(side: gpd.GeoDataFrame) -> Any:
    """The shapes of the base districts."""
    return side.geometry[(side["facet"] == BASE)].to_numpy()


def _joined_by_code(side: gpd.GeoDataFrame) -> Any:
    """The area of each base code as one shape."""
    named = side[(side["facet"] == BASE) & side["code"].notna()]
    return union_by(named, ["code"])["geometry"].to_numpy()


def _renamed(before: gpd.GeoDataFrame, after: gpd.GeoDataFrame) -> dict[str, str]:
    """Old code -> new code, where all places of a code have one new code that the map did not have before."""
    removed, added = (_only_in(a, b) for a, b in ((before, after), (after, before)))
    removed = removed[shapely.get_num_geometries(removed["geometry"].to_numpy()) >= _SEVERAL]
    was, now = removed["geometry"].to_numpy(), added["geometry"].to_numpy()
    i, j = shapely.STRtree(now).query(was, predicate="intersects")
    areas = shapely.area(was)[i], shapely.area(now)[j]
    alike = np.minimum(*areas) >= _SAME_AREA * np.maximum(*areas)  # otherwise they cannot overlap enough
    i, j, larger = i[alike], j[alike], np.maximum(*areas)[alike]
    same = shapely.area(intersection(was[i], now[j])) >= _SAME_AREA * larger
    return dict(zip(removed["code"].to_numpy()[i[same]], added["code"].to_numpy()[j[same]], strict=True))


def _only_in(side: gpd.GeoDataFrame, other: gpd.GeoDataFrame) -> pd.DataFrame:
    """The area of each code that the other map does not have."""
    return union_by(side[side["code"].notna() & ~side["code"].isin(set(other["code"].dropna()))], ["code"])


def _recoded(
    before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, renamed: Mapping[str, str], evidence: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    """One change for each code that has another spelling; area and meaning are the same."""
    was, now = _spelled(before, renamed), _spelled(after, {})
    for code in sorted(set(was) & set(now)):
        if set(now[code]) - set(was[code]):
            how = {"spelled_before": was[code], "spelled_now": now[code], **evidence}
            old, new = " | ".join(was[code]), " | ".join(now[code])
            yield change(RECODED, old=old, new=new, confidence=1.0, evidence=how, of=[code])


def _spelled(side: gpd.GeoDataFrame, renamed: Mapping[str, str]) -> dict[tuple[tuple[str, str], ...], list[str]]:
    """The spellings of each code, by everything that it states: facet and code."""
    named, stated = side[side["code"].notna()], dict[str, set[tuple[str, str]]]()
    for local, facet, code in zip(named["code_local"], named["facet"], named["code"], strict=True):
        stated.setdefault(local, set()).add((facet, renamed.get(code, code)))
    spelled = dict[tuple[tuple[str, str], ...], list[str]]()
    for local in sorted(stated):
        spelled.setdefault(tuple(sorted(stated[local])), []).append(local)
    return spelled


def _redrawn(moved: Drift, evidence: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """A redrawn map is one event, not one for each boundary."""
    if moved.is_redrawn:
        yield change(REDRAWN, confidence=1.0, evidence={"moved_share": moved.moved, **evidence}, of=evidence["maps"])


def _rezoned(
    found: pd.DataFrame, parcel_codes: Mapping[str, str | None], moved: Drift, evidence: Mapping[str, Any]
) -> Iterable[dict[str, Any]]:
    """One change for each parcel of which an area wider than the tolerance has another base code. In the other facets
    codes may overlap: one change for each old and new code.
    """
    within = found["old"].notna() & found["new"].notna() | (found["facet"] != BASE)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in records(
        found[found["confirmed"] & within]
    ):  # rows as dictionaries: a DataFrame for each parcel takes 4 ms
        codes = () if row["facet"] == BASE else (text_of(row["old"]), text_of(row["new"]))
        groups.setdefault((row["parcel_id"], row["facet"], *codes), []).append(row)
    for (parcel, facet, *_), parts in groups.items():
        first = min(parts, key=lambda part: (-part["area_m2"], str(part["old"]), str(part["new"])))
        is_base = facet == BASE and first["kind"] == REZONED
        old, new = (first["largest_" + side if is_base else side] for side in ("old", "new"))
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
            evidence={"parts": _strips(parts), "parcel_layer_says": parcel_codes.get(parcel), **evidence},
            geometry=union([part["geometry"] for part in parts]),
            of=evidence["maps"],
        )


def _strips(parts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pieces of a change as evidence: parcel, old and new code, area in m2, share, width in metres."""
    names = ("parcel_id", "area_m2", "share", "width_m")
    return [{"old": text_of(p["old"]), "new": text_of(p["new"]), **{name: p[name] for name in names}} for p in parts]


def _facet_kind(row: Mapping[str, Any]) -> str:
    """overlay_added, overlay_removed or overlay_changed; likewise for conditions and planned developments."""
    change_type = "added" if pd.isna(row["old"]) else "removed" if pd.isna(row["new"]) else "changed"
    return f"{row['facet']}_{change_type}"


def _confidence(width_m: float, share: float, tolerance_m: float) -> float:
    """The confidence from the changed area alone: 0.6 if it is wider than the tolerance, 0.2 more up to four
    tolerances, 0.1 more for a whole lot.

    The parcel layer and ordinances raise it later (`changes` in changes.sql), to at most 0.95 without an ordinance.
    These weights are our own estimates; no source has numbers.
    """
    wider = min(max(width_m / tolerance_m - 1, 0) / 3, 1)
    return round(0.6 + 0.2 * wider + 0.1 * (share >= 0.9), 3)


def _coverage(found: pd.DataFrame, evidence: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Area that was added to the map or removed from it, one change a code: wider coverage, or the first zoning of
    annexed land.
    """
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


def _strips_for_review(found: pd.DataFrame, evidence: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Strips thinner than the tolerance, for review: one row for each pair of codes, so that a redrawn map does not
    give thousands.
    """
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
