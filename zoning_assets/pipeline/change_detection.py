"""The stages of a complete jurisdiction: canonical codes, zoning shares, and the changes of a release.

    parcels + districts -> parcel_zoning -> changes

What belongs here: which states are read and compared, and what is written. What does not: the rules (transform/) and
the SQL (storage/).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import shapely

from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.pipeline.zone_parcels import OverlayResult, facets_of, spellings, update_shares
from zoning_assets.storage.postgis import parcel_zoning as store
from zoning_assets.storage.postgis.records import change_records as feed
from zoning_assets.storage.postgis.records.snapshots import Snapshots, Span
from zoning_assets.transform.changes import change_event, zoning_codes
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.changes.zoning_changes import detect_zoning_changes
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.metric_frame import in_metric_frame

#: Must be increased when the rules of overlay.py, rezoning.py, boundary_drift.py or parcel_lineage.py change.
RULES_VERSION = 3


@dataclass(frozen=True)
class ReleaseChanges:
    """The changes of a release.

    Attributes:
        new: how many changes were not stored before.
        counts: changes by "kind/state".
        drift_m: metres by which the zoning map was redrawn; see boundary_drift.py.
        tolerance_m: metres; changed ground must be wider.
        moved: share of the boundaries that moved.
        alarms: why the zoning map was not accepted; empty: it was.
        changes: the changes; see change_event.py. `geometry` is in the metric frame of the jurisdiction.
    """

    new: int
    counts: dict[str, int]
    drift_m: float
    tolerance_m: float
    moved: float
    alarms: tuple[str, ...]
    changes: pd.DataFrame


def rules_hash(jurisdiction: Jurisdiction) -> str:
    """The hash of the rules that decide zoning shares and changes."""
    rules = [RULES_VERSION, zoning_codes.version(jurisdiction.codes), jurisdiction.bounds]
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]


def update_parcel_zoning(url: str, jurisdiction: Jurisdiction) -> OverlayResult:
    """Update the table `parcel_zoning`. Only rows that differ are written.

    Raises:
        DatabaseUnavailable, StoreError: nothing was written.
    """
    with store.opened(url, jurisdiction.id, rules_hash(jurisdiction)) as stored:
        return update_shares(stored, jurisdiction)


def detect_changes(url: str, jurisdiction: Jurisdiction) -> ReleaseChanges | None:
    """Detect and store the changes of what was published since the last release; None if nothing was.

    A zoning map is accepted or refused as a whole. A map with alarms is refused: the refusal is stored, and the next
    map is compared with the map before the refused one. A person can accept a refused map.

    Raises:
        DatabaseUnavailable, StoreError: nothing was written.
    """
    with feed.opened(url, jurisdiction.id) as states:
        span = states.span()
        if span.is_empty:
            return None
        refused = states.refused()
        known = refused if refused and refused.batch == span.zoning_to else None
        if known and known.parcels_to == span.parcels_to and not known.accepted_by:
            return ReleaseChanges(0, {}, 0.0, 0.0, 0.0, tuple(known.alarms), change_event.no_changes())
        spelled = spellings(states.codes(), jurisdiction)
        parcels = _parcel_changes(states, span, spelled, jurisdiction)
        is_confirmed = bool(known and known.accepted_by) or states.is_accepted(span.zoning_to)
        map_ = _zoning_changes(states, span, spelled, jurisdiction, is_confirmed=is_confirmed)
        found = feed.with_history(states, change_event.concatenated(parcels.changes, map_.changes))
        alarms = map_.alarms
        end = replace(span, zoning_to=span.zoning_from) if alarms else span
        counts = Counter(f"{kind}/{state}" for kind, state in zip(found["kind"], found["state"], strict=True))
        drift, refused_batch = map_.drift, span.zoning_to if alarms else None
        rules = rules_hash(jurisdiction)
        release = feed.Release(end, rules, drift.drift_m, drift.moved, drift.tolerance_m, alarms, refused_batch, counts)
        new = feed.add(states, release, _in_target(found, jurisdiction), jurisdiction.srid)
        return ReleaseChanges(new, counts, release.drift_m, release.tolerance_m, release.moved, alarms, found)


@dataclass(frozen=True)
class RulesPreview:
    """The effect of edited code rules on everything that is published.

    Attributes:
        codes: canonical codes that would change: (local code, before, after).
        types: zone types that would change: (code, before, after).
        come: zoning changes that would be added: (release, state, facet, parcel ids, old code, new code).
        gone: zoning changes that would be removed; the same columns.
    """

    codes: list[tuple[str, str | None, str]]
    types: list[tuple[str, str | None, str | None]]
    come: list[tuple[Any, ...]]
    gone: list[tuple[Any, ...]]


def preview_rules(url: str, jurisdiction: Jurisdiction) -> RulesPreview:
    """Detect the zoning changes of every release again with the code rules of the jurisdiction file; nothing is
    written.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    with feed.opened(url, jurisdiction.id) as states:
        settled, types = states.codes(), states.types()
        spelled = spellings(settled, jurisdiction)
        come, gone = [], []
        for release, span in states.releases():
            found = _zoning_changes(states, span, spelled, jurisdiction).changes
            detected = {_comparable(release, row) for row in found.itertuples()}
            known = {(release, *rest) for rest in states.zoning_changes(release)}
            come += sorted(detected - known, key=str)
            gone += sorted(known - detected, key=str)
    kinds = {code: zoning_codes.zone_type(code, jurisdiction.codes) for code in set(spelled.values())}
    return RulesPreview(
        [(local, settled[local], code) for local, code in sorted(spelled.items()) if settled[local] != code],
        [(code, types.get(code), kind) for code, kind in sorted(kinds.items()) if types.get(code) != kind],
        come,
        gone,
    )


