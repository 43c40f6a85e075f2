"""Compute the share of each parcel in each zoning code: overlay the parcels that may have changed with the zoning map.

What belongs here: what is read, overlaid and written, in order. What does not: the rules (overlay.py), the tasks of the
worker processes (share_tasks.py) and the SQL (storage/).
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline.workers import share_tasks
from zoning_assets.pipeline.workers.share_tasks import ZoningMap
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.postgis import parcel_zoning as store
from zoning_assets.transform.changes import zoning_codes
from zoning_assets.transform.changes.overlay import BASE, best_lots, leading_lots, merge_leading_lots
from zoning_assets.transform.geometry.metric_frame import in_metric_frame

#: If more parcels and districts than this changed, all parcels are overlaid again.
_MAX_CHANGED_SHAPES = 20_000
#: Up to so many batches of parcels are overlaid without worker processes: starting them takes longer.
_FEW_BATCHES = 4

S = TypeVar("S")
T = TypeVar("T")
#: Calls a task with each item, and returns the results in order.
MapTasks = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class OverlayResult:
    """The result of `update_shares`.

    Attributes:
        districts: districts of the zoning map.
        overlaid: parcels that were overlaid; 0: no input changed, or there is no map.
        changed: rows of `parcel_zoning` that changed.
        respelled: rows whose canonical code or zone type changed.
        untyped: codes without a zone type.
        collisions: groups of codes with similar spellings.
        split: counts of zoned parcels.
    """

    districts: int
    overlaid: int
    changed: int
    respelled: int
    untyped: Sequence[str]
    collisions: Sequence[Sequence[str]]
    split: store.Split


def update_shares(stored: store.ParcelZoning, jurisdiction: Jurisdiction) -> OverlayResult:
    """Update canonical codes and the table `parcel_zoning`, in a transaction that holds the locks of the
    jurisdiction."""
    if stored.is_current:
        return OverlayResult(0, 0, 0, 0, (), (), stored.split())
    seen = stored.codes()
    spelled, untyped = _spell(stored, seen, jurisdiction)
    alike = zoning_codes.collisions(seen, jurisdiction.codes, _canonical_codes(seen))
    map_ = stored.districts()
    districts = in_metric_frame(map_, jurisdiction)
    chosen, best = _choose(stored, map_, districts, jurisdiction)
    writing = stored.begin(no_map=districts.empty)
    if not districts.empty:
        best = _overlay_chosen(stored, writing, _packed(districts, jurisdiction), chosen, best)
    changed = writing.close()
    stored.put_best_lots(best or {})
    return OverlayResult(len(districts), chosen, changed, spelled, untyped, alike, stored.split())


def _overlay_chosen(
    stored: store.ParcelZoning,
    writing: store.ParcelZoningBatch,
    map_: ZoningMap,
    chosen: int,
    best: dict[str, str] | None,
) -> dict[str, str]:
    """Overlay the chosen parcels and write their shares.

    Args:
        stored: the stored shares.
        writing: receives the shares.
        map_: the zoning map.
        chosen: how many parcels are chosen.
        best: the parcel with the largest part of each district, by district id; None: all parcels are chosen, and the
            best parcels are found with their shares.

    Returns:
        The parcel with the largest part of each district, by district id.
    """
    with Pool() as pool:
        pool.at_exit(share_tasks.clear_map_cache)
        run = pool.map if chosen > _FEW_BATCHES * stored.chunk_size else run_ahead
        if best is None:
            return _overlay_all(stored, writing, map_, run)
        for batch in run(partial(share_tasks.overlay_with_best_lots, map_, best), stored.chosen()):
            writing.put(batch)
        return best


def _overlay_all(
    stored: store.ParcelZoning, writing: store.ParcelZoningBatch, map_: ZoningMap, run: MapTasks
) -> dict[str, str]:
    """Overlay all parcels, each once. Parcels that get a code only if they have the largest part of a district are
    undecided at first; they are overlaid again at the end."""
    leading, undecided = None, list[str]()
    for found in run(partial(share_tasks.overlay_batch, map_), stored.chosen()):
        writing.put(found.batch)
        leading = found.leading if leading is None else merge_leading_lots([leading, found.leading])
        undecided += found.undecided
    best = {} if leading is None else best_lots(leading)
    for lots in stored.parcels_of(undecided):
        writing.put(share_tasks.overlay_with_best_lots(map_, best, lots))
    return best


def _packed(districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction) -> ZoningMap:
    """The zoning map for the workers. A district without a code has no facet, but it may have a best lot."""
    facets = facets_of(districts.assign(district=np.arange(len(districts))), jurisdiction)
    coded = facets.loc[facets["code"].notna(), ["district", "district_id", "facet", "code", "effective"]]
    wkbs = shapely.to_wkb(districts.geometry.to_numpy()).tolist()
    ids = pd.DataFrame({"district_id": districts["district_id"].to_numpy()})
    return ZoningMap(uuid.uuid4().hex, jurisdiction, wkbs, ids, coded.reset_index(drop=True))


def _choose(
    stored: store.ParcelZoning, map_: pd.DataFrame, districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> tuple[int, dict[str, str] | None]:
    """Choose the parcels whose shares may have changed.

    A new or retired parcel can change which parcel has the largest part of a district; the shares of these parcels
    change too.

    Args:
        stored: the stored shares.
        map_: the districts, in the target CRS.
        districts: the same in the metric frame of the jurisdiction.
        jurisdiction: the jurisdiction.

    Returns:
        The number of chosen parcels, and the parcel with the largest part of each district by district id (None: all
        parcels are chosen). Without districts, no parcel is chosen.
    """
    if districts.empty:
        return 0, {}
    changed = stored.changed_ground(_MAX_CHANGED_SHAPES)
    if changed is None:
        return stored.choose_all(), None
    chosen = stored.choose_on(shapely.to_wkb(changed["geometry"]), jurisdiction.srid)
    at = _touching(chain([changed], map(_decoded, stored.chosen())), districts, jurisdiction)
    near = map_["district_id"].iloc[at].tolist()
    others = set(map_["district_id"]).difference(near)
    before, now = stored.best_lots(), _best_of(map(_decoded, stored.parcels_in(near)), districts.iloc[at], jurisdiction)
    moved = {
        side[each] for each in near for side in (before, now) if each in side and before.get(each) != now.get(each)
    }
    chosen += stored.choose_keys(sorted(moved))
    return chosen, {each: lot for each, lot in before.items() if each in others} | now


def _decoded(lots: Sequence[store.ParcelShape]) -> pd.DataFrame:
    return store.frame(lots, ("key",))


def _best_of(
    parcels: Iterable[pd.DataFrame], districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> dict[str, str]:
    """The parcel with the largest part of each district, by district id."""
    leading = None
    for some in run_ahead(partial(in_metric_frame, jurisdiction=jurisdiction), parcels):
        leading = leading_lots(some, districts, leading)
    return {} if leading is None else best_lots(leading)


def run_ahead(task: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield the results of a task for each item, in order. A thread computes the next result while the caller uses one.
    The items are taken in the caller's thread, because they may come from a connection that the caller uses."""
    previous: Future[T] | None = None
    with ThreadPoolExecutor(1) as worker:
        for item in items:
            following = worker.submit(task, item)
            if previous is not None:
                yield previous.result()
            previous = following
        if previous is not None:
            yield previous.result()


