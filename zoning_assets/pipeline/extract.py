"""From a portal to a harvest: a layer is opened, its pages are fetched once, proven, and its tiles are cut here.

Pages are normalized in the workers while others still come. What belongs here: the order in which feeds, workers and
stores are asked. What does not: what comes after the tiles are known (pipeline).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from zoning_assets.errors import CrsRefused, HarvestIncomplete, JurisdictionInvalid
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.http import Client
from zoning_assets.model import LON_LAT, ZONING, Feed, Jurisdiction, Place
from zoning_assets.pipeline import changed_rows
from zoning_assets.pipeline.changed_rows import Changes, PagesAndRows
from zoning_assets.pipeline.workers.normalize_page import PageRead, check_place, keys_at, normalize_page
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.pipeline.workers.worker_pool import Pool, preload
from zoning_assets.redaction import without_secrets
from zoning_assets.sources import STATE_SIGNALS, Request, Source, feed_type
from zoning_assets.sources.source import no_shapes
from zoning_assets.storage.object_store import feed_baselines, geoparquet_tables, raw_harvests
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry import crs, datum_shifts, h3_tiles, tile_ownership
from zoning_assets.transform.geometry.tile_ownership import LayerRows, Ownership

#: Pages that are in the workers or wait for them; the others wait at the portal.
_MOST_UNDER_WAY = 16


@dataclass(frozen=True)
class Harvesting:
    """Where harvests are kept, where large files may lie for a while, and who reads pages."""

    objects: Objects
    scratch: Path
    pool: Pool

    async def harvest(
        self, jurisdiction: Jurisdiction, feed: str, http: Client, now: datetime, *, force: bool = False
    ) -> Cover:
        """The newest harvest of a feed's layer: the one that is stored, while the layer states what it stated then and
        that is not too long ago; else a new one. Whoever calls keeps it (raw_harvests.put_cover).

        Raises:
            AcceptanceNeeded: the layer shrank by much; what was published before stays.
            HarvestIncomplete: the rows that came are not proven to be all; they are forgotten.
            PortalError: see errors.py; the pages that came are kept, and the next try goes on from there.
        """
        request = self._request(jurisdiction, feed, http)
        source, signals = await _opened(request, await _signals(request))
        stamp = source.stamp | _settings_of(jurisdiction, request.feed)
        if source.rows is not None:
            await asyncio.to_thread(
                feed_baselines.check_row_count, self.objects, jurisdiction.id, request.feed, source.rows
            )
        cover = await self._newest(source, request, stamp, now, force=force)
        await asyncio.to_thread(feed_baselines.check_row_count, self.objects, jurisdiction.id, request.feed, cover.rows)
        return replace(cover, signals=signals, seen=now.isoformat())

    async def _newest(
        self, source: Source, request: Request, stamp: Mapping[str, Any], now: datetime, *, force: bool
    ) -> Cover:
        """The harvest that is stored, that one with the rows that changed since, or all rows anew."""
        jurisdiction, feed = request.jurisdiction, request.feed
        newest = await asyncio.to_thread(raw_harvests.find_cover, self.objects, jurisdiction.id, feed.name)
        known = newest if newest and not force and _is_trusted(newest, feed, now) else None
        if known:
            stands = await asyncio.to_thread(self._stands, known, source, stamp)
            if stands:
                return known
        await asyncio.to_thread(self._forget_pages, jurisdiction.id, feed.name, newest)
        layer = Harvest(jurisdiction.id, feed.name, None, source.form, source.layer, (), {})
        work, began = Work(self.objects, jurisdiction, feed, layer), now.isoformat()
        if known:
            same = {"columns": source.stamp.get("columns"), **_settings_of(jurisdiction, feed)}
            changes = await changed_rows.find(self.objects, source, known, same, work.pages.rules)
            if changes:
                cover = await self._fetched(changes.update.source, work, stamp, changes)
                return replace(cover, fetched=began, whole=known.refreshed.isoformat())
        return replace(await self._fetched(source, work, stamp), fetched=began, whole=began)

    async def find_current(self, jurisdiction: Jurisdiction, feed: str, http: Client, now: datetime) -> Cover | None:
        """The newest harvest, where it is what the portal has; None where `harvest` would fetch the layer. No file is
        downloaded to find out.

        Raises:
            ZoningError: as `harvest`.
        """
        request = self._request(jurisdiction, feed, http)
        known = await asyncio.to_thread(raw_harvests.find_cover, self.objects, jurisdiction.id, feed)
        if known is None or not _is_trusted(known, request.feed, now):
            return None
        signals = await _signals(request)
        if signals is not None and (not signals or signals != known.signals):
            return None
        source, signals = await _opened(request, signals)
        stamp = source.stamp | _settings_of(jurisdiction, request.feed)
        stands = await asyncio.to_thread(self._stands, known, source, stamp)
        return replace(known, signals=signals, seen=now.isoformat()) if stands else None

    def _forget_pages(self, jurisdiction: str, feed: str, known: Cover | None) -> None:
        """Normalized pages are kept of the newest harvest, as a run may still deal them out."""
        layer = raw_harvests.of(self.objects, Place(jurisdiction), feed, known.harvest) if known else None
        geoparquet_tables.keep_pages(
            self.objects, jurisdiction, feed, {page.name for page in layer.pages} if layer else ()
        )

    def _stands(self, known: Cover, source: Source, stamp: Mapping[str, Any]) -> bool:
        """Whether the harvest that is stored is what the portal has, as far as it can be believed."""
        if not source.tells or known.stamp != stamp:
            return False
        layer = raw_harvests.of(self.objects, Place(known.jurisdiction), known.feed, known.harvest)
        return layer.form == source.form and layer.layer == source.layer

    async def _fetched(
        self, source: Source, work: Work, stamp: Mapping[str, Any], changes: Changes | None = None
    ) -> Cover:
        """All pages of a source, the proof that they are all, and the tiles. `changes`: the source gives only these."""
        preload()
        draft, proof = HarvestDraft(self.objects, work.place, work.feed.name), dict[str, Any]()
        try:
            read = await self._read(work, draft, source.pages(draft, proof))
            _check_counts(work, draft.pages, read)
            if not changes:
                await self._check_place(work, draft.pages, read)
            draft.pages.sort(key=lambda page: page.name)
            rows = await asyncio.to_thread(LayerRows.of_pages, [read[page.name].rows for page in draft.pages])
            found = PagesAndRows(draft.pages, rows)
            found = await asyncio.to_thread(changes.merged, found) if changes else found
        except HarvestIncomplete:
            await asyncio.to_thread(draft.abandon)
            raise
        except CrsRefused as error:
            raise await asyncio.to_thread(source.explained, error) from error
        return await asyncio.to_thread(self._cut, work, draft, proof, found, stamp)

    async def _read(self, work: Work, draft: HarvestDraft, pages: AsyncGenerator[Page]) -> dict[str, PageRead]:
        """Each page normalized while others come; what is known of its rows, by its name.

        A page that the draft has no more is of a way that failed, and what came of it does not matter. An error of
        another page is raised at once: the portal need not send the rest.
        """
        free, tasks = asyncio.Semaphore(_MOST_UNDER_WAY), list[asyncio.Task[PageRead]]()
        newest, failed = dict[str, asyncio.Task[PageRead]](), list[asyncio.Task[PageRead] | None]()

        async def normalize(page: Page) -> PageRead:
            try:
                return await self.pool.run(normalize_page, work, page)
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

    async def _check_place(self, work: Work, pages: Sequence[Page], read: Mapping[str, PageRead]) -> None:
        """Raise CrsRefused where most rows lie elsewhere than the jurisdiction."""
        found = [read[page.name] for page in pages]
        if sum(each.outside for each in found) > crs.MOST_OUTSIDE * sum(each.placed for each in found):
            worst = max(range(len(found)), key=lambda number: found[number].outside)
            await self.pool.run(check_place, work, pages[worst])

    def _cut(
        self, work: Work, draft: HarvestDraft, proof: dict[str, Any], merged: PagesAndRows, stamp: Mapping[str, Any]
    ) -> Cover:
        """The pages become a harvest; its rows are given to their tiles."""
        layer, feed, rows = work.harvest, work.feed.name, merged.rows
        placed = int(np.count_nonzero(rows.cell != h3_tiles.NO_CELL))
        if len(rows) and not placed:
            raise no_shapes(len(rows), f"{layer.jurisdiction} {feed}")
        if feed == ZONING:
            found, repeated, counted = tile_ownership.by_jurisdiction(rows), dict[str, str](), len(rows)
        else:
            found = tile_ownership.by_tile(rows, work.jurisdiction.bounds, work.jurisdiction.tile_resolution)
            repeated, counted = _repeated(work, merged.pages, rows, found), placed
        draft.pages = merged.pages
        harvest = draft.commit(form=layer.form, layer=dict(layer.layer), proof=proof, picked=merged.picked)
        rules = work.pages.rules
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
        """Why a feed is worth fetching, None where nothing says so; no row is asked for.

        Raises:
            ZoningError: see errors.py.
        """
        request = self._request(jurisdiction, feed, http)
        signals = await feed_type(request.feed.type).probe(request)
        before = feed_baselines.find(self.objects, jurisdiction.id, feed)
        return feed_baselines.fetch_reason(before, signals, request.feed.full_refresh_days, now)

    async def first_page(self, jurisdiction: Jurisdiction, feed: str, http: Client) -> Work:
        """The first page of a layer, kept as if it were a harvest of its own; for a trial.

        Raises:
            ZoningError: see errors.py.
        """
        request = self._request(jurisdiction, feed, http)
        source = await feed_type(request.feed.type).open_source(request)
        draft = HarvestDraft(self.objects, Place(jurisdiction.id), feed)
        async with aclosing(source.pages(draft, {})) as pages:
            await anext(pages, None)
        harvest = draft.commit(form=source.form, layer=source.layer, proof={})
        return Work(self.objects, jurisdiction, request.feed, harvest)


async def _signals(request: Request) -> Mapping[str, Any] | None:
    """What its probe states; None: the opened layer does. It is asked first, so that what changes meanwhile is seen the
    next time."""
    return None if request.feed.type in STATE_SIGNALS else await feed_type(request.feed.type).probe(request)


async def _opened(request: Request, signals: Mapping[str, Any] | None) -> tuple[Source, Mapping[str, Any]]:
    """The layer, and its signals."""
    source = await feed_type(request.feed.type).open_source(request)
    shift = datum_shifts.check(source.layer.get("crs"), request.feed, request.jurisdiction.bounds, request.where)
    source.layer |= {"shift": shift} if shift else {}
    return source, source.signals or signals or {}


def _is_trusted(cover: Cover, feed: Feed, now: datetime) -> bool:
    """Whether a harvest that is stored may stand for the layer: not for longer than full_refresh_days."""
    return not cover.doubted and now - cover.refreshed < timedelta(days=feed.full_refresh_days)


def _check_counts(work: Work, pages: Sequence[Page], read: Mapping[str, PageRead]) -> None:
    """Raise HarvestIncomplete where a page was read otherwise than it was counted."""
    for page in pages:
        if len(read[page.name].rows) != page.rows:
            what = f"a page of {page.rows} rows was read as {len(read[page.name].rows)}"
            where = f"{work.jurisdiction.id} {work.feed.name}"
            raise HarvestIncomplete(what, where=where, do="run again; nothing was published")


def _settings_of(jurisdiction: Jurisdiction, feed: Feed) -> dict[str, Any]:
    """What of the jurisdiction file decides the tiles."""
    said: dict[str, Any] = {"tile_resolution": jurisdiction.tile_resolution, "key": feed.key, "crs": feed.crs}
    said |= {"url": without_secrets(feed.url), "bounds": list(jurisdiction.bounds)}
    return {**said, **({"axes": feed.axes} if feed.axes != LON_LAT else {})}


def _repeated(work: Work, pages: Sequence[Page], rows: LayerRows, found: Ownership) -> dict[str, str]:
    """Each repeated key with the tile that owns its rows."""
    repeated: dict[str, str] = {}
    again = np.flatnonzero(found.has_shared_key)
    for number in np.unique(rows.page[again]).tolist():
        mine = again[rows.page[again] == number]
        keys: Sequence[str | None] = keys_at(work, pages[int(number)], rows.row[mine].tolist())
        owners = map(h3_tiles.to_str, found.owner[mine].tolist())
        repeated |= {str(key): owner for key, owner in zip(keys, owners, strict=True)}
    return dict(sorted(repeated.items()))
