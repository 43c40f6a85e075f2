"""Validate a place: each normalized row becomes a row of the validated table, or a rejection with its reason."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd

from zoning_assets.errors import Defect, HarvestMissing, TooManyRejections, ZoningError
from zoning_assets.model import NORMALIZED, VALIDATED, Counts, Outcome
from zoning_assets.pipeline.corrections import check_rejections, with_fixes
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.pipeline.workers.worker_tasks import NO_REJECTIONS, fix_rows, rejection_rows, validate_part
from zoning_assets.storage.postgis.records import correction_records
from zoning_assets.transform.geometry import content_hash, preview_image
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass(frozen=True)
class ValidatedTable:
    """A stored validated table.

    Attributes:
        item: the work item it was made from, with the fixes that people gave for its rows.
        counts: of its rows; fetched = accepted + rejected.
        content_hash: of the accepted rows, independent of their order.
    """

    item: WorkItem
    counts: Counts
    content_hash: str

    def profile(self) -> ReleaseProfile:
        """The release profile of these rows. It may be large, so it is read only when it is needed."""
        table = self.item.table(VALIDATED)
        return ReleaseProfile.of(table.summary(self.item.objects)["survey"])

    def add_rejections(self, outcome: Outcome) -> Outcome:
        """Add the rejections and the preview image to the outcome of the place. They are large, so they are read only
        when the place is done."""
        table = self.item.table(VALIDATED)
        try:
            rejections, image = table.rejections(self.item.objects), table.picture(self.item.objects)
        except ZoningError as error:
            stages = outcome.stages[: outcome.stages.index(VALIDATED)]
            return replace(outcome, error=outcome.error or error, stages=stages)
        return replace(outcome, rejections=rejections, picture=image)


@dataclass(frozen=True)
class Validator:
    """Validates places.

    Attributes:
        pool: the worker processes.
        database: the URL of the database with the fixes; "": there are no fixes, and no rejections are stored.
    """

    pool: Pool
    database: str

    async def validate(self, item: WorkItem) -> ValidatedTable:
        """Validate each row. If people fixed some of the rejected rows, validate all rows again with the fixes.

        Raises:
            Defect: rows were lost.
            HarvestMissing: the place was not normalized.
        """
        unfixed = await self._validate(item)
        fixed = await asyncio.to_thread(self._fixed, item) if self.database else item
        if not fixed.fixes:
            return unfixed
        if await asyncio.to_thread(fixed.table(NORMALIZED).find_summary, item.objects) is None:
            await self.pool.run(fix_rows, fixed, item.table(NORMALIZED))
        return await self._validate(fixed)

    def check(self, validated: ValidatedTable) -> None:
        """Check the number of rejections. If there are too many, they are stored, so that people can fix them.

        Raises:
            TooManyRejections: most rows are rejected; the place is not published.
        """
        item = validated.item
        rejections = item.table(VALIDATED).rejections(item.objects)
        known_among = partial(correction_records.count_known, self.database, item.place.jurisdiction, item.feed.name)
        try:
            check_rejections(item.place, validated.counts, rejections, known_among if self.database else lambda _: 0)
        except TooManyRejections:
            if self.database:
                correction_records.store_unpublished(self.database, item.edition, rejection_rows(rejections))
            raise

    def _fixed(self, item: WorkItem) -> WorkItem:
        return with_fixes(self.database, item, item.table(VALIDATED).rejections(item.objects))

    async def _validate(self, item: WorkItem) -> ValidatedTable:
        stored = await asyncio.to_thread(item.table(VALIDATED).find_summary, item.objects)
        summary = stored if stored is not None else await self._write_table(item)
        return ValidatedTable(item, Counts(**summary["counts"]), summary["content_hash"])

    async def _write_table(self, item: WorkItem) -> dict[str, Any]:
        """Write the validated table in parts, one worker task each; return its summary.

        Raises:
            Defect: rows were lost.
            HarvestMissing: the place was not normalized.
        """
        normalized = await asyncio.to_thread(item.table(NORMALIZED).find_summary, item.objects)
        if normalized is None:
            what = "its rows were not normalized with the current settings"
            raise HarvestMissing(what, where=str(item.place), do="materialize normalized first")
        groups = parts_of(normalized, item.harvest.tile)
        tasks = (self.pool.run(validate_part, item, part, *group) for part, group in enumerate(groups))
        parts = await asyncio.gather(*tasks)
        rejections = pd.concat([NO_REJECTIONS, *(part.rejections for part in parts)], ignore_index=True)
        counts = sum((part.counts for part in parts), Counts())
        if counts.fetched != normalized["fetched"]:
            what = f"{normalized['fetched']} rows were normalized, and {counts.fetched} were validated"
            raise Defect(what, where=str(item.place), do="report this; nothing was published")
        summary = {
            "counts": counts.as_dict(),
            "content_hash": content_hash.set_hash(chain.from_iterable(part.hashes for part in parts)),
            "survey": sum((part.profile for part in parts), ReleaseProfile()).as_dict(),
        }
        image = await self.pool.run(preview_image.draw_sketches, [part.sketch for part in parts])
        table = item.table(VALIDATED)
        await asyncio.to_thread(table.finish, item.objects, len(groups), summary, rejections, image)
        return summary


def parts_of(summary: Mapping[str, Any], tile: str | None) -> list[tuple[list[int], bool]]:
    """The parts of the validated table: the normalized parts that each is made from, and whether these hold all rows of
    each of their keys. The zoning map of a jurisdiction is one part."""
    numbers = list(summary["numbers"])
    together = numbers if tile is None else list(summary["together"])
    alone = [([number], False) for number in numbers if number not in together]
    return alone + ([(together, True)] if together else [])
