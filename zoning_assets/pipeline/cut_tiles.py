"""Cut each place's rows from a layer's harvest, and make the normalized tables that are missing."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from zoning_assets.errors import CoverStale, HarvestMissing, ZoningError
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.model import NORMALIZED, RAW, Jurisdiction, Place
from zoning_assets.pipeline.corrections import work_of
from zoning_assets.pipeline.known_layer import known_cover
from zoning_assets.pipeline.runner import Prepared
from zoning_assets.pipeline.workers.distribute_rows import deal
from zoning_assets.pipeline.workers.normalize_page import normalize_page
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.object_store.raw_harvests import OwnedRows


@dataclass(frozen=True)
class Preparing:
    """Where harvests are kept, and who normalizes pages and deals out their rows."""

    objects: Objects
    pool: Pool

    async def prepared(
        self, jurisdiction: Jurisdiction, feed: str, cover: Cover | None, places: Sequence[Place], stages: Sequence[str]
    ) -> Prepared:
        """What each place takes.

        Args:
            jurisdiction: whose.
            feed: which of its feeds.
            cover: the layer's harvest, where it was just made; else the newest that is stored.
            places: some of the jurisdiction.
            stages: through which they go.
        """
        if cover is None:
            cover = await asyncio.to_thread(known_cover, self.objects, jurisdiction, feed)
        works = await asyncio.to_thread(self._works, jurisdiction, cover, places, fresh=RAW in stages)
        if NORMALIZED in stages:
            await self.deal([each for each in works.values() if isinstance(each, Work)])
        return Prepared(cover, works)

    def _works(
        self, jurisdiction: Jurisdiction, cover: Cover, places: Sequence[Place], *, fresh: bool
    ) -> dict[Place, Work | ZoningError]:
        """What each place takes of the newest harvest (`fresh`), else what it took last."""
        find = partial(_latest, self.objects, cover)
        if fresh:
            layer = raw_harvests.of(self.objects, Place(cover.jurisdiction), cover.feed, cover.harvest)
            rows = raw_harvests.get_rows(self.objects, cover.jurisdiction, cover.feed, cover.harvest, cover.cut)
            find = partial(_taken, self.objects, cover, layer, rows)
        works = dict[Place, Work | ZoningError]()
        for place in places:
            try:
                works[place] = work_of(self.objects, jurisdiction, cover, _known_form(find(place)))
            except ZoningError as error:
                works[place] = error
        return works

    async def deal(self, works: Sequence[Work]) -> None:
        """The normalized tables that are missing."""
        by_layer = dict[tuple[str, str], list[Work]]()
        for work in await asyncio.to_thread(_not_normalized, works):
            by_layer.setdefault((work.harvest.of or work.harvest.id, work.harvest.cut), []).append(work)
        for (id_, _), mine in by_layer.items():
            place, feed = Place(mine[0].place.jurisdiction), mine[0].feed.name
            harvest = await asyncio.to_thread(raw_harvests.of, self.objects, place, feed, id_)
            layer = replace(mine[0], harvest=harvest, fixes={})
            wanted = {page.name: page for work in mine for page in work.harvest.pages}
            missing = await asyncio.to_thread(_missing_pages, layer, wanted.values())
            await asyncio.gather(*(self.pool.run(normalize_page, layer, page) for page in missing))
            groups = [group for n in range(self.pool.workers) if (group := mine[n :: self.pool.workers])]
            await asyncio.gather(*(self.pool.run(deal, layer, group) for group in groups))


def _taken(objects: Objects, cover: Cover, layer: Harvest, rows: OwnedRows, place: Place) -> Harvest:
    """What a place takes of a layer's harvest.

    Raises:
        CoverStale: the tile is no longer one of the jurisdiction's.
    """
    if place.tile is None:
        return replace(layer, cut=cover.cut)
    if place.tile not in cover.tiles:
        what = "this tile was split, joined or emptied since"
        raise CoverStale(what, where=str(place), do="materialize `tiles`, then its new tiles")
    if len(rows.of(place.tile)) != cover.tiles[place.tile]:
        what = f"its harvest has {len(rows.of(place.tile))} rows instead of {cover.tiles[place.tile]}"
        raise CoverStale(what, where=str(place), do="materialize `tiles` again")
    return raw_harvests.put_tile(objects, cover, layer, rows, place.tile)


def _latest(objects: Objects, cover: Cover, place: Place) -> Harvest:
    """What a place took last; of a map the layer's harvest that its cover names."""
    if place.tile is None and cover.harvest:
        return replace(raw_harvests.of(objects, place, cover.feed, cover.harvest), cut=cover.cut)
    return raw_harvests.latest(objects, place, cover.feed)


def _known_form(harvest: Harvest) -> Harvest:
    """A harvest that can be read.

    Raises:
        HarvestMissing: an earlier version fetched the tile by itself.
    """
    if harvest.tile is not None and not harvest.of:
        what = "its harvest is of an earlier version of this program"
        raise HarvestMissing(what, where=f"{harvest.jurisdiction} tile {harvest.tile}", do="run `zoning sync` once")
    return harvest


def _not_normalized(works: Sequence[Work]) -> list[Work]:
    return [work for work in works if work.table(NORMALIZED).find_summary(work.objects) is None]


def _missing_pages(layer: Work, wanted: Iterable[Page]) -> list[Page]:
    return [page for page in wanted if not layer.pages.has(layer.objects, page.name)]
