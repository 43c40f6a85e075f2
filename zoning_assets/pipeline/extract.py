"""Extract: open a layer, fetch its pages once, prove that they are complete, and assign the rows to tiles.

Worker processes normalize pages while other pages are fetched. What belongs here: the order of requests, worker tasks
and storage. What does not: the stages after the tiles are known (pipeline.py).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zoning_assets.errors import CrsRefused, HarvestIncomplete, JurisdictionInvalid
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.http import Client
from zoning_assets.model import ZONING, Feed, Jurisdiction, Place
from zoning_assets.pipeline import feed_signals, incremental_harvest, map_layers
from zoning_assets.pipeline.incremental_harvest import IncrementalHarvest, PagesAndRows
from zoning_assets.pipeline.join_harvest import TableHarvester
from zoning_assets.pipeline.workers.normalize_page import PageRead, check_bounds, keys_at, normalize_page
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.sources import Request, Source, feed_type
from zoning_assets.sources.source import no_shapes
from zoning_assets.storage.object_store import feed_baselines, geoparquet_tables, raw_harvests
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry import crs, h3_cells, row_tiles
from zoning_assets.transform.geometry.row_tiles import LayerRows, Ownership

#: Pages that workers normalize or that wait for a worker; no further page is fetched meanwhile.
_MAX_PENDING_PAGES = 16


@dataclass(frozen=True)
class Harvester:
    """Harvests layers.

    Attributes:
        objects: the store of harvests.
        scratch: a directory for large temporary files.
        pool: the worker processes, which normalize pages.
    """

    objects: Objects
    scratch: Path
    pool: Pool

    async def harvest(
        self, jurisdiction: Jurisdiction, feed: str, http: Client, now: datetime, *, force: bool = False
    ) -> Cover:
        """Return the newest harvest of a feed's layer: the stored one if the layer states the same as then and the
        harvest is not older than `full_refresh_days`, else a new one. The caller stores it (raw_harvests.put_cover).

        Raises:
            AcceptanceNeeded: the layer has far fewer rows than before; published rows do not change.
            HarvestIncomplete: the rows are not proven to be complete; they are deleted.
            PortalError: see errors.py; the pages received so far are kept, and the next try continues from there.
        """
        request = self._request(jurisdiction, feed, http)
        table = await self._tables.harvest(jurisdiction, request.feed, http, now, force=force)
        source, signals = await map_layers.open_layer(request, await feed_signals.before_fetch(request), self.objects)
        stamp = source.stamp | feed_signals.settings_of(jurisdiction, request.feed)
        if source.rows is not None:
            await asyncio.to_thread(
                feed_baselines.check_row_count, self.objects, jurisdiction.id, request.feed, source.rows
            )
        cover = await self._stored_or_new(source, request, stamp, now, force=force)
        await asyncio.to_thread(feed_baselines.check_row_count, self.objects, jurisdiction.id, request.feed, cover.rows)
        cover = await asyncio.to_thread(self._tables.with_table, cover, request.feed, table, jurisdiction)
        signals = feed_signals.together(signals, table.signals if table else None)
        return replace(cover, signals=signals, seen=now.isoformat())

    @property
    def _tables(self) -> TableHarvester:
        return TableHarvester(self.objects, self.scratch, self.pool)

    async def _stored_or_new(
        self, source: Source, request: Request, stamp: Mapping[str, Any], now: datetime, *, force: bool
    ) -> Cover:
        """The stored harvest; or that one with the rows that changed since; or a harvest of all rows."""
        jurisdiction, feed = request.jurisdiction, request.feed
        newest = await asyncio.to_thread(raw_harvests.find_cover, self.objects, jurisdiction.id, feed.name)
        known = newest if newest and not force and _is_trusted(newest, feed, now) else None
        if known:
            is_current = await asyncio.to_thread(self._is_current, known, source, stamp)
            if is_current:
                return known
        await asyncio.to_thread(self._delete_old_pages, jurisdiction.id, feed.name, newest)
        layer = Harvest(jurisdiction.id, feed.name, None, source.form, source.layer, (), {})
        item, began = WorkItem(self.objects, jurisdiction, feed, layer), now.isoformat()
        if known:
            settings = feed_signals.settings_of(jurisdiction, feed)
            same = {"columns": source.stamp.get("columns"), "where": feed.where, **settings}
            changes = await incremental_harvest.find_update(self.objects, source, known, same, item.pages.rules)
            if changes:
                cover = await self._fetch(changes.update.source, item, stamp, changes)
                return replace(cover, fetched=began, whole=known.refreshed.isoformat())
        return replace(await self._fetch(source, item, stamp), fetched=began, whole=began)

    async def find_current(self, jurisdiction: Jurisdiction, feed: str, http: Client, now: datetime) -> Cover | None:
        """Return the newest harvest if it is what the portal has now; None if `harvest` would fetch the layer. No file
        is downloaded for this check.

        Raises:
            ZoningError: as `harvest`.
        """
        request = self._request(jurisdiction, feed, http)
        known = await asyncio.to_thread(raw_harvests.find_cover, self.objects, jurisdiction.id, feed)
        if known is None or not _is_trusted(known, request.feed, now):
            return None
        table = await self._tables.find_current(jurisdiction, request.feed, http, now)
        if (table.table if table else None) != (known.join.get("table") if request.feed.join else None):
            return None
        if known.join and request.feed.join is None:
            return None
        tables = table.signals if table else None
        before = await feed_signals.before_fetch(request)
        if before is not None and (not before or feed_signals.together(before, tables) != known.signals):
            return None
        source, signals = await map_layers.open_layer(request, before, self.objects)
        signals = feed_signals.together(signals, tables)
        stamp = source.stamp | feed_signals.settings_of(jurisdiction, request.feed)
        is_current = await asyncio.to_thread(self._is_current, known, source, stamp)
        return replace(known, signals=signals, seen=now.isoformat()) if is_current else None

    def _delete_old_pages(self, jurisdiction: str, feed: str, known: Cover | None) -> None:
        """Delete normalized pages, except those of the newest harvest: a run may still distribute their rows."""
        layer = raw_harvests.of(self.objects, Place(jurisdiction), feed, known.harvest) if known else None
        geoparquet_tables.keep_pages(
            self.objects, jurisdiction, feed, {page.name for page in layer.pages} if layer else ()
        )

    def _is_current(self, known: Cover, source: Source, stamp: Mapping[str, Any]) -> bool:
        """Whether the stored harvest is what the portal has now, as far as its statements are reliable."""
        if not source.tells or known.stamp != stamp:
            return False
        layer = raw_harvests.of(self.objects, Place(known.jurisdiction), known.feed, known.harvest)
        return layer.form == source.form and layer.layer == source.layer

    async def _fetch(
        self, source: Source, item: WorkItem, stamp: Mapping[str, Any], changes: IncrementalHarvest | None = None
    ) -> Cover:
        """Fetch all pages of a source, prove that they are complete, and assign the rows to tiles.

        Args:
            source: the opened layer.
            item: the harvest to make, still without pages.
            stamp: what the layer and the jurisdiction file state now.
            changes: the stored harvest and its update, if the source has only the rows that changed.
        """
        self.pool.preload()
        draft = HarvestDraft(self.objects, item.place, item.feed.name)
        proof: dict[str, Any] = feed_signals.clause_of(item.feed)
        try:
            rows = await self._read(source, item, draft, proof, is_whole=not changes)
            found = PagesAndRows(draft.pages, rows)
            found = await asyncio.to_thread(changes.merged, found) if changes else found
        except HarvestIncomplete:
            await asyncio.to_thread(draft.abandon)
            raise
        except CrsRefused as error:
            raise await asyncio.to_thread(source.explained, error) from error
        return await asyncio.to_thread(self._cut, item, draft, proof, found, stamp)

    async def _read(
        self, source: Source, item: WorkItem, draft: HarvestDraft, proof: dict[str, Any], *, is_whole: bool
    ) -> LayerRows:
        """Fetch, prove and normalize all pages; return their index of rows. `is_whole`: the pages are the layer."""
        read = await self._normalize_pages(item, draft, source.pages(draft, proof))
        _check_counts(item, draft.pages, read)
        if is_whole:
            await self._check_bounds(item, draft.pages, read)
        draft.pages.sort(key=lambda page: page.name)
        pa.default_memory_pool().release_unused()  # the next step needs memory
        return await asyncio.to_thread(LayerRows.of_pages, [read[page.name].rows for page in draft.pages])

    async def _normalize_pages(
        self, item: WorkItem, draft: HarvestDraft, pages: AsyncGenerator[Page]
    ) -> dict[str, PageRead]:
        """Normalize each page while others are fetched; return the index of its rows by the name of the page.

        A source may discard pages of a query strategy that failed: their errors are ignored. An error of a page that
        the draft still has is raised at once, so that the rest is not fetched in vain.
        """
        free, tasks = asyncio.Semaphore(_MAX_PENDING_PAGES), list[asyncio.Task[PageRead]]()
        newest, failed = dict[str, asyncio.Task[PageRead]](), list[asyncio.Task[PageRead] | None]()

        async def normalize(page: Page) -> PageRead:
            try:
                return await self.pool.run(normalize_page, item, page)
            except Exception:
                failed.append(asyncio.current_task())
                raise
            finally:
                free.release()

        try:
            async with aclosing(pages):
                async for page in pages:
                    await free.acquire()
                    newest[page.name] = asyncio.create_task(normalize(page))
                    tasks.append(newest[page.name])
                    for each in draft.pages if failed else ():
                        if newest[each.name] in failed:
                            await newest[each.name]
            return {page.name: await newest[page.name] for page in draft.pages}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_bounds(self, item: WorkItem, pages: Sequence[Page], read: Mapping[str, PageRead]) -> None:
        """Raise CrsRefused if most rows lie outside the bounds of the jurisdiction."""
        found = [read[page.name] for page in pages]
        if sum(each.outside for each in found) > crs.MOST_OUTSIDE * sum(each.placed for each in found):
            worst = max(range(len(found)), key=lambda number: found[number].outside)
            await self.pool.run(check_bounds, item, pages[worst])

    def _cut(
        self, item: WorkItem, draft: HarvestDraft, proof: dict[str, Any], merged: PagesAndRows, stamp: Mapping[str, Any]
    ) -> Cover:
        """Commit the pages as a harvest, and assign its rows to tiles."""
        layer, feed, rows = item.harvest, item.feed.name, merged.rows
        placed = int(np.count_nonzero(rows.cell != h3_cells.NO_CELL))
        if len(rows) and not placed:
            raise no_shapes(len(rows), f"{layer.jurisdiction} {feed}")
        if feed == ZONING:
            found, repeated, counted = row_tiles.by_jurisdiction(rows), dict[str, str](), len(rows)
        else:
            found = row_tiles.by_tile(rows, item.jurisdiction.bounds, item.jurisdiction.tile_resolution)
            repeated, counted = _repeated(item, merged.pages, rows, found), placed
        draft.pages = merged.pages
        harvest = draft.commit(form=layer.form, layer=dict(layer.layer), proof=proof, picked=merged.picked)
        rules = item.pages.rules
        cut = raw_harvests.put_rows(self.objects, harvest, rows, found, rules)
        cover = Cover(layer.jurisdiction, feed, stamp, found.tiles, repeated, counted)
        return replace(cover, harvest=harvest.id, cut=cut, rules=rules)

    def _request(self, jurisdiction: Jurisdiction, feed: str, http: Client) -> Request:
        if feed not in jurisdiction.feeds:
            raise JurisdictionInvalid(
                f"it has no feed {feed!r}", where=jurisdiction.file, do=f"add a table [feeds.{feed}] to the file"
            )
        draft = HarvestDraft(self.objects, Place(jurisdiction.id), feed)
        return Request(jurisdiction, jurisdiction.feeds[feed], http, self.scratch, draft)

    async def probe(self, jurisdiction: Jurisdiction, feed: str, http: Client, now: datetime) -> str | None:
        """Return the reason to fetch a feed; None if there is no sign of a change. No row is fetched.

        Raises:
            ZoningError: see errors.py.
        """
        request = self._request(jurisdiction, feed, http)
        of_table = await self._tables.probe(jurisdiction, request.feed, http)
        signals = feed_signals.together(await feed_signals.probed(request), of_table)
        before = feed_baselines.find(self.objects, jurisdiction.id, feed)
        return feed_baselines.fetch_reason(before, signals, request.feed.full_refresh_days, now)

    async def fetch_first_page(self, jurisdiction: Jurisdiction, feed: str, http: Client) -> WorkItem:
        """Fetch the first page of a layer and store it as a harvest of its own, for `Pipeline.try_first_page`.

        Raises:
            ZoningError: see errors.py.
        """
        request = replace(self._request(jurisdiction, feed, http), first_page=True)
        source = await feed_type(request.feed.type).open_source(request)
        draft = HarvestDraft(self.objects, Place(jurisdiction.id), feed)
        async with aclosing(source.pages(draft, {})) as pages:
            await anext(pages, None)
        harvest = draft.commit(form=source.form, layer=source.layer, proof={})
        return WorkItem(self.objects, jurisdiction, request.feed, harvest)


def _is_trusted(cover: Cover, feed: Feed, now: datetime) -> bool:
    """Whether a stored harvest may be used without a fetch: for at most full_refresh_days."""
    return not cover.doubted and now - cover.refreshed < timedelta(days=feed.full_refresh_days)


def _check_counts(item: WorkItem, pages: Sequence[Page], read: Mapping[str, PageRead]) -> None:
    """Raise HarvestIncomplete if a page was decoded to another number of rows than it was counted with."""
    for page in pages:
        if len(read[page.name].rows) != page.rows:
            what = f"a page of {page.rows} rows was read as {len(read[page.name].rows)}"
            where = f"{item.jurisdiction.id} {item.feed.name}"
            raise HarvestIncomplete(what, where=where, do="run again; nothing was published")


def _repeated(item: WorkItem, pages: Sequence[Page], rows: LayerRows, found: Ownership) -> dict[str, str]:
    """The tile that owns the rows of each repeated key, by key."""
    repeated: dict[str, str] = {}
    shared = np.flatnonzero(found.has_shared_key)
    for number in np.unique(rows.page[shared]).tolist():
        mine = shared[rows.page[shared] == number]
        keys: Sequence[str | None] = keys_at(item, pages[int(number)], rows.row[mine].tolist())
        owners = map(h3_cells.to_str, found.owner[mine].tolist())
        repeated |= {str(key): owner for key, owner in zip(keys, owners, strict=True)}
    return dict(sorted(repeated.items()))
