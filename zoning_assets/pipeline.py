"""The data's way, in order. Read this first.

    feed -> raw_feed -> normalized -> validated -> parcels        a partition is a jurisdiction's tile
                                      validated -> districts      a partition is a jurisdiction
    parcels + districts -> parcel_zoning -> changes               the same; goes on in judging.py

A run takes many places (running.py). Their pages are fetched by one asyncio loop, a few places at a time; each page
then goes to a worker process to be normalized and validated, and each place is published by one transaction. Before
that, the places of a jurisdiction wait for one another, and tripwires judge what all of them would publish (gate.py). A
place that fails, fails alone: its error is its outcome, and what was published for it before stays.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd

from zoning_assets.errors import CoverStale, Defect, TooManyRejections, ZoningError, of_machine
from zoning_assets.fixing import check, fixed_by, work_of
from zoning_assets.gate import Gate
from zoning_assets.harvesting import Harvesting, Opened
from zoning_assets.http import PAUSED, TALLY, Http, Tally
from zoning_assets.model import (
    NORMALIZED,
    PARCELS,
    PUBLISHED,
    RAW,
    VALIDATED,
    Counts,
    Cover,
    Jurisdiction,
    Outcome,
    Place,
)
from zoning_assets.pauses import hosts_of, watching
from zoning_assets.pool import RANK, Pool
from zoning_assets.running import Run, places_of
from zoning_assets.stages import (
    NONE_HELD,
    Work,
    compare_place,
    held,
    normalize_page,
    parts_of,
    publish_place,
    validate_part,
)
from zoning_assets.stopping import called_in_loop
from zoning_assets.stores import fixes, freshness, harvests, states
from zoning_assets.stores.objects import Objects
from zoning_assets.stores.publish import find_published
from zoning_assets.stores.sessions import close_idle
from zoning_assets.transform import canonical, picture
from zoning_assets.transform.survey import Survey
from zoning_assets.transform.tripwires import Verdict

_log = logging.getLogger(__name__)

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
        return Harvesting(self.objects, self.scratch)

    async def find_cover(self, jurisdiction: Jurisdiction, *, force: bool = False) -> Cover:
        """The tiles of a jurisdiction's parcels; looked for anew only where the layer changed.

        Raises:
            ZoningError: see errors.py.
        """
        TALLY.set(Tally())
        hosts = hosts_of(jurisdiction, PARCELS)
        async with self.http() as http, called_in_loop(http.drain), watching(self.database) as pauses:
            if error := await pauses.over(jurisdiction.id, hosts, partial(http.stopped, jurisdiction.id)):
                raise error
            PAUSED.set(partial(pauses.held, jurisdiction.id, hosts))
            return (await self._harvesting.open(jurisdiction, PARCELS, http, force=force)).cover

    async def probe(self, jurisdiction: Jurisdiction, feed: str, now: datetime) -> Probed:
        """Ask a portal whether a feed is worth fetching; no row is asked for, nothing is changed.

        Raises:
            ZoningError: see errors.py.
        """
        tally = Tally()
        TALLY.set(tally)
        async with self.http() as http:
            why = await self._harvesting.probe(jurisdiction, feed, http, now)
        return Probed(jurisdiction.id, feed, why, tally.requests)

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
        slots, published, began = asyncio.Semaphore(_PLACES_AT_ONCE), set[Place](), self.now()

        def note(outcome: Outcome) -> None:
            published.update([outcome.place] if PUBLISHED in outcome.stages else [])
            report(outcome)

        async with self.http() as http, called_in_loop(http.drain), watching(self.database) as pauses:
            gate = partial(Gate, self.database, self.objects, feed=feed, slots=slots, tell=tell)
            gates = {name: gate(each, awaited=places_of(name, places)) for name, each in jurisdictions.items()}
            run = Run(jurisdictions, feed, self._harvesting, http, pauses, slots, gates)
            await run.all(places, partial(self._take, stages), note)
        opened = {each: opened for each, opened in run.known().items() if published and await gates[each].stands()}
        await asyncio.to_thread(self._note_published, feed, opened, published, began)
        replayed = {each.jurisdiction for each in published} - {*run.known()}
        await asyncio.to_thread(self._note_replayed, feed, [jurisdictions[each] for each in replayed])

    def _note_published(self, feed: str, opened: Mapping[str, Opened], published: set[Place], began: datetime) -> None:
        """What each feed is now; and where all of it is of one state, that it may be compared with another."""
        for jurisdiction, each in opened.items():
            mine = places_of(jurisdiction, published)
            if self._harvesting.note_published(jurisdiction, feed, each, mine, began):
                states.note_whole(self.database, jurisdiction, feed)
                freshness.note_harvested(self.database, jurisdiction, feed, began)

    def _note_replayed(self, feed: str, replayed: Sequence[Jurisdiction]) -> None:
        """Feeds of which no row was asked for are of one state if they were."""
        for jurisdiction in replayed:
            if self._harvesting.is_whole(jurisdiction, feed):
                states.note_whole(self.database, jurisdiction.id, feed)

    async def _take(self, stages: Sequence[str], run: Run, place: Place) -> Outcome:
        """One place through the stages; an error ends its way and is said, not raised."""
        started, tally, outcome = time.monotonic(), Tally(), Outcome(place, run.feed)
        TALLY.set(tally)
        RANK.set(run.rank())
        work = None
        try:
            work = await self._fetch(stages, run, outcome)
            outcome.stages.append(RAW)
            publish = partial(self._publish, gate=run.gates[place.jurisdiction])
            for stage, step in ((NORMALIZED, self._normalize), (VALIDATED, self._validate), (PUBLISHED, publish)):
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
        outcome.counts += Counts(requests=tally.requests, bytes=tally.bytes, seconds=seconds)
        return outcome

    async def _fetch(self, stages: Sequence[str], run: Run, outcome: Outcome) -> Work:
        """The harvest of a place: from its portal, or the one that was fetched last."""
        place, jurisdiction = outcome.place, run.jurisdictions[outcome.place.jurisdiction]
        if RAW in stages:
            opened = await run.open(jurisdiction)
            cover, tiles = opened.cover, opened.tiles
            oldest = timedelta(days=jurisdiction.feeds[run.feed].full_refresh_days)
            outcome.harvest = await self._harvesting.fetch(opened.source, place, cover, self.now(), oldest)
        else:
            cover = self._harvesting.known_cover(jurisdiction, run.feed)
            tiles = tuple(cover.tiles)
            outcome.harvest = await asyncio.to_thread(harvests.latest, self.objects, place, run.feed)
        return work_of(self.objects, jurisdiction, cover, outcome.harvest, tiles)

    def _doubt(self, jurisdiction: Jurisdiction, feed: str, error: CoverStale) -> CoverStale:
        """A key stands twice: a person's fix gives it and gives way, or the layer changed."""
        if not (error.key and fixes.end_of_key(self.database, jurisdiction.id, feed, error.key)):
            self._harvesting.doubt_cover(jurisdiction, feed)
            return error
        return CoverStale(f"{error.what}; the fix that gave it was withdrawn", where=error.where, do="run again")

    async def _normalize(self, work: Work, outcome: Outcome) -> Work:
        """Each page in our columns and the target CRS, only rows that this place owns."""
        table, pages = work.table(NORMALIZED), range(len(work.harvest.pages))
        said = await asyncio.to_thread(table.find_summary, work.objects)
        if said is None:
            groups = enumerate(parts_of(work.harvest))
            alone = {numbers[0]: (part, listed) for part, (numbers, listed) in groups if len(numbers) == 1}
            tasks = (self.pool.run(normalize_page, work, number, *alone.get(number, ())) for number in pages)
            done = await asyncio.gather(*tasks)
            outcome.judged = {alone[number][0]: each.judged for number, each in enumerate(done) if each.judged}
            fields = sorted({name for each in done for name in each.fields})
            said = {"fetched": sum(each.fetched for each in done), "fields": fields}
            await asyncio.to_thread(table.commit, work.objects, len(pages), said)
        outcome.counts = Counts(received=sum(page.rows for page in work.harvest.pages), fetched=said["fetched"])
        outcome.survey = Survey(fields=tuple(said.get("fields", ())))
        return work

    async def _validate(self, work: Work, outcome: Outcome) -> Work:
        """Each row judged; where a person fixed some that were rejected, all once more with the fixes."""
        rejections = await self._judge(work, outcome)
        if not self.database:  # a trial, of which nobody said anything yet
            check(work.place, outcome.counts, rejections, lambda _: 0)
            return work
        fixed = await asyncio.to_thread(fixed_by, self.database, work, rejections)
        if fixed.fixes:
            await self._normalize(fixed, outcome)
            rejections = await self._judge(fixed, outcome)
        try:
            known_among = partial(fixes.known, self.database, work.place.jurisdiction, work.feed.name)
            await asyncio.to_thread(check, work.place, outcome.counts, rejections, known_among)
        except TooManyRejections:
            await asyncio.to_thread(fixes.hold_back, self.database, fixed.edition, held(rejections))
            raise
        return fixed

    async def _judge(self, work: Work, outcome: Outcome) -> pd.DataFrame:
        """Each row judged: a valid MultiPolygon with its hash, or a rejection with its reason."""
        table = work.table(VALIDATED)
        said = await asyncio.to_thread(table.find_summary, work.objects)
        if said is None or "survey" not in said:
            known, groups = outcome.judged, list(enumerate(parts_of(work.harvest)))
            missing = [(part, group) for part, group in groups if part not in known]
            tasks = (self.pool.run(validate_part, work, part, *group) for part, group in missing)
            known.update(zip((part for part, _ in missing), await asyncio.gather(*tasks), strict=True))
            judged = [known[part] for part, _ in groups]
            rejections = pd.concat([NONE_HELD, *(part.rejections for part in judged)], ignore_index=True)
            said = {
                "counts": sum((part.counts for part in judged), Counts()).as_dict(),
                "content_hash": canonical.set_hash(each for part in judged for each in part.hashes),
                "survey": sum((part.survey for part in judged), Survey()).as_dict(),
            }
            image = await self.pool.run(picture.of_sketches, [part.sketch for part in judged])
            await asyncio.to_thread(table.finish, work.objects, len(groups), said, rejections, image)
        outcome.judged = {}
        counts = Counts(**said["counts"])
        seen = Survey.of(said["survey"])
        outcome.survey = (outcome.survey or Survey()) + seen
        outcome.counts = replace(counts, received=outcome.counts.received)
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
            outcome.survey += Survey(kept=outcome.survey.rows)
        elif await gate.compares():
            outcome.survey += await self.pool.run(compare_place, work, self.database)
        await gate.come(outcome, work.scope.tiles, publishes=done is None)
        if done is None:
            async with gate.turn:  # in a thread: a worker that waits for PostgreSQL works on no page
                done = await asyncio.to_thread(publish_place, work, self.database, await gate.undone())
        outcome.batch = done.batch
        outcome.counts += Counts(added=done.added, changed=done.changed, unchanged=done.unchanged, retired=done.retired)
        return work


def defect(where: str, error: Exception, stands: str = "nothing was published") -> ZoningError:
    """An unforeseen error as a line: what this machine refused, else a fault of ours, whose stack goes to the log.

    `stands`: what of the work stands all the same.
    """
    if known := of_machine(error, where):
        return known
    _log.error("%s: unforeseen", where, exc_info=error)
    at = traceback.extract_tb(error.__traceback__)[-1:]
    here = f" (at {Path(at[0].filename).name}:{at[0].lineno})" if at else ""
    return Defect(f"a fault of this program{here}", where=where, do=f"report it with the log; {stands}")
