"""The tasks of the worker processes for `parcel_zoning`: compute the shares of a batch of parcels.

A task gets parcels as WKB and returns shares as rows for PostgreSQL's COPY, so that the main process decodes neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import pandas as pd
import shapely

from zoning_assets.model import Jurisdiction
from zoning_assets.storage.postgis import parcel_zoning as store
from zoning_assets.transform.changes.overlay import part_shares, shares
from zoning_assets.transform.geometry.metric_frame import in_metric_frame


@dataclass(frozen=True)
class ZoningMap:
    """The districts of a jurisdiction, in the form that is sent to workers.

    Attributes:
        name: equal names mean equal maps.
        jurisdiction: the jurisdiction.
        wkbs: the districts' shapes in the jurisdiction's metric frame.
        districts: `district_id`, in the order of `wkbs`.
        facets: the columns of overlay.part_shares, and `district_id`.
    """

    name: str
    jurisdiction: Jurisdiction = field(compare=False)
    wkbs: Sequence[bytes] = field(compare=False)
    districts: pd.DataFrame = field(compare=False)
    facets: pd.DataFrame = field(compare=False)


@dataclass(frozen=True)
class BatchShares:
    """The result of a batch of parcels.

    Attributes:
        batch: the shares of the parcels that are decided.
        leading: the parcels of this batch with the largest part of each district; see overlay.PartialShares.
        undecided: keys of parcels whose shares depend on other batches.
    """

    batch: store.ShareRows
    leading: pd.DataFrame
    undecided: list[str]


def overlay_batch(map_: ZoningMap, parcels: Sequence[tuple[str, bytes]]) -> BatchShares:
    """The shares of a batch, while the parcel with the largest part of each district is not known.

    Args:
        map_: the zoning map.
        parcels: key and shape (WKB, target CRS).
    """
    lots = in_metric_frame(store.frame(parcels, ("key",)), map_.jurisdiction)
    found = part_shares(lots, _shapes_of(map_), map_.facets)
    undecided = set(found.undecided)
    keys = [key for key, _ in parcels if key not in undecided]
    return BatchShares(store.share_rows(keys, found.shares), found.leading, found.undecided)


def overlay_with_best_lots(
    map_: ZoningMap, best: Mapping[str, str], parcels: Sequence[tuple[str, bytes]]
) -> store.ShareRows:
    """The shares of a batch.

    Args:
        map_: the zoning map.
        best: the parcel with the largest part of each district, by district id.
        parcels: key and shape (WKB, target CRS).
    """
    lots = in_metric_frame(store.frame(parcels, ("key",)), map_.jurisdiction)
    facets = map_.facets.assign(geometry=_shapes_of(map_)["geometry"].to_numpy()[map_.facets["district"]])
    return store.share_rows([key for key, _ in parcels], shares(lots, facets, best))


def clear_map_cache() -> None:
    """Free the memory of the last map in this process."""
    _shapes_of.cache_clear()


@lru_cache(maxsize=1)
def _shapes_of(map_: ZoningMap) -> pd.DataFrame:
    """The districts with their shapes in the metric frame; decoded once in each worker."""
    shapes = pd.Series(shapely.from_wkb(list(map_.wkbs)), map_.districts.index, dtype=object)
    return map_.districts.assign(geometry=shapes)
