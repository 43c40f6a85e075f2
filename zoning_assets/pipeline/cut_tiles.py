"""Give each place its rows of a layer's harvest, and write the normalized tables that are missing."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from zoning_assets.errors import CoverStale, HarvestMissing, ZoningError
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.model import NORMALIZED, RAW, ZONING, Jurisdiction, Place
from zoning_assets.pipeline.corrections import make_work_item
from zoning_assets.pipeline.known_layer import newest_cover
from zoning_assets.pipeline.runner import PreparedLayer
from zoning_assets.pipeline.workers.distribute_rows import distribute
from zoning_assets.pipeline.workers.normalize_page import normalize_page
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store import feed_baselines, raw_harvests
from zoning_assets.storage.object_store.object_store import Objects

#: Requests to the store at the same time.
_THREADS = 16


@dataclass(frozen=True)
class TileCutter:
    """Cuts the harvests of layers into places.

    Attributes:
        objects: the store of harvests and tables.
        pool: the worker processes, which normalize pages and distribute their rows.
    """

    objects: Objects
    pool: Pool

    async def prepare(
        self, jurisdiction: Jurisdiction, feed: str, cover: Cover | None, places: Sequence[Place], stages: Sequence[str]
    ) -> PreparedLayer:
        """Return the work items of places. If `stages` has `normalized`, their normalized tables are written.

        Args:
            jurisdiction: the jurisdiction of all places.
            feed: `parcels` or `zoning`.
            cover: of the harvest that this run made; None: the newest stored one is used.
            places: some places of the jurisdiction.
            stages: the stages of this run. With `raw_feed` a place gets its rows of the newest harvest, else the rows
                that it got last.

        Raises:
            HarvestMissing: the layer was not harvested yet.
        """
        if cover is None:
            cover = await asyncio.to_thread(newest_cover, self.objects, jurisdiction, feed)
        items = await asyncio.to_thread(self._items, jurisdiction, cover, places, newest=RAW in stages)
        if NORMALIZED in stages:
            await self.normalize([each for each in items.values() if isinstance(each, WorkItem)])
        return PreparedLayer(cover, items)

    def _items(
        self, jurisdiction: Jurisdiction, cover: Cover, places: Sequence[Place], *, newest: bool
    ) -> dict[Place, WorkItem | ZoningError]:
        """The work item of each place: its rows of the newest harvest (`newest`), else the rows that it got last."""
        item_of = partial(make_work_item, self.objects, jurisdiction, cover)
        layer = _layer_harvest(self.objects, cover)
        if cover.feed == ZONING:
            return {place: item_of(layer) for place in places}
        tile_rows = _TileRows(self.objects, cover, layer)
        find = tile_rows.cut if newest else tile_rows.latest

        def tile_item(place: Place) -> WorkItem | ZoningError:
            try:
                harvest, state = find(place)
                return replace(item_of(harvest), state=state)
            except ZoningError as error:
                return error

        with ThreadPoolExecutor(_THREADS) as threads:
            return dict(zip(places, threads.map(tile_item, places), strict=True))

    async def normalize(self, items: Sequence[WorkItem]) -> None:
        """Write the normalized tables that are missing. The pages of a layer are normalized once, whatever the number
        of its tiles."""
        by_layer = dict[tuple[str, str], list[WorkItem]]()
        for item in await asyncio.to_thread(_not_normalized, items):
            by_layer.setdefault((item.harvest.of or item.harvest.id, item.harvest.cut), []).append(item)
        for (id_, _), mine in by_layer.items():
            place, feed = Place(mine[0].place.jurisdiction), mine[0].feed.name
            harvest = await asyncio.to_thread(raw_harvests.of, self.objects, place, feed, id_)
            layer = replace(mine[0], harvest=harvest, fixes={})
            wanted = {page.name: page for item in mine for page in item.harvest.pages}
            missing = await asyncio.to_thread(_missing_pages, layer, wanted.values())
            await asyncio.gather(*(self.pool.run(normalize_page, layer, page) for page in missing))
            groups = [group for n in range(self.pool.workers) if (group := mine[n :: self.pool.workers])]
            await asyncio.gather(*(self.pool.run(distribute, layer, group) for group in groups))


class _TileRows:
    """The rows of tiles: `cut` from the newest harvest of their layer, or the `latest` that each tile got."""

    def __init__(self, objects: Objects, cover: Cover, layer: Harvest) -> None:
        self._objects, self._cover, self._layer = objects, cover, layer
        self._rows = raw_harvests.get_rows(objects, cover.jurisdiction, cover.feed, cover.harvest, cover.cut)
        self._published = feed_baselines.published_tiles(objects, cover)

    def cut(self, place: Place) -> tuple[Harvest, str]:
        """Give a tile its rows of the newest harvest; return them, and the id of this harvest.

        Raises:
            CoverStale: the layer has no such tile any more, or the tile has another number of rows.
        """
        tile = self._tile_of(place)
        rows, of = len(self._rows.of(tile)), self._cover.tiles[tile]
        if rows != of:
            what = f"its harvest has {rows} rows instead of {of}"
            raise CoverStale(what, where=str(place), do="run `zoning sync --force` once")
        return raw_harvests.put_tile(self._objects, self._cover, self._layer, self._rows, tile), self._cover.harvest

    def latest(self, place: Place) -> tuple[Harvest, str]:
        """Return the rows that a tile got last, and the id of the harvest that has them: the newest one if it can be.

        Raises:
            CoverStale: the layer has no such tile any more.
            HarvestMissing: the tile got no rows yet, or only those that an earlier version fetched; or it is published
                from the newest harvest, and the rows that it got last are not of that one.
        """
        tile = self._tile_of(place)
        harvest = raw_harvests.latest(self._objects, place, self._cover.feed)
        if not harvest.of:
            what = "its harvest is of an earlier version of this program"
            raise HarvestMissing(what, where=str(place), do="run `zoning sync` once")
        if harvest.id == raw_harvests.tile_id(self._cover, self._layer, self._rows, tile):
            return harvest, self._cover.harvest
        if tile in self._published:
            what = "its rows of the newest harvest are published, and it got those of another harvest last"
            raise HarvestMissing(what, where=str(place), do="materialize raw_feed first")
        return harvest, harvest.of

    def _tile_of(self, place: Place) -> str:
        if place.tile is None or place.tile not in self._cover.tiles:
            what = "this tile was split, merged or emptied since the last harvest"
            raise CoverStale(what, where=str(place), do="materialize `tiles`, then its new tiles")
        return place.tile


def _layer_harvest(objects: Objects, cover: Cover) -> Harvest:
    """The harvest of the layer that the cover names."""
    place = Place(cover.jurisdiction)
    if not cover.harvest:  # an earlier version stored no covers of zoning maps
        return raw_harvests.latest(objects, place, cover.feed)
    return replace(raw_harvests.of(objects, place, cover.feed, cover.harvest), cut=cover.cut)


def _not_normalized(items: Sequence[WorkItem]) -> list[WorkItem]:
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda item: item.table(NORMALIZED).find_summary(item.objects), items)
        return [item for item, summary in zip(items, found, strict=True) if summary is None]


def _missing_pages(layer: WorkItem, wanted: Iterable[Page]) -> list[Page]:
    stored = layer.pages.stored(layer.objects)
    return [page for page in wanted if page.name not in stored]
