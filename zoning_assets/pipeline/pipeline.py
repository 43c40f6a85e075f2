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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from zoning_assets.defects import defect
from zoning_assets.errors import CoverStale, Defect, TooManyRejections, ZoningError
from zoning_assets.graceful_stop import called_in_loop
from zoning_assets.http import Client, Http, Tally
from zoning_assets.model import (
    NORMALIZED,
    PARCELS,
    PUBLISHED,
    RAW,
    VALIDATED,
    ZONING,
    Counts,
    Cover,
    Jurisdiction,
    Outcome,
    Place,
)
from zoning_assets.pipeline.corrections import check, fixed_by
from zoning_assets.pipeline.cut_tiles import Preparing
from zoning_assets.pipeline.extract import Harvesting, doubt_cover, is_whole, note_published
from zoning_assets.pipeline.holds import hosts_of, watching
from zoning_assets.pipeline.release_gate import Gate
from zoning_assets.pipeline.runner import Prepared, Run, places_of
from zoning_assets.pipeline.work_item import Work
from zoning_assets.pipeline.worker_pool import Pool
from zoning_assets.pipeline.worker_tasks import NONE_HELD, compare_place, fix_rows, held, publish_place, validate_part
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.publish import find_published
from zoning_assets.storage.postgis.records import correction_records, feed_freshness, snapshots
from zoning_assets.storage.postgis.sessions import close_idle
from zoning_assets.transform.geometry import content_hash, preview_image
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

    @property
    def _harvesting(self) -> Harvesting:
        return Harvesting(self.objects, self.scratch, self.pool)

    async def harvest(self, jurisdiction: Jurisdiction, feed: str = PARCELS, *, force: bool = False) -> Cover:
        """The newest harvest of a feed's layer; the layer is fetched only where it may have changed.

        Raises:
            ZoningError: see errors.py.
        """
        hosts = hosts_of(jurisdiction, feed)
        async with self.http() as http, called_in_loop(http.drain), watching(self.database) as pauses:
            if error := await pauses.over(jurisdiction.id, hosts, partial(http.stopped, jurisdiction.id)):
                raise error
            client = http.for_work(Tally(), partial(pauses.held, jurisdiction.id, hosts))
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
        outcome = Outcome(place, feed)
        async with self.http() as http, called_in_loop(http.drain):
            work = await self._harvesting.first_page(jurisdiction, feed, http.for_work())
        await Preparing(self.objects, self.pool).deal([work])
        cover = Cover(jurisdiction.id, feed, {}, {})
        work = await self._prepared(Prepared(cover, {place: work}), outcome, [NORMALIZED])
        try:
            await self._validate(work, outcome)
            outcome.rejections = await asyncio.to_thread(work.table(VALIDATED).rejections, self.objects)
        except ZoningError as error:
            outcome.error = error
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
                hosts = hosts_of(jurisdiction, feed)
                return http.for_work(Tally(), partial(pauses.held, jurisdiction.id, hosts))

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
                snapshots.note_whole(self.database, each.jurisdiction, each.feed)
                seen = datetime.fromisoformat(each.seen)
                feed_freshness.note_harvested(self.database, each.jurisdiction, each.feed, seen)

    def _note_replayed(self, feed: str, replayed: Sequence[Jurisdiction]) -> None:
        """Feeds of which no row was asked for are of one state if they were."""
        for jurisdiction in replayed:
            if is_whole(self.objects, jurisdiction, feed):
                snapshots.note_whole(self.database, jurisdiction.id, feed)

    async def _take(self, stages: Sequence[str], run: Run, place: Place) -> Outcome:
        """One place through the stages; an error ends its way and is its outcome, not raised."""
        started, outcome = time.monotonic(), Outcome(place, run.feed)
        work = None
        try:
            prepared = await run.prepared(run.jurisdictions[place.jurisdiction])
            work = await self._prepared(prepared, outcome, stages)
            publish = partial(self._publish, gate=run.gates[place.jurisdiction])
            for stage, step in ((VALIDATED, self._validate), (PUBLISHED, publish)):
                if stage in stages:
                    work = await step(work, outcome)
                    outcome.stages.append(stage)
        except CoverStale as error:
            outcome.error = await asyncio.to_thread(self._doubt, run.jurisdictions[place.jurisdiction], run.feed, error)
        except ZoningError as error:
            outcome.error = error
        except Exception as error:  # noqa: BLE001 - what nobody thought of must fail its place, not the run
            outcome.error = run.http.stopped(str(place)) or defect(str(place), error)
        if work and VALIDATED in outcome.stages:
            await self._show(work, outcome)
        seconds = round(time.monotonic() - started - outcome.waited_s, 3)
        outcome.counts += Counts(seconds=seconds)
        return outcome

    async def _prepared(self, prepared: Prepared, outcome: Outcome, stages: Sequence[str]) -> Work:
        """What the place takes of the layer's harvest."""
        work = prepared.works[outcome.place]
        if isinstance(work, ZoningError):
            raise work
        outcome.harvest = work.harvest
        outcome.stages.append(RAW)
        received = sum(page.rows for page in work.harvest.pages)
        outcome.counts = Counts(received=received)
        if outcome.place.tile is None and RAW in stages:  # a tile's layer was fetched by another asset
            cost = prepared.cover.cost
            outcome.counts += Counts(requests=int(cost["requests"]), bytes=int(cost["bytes"]))
        if NORMALIZED in stages:
            summary = await asyncio.to_thread(work.table(NORMALIZED).summary, self.objects)
            outcome.counts = replace(outcome.counts, fetched=summary["fetched"])
            outcome.survey = ReleaseProfile(fields=tuple(summary["fields"]))
            outcome.stages.append(NORMALIZED)
        return work

    def _doubt(self, jurisdiction: Jurisdiction, feed: str, error: CoverStale) -> CoverStale:
        """A key stands twice: a person's fix gives it and gives way, or the layer changed."""
        if not (error.key and correction_records.end_of_key(self.database, jurisdiction.id, feed, error.key)):
            doubt_cover(self.objects, jurisdiction, feed)
            return error
        return CoverStale(f"{error.what}; the fix that gave it was withdrawn", where=error.where, do="run again")

    async def _validate(self, work: Work, outcome: Outcome) -> Work:
        """Each row judged; where a person fixed some that were rejected, all once more with the fixes."""
        rejections = await self._judge(work, outcome)
        if not self.database:  # a trial, of which nobody said anything yet
            check(work.place, outcome.counts, rejections, lambda _: 0)
            return work
        fixed = await asyncio.to_thread(fixed_by, self.database, work, rejections)
        if fixed.fixes:
            if await asyncio.to_thread(fixed.table(NORMALIZED).find_summary, self.objects) is None:
                await self.pool.run(fix_rows, fixed, work.table(NORMALIZED))
            rejections = await self._judge(fixed, outcome)
        try:
            known_among = partial(correction_records.known, self.database, work.place.jurisdiction, work.feed.name)
            await asyncio.to_thread(check, work.place, outcome.counts, rejections, known_among)
        except TooManyRejections:
            await asyncio.to_thread(correction_records.hold_back, self.database, fixed.edition, held(rejections))
            raise
        return fixed

    async def _judge(self, work: Work, outcome: Outcome) -> pd.DataFrame:
        """Each row judged: a valid MultiPolygon with its hash, or a rejection with its reason."""
        table = work.table(VALIDATED)
        said = await asyncio.to_thread(table.find_summary, work.objects)
        if said is None:
            summary = await asyncio.to_thread(work.table(NORMALIZED).summary, work.objects)
            groups = parts_of(summary, work.harvest.tile)
            tasks = (self.pool.run(validate_part, work, part, *group) for part, group in enumerate(groups))
            judged = await asyncio.gather(*tasks)
            rejections = pd.concat([NONE_HELD, *(part.rejections for part in judged)], ignore_index=True)
            counts = sum((part.counts for part in judged), Counts())
            if counts.fetched != summary["fetched"]:
                what = f"{summary['fetched']} rows were normalized, and {counts.fetched} were judged"
                raise Defect(what, where=str(work.place), do="report this; nothing was published")
            said = {
                "counts": counts.as_dict(),
                "content_hash": content_hash.set_hash(chain.from_iterable(part.hashes for part in judged)),
                "survey": sum((part.survey for part in judged), ReleaseProfile()).as_dict(),
            }
            image = await self.pool.run(preview_image.of_sketches, [part.sketch for part in judged])
            await asyncio.to_thread(table.finish, work.objects, len(groups), said, rejections, image)
        counts = Counts(**said["counts"])
        seen = ReleaseProfile.of(said["survey"])
        outcome.survey = (outcome.survey or ReleaseProfile()) + seen
        received = {name: getattr(outcome.counts, name) for name in ("received", "requests", "bytes")}
        outcome.counts = replace(counts, **received)
        outcome.content_hash = said["content_hash"]
        return await asyncio.to_thread(table.rejections, work.objects)

    async def _show(self, work: Work, outcome: Outcome) -> None:
        """What a person sees of a validated table: read last, as a place may wait for others, and this is large."""
        table = work.table(VALIDATED)
        try:
            outcome.rejections = await asyncio.to_thread(table.rejections, self.objects)
            outcome.picture = await asyncio.to_thread(table.picture, self.objects)
        except ZoningError as error:
            outcome.error = outcome.error or error
            outcome.stages = outcome.stages[: outcome.stages.index(VALIDATED)]

    async def _publish(self, work: Work, outcome: Outcome, gate: Gate) -> Work:
        """The validated table into PostGIS, in one transaction; if all that its jurisdiction would publish is right."""
        self.pool.at_exit(close_idle)
        if VALIDATED not in outcome.stages:  # only `parcels` was asked for: what was validated is read
            work = await self._validate(work, outcome)
        done = await asyncio.to_thread(find_published, self.database, work.edition)
        if done:
            outcome.survey += ReleaseProfile(kept=outcome.survey.rows)
        elif await gate.compares():
            outcome.survey += await self.pool.run(compare_place, work, self.database)
        await gate.come(outcome, work.tiles, publishes=done is None)
        if done is None:
            async with gate.turn:  # in a thread: a worker that waits for PostgreSQL works on no page
                done = await asyncio.to_thread(publish_place, work, self.database, await gate.undone())
        outcome.batch = done.batch
        outcome.counts += Counts(added=done.added, changed=done.changed, unchanged=done.unchanged, retired=done.retired)
        return work


def parts_of(summary: Mapping[str, Any], tile: str | None) -> list[tuple[list[int], bool]]:
    """The parts of the validated table: of which normalized parts each is made, and whether all rows of a key stand in
    them. A jurisdiction's map is judged as a whole."""
    numbers = list(summary["numbers"])
    together = numbers if tile is None else list(summary["together"])
    alone = [([number], False) for number in numbers if number not in together]
    return alone + ([(together, True)] if together else [])
