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
from zoning_assets.graceful_stop import call_in_loop_on_stop
from zoning_assets.harvest import Cover
from zoning_assets.http import Client, Http, ResponseCache, ResponseCaches, Tally
from zoning_assets.http.response_cache import CheckLimitReached
from zoning_assets.model import CHANGES, PARCELS, RAW, VALIDATED, ZONING, Counts, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.corrections import check_rejections, with_fixes
from zoning_assets.pipeline.cut_tiles import TileCutter
from zoning_assets.pipeline.extract import Harvester
from zoning_assets.pipeline.holds import hosts_of, watch_holds
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import parcel_zoning
from zoning_assets.storage.postgis.publish import find_published
from zoning_assets.storage.postgis.records import correction_records, failure_records, feed_freshness, hold_records
from zoning_assets.storage.postgis.records.snapshots import Snapshots
from zoning_assets.storage.postgis.sessions import session

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _PublishedBatches:
    """Batches of a jurisdiction, by feed; 0: none.

    Attributes:
        newest: the newest batch.
        complete: the newest batch after which all places of the feed were published from one harvest.
        is_compared: whether zoning shares and changes were computed from these batches.
    """

    newest: Mapping[str, int]
    complete: Mapping[str, int]
    is_compared: bool


@dataclass(frozen=True)
class UnchangedCheck:
    """Checks feeds.

    Attributes:
        objects: the store of harvests.
        database: the URL of PostGIS.
        scratch: a directory for large temporary files.
        pool: the worker processes; a check never starts them.
        http: opens the HTTP client.
        now: the clock.
    """

    objects: Objects
    database: str
    scratch: Path
    pool: Pool
    http: Callable[[], Http] = Http
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def check_feed(self, jurisdiction: Jurisdiction, feed: str, kept: ResponseCaches) -> list[Outcome]:
        """Return the outcomes that a run of an unchanged feed would have; an empty list if a run is needed.

        If the feed is unchanged, its freshness is recorded.

        Args:
            jurisdiction: the jurisdiction.
            feed: `parcels` or `zoning`.
            kept: receives the responses of the portal, for the run.

        Raises:
            Stopping: this process was asked to stop.
        """
        answers = kept[jurisdiction.id, feed] = ResponseCache()
        try:
            return await self._checked(jurisdiction, feed, answers)
        except Stopping:
            raise
        except (ZoningError, CheckLimitReached):  # the run raises it too, and records it
            return []
        except Exception as error:  # noqa: BLE001 - a fault of the check must not prevent the run
            kind = type(error).__name__  # its text may hold an address with a token
            _log.warning(
                "%s %s: the check for changes failed, so the feed is harvested: %s", jurisdiction.id, feed, kind
            )
            return []
        finally:
            answers.close()

    def is_compared(self, jurisdiction: Jurisdiction) -> bool:
        """Whether zoning shares and changes were computed from everything that is published.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        return self._published(jurisdiction).is_compared and not self._has_failure(jurisdiction, CHANGES)

    async def _checked(self, jurisdiction: Jurisdiction, feed: str, answers: ResponseCache) -> list[Outcome]:
        if not await asyncio.to_thread(self._is_published, jurisdiction, feed):
            return []
        now = self.now()
        async with self.http() as http, call_in_loop_on_stop(http.drain), watch_holds(self.database) as active_holds:
            paused = partial(active_holds.error, jurisdiction.id, hosts_of(jurisdiction, feed))
            client = http.for_work(Tally(), paused, answers)
            outcomes = await self._outcomes(jurisdiction, feed, client, now)
        if outcomes:
            await asyncio.to_thread(feed_freshness.store_harvest, self.database, jurisdiction.id, feed, now)
        return outcomes

    def _is_published(self, jurisdiction: Jurisdiction, feed: str) -> bool:
        """Whether a feed is not paused, has no open failure, and its newest batch completed it."""
        paused = hold_records.find_hold(
            hold_records.active(self.database), jurisdiction.id, hosts_of(jurisdiction, feed)
        )
        if paused or self._has_failure(jurisdiction, feed):
            return False
        found = self._published(jurisdiction)
        return found.newest[feed] == found.complete[feed]

    def _has_failure(self, jurisdiction: Jurisdiction, feed: str) -> bool:
        return failure_records.is_any_open(self.database, jurisdiction.id, feed)

    def _published(self, jurisdiction: Jurisdiction) -> _PublishedBatches:
        with session(self.database) as connection:
            zoning = parcel_zoning.of(connection, jurisdiction.id, change_detection.rules_hash(jurisdiction))
            span = Snapshots(connection, jurisdiction.id).span()
        newest = {PARCELS: zoning.parcels, ZONING: zoning.zoning}
        complete = {PARCELS: span.parcels_to, ZONING: span.zoning_to}
        return _PublishedBatches(newest, complete, is_compared=zoning.is_current and span.is_empty)

    async def _outcomes(self, jurisdiction: Jurisdiction, feed: str, client: Client, now: datetime) -> list[Outcome]:
        """The outcomes of a feed's places; an empty list if one of them is not what the portal has."""
        started = time.monotonic()
        harvesting = Harvester(self.objects, self.scratch, self.pool)
        cover = await harvesting.find_current(jurisdiction, feed, client, now)
        if cover is None or not await asyncio.to_thread(self._is_completely_published, cover):
            return []
        places = [Place(jurisdiction.id, tile) for tile in sorted(cover.tiles)] or [Place(jurisdiction.id)]
        prepared = await TileCutter(self.objects, self.pool).prepare(jurisdiction, feed, cover, places, [RAW])
        items = [prepared.items[place] for place in places]
        found = await asyncio.gather(*(asyncio.to_thread(self._outcome, each) for each in items))
        outcomes = [each for each in found if each]
        if len(outcomes) < len(places):
            return []
        cost = Counts(requests=client.tally.requests, bytes=client.tally.bytes)
        cost = replace(cost, seconds=round(time.monotonic() - started, 3))
        return [replace(outcomes[0], counts=outcomes[0].counts + cost), *outcomes[1:]]

    def _is_completely_published(self, cover: Cover) -> bool:
        """Whether all places were published from this harvest, and its signals are those of the baseline."""
        baseline = feed_baselines.find(self.objects, cover.jurisdiction, cover.feed)
        if baseline is None or baseline.rolled_back or (baseline.rows, baseline.signals) != (cover.rows, cover.signals):
            return False
        if cover.feed == PARCELS and not cover.tiles:
            return False
        return feed_baselines.published_tiles(self.objects, cover) >= set(cover.tiles)

    def _outcome(self, item: WorkItem | Exception) -> Outcome | None:
        """The outcome that a run would have for a published place; None if the run would publish it."""
        if isinstance(item, Exception):
            raise item
        fixed = with_fixes(self.database, item, item.table(VALIDATED).rejections(self.objects))
        table = fixed.table(VALIDATED)
        summary, rejections = table.summary(self.objects), table.rejections(self.objects)
        counts = Counts(**summary["counts"])
        known_among = partial(correction_records.count_known, self.database, item.place.jurisdiction, item.feed.name)
        check_rejections(item.place, counts, rejections, known_among)
        done = find_published(self.database, fixed.edition)
        if done is None:
            return None
        published = {name: getattr(done, name) for name in ("added", "changed", "unchanged", "retired")}
        counts = replace(counts, **published, requests=0, bytes=0, seconds=0.0)
        content = summary["content_hash"]
        return Outcome(item.place, item.feed.name, counts=counts, harvest=item.harvest, content_hash=content)
