"""Check before a run whether the published rows of a feed are what its portal has.

A run would check the same, in the same way. The check fetches no page, validates no row and publishes nothing. If a run
has anything to do, or is needed to report an error, the check returns nothing, and the run uses the responses that the
check received.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from zoning_assets.errors import Stopping, ZoningError
from zoning_assets.graceful_stop import called_in_loop
from zoning_assets.harvest import Cover
from zoning_assets.http import Client, Http, Kept, KeptAnswers, Tally
from zoning_assets.http.kept_answers import LookEnds
from zoning_assets.model import CHANGES, PARCELS, RAW, VALIDATED, ZONING, Counts, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.corrections import check, fixed_by
from zoning_assets.pipeline.cut_tiles import Preparing
from zoning_assets.pipeline.extract import Harvesting
from zoning_assets.pipeline.holds import hosts_of, watching
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import parcel_zoning
from zoning_assets.storage.postgis.publish import find_published
from zoning_assets.storage.postgis.records import correction_records, failure_records, feed_freshness, hold_records
from zoning_assets.storage.postgis.records.snapshots import Snapshots
from zoning_assets.storage.postgis.sessions import session, translated_errors

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Published:
    """Batches of a jurisdiction, by feed; 0: none.

    Attributes:
        newest: the newest one.
        whole: the newest one with which all places of the feed were of one harvest.
        is_told: whether shares and changes are those of these.
    """

    newest: Mapping[str, int]
    whole: Mapping[str, int]
    is_told: bool


@dataclass(frozen=True)
class Look:
    """What a look works with. Its pool is not started."""

    objects: Objects
    database: str
    scratch: Path
    pool: Pool
    http: Callable[[], Http] = Http
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def feed(self, jurisdiction: Jurisdiction, feed: str, kept: Kept) -> list[Outcome]:
        """What a run would report of a feed that did not change; nothing where a run is needed.

        It is noted that what is published is what the portal has now.

        Args:
            jurisdiction: which one.
            feed: which of its feeds.
            kept: receives what the portal answered, for the run.

        Raises:
            Stopping: this process was asked to stop.
        """
        answers = kept[jurisdiction.id, feed] = KeptAnswers()
        try:
            return await self._found(jurisdiction, feed, answers)
        except Stopping:
            raise
        except (ZoningError, LookEnds):  # the run meets it too, and records it
            return []
        except Exception as error:  # noqa: BLE001 - a fault of the check must not prevent the run
            kind = type(error).__name__  # its text may hold an address with a token
            _log.warning("%s %s: the check for changes failed, so a run is made: %s", jurisdiction.id, feed, kind)
            return []
        finally:
            answers.close()

    def is_told(self, jurisdiction: Jurisdiction) -> bool:
        """Whether shares and changes of all that is published are computed.

        Raises:
            DatabaseUnavailable: nobody answers.
        """
        return self._published(jurisdiction).is_told and not self._is_open(jurisdiction, CHANGES)

    async def _found(self, jurisdiction: Jurisdiction, feed: str, answers: KeptAnswers) -> list[Outcome]:
        if not await asyncio.to_thread(self._is_settled, jurisdiction, feed):
            return []
        now = self.now()
        async with self.http() as http, called_in_loop(http.drain), watching(self.database) as pauses:
            paused = partial(pauses.held, jurisdiction.id, hosts_of(jurisdiction, feed))
            client = http.for_work(Tally(), paused, answers)
            outcomes = await self._outcomes(jurisdiction, feed, client, now)
        if outcomes:
            await asyncio.to_thread(feed_freshness.store_harvest, self.database, jurisdiction.id, feed, now)
        return outcomes

    def _is_settled(self, jurisdiction: Jurisdiction, feed: str) -> bool:
        """Whether a feed is not paused, nothing of it failed, and all of it was published last."""
        paused = hold_records.find_hold(
            hold_records.active(self.database), jurisdiction.id, hosts_of(jurisdiction, feed)
        )
        if paused or self._is_open(jurisdiction, feed):
            return False
        found = self._published(jurisdiction)
        return found.newest[feed] == found.whole[feed]

    def _is_open(self, jurisdiction: Jurisdiction, feed: str) -> bool:
        return failure_records.is_any_open(self.database, jurisdiction.id, feed)

    def _published(self, jurisdiction: Jurisdiction) -> "_Published":
        with translated_errors(self.database), session(self.database) as connection:
            zoning = parcel_zoning.of(connection, jurisdiction.id, change_detection.rules_of(jurisdiction))
            span = Snapshots(connection, jurisdiction.id).span()
        newest = {PARCELS: zoning.parcels, ZONING: zoning.zoning}
        whole = {PARCELS: span.parcels_to, ZONING: span.zoning_to}
        return _Published(newest, whole, is_told=zoning.is_current and span.is_empty)

    async def _outcomes(self, jurisdiction: Jurisdiction, feed: str, client: Client, now: datetime) -> list[Outcome]:
        """The outcomes of a feed's places; nothing where one of them is not what the portal has."""
        started = time.monotonic()
        harvesting = Harvesting(self.objects, self.scratch, self.pool)
        cover = await harvesting.find_current(jurisdiction, feed, client, now)
        if cover is None or not await asyncio.to_thread(self._is_whole, cover):
            return []
        places = [Place(jurisdiction.id, tile) for tile in sorted(cover.tiles)] or [Place(jurisdiction.id)]
        prepared = await Preparing(self.objects, self.pool).prepared(jurisdiction, feed, cover, places, [RAW])
        works = [prepared.works[place] for place in places]
        found = await asyncio.gather(*(asyncio.to_thread(self._outcome, each) for each in works))
        outcomes = [each for each in found if each]
        if len(outcomes) < len(places):
            return []
        cost = Counts(requests=client.tally.requests, bytes=client.tally.bytes)
        cost = replace(cost, seconds=round(time.monotonic() - started, 3))
        return [replace(outcomes[0], counts=outcomes[0].counts + cost), *outcomes[1:]]

    def _is_whole(self, cover: Cover) -> bool:
        """Whether all places were published from this harvest, and the portal states what it stated then."""
        baseline = feed_baselines.find(self.objects, cover.jurisdiction, cover.feed)
        if baseline is None or baseline.rolled_back or (baseline.rows, baseline.signals) != (cover.rows, cover.signals):
            return False
        if cover.feed == PARCELS and not cover.tiles:
            return False
        return feed_baselines.published_tiles(self.objects, cover.jurisdiction, cover.feed, cover.harvest) >= set(
            cover.tiles
        )

    def _outcome(self, work: Work | Exception) -> Outcome | None:
        """What a run would report of a place that is published; None where it would publish it, or refuse to."""
        if isinstance(work, Exception):
            raise work
        fixed = fixed_by(self.database, work, work.table(VALIDATED).rejections(self.objects))
        table = fixed.table(VALIDATED)
        summary, rejections = table.summary(self.objects), table.rejections(self.objects)
        counts = Counts(**summary["counts"])
        known_among = partial(correction_records.count_known, self.database, work.place.jurisdiction, work.feed.name)
        check(work.place, counts, rejections, known_among)
        done = find_published(self.database, fixed.edition)
        if done is None:
            return None
        did = {name: getattr(done, name) for name in ("added", "changed", "unchanged", "retired")}
        counts = replace(counts, **did, requests=0, bytes=0, seconds=0.0)
        content = summary["content_hash"]
        return Outcome(work.place, work.feed.name, counts=counts, harvest=work.harvest, content_hash=content)
