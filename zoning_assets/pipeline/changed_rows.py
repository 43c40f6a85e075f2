"""A layer's harvest made of an earlier one and of the rows that changed since."""

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
from zoning_assets.transform.geometry.tile_ownership import LayerRows


@dataclass(frozen=True)
class PagesAndRows:
    """The pages of a harvest, the index of their rows, and the hash of the rows that are taken of them ("": all)."""

    pages: list[Page]
    rows: LayerRows
    picked: str = ""


@dataclass(frozen=True)
class Changes:
    """A harvest that is stored, the index of its rows, and what makes it the present one."""

    harvest: Harvest
    rows: LayerRows
    update: Update

    def merged(self, fetched: PagesAndRows) -> PagesAndRows:
        """The rows that are still as they were, and those that were fetched.

        Raises:
            HarvestIncomplete: together they are not the rows that the layer lists.
        """
        kept = self.rows.selected(self.update.kept)
        ids = np.concatenate([kept.id, fetched.rows.id]).view(np.int64)
        if not np.array_equal(np.sort(ids), self.update.ids):
            what = f"{len(kept)} rows of the last harvest and {len(fetched.rows)} changed ones are not those listed"
            where = f"{self.harvest.jurisdiction} {self.harvest.feed}"
            raise HarvestIncomplete(what, where=where, do="run again; nothing was published")
        renumbered = replace(fetched.rows, page=fetched.rows.page + np.uint64(len(self.harvest.pages)))
        return _of_live_pages([*self.harvest.pages, *fetched.pages], kept.followed_by(renumbered))


async def find(objects: Objects, source: Source, cover: Cover, same: Mapping[str, Any], rules: str) -> Changes | None:
    """What changed since the newest harvest; None where all rows must be fetched.

    Args:
        objects: the store.
        source: the layer now.
        cover: of the newest harvest.
        same: what must be stated as it was then.
        rules: by which the rows would be read now.

    Raises:
        PortalError: see errors.py.
    """
    if cover.rules != rules or any(cover.stamp.get(name) != value for name, value in same.items()):
        return None
    rows = await asyncio.to_thread(raw_harvests.get_index, objects, cover)
    if rows is None:
        return None
    earlier = Earlier(cover.stamp, datetime.fromisoformat(cover.fetched), rows.id.view(np.int64))
    update = await source.rows_since(earlier)
    place = Place(cover.jurisdiction)
    harvest = await asyncio.to_thread(raw_harvests.of, objects, place, cover.feed, cover.harvest)
    return Changes(harvest, rows, update) if update else None


def _of_live_pages(pages: Sequence[Page], rows: LayerRows) -> PagesAndRows:
    """Pages without the dead ones, ordered by name, with the number of rows that are taken of each."""
    live, counts = np.unique(rows.page, return_counts=True)
    counted = dict(zip(live.tolist(), counts.tolist(), strict=True))
    order = sorted(counted, key=lambda number: pages[number].name)
    rank = np.zeros(len(pages), dtype=np.uint64)
    rank[order] = np.arange(len(order), dtype=np.uint64)
    ranked = replace(rows, page=rank[rows.page])
    ranked = ranked.selected(np.lexsort((ranked.row, ranked.page)))
    picked = hashlib.sha256(ranked.page.tobytes() + ranked.row.tobytes()).hexdigest()[:16]
    return PagesAndRows([replace(pages[number], rows=counted[number]) for number in order], ranked, picked)
