"""From a portal to a harvest: opening a layer, finding its tiles, fetching a tile's pages, and what a feed was before.

What belongs here: the order in which feeds and stores are asked. What does not: what comes after the raw pages
(pipeline).
"""

import asyncio
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from zoning_assets.errors import CoverStale, HarvestIncomplete, HarvestMissing, JurisdictionInvalid
from zoning_assets.feeds import Request, Source, feed_type
from zoning_assets.http import Http
from zoning_assets.model import LON_LAT, ZONING, Cover, Harvest, Jurisdiction, Place
from zoning_assets.pool import preload
from zoning_assets.stores import baselines, harvests
from zoning_assets.stores.drafts import Draft
from zoning_assets.stores.objects import Objects
from zoning_assets.transform import canonical, shifts


@dataclass(frozen=True)
class Opened:
    """A layer that was found, its tiles, and what its portal said of it."""

    source: Source
    cover: Cover
    signals: Mapping[str, Any] | None = None

    @cached_property
    def tiles(self) -> tuple[str, ...]:
        """Of the cover; one for all places, of which many may wait."""
        return tuple(self.cover.tiles)


def layer_of(cover: Cover) -> str:
    """The state of the portal's layer that a cover is of."""
    return canonical.set_hash([repr(sorted(cover.stamp.items()))])


