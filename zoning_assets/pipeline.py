"""The data's way, in order. Read this first.

    feed -> raw_feed -> normalized -> validated -> parcels        a partition is a jurisdiction's tile
                                      validated -> districts      a partition is a jurisdiction

A run takes many places. Their pages are fetched by one asyncio loop, a few places at a time; each page then goes to a
worker process to be normalized and validated, and each place is published by one transaction. A place that fails, fails
alone: its error is its outcome, and what was published for it before stays.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from zoning_assets.drain import on_sigterm
from zoning_assets.errors import (
    CoverStale,
    Defect,
    HarvestIncomplete,
    HarvestMissing,
    JurisdictionInvalid,
    TooManyRejections,
    ZoningError,
)
from zoning_assets.feeds import FEED_TYPES, Request, Source
from zoning_assets.http import TALLY, Http, Tally
from zoning_assets.model import PARCELS, ZONING, Counts, Cover, Harvest, Jurisdiction, Outcome, Place
from zoning_assets.pool import Pool
from zoning_assets.stages import Work, normalize_page, parts_of, publish_place, validate_part
from zoning_assets.stores import baselines, harvests
from zoning_assets.stores.drafts import Draft
from zoning_assets.stores.objects import Objects
from zoning_assets.stores.publish import close_idle
from zoning_assets.stores.tables import NORMALIZED, VALIDATED
from zoning_assets.transform import canonical, picture
from zoning_assets.transform.columns import Scope
from zoning_assets.transform.geometry import NO_GEOMETRY
from zoning_assets.transform.judge import REJECTION_COLUMNS

_log = logging.getLogger(__name__)

#: The stages, in order; each is an asset. The last is the table in PostGIS.
RAW, PUBLISHED = "raw_feed", "published"
STAGES = (RAW, NORMALIZED, VALIDATED, PUBLISHED)

#: Places in flight at a time: enough to keep the workers fed while portals answer, few enough to bound memory.
_PLACES_AT_ONCE = 8
#: More than this share rejected, and it is not the rows that are wrong (where there are rows enough to tell).
_MOST_REJECTED, _ENOUGH_ROWS = 0.5, 20


@dataclass(frozen=True)
class Opened:
    """A layer that was found, its tiles, and what its portal said of it."""

    source: Source
    cover: Cover
    signals: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Probed:
    """What a probe found; `why` a feed is worth fetching, None where nothing says so."""

    jurisdiction: str
    feed: str
    why: str | None
    requests: int


@dataclass(frozen=True)
class Pipeline:
    """What runs work with."""

    objects: Objects
    database: str
    scratch: Path
    pool: Pool
    http: Callable[[], Http] = Http

    async def find_cover(self, jurisdiction: Jurisdiction, *, force: bool = False) -> Cover:
        """The tiles of a jurisdiction's parcels; looked for anew only where the layer changed.

        Raises:
            ZoningError: see errors.py.
        """
        TALLY.set(Tally())
        async with self.http() as http, on_sigterm(http.drain):
            return (await self._open(jurisdiction, PARCELS, http, force=force)).cover

    async def run(
        self,
        jurisdictions: Mapping[str, Jurisdiction],
        places: Sequence[Place],
        feed: str,
        stages: Sequence[str],
        report: Callable[[Outcome], None],
    ) -> None:
        """Take each place through the stages; `report` is told each outcome as it is known."""
        slots = asyncio.Semaphore(_PLACES_AT_ONCE)
        opened: dict[str, asyncio.Task[Opened]] = {}
        published: set[Place] = set()
        async with self.http() as http, on_sigterm(http.drain), asyncio.TaskGroup() as group:

            async def take(place: Place) -> None:
                try:
                    if stopped := http.stopped(str(place)):
                        report(Outcome(place, feed, error=stopped))
                        return
                    outcome = await self._take(jurisdictions[place.jurisdiction], place, feed, stages, opener)
                    published.update([place] if PUBLISHED in outcome.stages else [])
                    report(outcome)
                finally:
                    slots.release()

            def opener(jurisdiction: Jurisdiction) -> asyncio.Task[Opened]:
                if jurisdiction.id not in opened:
                    opened[jurisdiction.id] = asyncio.create_task(self._open_for_run(jurisdiction, feed, http))
                return opened[jurisdiction.id]

            for place in places:
                await slots.acquire()
                group.create_task(take(place))
        for jurisdiction, task in opened.items():
            if not task.exception():
                await asyncio.to_thread(self._note_published, jurisdiction, feed, task.result(), published)

    def _note_published(self, jurisdiction: str, feed: str, opened: Opened, published: set[Place]) -> None:
        """What a feed is now, for the next probe and against the next fall; only when the whole of it was published."""
        cover = opened.cover
        if published >= {Place(jurisdiction, tile) for tile in cover.tiles or (None,)}:
            baselines.put(self.objects, jurisdiction, feed, cover.rows, opened.signals)

    async def _take(
        self,
        jurisdiction: Jurisdiction,
        place: Place,
        feed: str,
        stages: Sequence[str],
        opener: Callable[[Jurisdiction], asyncio.Task[Opened]],
    ) -> Outcome:
        """One place through the stages; an error ends its way and is said, not raised."""
        started, tally, outcome = time.monotonic(), Tally(), Outcome(place, feed)
        TALLY.set(tally)
        try:
            if RAW in stages:
                opened = await opener(jurisdiction)
                cover = opened.cover
                outcome.harvest = await fetch(opened.source, self.objects, place, cover)
            else:
                cover = _known_cover(self.objects, jurisdiction, feed)
                outcome.harvest = await asyncio.to_thread(harvests.latest, self.objects, place, feed)
            outcome.stages.append(RAW)
            scope = Scope(place.tile, tuple(cover.tiles), dict(cover.repeated))
            work = Work(self.objects, jurisdiction, jurisdiction.feeds[feed], outcome.harvest, scope)
            for stage, step in ((NORMALIZED, self._normalize), (VALIDATED, self._validate), (PUBLISHED, self._publish)):
                if stage in stages:
                    await step(work, outcome)
                    outcome.stages.append(stage)
        except CoverStale as error:
            outcome.error = error
            _doubt_cover(self.objects, jurisdiction, feed)
        except ZoningError as error:
            outcome.error = error
        except Exception as error:  # noqa: BLE001 - what nobody thought of must fail its place, not the run
            outcome.error = _defect(place, error)
        spent = Counts(requests=tally.requests, bytes=tally.bytes, seconds=round(time.monotonic() - started, 3))
        outcome.counts += spent
        return outcome

    async def _normalize(self, work: Work, outcome: Outcome) -> None:
        """Each page in our columns and the target CRS, only rows that this place owns."""
        table, pages = work.table(NORMALIZED), range(len(work.harvest.pages))
        said = await asyncio.to_thread(table.find_summary, work.objects)
        if said is None:
            alone = {numbers[0]: part for part, (numbers, listed) in enumerate(parts_of(work.harvest)) if not listed}
            tasks = (self.pool.run(normalize_page, work, number, alone.get(number)) for number in pages)
            done = await asyncio.gather(*tasks)
            outcome.judged = {alone[number]: judged for number, (_, judged) in enumerate(done) if judged}
            said = {"fetched": sum(fetched for fetched, _ in done)}
            await asyncio.to_thread(table.commit, work.objects, len(pages), said)
        outcome.counts = Counts(received=sum(page.rows for page in work.harvest.pages), fetched=said["fetched"])

    async def _validate(self, work: Work, outcome: Outcome) -> None:
        """Each row judged: a valid MultiPolygon with its hash, or a rejection with its reason."""
        table = work.table(VALIDATED)
        said = await asyncio.to_thread(table.find_summary, work.objects)
        if said is None:
            known, groups = outcome.judged, list(enumerate(parts_of(work.harvest)))
            missing = [(part, group) for part, group in groups if part not in known]
            tasks = (self.pool.run(validate_part, work, part, *group) for part, group in missing)
            known.update(zip((part for part, _ in missing), await asyncio.gather(*tasks), strict=True))
            judged = [known[part] for part, _ in groups]
            said = {
                "counts": sum((part.counts for part in judged), Counts()).as_dict(),
                "content_hash": canonical.set_hash(each for part in judged for each in part.hashes),
            }
            held = pd.concat([_NONE_HELD, *(part.rejections for part in judged)], ignore_index=True)
            image = await self.pool.run(picture.draw, [part.sketch for part in judged])
            await asyncio.to_thread(table.finish, work.objects, len(groups), said, held, image)
        outcome.judged = {}
        counts = Counts(**said["counts"])
        outcome.rejections = await asyncio.to_thread(table.rejections, work.objects)
        _check(work.place, counts, outcome.rejections["reason"])
        outcome.counts = replace(counts, received=outcome.counts.received)
        outcome.content_hash = said["content_hash"]
        outcome.picture = await asyncio.to_thread(table.picture, work.objects)

    async def _publish(self, work: Work, outcome: Outcome) -> None:
        """The validated table into PostGIS, in one transaction."""
        self.pool.at_exit(close_idle)
        done = await self.pool.run_here(publish_place, work, self.database)
        outcome.batch = done.batch
        outcome.counts += Counts(added=done.added, changed=done.changed, unchanged=done.unchanged, retired=done.retired)

    async def _open(self, jurisdiction: Jurisdiction, feed: str, http: Http, *, force: bool = False) -> Opened:
        """The feed's layer, and its cover: the one known, while the layer says of itself what it said then.

        Raises:
            AcceptanceNeeded: the layer shrank by much; what was published before stays.
        """
        request = self._request(jurisdiction, feed, http)
        source = await FEED_TYPES[request.feed.type].open_source(request)
        known = None if feed == ZONING else harvests.find_cover(self.objects, jurisdiction.id, feed)
        stamp = source.stamp | {
            "tile_resolution": jurisdiction.tile_resolution,
            "key": request.feed.key,
            "crs": request.feed.crs,
        }
        if known and not known.doubted and not force and known.stamp == stamp:
            cover = known
        elif feed == ZONING:
            cover = Cover(jurisdiction.id, feed, stamp, {}, rows=source.rows or 0)
        else:
            cover = replace(await source.cover(exact=bool(known and known.doubted)), stamp=stamp)
        if source.rows is not None or feed != ZONING:
            baselines.guard(self.objects, jurisdiction.id, request.feed, cover.rows)
        if feed != ZONING:
            harvests.put_cover(self.objects, cover)
        return Opened(source, cover)

    async def _open_for_run(self, jurisdiction: Jurisdiction, feed: str, http: Http) -> Opened:
        """The feed's layer; its signals are asked for first, so that what changes meanwhile is seen the next time."""
        request = self._request(jurisdiction, feed, http)
        signals = await FEED_TYPES[request.feed.type].probe(request)
        return replace(await self._open(jurisdiction, feed, http), signals=signals)

    def _request(self, jurisdiction: Jurisdiction, feed: str, http: Http) -> Request:
        if feed not in jurisdiction.feeds:
            raise JurisdictionInvalid(
                f"it has no feed {feed!r}", where=jurisdiction.file, do=f"add a table [feeds.{feed}] to the file"
            )
        draft = Draft(self.objects, Place(jurisdiction.id), feed)
        return Request(jurisdiction, jurisdiction.feeds[feed], http, self.scratch, draft)

    async def probe(self, jurisdiction: Jurisdiction, feed: str, now: datetime) -> Probed:
        """Ask a portal whether a feed is worth fetching; no row is asked for, nothing is changed.

        Raises:
            ZoningError: see errors.py.
        """
        tally = Tally()
        TALLY.set(tally)
        async with self.http() as http:
            request = self._request(jurisdiction, feed, http)
            signals = await FEED_TYPES[request.feed.type].probe(request)
        before = baselines.find(self.objects, jurisdiction.id, feed)
        why = baselines.changed(before, signals, request.feed.full_refresh_days, now)
        return Probed(jurisdiction.id, feed, why, tally.requests)


