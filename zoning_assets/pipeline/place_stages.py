"""Take one place through the stages: raw_feed, normalized, validated, published.

What belongs here: the order of the stages of a place. What does not: which places, and when (runner.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from zoning_assets.defects import unexpected_error
from zoning_assets.errors import CoverStale, ZoningError
from zoning_assets.harvest import Cover
from zoning_assets.model import NORMALIZED, PUBLISHED, RAW, VALIDATED, Counts, Outcome, Place
from zoning_assets.pipeline.known_layer import mark_for_refetch
from zoning_assets.pipeline.publishing import Publisher
from zoning_assets.pipeline.runner import FeedRun
from zoning_assets.pipeline.validation import ValidatedTable, Validator
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.publish import PublishResult
from zoning_assets.storage.postgis.records import correction_records
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass(frozen=True)
class StageRunner:
    """Takes places through some stages.

    Attributes:
        objects: the store of harvests and tables.
        database: the URL of PostGIS.
        pool: the worker processes.
        stages: some of pipeline.STAGES, in order.
    """

    objects: Objects
    database: str
    pool: Pool
    stages: Sequence[str]

    async def process(self, run: FeedRun, place: Place) -> Outcome:
        """Take one place through the stages. An error is not raised: it ends the stages and is part of the outcome."""
        started, outcome, validated = time.monotonic(), Outcome(place, run.feed), None
        try:
            try:
                async for reached in self._run_stages(run, place):
                    outcome, validated = reached
            except CoverStale as error:
                raise await self._resolve_repeated_key(run, place, error) from error
        except ZoningError as error:
            outcome = replace(outcome, error=error)
        except Exception as error:  # noqa: BLE001 - an unexpected error fails its place, not the run
            outcome = replace(outcome, error=run.http.stopped(str(place)) or unexpected_error(str(place), error))
        if validated and VALIDATED in outcome.stages:
            outcome = await asyncio.to_thread(validated.add_rejections, outcome)
        seconds = time.monotonic() - started - run.gates[place.jurisdiction].waited_s(place)
        return replace(outcome, counts=outcome.counts + Counts(seconds=round(seconds, 3)))

    async def _run_stages(self, run: FeedRun, place: Place) -> AsyncIterator[tuple[Outcome, ValidatedTable | None]]:
        """Yield the outcome of a place after each stage, with its validated table once there is one.

        Raises:
            ZoningError: a stage failed; the last yielded outcome is valid.
        """
        # raw_feed: the rows of this place in the layer's harvest
        prepared = await run.prepared_layer(run.jurisdictions[place.jurisdiction])
        item = prepared.items[place]
        if isinstance(item, ZoningError):
            raise item
        received = _received_counts(prepared.cover, item, self.stages)
        outcome = Outcome(place, run.feed, (RAW,), received, item.harvest)

        # normalized: TileCutter has written the table, in this run or in an earlier one
        table = item.table(NORMALIZED)
        read = table.summary if NORMALIZED in self.stages else table.find_summary
        normalized = await asyncio.to_thread(read, self.objects) or {"fields": ()}
        layer_fields = ReleaseProfile(fields=tuple(normalized["fields"]))
        if NORMALIZED in self.stages:
            outcome = _with_stage(outcome, NORMALIZED, received + Counts(fetched=normalized["fetched"]))
        yield outcome, None
        if VALIDATED not in self.stages and PUBLISHED not in self.stages:
            return

        # validated
        validator = Validator(self.pool, self.database)
        validated = await validator.validate(item)
        counts = validated.counts + received
        outcome = replace(outcome, counts=counts, content_hash=validated.content_hash)
        yield outcome, validated
        await asyncio.to_thread(validator.check, validated)
        outcome = _with_stage(outcome, VALIDATED, counts) if VALIDATED in self.stages else outcome
        yield outcome, validated
        if PUBLISHED not in self.stages:
            return

        # release gate, then published
        publisher = Publisher(self.pool, self.database)
        done = await publisher.publish(validated, layer_fields, run.gates[place.jurisdiction])
        yield _with_stage(replace(outcome, batch=done.batch), PUBLISHED, counts + _published_counts(done)), validated

    async def _resolve_repeated_key(self, run: FeedRun, place: Place, error: CoverStale) -> CoverStale:
        """Handle a key that two rows have, and return the error to report. If a person's fix gave the key, the fix is
        withdrawn; else the layer has changed and is fetched again by the next harvest. If it was harvested meanwhile,
        the rows of this run are old, and there is nothing to do.

        Raises:
            ZoningError: the fix, or the layer, could not be changed.
        """
        jurisdiction, feed, key = run.jurisdictions[place.jurisdiction], run.feed, error.key
        if key is None:  # the run is old, not the harvest
            return error
        if await asyncio.to_thread(correction_records.end_fix_of_key, self.database, jurisdiction.id, feed, key):
            what = f"{error.what}; the fix that set this key was withdrawn"
            return CoverStale(what, where=error.where, do="run again")
        layer = await run.prepared_layer(jurisdiction)
        if layer.have_newest_rows([place])[place]:
            await mark_for_refetch(self.objects, self.database, layer.cover, partial(run.http.stopped, str(place)))
        return error


def _with_stage(outcome: Outcome, stage: str, counts: Counts) -> Outcome:
    """The outcome with one more completed stage."""
    return replace(outcome, stages=(*outcome.stages, stage), counts=counts)


def _received_counts(cover: Cover, item: WorkItem, stages: Sequence[str]) -> Counts:
    """The rows of the place that the portal sent, with requests and bytes if this run fetched them."""
    received = Counts(received=sum(page.rows for page in item.harvest.pages))
    if item.place.tile is None and RAW in stages:  # the asset `tiles` counts the requests for the layer of a tile
        received += Counts(requests=int(cover.cost["requests"]), bytes=int(cover.cost["bytes"]))
    return received


def _published_counts(done: PublishResult) -> Counts:
    return Counts(added=done.added, changed=done.changed, unchanged=done.unchanged, retired=done.retired)
