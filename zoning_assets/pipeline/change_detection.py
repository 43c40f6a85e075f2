"""What needs the whole of a jurisdiction, in order: codes, shares, and what a release really changed.

    parcels + districts -> parcel_zoning -> changes

What belongs here: which states are read, which rules judge them, what is written. What does not: the rules (transform/)
and the SQL (storage/).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.model import ZONING, Jurisdiction
from zoning_assets.storage.postgis import parcel_zoning as store
from zoning_assets.storage.postgis.records import change_records as feed
from zoning_assets.storage.postgis.records.snapshots import Span, States
from zoning_assets.transform.changes import change_event, zoning_codes
from zoning_assets.transform.changes.overlay import BASE, COLUMNS, best_lots, leading_lots, shares
from zoning_assets.transform.changes.parcel_changes import detect_parcel_changes
from zoning_assets.transform.changes.zoning_changes import detect_zoning_changes
from zoning_assets.transform.geometry import crs
from zoning_assets.transform.geometry.polygon_overlay import polygons

#: Where more came, went or changed, all is judged anew.
_MOST_GROUND = 20_000
#: Goes up when the rules of shares.py, rezoning.py, drift.py or parcel_lineage.py change.
RULES_VERSION = 3

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Overlaid:
    """What `parcel_zoning` did. `judged` 0: nothing they are made of had changed, or there is no map."""

    districts: int
    judged: int
    changed: int
    spelled: int
    untyped: Sequence[str]  # codes without a type
    collisions: Sequence[Sequence[str]]  # spellings that look alike and are several codes
    split: store.Split


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


def overlaid(desk: store.Shares, jurisdiction: Jurisdiction) -> Overlaid:
    """The same in a transaction that holds the jurisdiction's locks."""
    if desk.is_current:
        return Overlaid(0, 0, 0, 0, (), (), desk.split())
    seen = desk.codes()
    spelled, untyped = _spell(desk, seen, jurisdiction)
    alike = zoning_codes.collisions(seen, jurisdiction.codes, _settled(seen))
    map_ = desk.districts()
    districts = _metric(map_, jurisdiction)
    chosen, best = _choose(desk, map_, districts, jurisdiction)
    facets, no_map = facets_of(districts, jurisdiction), districts.empty
    judge = partial(_judged, jurisdiction=jurisdiction, facets=facets, best=best)
    changed = desk.publish(() if no_map else ahead(judge, desk.chosen()), no_map=no_map)
    desk.put_best_lots(best)
    return Overlaid(len(districts), chosen, changed, spelled, untyped, alike, desk.split())


def _judged(
    parcels: pd.DataFrame, jurisdiction: Jurisdiction, facets: gpd.GeoDataFrame, best: Mapping[str, str]
) -> tuple[list[str], pd.DataFrame]:
    return parcels["key"].tolist(), shares(_metric(parcels, jurisdiction), facets, best)[list(COLUMNS)]


