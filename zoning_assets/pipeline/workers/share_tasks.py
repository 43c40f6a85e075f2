"""The tasks of the worker processes for `parcel_zoning`: the shares of a batch of parcels.

Parcels come as WKB and shares go back as rows of PostgreSQL's COPY, so that the main process decodes neither.
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
    """A jurisdiction's districts, as they are sent to workers.

    Attributes:
        name: equal names mean equal maps.
        wkbs: the districts' shapes in the jurisdiction's metric frame.
        districts: `district_id`, in the order of `wkbs`.
        facets: see overlay.part_shares, and `district_id`.
    """

    name: str
    jurisdiction: Jurisdiction = field(compare=False)
    wkbs: Sequence[bytes] = field(compare=False)
    districts: pd.DataFrame = field(compare=False)
    facets: pd.DataFrame = field(compare=False)


@dataclass(frozen=True)
class PartJudged:
    """What came of a batch: its shares, and what other batches decide; see overlay.Part."""

    batch: store.ShareRows
    leading: pd.DataFrame
    undecided: list[str]


def part(map_: ZoningMap, parcels: Sequence[tuple[str, bytes]]) -> PartJudged:
    """The shares of a batch (`key`, WKB in the target CRS) while the lot that holds most of a district is not known."""
    lots = in_metric_frame(store.frame(parcels, ("key",)), map_.jurisdiction)
    found = part_shares(lots, _shapes_of(map_), map_.facets)
    undecided = set(found.undecided)
    keys = [key for key, _ in parcels if key not in undecided]
    return PartJudged(store.share_rows(keys, found.shares), found.leading, found.undecided)


def whole(map_: ZoningMap, best: Mapping[str, str], parcels: Sequence[tuple[str, bytes]]) -> store.ShareRows:
    """The same where it is known (`best`)."""
    lots = in_metric_frame(store.frame(parcels, ("key",)), map_.jurisdiction)
    facets = map_.facets.assign(geometry=_shapes_of(map_)["geometry"].to_numpy()[map_.facets["district"]])
    return store.share_rows([key for key, _ in parcels], shares(lots, facets, best))


def forget_map() -> None:
    """Free the memory that this process keeps the last map in."""
    _shapes_of.cache_clear()


@lru_cache(maxsize=1)
def _shapes_of(map_: ZoningMap) -> pd.DataFrame:
    """The districts with their shapes, decoded once a worker."""
    shapes = pd.Series(shapely.from_wkb(list(map_.wkbs)), map_.districts.index, dtype=object)
    return map_.districts.assign(geometry=shapes)
