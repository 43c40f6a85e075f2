"""The stages of the data, in order. Read this module first.

    portal -> harvest of the layer                                partition: a jurisdiction (asset `tiles`)
    harvest -> raw_feed -> normalized -> validated -> parcels     partition: a tile of a jurisdiction
                                         validated -> districts   partition: a jurisdiction
    parcels + districts -> parcel_zoning -> changes               partition: a jurisdiction; see change_detection.py

| stage | what happens | module |
|---|---|---|
| extract | fetch the pages of a layer once, prove them complete, normalize them in worker processes | extract |
| raw_feed | give each tile its rows of the harvest | cut_tiles |
| normalized | distribute the normalized rows to the tables of the tiles | cut_tiles |
| validated | accept, repair or reject each row, in worker processes | validation |
| release gate | check all tiles of a jurisdiction together as one release | release_gate |
| published | write the rows to PostGIS, one transaction a tile | publishing |

place_stages.py takes one tile through the stages. If a tile fails, only that tile fails: its error is part of its
outcome, and its published rows do not change.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from zoning_assets.errors import ZoningError
from zoning_assets.graceful_stop import call_in_loop_on_stop
from zoning_assets.harvest import Cover
from zoning_assets.http import Client, Http, ResponseCaches, Tally
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
from zoning_assets.pipeline.cut_tiles import TileCutter
from zoning_assets.pipeline.extract import Harvester
from zoning_assets.pipeline.holds import ActiveHolds, hosts_of, watch_holds
from zoning_assets.pipeline.known_layer import begin_publishing, record_published
from zoning_assets.pipeline.place_stages import StageRunner
from zoning_assets.pipeline.release_gate import ReleaseGate
from zoning_assets.pipeline.runner import FeedRun, PreparedLayer, places_in
from zoning_assets.pipeline.validation import Validator
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store import feed_baselines, raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.harvest_lock import harvest_lock
from zoning_assets.storage.postgis.publish import newest_batch
from zoning_assets.storage.postgis.records import feed_freshness
from zoning_assets.transform.quality.release_checks import Verdict

STAGES = (RAW, NORMALIZED, VALIDATED, PUBLISHED)

#: Places processed at the same time: enough to keep the workers busy, few enough to limit memory.
_PLACES_AT_ONCE = 8


@dataclass(frozen=True)
class ProbeResult:
    """The result of a probe. `why`: the reason to fetch the feed; None: there is no sign of a change."""

    jurisdiction: str
    feed: str
    why: str | None
    requests: int


@dataclass(frozen=True)
class Pipeline:
    """Takes feeds through the stages.

    Attributes:
        objects: the object store for harvests and tables.
        database: the URL of PostGIS; "": only `try_first_page`, which publishes nothing, can be used.
        scratch: a directory for large temporary files.
        pool: the worker processes.
        http: opens the HTTP client.
        now: the clock.
        kept: responses that the check before this run received (see unchanged_check.py).
    """

    objects: Objects
    database: str
    scratch: Path
    pool: Pool
    http: Callable[[], AbstractAsyncContextManager[Http]] = Http
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    kept: ResponseCaches = field(default_factory=dict)

    async def run(  # noqa: PLR0913 - what is processed, how far, and two receivers of results
        self,
        jurisdictions: Mapping[str, Jurisdiction],
        places: Sequence[Place],
        feed: str,
        stages: Sequence[str],
        report: Callable[[Outcome], None],
        report_verdict: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        """Take places of one feed through the stages.

        Args:
            jurisdictions: by id; those of all places.
            places: tiles or whole jurisdictions.
            feed: `parcels` or `zoning`.
            stages: some of STAGES, in order.
            report: receives the outcome of each place when the place is done.
            report_verdict: receives the result of the checks of each jurisdiction's release.
        """
        slots, published, newest_batches = asyncio.Semaphore(_PLACES_AT_ONCE), set[Place](), dict[str, int]()

        def note(outcome: Outcome) -> None:
            published.update([outcome.place] if PUBLISHED in outcome.stages else [])
            report(outcome)

        async with self.http() as http, call_in_loop_on_stop(http.drain), watch_holds(self.database) as active_holds:
            gate = partial(ReleaseGate, self.database, self.objects, feed=feed, slots=slots, report=report_verdict)
            gates = {name: gate(each, awaited=places_in(name, places)) for name, each in jurisdictions.items()}

            async def prepare(jurisdiction: Jurisdiction) -> PreparedLayer:
                cover = None
                if RAW in stages and feed == ZONING:  # parcels are harvested by `harvest`, as their tiles depend on it
                    client = self._client(http, active_holds, jurisdiction, feed)
                    cover = await self._harvest(jurisdiction, feed, client, partial(http.stopped, jurisdiction.id))
                newest_batches[jurisdiction.id] = await asyncio.to_thread(
                    newest_batch, self.database, jurisdiction.id, feed
                )
                own = sorted(places_in(jurisdiction.id, places), key=str)
                layer = await TileCutter(self.objects, self.pool).prepare(jurisdiction, feed, cover, own, stages)
                if PUBLISHED in stages:
                    await asyncio.to_thread(begin_publishing, self.objects, self.database, layer.cover)
                return layer

            run = FeedRun(jurisdictions, feed, prepare, http, active_holds, slots, gates)
            await run.process_all(places, StageRunner(self.objects, self.database, self.pool, stages).process, note)
        for name, layer in run.layers().items():
            if done := layer.have_newest_rows(places_in(name, published)):
                before = newest_batches[name]
                await asyncio.to_thread(record_published, self.objects, self.database, layer.cover, done, before)

    async def harvest(self, jurisdiction: Jurisdiction, feed: str = PARCELS, *, force: bool = False) -> Cover:
        """Return the newest harvest of a feed's layer. The layer is fetched only if it may have changed, or by force.

        Raises:
            ZoningError: see errors.py.
        """
        hosts = hosts_of(jurisdiction, feed)
        async with self.http() as http, call_in_loop_on_stop(http.drain), watch_holds(self.database) as active_holds:
            stopped = partial(http.stopped, jurisdiction.id)
            if error := await active_holds.wait_until_resumed(jurisdiction.id, hosts, stopped):
                raise error
            client = self._client(http, active_holds, jurisdiction, feed)
            return await self._harvest(jurisdiction, feed, client, stopped, force=force)

    async def probe(self, jurisdiction: Jurisdiction, feed: str, now: datetime) -> ProbeResult:
        """Ask a portal for signs of a change. No row is fetched and nothing is stored.

        Raises:
            ZoningError: see errors.py.
        """
        tally = Tally()
        async with self.http() as http:
            why = await self._harvester.probe(jurisdiction, feed, http.for_work(tally), now)
        if why is None and self.database and await asyncio.to_thread(self._is_older, jurisdiction.id, feed):
            why = "the database was restored: it is older than the object store"
        return ProbeResult(jurisdiction.id, feed, why, tally.requests)

    async def try_first_page(self, jurisdiction: Jurisdiction, feed: str, tally: Tally | None = None) -> Outcome:
        """Return the outcome that the first page of a layer would have. Nothing is published, and the database is not
        used. `tally` counts the requests.

        Raises:
            ZoningError: see errors.py.
        """
        place = Place(jurisdiction.id)
        async with self.http() as http, call_in_loop_on_stop(http.drain):
            item = await self._harvester.fetch_first_page(jurisdiction, feed, http.for_work(tally))
        await TileCutter(self.objects, self.pool).normalize([item])
        validator = Validator(self.pool, self.database)
        outcome = Outcome(place, feed, (RAW, NORMALIZED), harvest=item.harvest)
        try:
            validated = await validator.validate(item)
            table = validated.item.table(VALIDATED)
            received = Counts(received=validated.counts.fetched)
            rejections = await asyncio.to_thread(table.rejections, self.objects)
            outcome = replace(outcome, counts=validated.counts + received, rejections=rejections)
            validator.check(validated)
        except ZoningError as error:
            return replace(outcome, error=error)
        return outcome

    def _is_older(self, jurisdiction: str, feed: str) -> bool:
        """Whether the database is older than what the object store tells about the feed."""
        baseline = feed_baselines.find(self.objects, jurisdiction, feed)
        harvested = feed_freshness.find_harvested(self.database, jurisdiction, feed)
        return feed_baselines.database_is_older(baseline, harvested)

    @property
    def _harvester(self) -> Harvester:
        return Harvester(self.objects, self.scratch, self.pool)

    def _client(self, http: Http, active_holds: ActiveHolds, jurisdiction: Jurisdiction, feed: str) -> Client:
        """The client for the requests of one feed. It counts them, and sends none while the feed is paused."""
        paused = partial(active_holds.error, jurisdiction.id, hosts_of(jurisdiction, feed))
        return http.for_work(Tally(), paused, self.kept.get((jurisdiction.id, feed)))

    async def _harvest(
        self,
        jurisdiction: Jurisdiction,
        feed: str,
        http: Client,
        stopped: Callable[[], ZoningError | None],
        *,
        force: bool = False,
    ) -> Cover:
        """Harvest a layer, and store its cover with the cost of the harvest. No other process does so meanwhile."""
        async with harvest_lock(self.database, jurisdiction.id, feed, stopped):
            tally, started = http.tally, time.monotonic()
            cover = await self._harvester.harvest(jurisdiction, feed, http, self.now(), force=force)
            seconds = round(time.monotonic() - started, 3)
            cover = replace(cover, cost={"requests": tally.requests, "bytes": tally.bytes, "seconds": seconds})
            await asyncio.to_thread(raw_harvests.put_cover, self.objects, cover)
            await asyncio.to_thread(raw_harvests.put_cost, self.objects, cover)
            return cover
