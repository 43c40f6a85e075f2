"""The data's way, in order. Read this first.

    portal -> harvest of the layer                                a partition is a jurisdiction (asset `tiles`)
    harvest -> raw_feed -> normalized -> validated -> parcels     a partition is a jurisdiction's tile
                                         validated -> districts   a partition is a jurisdiction
    parcels + districts -> parcel_zoning -> changes               the same; goes on in change_detection.py

A layer is fetched once, page by page, by one asyncio loop; each page goes to a worker process to be normalized while
others come (extract.py). When all pages are proven, the rows are dealt out to their tiles. Each tile is validated by
the workers and published by one transaction. Before that, the tiles of a jurisdiction wait for one another, and
tripwires judge what all of them would publish (release_gate.py). A tile that fails, fails alone: its error is its
outcome, and what was published for it before stays.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from zoning_assets.defects import defect
from zoning_assets.errors import CoverStale, ZoningError
from zoning_assets.graceful_stop import called_in_loop
from zoning_assets.harvest import Cover
from zoning_assets.http import Client, Http, Kept, Tally
from zoning_assets.model import (
    NORMALIZED,
    PARCELS,
    PUBLISHED,
    RAW,
    VALIDATED,
    ZONING,
    Counts,
    Jurisdiction,
    Outcome,
    Place,
)
from zoning_assets.pipeline.cut_tiles import Preparing
from zoning_assets.pipeline.extract import Harvesting
from zoning_assets.pipeline.holds import hosts_of, watching
from zoning_assets.pipeline.known_layer import doubt_cover, is_whole, note_published
from zoning_assets.pipeline.publishing import Publishing
from zoning_assets.pipeline.release_gate import Gate
from zoning_assets.pipeline.runner import Prepared, Run, places_of
from zoning_assets.pipeline.validation import Validated, Validation
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.publish import PublishResult
from zoning_assets.storage.postgis.records import correction_records, feed_freshness, snapshots
from zoning_assets.transform.quality.release_checks import Verdict
from zoning_assets.transform.quality.release_profile import ReleaseProfile

STAGES = (RAW, NORMALIZED, VALIDATED, PUBLISHED)

#: Places in flight at a time: enough to keep the workers fed while portals answer, few enough to bound memory.
_PLACES_AT_ONCE = 8


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
    database: str  # "": a trial, which publishes nothing and asks nobody
    scratch: Path
    pool: Pool
    http: Callable[[], Http] = Http
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    kept: Kept = field(default_factory=dict)  # what portals answered to the look before this run

    @property
    def _harvesting(self) -> Harvesting:
        return Harvesting(self.objects, self.scratch, self.pool)

    @property
    def _validation(self) -> Validation:
        return Validation(self.pool, self.database)

    async def harvest(self, jurisdiction: Jurisdiction, feed: str = PARCELS, *, force: bool = False) -> Cover:
        """The newest harvest of a feed's layer; the layer is fetched only where it may have changed.

        Raises:
            ZoningError: see errors.py.
        """
        hosts = hosts_of(jurisdiction, feed)
        async with self.http() as http, called_in_loop(http.drain), watching(self.database) as pauses:
            if error := await pauses.over(jurisdiction.id, hosts, partial(http.stopped, jurisdiction.id)):
                raise error
            paused = partial(pauses.held, jurisdiction.id, hosts)
            client = http.for_work(Tally(), paused, self.kept.get((jurisdiction.id, feed)))
            return await self._harvested(jurisdiction, feed, client, force=force)

    async def _harvested(self, jurisdiction: Jurisdiction, feed: str, http: Client, *, force: bool = False) -> Cover:
        tally, started = http.tally, time.monotonic()
        cover = await self._harvesting.harvest(jurisdiction, feed, http, self.now(), force=force)
        seconds = round(time.monotonic() - started, 3)
        cover = replace(cover, cost={"requests": tally.requests, "bytes": tally.bytes, "seconds": seconds})
        await asyncio.to_thread(raw_harvests.put_cover, self.objects, cover)
        return cover

    async def probe(self, jurisdiction: Jurisdiction, feed: str, now: datetime) -> Probed:
        """Ask a portal whether a feed is worth fetching; no row is asked for, nothing is changed.

        Raises:
            ZoningError: see errors.py.
        """
        tally = Tally()
        async with self.http() as http:
            why = await self._harvesting.probe(jurisdiction, feed, http.for_work(tally), now)
        return Probed(jurisdiction.id, feed, why, tally.requests)

    async def trial(self, jurisdiction: Jurisdiction, feed: str) -> Outcome:
        """What would become of the first page of a layer; nothing is published, no database is asked.

        Raises:
            ZoningError: see errors.py.
        """
        place = Place(jurisdiction.id)
        async with self.http() as http, called_in_loop(http.drain):
            work = await self._harvesting.first_page(jurisdiction, feed, http.for_work())
        await Preparing(self.objects, self.pool).deal([work])
        outcome = Outcome(place, feed, (RAW, NORMALIZED), harvest=work.harvest)
        try:
            validated = await self._validation.validated(work)
            table = validated.work.table(VALIDATED)
            received = Counts(received=validated.counts.fetched)
            rejections = await asyncio.to_thread(table.rejections, self.objects)
            outcome = replace(outcome, counts=validated.counts + received, rejections=rejections)
            self._validation.check(validated)
        except ZoningError as error:
            return replace(outcome, error=error)
        return outcome

    async def run(  # noqa: PLR0913 - what is to be done where, and who is told
        self,
        jurisdictions: Mapping[str, Jurisdiction],
        places: Sequence[Place],
        feed: str,
        stages: Sequence[str],
        report: Callable[[Outcome], None],
        tell: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        """Take each place through the stages; `report` is told each outcome as it is known, and `tell` what the
        tripwires say of a jurisdiction's release."""
        slots, published = asyncio.Semaphore(_PLACES_AT_ONCE), set[Place]()

        def note(outcome: Outcome) -> None:
            published.update([outcome.place] if PUBLISHED in outcome.stages else [])
            report(outcome)

        async with self.http() as http, called_in_loop(http.drain), watching(self.database) as pauses:
            gate = partial(Gate, self.database, self.objects, feed=feed, slots=slots, tell=tell)
            gates = {name: gate(each, awaited=places_of(name, places)) for name, each in jurisdictions.items()}

            def client_of(jurisdiction: Jurisdiction) -> Client:
                paused = partial(pauses.held, jurisdiction.id, hosts_of(jurisdiction, feed))
                return http.for_work(Tally(), paused, self.kept.get((jurisdiction.id, feed)))

            async def prepare(jurisdiction: Jurisdiction) -> Prepared:
                cover = None
                if RAW in stages and feed == ZONING:
                    cover = await self._harvested(jurisdiction, feed, client_of(jurisdiction))
                mine = sorted(places_of(jurisdiction.id, places), key=str)
                return await Preparing(self.objects, self.pool).prepared(jurisdiction, feed, cover, mine, stages)

            run = Run(jurisdictions, feed, prepare, http, pauses, slots, gates)
            await run.all(places, partial(self._take, stages), note)
        covers = {name: each for name, each in run.covers().items() if places_of(name, published)}
        if RAW not in stages:
            await asyncio.to_thread(self._note_replayed, feed, [jurisdictions[name] for name in covers])
            return
        stands = [each for name, each in covers.items() if await gates[name].stands()]
        await asyncio.to_thread(self._note_published, stands, published)

    def _note_published(self, covers: Sequence[Cover], published: set[Place]) -> None:
        """What each feed is now; and where all of it is of one state, that it may be compared with another."""
        for each in covers:
            if note_published(self.objects, each, places_of(each.jurisdiction, published)):
                snapshots.set_compared_batch(self.database, each.jurisdiction, each.feed)
                seen = datetime.fromisoformat(each.seen)
                feed_freshness.store_harvest(self.database, each.jurisdiction, each.feed, seen)

    def _note_replayed(self, feed: str, replayed: Sequence[Jurisdiction]) -> None:
        """Feeds of which no row was asked for are of one state if they were."""
        for jurisdiction in replayed:
            if is_whole(self.objects, jurisdiction, feed):
                snapshots.set_compared_batch(self.database, jurisdiction.id, feed)

    async def _take(self, stages: Sequence[str], run: Run, place: Place) -> Outcome:
        """One place through the stages; an error ends its way and is its outcome, not raised."""
        started, outcome, validated = time.monotonic(), Outcome(place, run.feed), None
        try:
            async for reached in self._through(stages, run, place):
                outcome, validated = reached
        except CoverStale as error:
            doubted = await asyncio.to_thread(self._doubt, run.jurisdictions[place.jurisdiction], run.feed, error)
            outcome = replace(outcome, error=doubted)
        except ZoningError as error:
            outcome = replace(outcome, error=error)
        except Exception as error:  # noqa: BLE001 - what nobody thought of must fail its place, not the run
            outcome = replace(outcome, error=run.http.stopped(str(place)) or defect(str(place), error))
        if validated and VALIDATED in outcome.stages:
            outcome = await asyncio.to_thread(self._shown, outcome, validated)
        seconds = time.monotonic() - started - run.gates[place.jurisdiction].waited_s(place)
        return replace(outcome, counts=outcome.counts + Counts(seconds=round(seconds, 3)))

    async def _through(
        self, stages: Sequence[str], run: Run, place: Place
    ) -> AsyncIterator[tuple[Outcome, Validated | None]]:
        """What became of a place after each stage, and its validated table once there is one.

        Raises:
            ZoningError: the next stage refuses; what was given before holds.
        """
        prepared = await run.prepared(run.jurisdictions[place.jurisdiction])
        work = prepared.works[place]
        if isinstance(work, ZoningError):
            raise work
        received = _received(prepared.cover, work, stages)
        outcome = Outcome(place, run.feed, (RAW,), received, work.harvest)
        fields = ReleaseProfile()
        if NORMALIZED in stages:
            summary = await asyncio.to_thread(work.table(NORMALIZED).summary, self.objects)
            fields = ReleaseProfile(fields=tuple(summary["fields"]))
            outcome = _after(outcome, NORMALIZED, received + Counts(fetched=summary["fetched"]))
        yield outcome, None
        if VALIDATED in stages or PUBLISHED in stages:
            validated = await self._validation.validated(work)
            counts = validated.counts + received
            outcome = replace(outcome, counts=counts, content_hash=validated.content_hash)
            yield outcome, validated
            await asyncio.to_thread(self._validation.check, validated)
            outcome = _after(outcome, VALIDATED, counts) if VALIDATED in stages else outcome
            yield outcome, validated
            if PUBLISHED in stages:
                publishing = Publishing(self.pool, self.database)
                done = await publishing.published(validated, fields, run.gates[place.jurisdiction])
                yield _after(replace(outcome, batch=done.batch), PUBLISHED, counts + _done(done)), validated

    def _shown(self, outcome: Outcome, validated: Validated) -> Outcome:
        """With what a person sees of a validated table: read last, as it is large and a place may wait for others."""
        table = validated.work.table(VALIDATED)
        try:
            rejections, image = table.rejections(self.objects), table.picture(self.objects)
        except ZoningError as error:
            stages = outcome.stages[: outcome.stages.index(VALIDATED)]
            return replace(outcome, error=outcome.error or error, stages=stages)
        return replace(outcome, rejections=rejections, picture=image)

    def _doubt(self, jurisdiction: Jurisdiction, feed: str, error: CoverStale) -> CoverStale:
        """A key stands twice: a person's fix gives it and gives way, or the layer changed."""
        if not (error.key and correction_records.end_fix_of_key(self.database, jurisdiction.id, feed, error.key)):
            doubt_cover(self.objects, jurisdiction, feed)
            return error
        return CoverStale(f"{error.what}; the fix that gave it was withdrawn", where=error.where, do="run again")


def _after(outcome: Outcome, stage: str, counts: Counts) -> Outcome:
    """The outcome when one more stage was completed."""
    return replace(outcome, stages=(*outcome.stages, stage), counts=counts)


def _received(cover: Cover, work: Work, stages: Sequence[str]) -> Counts:
    """What came of the place from the portal."""
    received = Counts(received=sum(page.rows for page in work.harvest.pages))
    if work.place.tile is None and RAW in stages:  # a tile's layer was fetched by another asset
        received += Counts(requests=int(cover.cost["requests"]), bytes=int(cover.cost["bytes"]))
    return received


def _done(done: PublishResult) -> Counts:
    return Counts(added=done.added, changed=done.changed, unchanged=done.unchanged, retired=done.retired)