def _touching(
    changed: Iterable[pd.DataFrame], districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> npt.NDArray[np.int64]:
    """The positions of the districts that intersect one of the shapes (in the target CRS)."""
    tree, touched = shapely.STRtree(districts.geometry.to_numpy()), np.zeros(len(districts), dtype=bool)
    for some in changed:
        touched[tree.query(in_metric_frame(some, jurisdiction).geometry.to_numpy(), "intersects")[1]] = True
    return np.flatnonzero(touched)


def _spell(
    stored: store.ParcelZoning, seen: Mapping[str, str | None], jurisdiction: Jurisdiction
) -> tuple[int, list[str]]:
    """Write canonical codes and zone types to the tables. Return how many rows changed, and the codes without a
    type."""
    spelled = spellings(seen, jurisdiction)
    types = {code: zoning_codes.zone_type(code, jurisdiction.codes) for code in set(spelled.values())}
    rows = [{"local": local, "code": code, "zone_type": types[code]} for local, code in sorted(spelled.items())]
    untyped = (code for code, each in types.items() if each is None and not zoning_codes.layer_of(code))
    return stored.spell(rows), sorted(untyped)


def spellings(seen: Mapping[str, str | None], jurisdiction: Jurisdiction) -> Mapping[str, str]:
    """The canonical code of each local code that was ever published. Codes that have one keep it."""
    return zoning_codes.spell(seen, jurisdiction.codes, _canonical_codes(seen))


def _canonical_codes(seen: Mapping[str, str | None]) -> dict[str, str]:
    return {local: code for local, code in seen.items() if code}


def facets_of(districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction) -> gpd.GeoDataFrame:
    """One row for each facet of each district's code, with the columns `facet` and `code`. A district without a code
    has one row, with the base facet and no code."""
    known = {
        code: [(each.facet, each.code) for each in zoning_codes.facets(code, jurisdiction.codes)]
        for code in districts["code"].dropna().unique()
    }
    facets = [known.get(code, [(BASE, None)]) for code in districts["code"]]
    rows = np.repeat(np.arange(len(facets)), [len(each) for each in facets])
    names, found = zip(*chain.from_iterable(facets), strict=True) if facets else ((), ())
    several = districts.iloc[rows].reset_index(drop=True)
    return several.assign(facet=pd.Series(names, dtype=object), code=pd.Series(found, dtype=object))
