"""The shares of each parcel in each code: which parcels are overlaid with the map, and by whom.

What belongs here: what is read, overlaid and written, in order. What does not: the rules (overlay.py), the
tasks of the workers (share_tasks.py) and the SQL (storage/).
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
from zoning_assets.transform.changes.overlay import BASE, best_lots, joined_leading, leading_lots
from zoning_assets.transform.geometry.metric_frame import in_metric_frame

#: Where more came, went or changed, all is judged anew.
_MOST_GROUND = 20_000
#: So many batches of parcels take less time than starting the workers.
_FEW_BATCHES = 4

S = TypeVar("S")
T = TypeVar("T")
#: The results of a task for each item, in order.
Run = Callable[..., Iterable[Any]]


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


def overlaid(desk: store.ParcelZoning, jurisdiction: Jurisdiction) -> Overlaid:
    """The same in a transaction that holds the jurisdiction's locks."""
    if desk.is_current:
        return Overlaid(0, 0, 0, 0, (), (), desk.split())
    seen = desk.codes()
    spelled, untyped = _spell(desk, seen, jurisdiction)
    alike = zoning_codes.collisions(seen, jurisdiction.codes, _settled(seen))
    map_ = desk.districts()
    districts = in_metric_frame(map_, jurisdiction)
    chosen, best = _choose(desk, map_, districts, jurisdiction)
    writing = desk.begin(no_map=districts.empty)
    if not districts.empty:
        best = _publish(desk, writing, _packed(districts, jurisdiction), chosen, best)
    changed = writing.close()
    desk.put_best_lots(best or {})
    return Overlaid(len(districts), chosen, changed, spelled, untyped, alike, desk.split())


def _publish(
    desk: store.ParcelZoning,
    writing: store.ParcelZoningBatch,
    map_: ZoningMap,
    chosen: int,
    best: dict[str, str] | None,
) -> dict[str, str]:
    """Publish the shares of the chosen parcels; `best` None: all are chosen. The parcels that hold most of each
    district."""
    with Pool() as pool:
        pool.at_exit(share_tasks.forget_map)
        run = pool.map if chosen > _FEW_BATCHES * desk.chunk_size else ahead
        if best is None:
            return _publish_all(desk, writing, map_, run)
        for batch in run(partial(share_tasks.whole, map_, best), desk.chosen()):
            writing.put(batch)
        return best


def _publish_all(
    desk: store.ParcelZoning, writing: store.ParcelZoningBatch, map_: ZoningMap, run: Run
) -> dict[str, str]:
    """The same where all are chosen: each shape is read and overlaid once. Last come the few parcels that list a code
    only if they hold most of a district."""
    leading, undecided = None, list[str]()
    for found in run(partial(share_tasks.part, map_), desk.chosen()):
        writing.put(found.batch)
        leading = found.leading if leading is None else joined_leading([leading, found.leading])
        undecided += found.undecided
    best = {} if leading is None else best_lots(leading)
    for lots in desk.parcels_of(undecided):
        writing.put(share_tasks.whole(map_, best, lots))
    return best


def _packed(districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction) -> ZoningMap:
    """The map as workers get it; a district without a code may have a best lot, and is of no facet."""
    facets = facets_of(districts.assign(district=np.arange(len(districts))), jurisdiction)
    coded = facets.loc[facets["code"].notna(), ["district", "district_id", "facet", "code", "effective"]]
    wkbs = shapely.to_wkb(districts.geometry.to_numpy()).tolist()
    ids = pd.DataFrame({"district_id": districts["district_id"].to_numpy()})
    return ZoningMap(uuid.uuid4().hex, jurisdiction, wkbs, ids, coded.reset_index(drop=True))


def _choose(
    desk: store.ParcelZoning, map_: pd.DataFrame, districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> tuple[int, dict[str, str] | None]:
    """Choose the parcels whose shares may have changed; how many, and the one that holds most of each district (None:
    all are chosen, so that it is found with their shares).

    A parcel that comes or goes may take that place in its districts from another: those change, too. `map_`: the
    districts in the target CRS. Without districts no shape is looked at.
    """
    if districts.empty:
        return 0, {}
    ground = desk.changed_ground(_MOST_GROUND)
    if ground is None:
        return desk.choose_all(), None
    chosen = desk.choose_on(shapely.to_wkb(ground["geometry"]), jurisdiction.srid)
    at = _touching(chain([ground], map(_decoded, desk.chosen())), districts, jurisdiction)
    near = map_["district_id"].iloc[at].tolist()
    others = set(map_["district_id"]).difference(near)
    known, now = desk.best_lots(), _best_of(map(_decoded, desk.parcels_in(near)), districts.iloc[at], jurisdiction)
    moved = {side[each] for each in near for side in (known, now) if each in side and known.get(each) != now.get(each)}
    chosen += desk.choose_keys(sorted(moved))
    return chosen, {each: lot for each, lot in known.items() if each in others} | now


def _decoded(lots: Sequence[store.ParcelShape]) -> pd.DataFrame:
    return store.frame(lots, ("key",))


def _best_of(
    parcels: Iterable[pd.DataFrame], districts: gpd.GeoDataFrame, jurisdiction: Jurisdiction
) -> dict[str, str]:
    """The parcel that holds most of each district."""
    leading = None
    for some in ahead(partial(in_metric_frame, jurisdiction=jurisdiction), parcels):
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
        touched[tree.query(in_metric_frame(some, jurisdiction).geometry.to_numpy(), "intersects")[1]] = True
    return np.flatnonzero(touched)


def _spell(
    desk: store.ParcelZoning, seen: Mapping[str, str | None], jurisdiction: Jurisdiction
) -> tuple[int, list[str]]:
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