def _choose(
    desk: store.Shares, map_: pd.DataFrame, districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> tuple[int, dict[str, str]]:
    """Choose the parcels whose shares may have changed; how many, and the one that holds most of each district.

    A parcel that comes or goes may take that place in its districts from another: those change, too. `map_`: the
    districts in the target CRS. Without districts no shape is looked at.
    """
    if districts.empty:
        return 0, {}
    ground = desk.changed_ground(_MOST_GROUND)
    if ground is None:
        return desk.choose_all(), _best_of(desk.chosen(), districts, jurisdiction)
    chosen = desk.choose_on(shapely.to_wkb(ground["geometry"]), jurisdiction.srid)
    at = _touching(chain([ground], desk.chosen()), districts, jurisdiction)
    near = map_["district_id"].iloc[at].tolist()
    others = set(map_["district_id"]).difference(near)
    known, now = desk.best_lots(), _best_of(desk.parcels_in(near), districts.iloc[at], jurisdiction)
    moved = {side[each] for each in near for side in (known, now) if each in side and known.get(each) != now.get(each)}
    chosen += desk.choose_keys(sorted(moved))
    return chosen, {each: lot for each, lot in known.items() if each in others} | now


def _best_of(
    parcels: Iterable[pd.DataFrame], districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> dict[str, str]:
    """The parcel that holds most of each district."""
    leading = None
    for some in ahead(partial(_metric, jurisdiction=jurisdiction), parcels):
        leading = leading_lots(some, districts, leading)
    return {} if leading is None else best_lots(leading)


def ahead(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """What `work` makes of each item; of the next one it is made in a thread while one is used. The items are taken in
    the caller's thread, as they may come from a connection that the caller uses."""
    before: Future[T] | None = None
    with ThreadPoolExecutor(1) as worker:
        for item in items:
            coming = worker.submit(work, item)
            if before is not None:
                yield before.result()
            before = coming
        if before is not None:
            yield before.result()


def _touching(
    ground: Iterable[pd.DataFrame], districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> npt.NDArray[np.int64]:
    """The rows of the districts that some ground touches."""
    tree, touched = shapely.STRtree(districts.geometry.to_numpy()), np.zeros(len(districts), dtype=bool)
    for some in ground:
        touched[tree.query(_metric(some, jurisdiction).geometry.to_numpy(), "intersects")[1]] = True
    return np.flatnonzero(touched)


def _spell(desk: store.Shares, seen: Mapping[str, str | None], jurisdiction: Jurisdiction) -> tuple[int, list[str]]:
    """Canonical codes and types into the tables; how many rows that changed, and which codes have no type."""
    spelled = spellings(seen, jurisdiction)
    types = {code: zoning_codes.zone_type(code, jurisdiction.codes) for code in set(spelled.values())}
    rows = [{"local": local, "code": code, "zone_type": types[code]} for local, code in sorted(spelled.items())]
    return desk.spell(rows), sorted(code for code, each in types.items() if each is None)


def spellings(seen: Mapping[str, str | None], jurisdiction: Jurisdiction) -> Mapping[str, str]:
    """Local to canonical code for all that were ever seen; what is settled stays."""
    return zoning_codes.spell(seen, jurisdiction.codes, _settled(seen))


def _settled(seen: Mapping[str, str | None]) -> dict[str, str]:
    return {local: code for local, code in seen.items() if code}


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
    states: States, span: Span, spelled: Mapping[str, str], jurisdiction: Jurisdiction
) -> change_event.DetectedChanges:
    if not span.parcels_from or span.parcels_from == span.parcels_to:
        return change_event.DetectedChanges(change_event.no_changes())
    sides = states.parcels_that_differ(span.parcels_from, span.parcels_to)
    before, after = (_metric(_said(side, spelled), jurisdiction) for side in sides)
    same = states.parcels_that_stay(span.parcels_from, span.parcels_to)
    return detect_parcel_changes(before, after, has_own_codes=ZONING not in jurisdiction.feeds, same=same)


def _judge_zoning(
    states: States, span: Span, spelled: Mapping[str, str], jurisdiction: Jurisdiction, *, is_right: bool = False
) -> change_event.DetectedChanges:
    if not span.zoning_from or span.zoning_from == span.zoning_to:
        return change_event.DetectedChanges(change_event.no_changes())
    maps = [states.districts(batch) for batch in (span.zoning_from, span.zoning_to)]
    parcels = _said(states.parcels(span.parcels_to, _ground(*maps)), spelled)
    coded = [side.assign(code=side["code_local"].map(spelled)) for side in maps]
    before, after = (facets_of(_metric(side, jurisdiction), jurisdiction) for side in coded)
    return detect_zoning_changes(_metric(parcels, jurisdiction), before, after, is_confirmed=is_right)


def _said(parcels: pd.DataFrame, spelled: Mapping[str, str]) -> pd.DataFrame:
    """With `zoning_code`, what the parcel layer says in canonical spelling."""
    said = [spelled.get(local) for local in parcels["zoning_code_local"]]
    return parcels.assign(zoning_code=pd.Series(said, dtype=object))


def _ground(before: pd.DataFrame, after: pd.DataFrame) -> list[bytes] | None:
    """The districts that are not the same in both maps, as WKB; None where they are most."""
    sides = [set(zip(side["code_local"], shapely.to_wkb(side["geometry"]), strict=True)) for side in (before, after)]
    differing = sorted({wkb for _, wkb in sides[0] ^ sides[1]})
    return differing if len(differing) < (len(before) + len(after)) / 4 else None


def facets_of(districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    """One row for each facet of each district's code: `facet`, `code`; a district without a code keeps its ground."""
    known = {
        code: [(each.facet, each.code) for each in zoning_codes.facets(code, jurisdiction.codes)]
        for code in districts["code"].dropna().unique()
    }
    facets = [known.get(code, [(BASE, None)]) for code in districts["code"]]
    rows = np.repeat(np.arange(len(facets)), [len(each) for each in facets])
    names, found = zip(*chain.from_iterable(facets), strict=True) if facets else ((), ())
    several = districts.iloc[rows].reset_index(drop=True)
    return several.assign(facet=pd.Series(names, dtype=object), code=pd.Series(found, dtype=object))


def _metric(rows: pd.DataFrame, jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    """Rows in the jurisdiction's equal-area frame; valid polygons, empty where a shape has no area there."""
    frame = crs.metric_frame(jurisdiction.bounds)
    stored = crs.densified(rows["geometry"].to_numpy(), jurisdiction.target_crs)
    shapes = polygons(crs.reproject(stored, jurisdiction.target_crs, frame))
    return gpd.GeoDataFrame(rows.drop(columns="geometry"), geometry=shapes, crs=frame)


def _in_target(found: pd.DataFrame, jurisdiction: Jurisdiction) -> pd.DataFrame:
    """Changes with their ground in the target CRS."""
    shapes = found["geometry"].to_numpy()
    moved = crs.reproject(shapes, crs.metric_frame(jurisdiction.bounds), jurisdiction.target_crs)
    return found.assign(geometry=pd.Series(moved, index=found.index, dtype=object))
