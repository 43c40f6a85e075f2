"""Build a layer's harvest from the previous one and the rows that changed since.

The changed rows are chosen in sources/arcgis/edit_tracking.py and fetched by IdListSource.update_since and its pages in
sources/arcgis/id_list_scan.py; here they are merged with the stored rows. Called by extract.py.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.model import Place
from zoning_assets.sources import Source
from zoning_assets.sources.source import Earlier, Update
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry.row_tiles import LayerRows


@dataclass(frozen=True)
class PagesAndRows:
    """Pages of a harvest and the rows of them that belong to it.

    Attributes:
        pages: the pages.
        rows: the index of the rows.
        picked: hash of the chosen rows; "": all rows of the pages are chosen.
    """

    pages: list[Page]
    rows: LayerRows
    picked: str = ""


@dataclass(frozen=True)
class IncrementalHarvest:
    """A stored harvest, the index of its rows, and the update that makes it current."""

    harvest: Harvest
    rows: LayerRows
    update: Update

    def merged(self, fetched: PagesAndRows) -> PagesAndRows:
        """Combine the rows that did not change with the rows that were fetched.

        Raises:
            HarvestIncomplete: together they are not exactly the rows that the layer lists.
        """
        kept = self.rows.selected(self.update.kept)
        ids = np.concatenate([kept.id, fetched.rows.id]).view(np.int64)
        if not np.array_equal(np.sort(ids), self.update.ids):
            what = f"{len(kept)} rows of the last harvest and {len(fetched.rows)} changed ones are not those listed"
            where = f"{self.harvest.jurisdiction} {self.harvest.feed}"
            raise HarvestIncomplete(what, where=where, do="run again; nothing was published")
        renumbered = replace(fetched.rows, page=fetched.rows.page + np.uint64(len(self.harvest.pages)))
        return _without_empty_pages([*self.harvest.pages, *fetched.pages], kept.followed_by(renumbered))


async def find_update(
    objects: Objects, source: Source, cover: Cover, same: Mapping[str, Any], rules: str
) -> IncrementalHarvest | None:
    """Find the stored harvest and what turns it into the current one; None if all rows must be fetched.

    Args:
        objects: the object store.
        source: the layer as its portal serves it now.
        cover: of the newest harvest.
        same: values of the stamp that must be equal to those of the newest harvest.
        rules: the hash of the rules that would read the rows now (WorkItem.pages).

    Raises:
        PortalError: see errors.py.
    """
    if cover.rules != rules or any(cover.stamp.get(name) != value for name, value in same.items()):
        return None
    rows = await asyncio.to_thread(raw_harvests.get_index, objects, cover)
    if rows is None:
        return None
    earlier = Earlier(cover.stamp, datetime.fromisoformat(cover.fetched), rows.id.view(np.int64))
    update = await source.update_since(earlier)
    place = Place(cover.jurisdiction)
    harvest = await asyncio.to_thread(raw_harvests.of, objects, place, cover.feed, cover.harvest)
    return IncrementalHarvest(harvest, rows, update) if update else None


def _without_empty_pages(pages: Sequence[Page], rows: LayerRows) -> PagesAndRows:
    """Drop pages without rows, sort the others by name, and set the number of chosen rows of each."""
    numbers, counts = np.unique(rows.page, return_counts=True)
    counted = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    order = sorted(counted, key=lambda number: pages[number].name)
    rank = np.zeros(len(pages), dtype=np.uint64)
    rank[order] = np.arange(len(order), dtype=np.uint64)
    ranked = replace(rows, page=rank[rows.page])
    ranked = ranked.selected(np.lexsort((ranked.row, ranked.page)))
    picked = hashlib.sha256(ranked.page.tobytes() + ranked.row.tobytes()).hexdigest()[:16]
    return PagesAndRows([replace(pages[number], rows=counted[number]) for number in order], ranked, picked)