def _comparable(release: int, change: Any) -> tuple[Any, ...]:
    return release, change.state, change.facet, tuple(change.parcel_ids), change.old, change.new


def _parcel_changes(
    states: Snapshots, span: Span, spelled: Mapping[str, str], jurisdiction: Jurisdiction
) -> change_event.DetectedChanges:
    if not span.parcels_from or span.parcels_from == span.parcels_to:
        return change_event.DetectedChanges(change_event.no_changes())
    sides = states.parcels_that_differ(span.parcels_from, span.parcels_to)
    same = states.unchanged_count(span.parcels_from, span.parcels_to)
    if sides[0].empty and not same:  # a rollback ended before the first harvest: no parcel is an addition
        return change_event.DetectedChanges(change_event.no_changes())
    before, after = (in_metric_frame(_with_canonical_codes(side, spelled), jurisdiction) for side in sides)
    return detect_parcel_changes(before, after, has_own_codes=ZONING not in jurisdiction.feeds, same=same)


def _zoning_changes(
    states: Snapshots, span: Span, spelled: Mapping[str, str], jurisdiction: Jurisdiction, *, is_confirmed: bool = False
) -> change_event.DetectedChanges:
    if not span.zoning_from or span.zoning_from == span.zoning_to:
        return change_event.DetectedChanges(change_event.no_changes())
    maps = [states.districts(batch) for batch in (span.zoning_from, span.zoning_to)]
    parcels = _with_canonical_codes(states.parcels(span.parcels_to, _changed_districts(*maps)), spelled)
    coded = [side.assign(code=side["code_local"].map(spelled)) for side in _with_same_layers(maps)]
    before, after = (facets_of(in_metric_frame(side, jurisdiction), jurisdiction) for side in coded)
    return detect_zoning_changes(in_metric_frame(parcels, jurisdiction), before, after, is_confirmed=is_confirmed)


def _with_same_layers(maps: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Both maps without overlay layers that only one of them has: the first map of a layer, and a layer that is no
    longer harvested, are no changes of zoning."""
    layers = [side["code_local"].map(lambda code: zoning_codes.layer_of(code or "") or "") for side in maps]
    both = {*layers[0]} & {*layers[1]} | {""}
    return [side[mine.isin(both)] for side, mine in zip(maps, layers, strict=True)]


def _with_canonical_codes(parcels: pd.DataFrame, spelled: Mapping[str, str]) -> pd.DataFrame:
    """Add `zoning_code`: the canonical code for the code of the parcel layer."""
    codes = [spelled.get(local) for local in parcels["zoning_code_local"]]
    return parcels.assign(zoning_code=pd.Series(codes, dtype=object))


def _changed_districts(before: pd.DataFrame, after: pd.DataFrame) -> list[bytes] | None:
    """The shapes (WKB, target CRS) of districts that are not the same in both maps; None if most of them differ."""
    sides = [set(zip(side["code_local"], shapely.to_wkb(side["geometry"]), strict=True)) for side in (before, after)]
    differing = sorted({wkb for _, wkb in sides[0] ^ sides[1]})
    return differing if len(differing) < (len(before) + len(after)) / 4 else None


def _in_target(found: pd.DataFrame, jurisdiction: Jurisdiction) -> pd.DataFrame:
    """Reproject `geometry` from the metric frame to the target CRS."""
    shapes = found["geometry"].to_numpy()
    reprojected = crs.reproject(shapes, crs.metric_frame(jurisdiction.bounds), jurisdiction.target_crs)
    return found.assign(geometry=pd.Series(reprojected, index=found.index, dtype=object))
