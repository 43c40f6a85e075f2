"""Validate a place: each normalized row becomes a row of the validated table, or a rejection with its reason."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd

from zoning_assets.errors import Defect, TooManyRejections
from zoning_assets.model import NORMALIZED, VALIDATED, Counts
from zoning_assets.pipeline.corrections import check, fixed_by
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.pipeline.workers.worker_tasks import NONE_HELD, fix_rows, held, validate_part
from zoning_assets.storage.postgis.records import correction_records
from zoning_assets.transform.geometry import content_hash, preview_image
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass(frozen=True)
class Validated:
    """A validated table that is stored.

    Attributes:
        work: what it was made of; with the fixes of rows that people gave.
        counts: of its rows; fetched = accepted + rejected.
        content_hash: of the accepted rows, whatever their order.
    """

    work: Work
    counts: Counts
    content_hash: str

    def profile(self) -> ReleaseProfile:
        """What the release looks like in these rows. It may be large, so it is read when it is needed."""
        table = self.work.table(VALIDATED)
        return ReleaseProfile.of(table.summary(self.work.objects)["survey"])


@dataclass(frozen=True)
class Validation:
    """Who validates, and where the fixes are kept. database "": a trial, of which nobody knows anything yet."""

    pool: Pool
    database: str

    async def validated(self, work: Work) -> Validated:
        """Validate each row. Where a person fixed some that were rejected, all rows are validated once more with the
        fixes.

        Raises:
            Defect: rows were lost.
        """
        found = await self._validated(work)
        fixed = await asyncio.to_thread(self._fixed, work) if self.database else work
        if not fixed.fixes:
            return found
        if await asyncio.to_thread(fixed.table(NORMALIZED).find_summary, work.objects) is None:
            await self.pool.run(fix_rows, fixed, work.table(NORMALIZED))
        return await self._validated(fixed)

    def check(self, validated: Validated) -> None:
        """Whether few enough rows were rejected.

        Raises:
            TooManyRejections: most rows are rejected; the place is not published.
        """
        work = validated.work
        rejections = work.table(VALIDATED).rejections(work.objects)
        known_among = partial(correction_records.count_known, self.database, work.place.jurisdiction, work.feed.name)
        try:
            check(work.place, validated.counts, rejections, known_among if self.database else lambda _: 0)
        except TooManyRejections:
            if self.database:
                correction_records.store_unpublished(self.database, work.edition, held(rejections))
            raise

    def _fixed(self, work: Work) -> Work:
        return fixed_by(self.database, work, work.table(VALIDATED).rejections(work.objects))

    async def _validated(self, work: Work) -> Validated:
        kept = await asyncio.to_thread(work.table(VALIDATED).find_summary, work.objects)
        summary = kept if kept is not None else await self._made(work)
        return Validated(work, Counts(**summary["counts"]), summary["content_hash"])

    async def _made(self, work: Work) -> dict[str, Any]:
        """Make the validated table; what is known of it."""
        normalized = await asyncio.to_thread(work.table(NORMALIZED).summary, work.objects)
        groups = parts_of(normalized, work.harvest.tile)
        tasks = (self.pool.run(validate_part, work, part, *group) for part, group in enumerate(groups))
        parts = await asyncio.gather(*tasks)
        rejections = pd.concat([NONE_HELD, *(part.rejections for part in parts)], ignore_index=True)
        counts = sum((part.counts for part in parts), Counts())
        if counts.fetched != normalized["fetched"]:
            what = f"{normalized['fetched']} rows were normalized, and {counts.fetched} were validated"
            raise Defect(what, where=str(work.place), do="report this; nothing was published")
        summary = {
            "counts": counts.as_dict(),
            "content_hash": content_hash.set_hash(chain.from_iterable(part.hashes for part in parts)),
            "survey": sum((part.survey for part in parts), ReleaseProfile()).as_dict(),
        }
        image = await self.pool.run(preview_image.of_sketches, [part.sketch for part in parts])
        table = work.table(VALIDATED)
        await asyncio.to_thread(table.finish, work.objects, len(groups), summary, rejections, image)
        return summary


def parts_of(summary: Mapping[str, Any], tile: str | None) -> list[tuple[list[int], bool]]:
    """The parts of the validated table: of which normalized parts each is made, and whether all rows of a key are in
    them. A jurisdiction's map is validated as a whole."""
    numbers = list(summary["numbers"])
    together = numbers if tile is None else list(summary["together"])
    alone = [([number], False) for number in numbers if number not in together]
    return alone + ([(together, True)] if together else [])