async def fetch(source: Source, objects: Objects, place: Place, cover: Cover) -> Harvest:
    """All pages of a place, kept as they came, and the proof that they are all.

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
    draft = Draft(objects, place, cover.feed)
    try:
        proof = await source.fetch(place, cover, draft)
    except HarvestIncomplete:
        await asyncio.to_thread(draft.abandon)
        raise
    return await asyncio.to_thread(partial(draft.commit, form=source.form, layer=source.layer, proof=proof))


_NONE_HELD = pd.DataFrame({name: [] for name in REJECTION_COLUMNS}, dtype=object).astype({"row": "int64"})


def _known_cover(objects: Objects, jurisdiction: Jurisdiction, feed: str) -> Cover:
    if feed == ZONING:
        return Cover(jurisdiction.id, feed, {}, {})
    cover = harvests.find_cover(objects, jurisdiction.id, feed)
    if cover is None:
        raise HarvestMissing("its tiles are not known yet", where=jurisdiction.id, do="materialize `tiles` first")
    return cover


def _doubt_cover(objects: Objects, jurisdiction: Jurisdiction, feed: str) -> None:
    cover = harvests.find_cover(objects, jurisdiction.id, feed)
    if cover is not None:
        harvests.put_cover(objects, replace(cover, doubted=True))


def _defect(place: Place, error: Exception) -> Defect:
    """An unforeseen error as a line; the stack goes to the log."""
    _log.error("%s: unforeseen", place, exc_info=error)
    at = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
    return Defect(what[:500], where=str(place), do="report this; nothing was published")


def _check(place: Place, counts: Counts, reasons: pd.Series) -> None:
    """Fetched = accepted + rejected, and not too many rejected.

    Rows without a shape say nothing of the tile that they are kept at: all of a layer are kept at one. That a layer
    lost its shapes is seen by the number of rows that have a place (baselines.guard).

    Raises:
        TooManyRejections: publishing the rest would retire what stands.
    """
    if counts.fetched != counts.accepted + counts.rejected:
        raise Defect(
            f"{counts.fetched} fetched, {counts.accepted} accepted, {counts.rejected} rejected: this does not add up",
            where=str(place),
            do="report this; nothing was published",
        )
    shapeless = int((reasons == NO_GEOMETRY).sum()) if place.tile else 0
    rejected, of = counts.rejected - shapeless, counts.fetched - shapeless
    if of >= _ENOUGH_ROWS and rejected > _MOST_REJECTED * of:
        raise TooManyRejections(
            f"{rejected} of {of} rows were rejected",
            where=str(place),
            do="look at the rejections of `validated`, then mend the jurisdiction file",
        )
