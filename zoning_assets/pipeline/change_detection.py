"""What needs the whole of a jurisdiction, in order: codes, shares, and what a release really changed.

    parcels + districts -> parcel_zoning -> changes

What belongs here: which states are read, which rules judge them, what is written. What does not: the rules (transform/)
and the SQL (storage/).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import shapely

from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.pipeline.zone_parcels import Overlaid, facets_of, overlaid, spellings
from zoning_assets.storage.postgis import parcel_zoning as store
from zoning_assets.storage.postgis.records import change_records as feed
from zoning_assets.storage.postgis.records.snapshots import Snapshots, Span
from zoning_assets.transform.changes import change_event, zoning_codes
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.changes.zoning_changes import detect_zoning_changes
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.metric_frame import in_metric_frame

#: Goes up when the rules of shares.py, rezoning.py, drift.py or parcel_lineage.py change.
RULES_VERSION = 3


@dataclass(frozen=True)
class Told:
    """What `changes` found. `alarms`: why a release was not believed."""

    new: int
    counts: dict[str, int]
    drift_m: float
    tolerance_m: float
    moved: float
    alarms: tuple[str, ...]
    changes: pd.DataFrame


def rules_of(jurisdiction: Jurisdiction) -> str:
    """The hash of everything but the data that decides shares and changes."""
    said = [RULES_VERSION, zoning_codes.version(jurisdiction.codes), jurisdiction.bounds]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def overlay(url: str, jurisdiction: Jurisdiction) -> Overlaid:
    """Bring `parcel_zoning` up to date: only rows that differ are written.

    Raises:
        DatabaseUnavailable, StoreError: nothing was written.
    """
    with store.opened(url, jurisdiction.id, rules_of(jurisdiction)) as desk:
        return overlaid(desk, jurisdiction)


def tell(url: str, jurisdiction: Jurisdiction) -> Told | None:
    """Judge what was published since the last release; None where nothing was.

    A map is believed as a whole or not at all: one with alarms is noted, and the next is compared with the map before
    it; unless a person says that it is right.

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
            return Told(0, {}, 0.0, 0.0, 0.0, tuple(known.alarms), change_event.no_changes())
        spelled = spellings(states.codes(), jurisdiction)
        parcels = _judge_parcels(states, span, spelled, jurisdiction)
        is_right = bool(known and known.accepted_by) or states.is_accepted(span.zoning_to)
        map_ = _judge_zoning(states, span, spelled, jurisdiction, is_right=is_right)
        found = feed.with_history(states, change_event.concatenated(parcels.changes, map_.changes))
        alarms = map_.alarms
        end = replace(span, zoning_to=span.zoning_from) if alarms else span
        counts = Counter(f"{kind}/{state}" for kind, state in zip(found["kind"], found["state"], strict=True))
        moved, refused_ = map_.drift, span.zoning_to if alarms else None
        rules = rules_of(jurisdiction)
        release = feed.Release(end, rules, moved.drift_m, moved.moved, moved.tolerance_m, alarms, refused_, counts)
        new = feed.add(states, release, _in_target(found, jurisdiction), jurisdiction.srid)
        return Told(new, counts, release.drift_m, release.tolerance_m, release.moved, alarms, found)


@dataclass(frozen=True)
class Preview:
    """What other rules would make of all that is published: codes and types (code, before, after), and changes of
    zoning (release, parcels, old, new) that would come and go."""

    codes: list[tuple[str, str | None, str]]
    types: list[tuple[str, str | None, str | None]]
    come: list[tuple[Any, ...]]
    gone: list[tuple[Any, ...]]


def preview(url: str, jurisdiction: Jurisdiction) -> Preview:
    """Judge every release again by the rules as the jurisdiction's file has them now; nothing is written.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    with feed.opened(url, jurisdiction.id) as states:
        settled, types = states.codes(), states.types()
        spelled = spellings(settled, jurisdiction)
        come, gone = [], []
        for release, span in states.releases():
            found = _judge_zoning(states, span, spelled, jurisdiction).changes
            told = {_told(release, row) for row in found.itertuples()}
            known = {(release, *rest) for rest in states.zoning_changes(release)}
            come += sorted(told - known, key=str)
            gone += sorted(known - told, key=str)
    kinds = {code: zoning_codes.zone_type(code, jurisdiction.codes) for code in set(spelled.values())}
    return Preview(
        [(local, settled[local], code) for local, code in sorted(spelled.items()) if settled[local] != code],
        [(code, types.get(code), kind) for code, kind in sorted(kinds.items()) if types.get(code) != kind],
        come,
        gone,
    )


def _told(release: int, change: Any) -> tuple[Any, ...]:
    return release, change.state, change.facet, tuple(change.parcel_ids), change.old, change.new


def _judge_parcels(
    states: Snapshots, span: Span, spelled: Mapping[str, str], jurisdiction: Jurisdiction
) -> change_event.DetectedChanges:
    if not span.parcels_from or span.parcels_from == span.parcels_to:
        return change_event.DetectedChanges(change_event.no_changes())
    sides = states.parcels_that_differ(span.parcels_from, span.parcels_to)
    before, after = (in_metric_frame(_said(side, spelled), jurisdiction) for side in sides)
    same = states.unchanged_count(span.parcels_from, span.parcels_to)
    return detect_parcel_changes(before, after, has_own_codes=ZONING not in jurisdiction.feeds, same=same)


def _judge_zoning(
    states: Snapshots, span: Span, spelled: Mapping[str, str], jurisdiction: Jurisdiction, *, is_right: bool = False
) -> change_event.DetectedChanges:
    if not span.zoning_from or span.zoning_from == span.zoning_to:
        return change_event.DetectedChanges(change_event.no_changes())
    maps = [states.districts(batch) for batch in (span.zoning_from, span.zoning_to)]
    parcels = _said(states.parcels(span.parcels_to, _ground(*maps)), spelled)
    coded = [side.assign(code=side["code_local"].map(spelled)) for side in maps]
    before, after = (facets_of(in_metric_frame(side, jurisdiction), jurisdiction) for side in coded)
    return detect_zoning_changes(in_metric_frame(parcels, jurisdiction), before, after, is_confirmed=is_right)


def _said(parcels: pd.DataFrame, spelled: Mapping[str, str]) -> pd.DataFrame:
    """With `zoning_code`, what the parcel layer says in canonical spelling."""
    said = [spelled.get(local) for local in parcels["zoning_code_local"]]
    return parcels.assign(zoning_code=pd.Series(said, dtype=object))


def _ground(before: pd.DataFrame, after: pd.DataFrame) -> list[bytes] | None:
    """The districts that are not the same in both maps, as WKB; None where they are most."""
    sides = [set(zip(side["code_local"], shapely.to_wkb(side["geometry"]), strict=True)) for side in (before, after)]
    differing = sorted({wkb for _, wkb in sides[0] ^ sides[1]})
    return differing if len(differing) < (len(before) + len(after)) / 4 else None


def _in_target(found: pd.DataFrame, jurisdiction: Jurisdiction) -> pd.DataFrame:
    """Changes with their ground in the target CRS."""
    shapes = found["geometry"].to_numpy()
    moved = crs.reproject(shapes, crs.metric_frame(jurisdiction.bounds), jurisdiction.target_crs)
    return found.assign(geometry=pd.Series(moved, index=found.index, dtype=object))