@dataclass(frozen=True)
class Harvesting:
    """Where harvests are kept, and where large files may lie for a while."""

    objects: Objects
    scratch: Path

    async def open(self, jurisdiction: Jurisdiction, feed: str, http: Http, *, force: bool = False) -> Opened:
        """The feed's layer, and its cover: the one known, while the layer says of itself what it said then.

        Raises:
            AcceptanceNeeded: the layer shrank by much; what was published before stays.
        """
        request = self._request(jurisdiction, feed, http)
        source = await feed_type(request.feed.type).open_source(request)
        shift = shifts.check(source.layer.get("crs"), request.feed, jurisdiction.bounds, request.where)
        source.layer |= {"shift": shift} if shift else {}
        known = None if feed == ZONING else harvests.find_cover(self.objects, jurisdiction.id, feed)
        stamp = source.stamp | {
            "tile_resolution": jurisdiction.tile_resolution,
            "key": request.feed.key,
            "crs": request.feed.crs,
            **({"axes": request.feed.axes} if request.feed.axes != LON_LAT else {}),
        }
        if known and not known.doubted and not force and known.stamp == stamp:
            cover = known
        elif feed == ZONING:
            cover = Cover(jurisdiction.id, feed, stamp, {}, rows=source.rows or 0)
        else:
            preload()  # pages will come; the portal counts as long as the workers' imports take
            cover = replace(await source.cover(exact=bool(known and known.doubted)), stamp=stamp)
        if source.rows is not None or feed != ZONING:
            baselines.guard(self.objects, jurisdiction.id, request.feed, cover.rows)
        if feed != ZONING:
            harvests.put_cover(self.objects, cover)
        if force:
            harvests.forget_marks(self.objects, cover)
        return Opened(source, cover)

    async def open_for_run(self, jurisdiction: Jurisdiction, feed: str, http: Http) -> Opened:
        """The feed's layer; its signals are asked for first, so that what changes meanwhile is seen the next time."""
        request = self._request(jurisdiction, feed, http)
        signals = await feed_type(request.feed.type).probe(request)
        return replace(await self.open(jurisdiction, feed, http), signals=signals)

    def _request(self, jurisdiction: Jurisdiction, feed: str, http: Http) -> Request:
        if feed not in jurisdiction.feeds:
            raise JurisdictionInvalid(
                f"it has no feed {feed!r}", where=jurisdiction.file, do=f"add a table [feeds.{feed}] to the file"
            )
        draft = Draft(self.objects, Place(jurisdiction.id), feed)
        return Request(jurisdiction, jurisdiction.feeds[feed], http, self.scratch, draft)

    async def probe(self, jurisdiction: Jurisdiction, feed: str, http: Http, now: datetime) -> str | None:
        """Why a feed is worth fetching, None where nothing says so; no row is asked for.

        Raises:
            ZoningError: see errors.py.
        """
        request = self._request(jurisdiction, feed, http)
        signals = await feed_type(request.feed.type).probe(request)
        before = baselines.find(self.objects, jurisdiction.id, feed)
        return baselines.changed(before, signals, request.feed.full_refresh_days, now)

    async def fetch(self, source: Source, place: Place, cover: Cover, now: datetime, oldest: timedelta) -> Harvest:
        """All pages of a place, kept as they came, and the proof that they are all: those that are here already, where
        the portal says of the place what it said then, and that is not too long ago.

        Args:
            source: the layer.
            place: a tile, or all of it.
            cover: the feed's tiles.
            now: the time.
            oldest: no harvest older than this is taken for what the portal has.

        Raises:
            HarvestIncomplete: they are not; the pages that came are forgotten.
            CoverStale: the tile is no longer one of the jurisdiction's.
            PortalError: see errors.py; the pages that came are kept, and the next run goes on from there.
        """
        if place.tile is not None and place.tile not in cover.tiles:
            raise CoverStale(
                "this tile was split, joined or emptied since",
                where=str(place),
                do="materialize `tiles`, then its new tiles",
            )
        mark = await source.fingerprint(place, cover)
        if mark is not None:
            known = await asyncio.to_thread(harvests.find_unmoved, self.objects, place, cover.feed, mark, now - oldest)
            if known and known.form == source.form and known.layer == source.layer:
                return known
        draft = Draft(self.objects, place, cover.feed)
        try:
            proof = await source.fetch(place, cover, draft)
        except HarvestIncomplete:
            await asyncio.to_thread(draft.abandon)
            raise
        harvest = await asyncio.to_thread(partial(draft.commit, form=source.form, layer=source.layer, proof=proof))
        if mark is not None:
            await asyncio.to_thread(harvests.put_mark, self.objects, harvest, mark, now)
        return harvest

    def note_published(
        self, jurisdiction: str, feed: str, opened: Opened, published: Set[Place], began: datetime
    ) -> bool:
        """What a feed is now, for the next probe and against the next fall; only when the whole of it was published.

        Returns:
            Whether every place of the feed is now of one state of its layer, by this run or by several.
        """
        cover, tiles = opened.cover, {place.tile for place in published if place.tile}
        if cover.tiles:
            layer = layer_of(cover)
            tiles = baselines.published_of(self.objects, jurisdiction, feed, layer, tiles)
        whole = tiles >= set(cover.tiles) if cover.tiles else bool(published)
        if whole:
            baselines.put(self.objects, jurisdiction, feed, cover.rows, opened.signals, began)
        return whole

    def is_whole(self, jurisdiction: Jurisdiction, feed: str) -> bool:
        """Whether every place of a feed was published from one state of its layer, the one known."""
        cover = self.known_cover(jurisdiction, feed)
        layer, tiles = layer_of(cover), set(cover.tiles)
        return not tiles or baselines.published_of(self.objects, jurisdiction.id, feed, layer, ()) >= tiles

    def known_cover(self, jurisdiction: Jurisdiction, feed: str) -> Cover:
        """The tiles found last.

        Raises:
            HarvestMissing: there are none yet.
        """
        if feed == ZONING:
            return Cover(jurisdiction.id, feed, {}, {})
        cover = harvests.find_cover(self.objects, jurisdiction.id, feed)
        if cover is None:
            raise HarvestMissing("its tiles are not known yet", where=jurisdiction.id, do="materialize `tiles` first")
        return cover

    def doubt_cover(self, jurisdiction: Jurisdiction, feed: str) -> None:
        """Let the tiles be looked for anew, and each key with them."""
        cover = harvests.find_cover(self.objects, jurisdiction.id, feed)
        if cover is not None:
            harvests.put_cover(self.objects, replace(cover, doubted=True))
