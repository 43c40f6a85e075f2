"""The data's way, in order. Read this first.

    feed -> raw_feed -> normalized -> validated -> parcels        a partition is a jurisdiction's tile
                                      validated -> districts      a partition is a jurisdiction
    parcels + districts -> parcel_zoning -> changes               the same; goes on in judging.py

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

import pandas as pd

from zoning_assets import logs
from zoning_assets.errors import (
    CoverStale,
    Defect,
    Held,
    TooManyRejections,
    ZoningError,
)
from zoning_assets.harvesting import Harvesting, Opened, layer_of
from zoning_assets.http import PAUSED, TALLY, Http, Tally
from zoning_assets.http.drain import on_sigterm
from zoning_assets.model import PARCELS, Counts, Cover, Jurisdiction, Outcome, Place
from zoning_assets.pauses import hosts_of, watching
from zoning_assets.pool import Pool
from zoning_assets.stages import HELD_COLUMNS, Work, normalize_page, parts_of, publish_place, validate_part
from zoning_assets.stores import harvests, states
from zoning_assets.stores.objects import Objects
from zoning_assets.stores.publish import close_idle, find_published
from zoning_assets.stores.tables import NORMALIZED, VALIDATED
from zoning_assets.transform import canonical, picture
from zoning_assets.transform.columns import Scope
from zoning_assets.transform.geometry import NO_GEOMETRY

_log = logging.getLogger(__name__)

#: The stages, in order; each is an asset. The last is the table in PostGIS.
RAW, PUBLISHED = "raw_feed", "published"
STAGES = (RAW, NORMALIZED, VALIDATED, PUBLISHED)

#: Places in flight at a time: enough to keep the workers fed while portals answer, few enough to bound memory.
_PLACES_AT_ONCE = 8
#: More than this share rejected, and it is not the rows that are wrong (where there are rows enough to tell).
_MOST_REJECTED, _ENOUGH_ROWS = 0.5, 20


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
        async with self.http() as http, on_sigterm(http.drain), watching(self.database) as pauses:
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
        async with (
            self.http() as http,
            on_sigterm(http.drain),
            watching(self.database) as pauses,
            asyncio.TaskGroup() as group,
        ):

            async def take(place: Place) -> None:
                try:
                    with logs.about(jurisdiction=place.jurisdiction, tile=place.tile, feed=feed):
                        outcome = await through(place)
                        _tell(outcome)
                    published.update([place] if PUBLISHED in outcome.stages else [])
                    report(outcome)
                finally:
                    slots.release()

            async def through(place: Place) -> Outcome:
                """As far as it gets; where a person pauses it, it waits and goes on."""
                jurisdiction, outcome = jurisdictions[place.jurisdiction], None
                hosts = hosts_of(jurisdiction, feed)
                PAUSED.set(partial(pauses.held, jurisdiction.id, hosts))
                while outcome is None or isinstance(outcome.error, Held):
                    stopped = partial(http.stopped, str(place))
                    if error := stopped() or await pauses.over(jurisdiction.id, hosts, stopped):
                        return Outcome(place, feed, error=error)
                    outcome = await self._take(jurisdiction, place, feed, stages, opener)
                return outcome

            def opener(jurisdiction: Jurisdiction) -> asyncio.Task[Opened]:
                task = opened.get(jurisdiction.id)
                if task is None or (task.done() and isinstance(task.exception(), Held)):
                    task = asyncio.create_task(self._harvesting.open_for_run(jurisdiction, feed, http))
                    opened[jurisdiction.id] = task
                return task

            for place in places:
                await slots.acquire()
                group.create_task(take(place))
        known = {jurisdiction: task.result() for jurisdiction, task in opened.items() if not task.exception()}
        await asyncio.to_thread(self._note_published, feed, known, published)

    def _note_published(self, feed: str, opened: Mapping[str, Opened], published: set[Place]) -> None:
        """What each feed is now; and where all of it is of one state, that it may be compared with another."""
        for jurisdiction, each in opened.items():
            mine = {place for place in published if place.jurisdiction == jurisdiction}
            if self._harvesting.note_published(jurisdiction, feed, each, mine):
                states.note_whole(self.database, jurisdiction, feed)

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
                outcome.harvest = await self._harvesting.fetch(opened.source, place, cover)
            else:
                cover = self._harvesting.known_cover(jurisdiction, feed)
                outcome.harvest = await asyncio.to_thread(harvests.latest, self.objects, place, feed)
            outcome.stages.append(RAW)
            scope = Scope(place.tile, tuple(cover.tiles), dict(cover.repeated), layer_of(cover))
            work = Work(self.objects, jurisdiction, jurisdiction.feeds[feed], outcome.harvest, scope)
            for stage, step in ((NORMALIZED, self._normalize), (VALIDATED, self._validate), (PUBLISHED, self._publish)):
                if stage in stages:
                    await step(work, outcome)
                    outcome.stages.append(stage)
        except CoverStale as error:
            outcome.error = error
            self._harvesting.doubt_cover(jurisdiction, feed)
        except ZoningError as error:
            outcome.error = error
        except Exception as error:  # noqa: BLE001 - what nobody thought of must fail its place, not the run
            outcome.error = defect(place, error)
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
            held = pd.concat([_NONE_HELD, *(part.rejections for part in judged)], ignore_index=True)
            said = {
                "counts": sum((part.counts for part in judged), Counts()).as_dict(),
                "content_hash": canonical.set_hash(each for part in judged for each in part.hashes),
            }
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
        done = await asyncio.to_thread(find_published, self.database, work.edition)
        if done is None:
            # In a worker: in a thread of this process it would hold up the loop (p99 10-16 ms and not 15-19).
            done = await self.pool.run(publish_place, work, self.database)
        outcome.batch = done.batch
        outcome.counts += Counts(added=done.added, changed=done.changed, unchanged=done.unchanged, retired=done.retired)


_NONE_HELD = pd.DataFrame({name: [] for name in HELD_COLUMNS}, dtype=object).astype({"row": "int64"})


def defect(place: Place, error: Exception) -> Defect:
    """An unforeseen error as a line; the stack goes to the log."""
    _log.error("%s: unforeseen", place, exc_info=error)
    at = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
    return Defect(what[:500], where=str(place), do="report this; nothing was published")


def _tell(outcome: Outcome) -> None:
    """What became of a place, for the logs."""
    if outcome.error:
        logs.OUTCOMES.warning("failed", extra={"error": str(outcome.error), "kind": type(outcome.error).__name__})
    else:
        logs.OUTCOMES.info("done", extra={"stages": outcome.stages, **outcome.counts.as_dict()})


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
