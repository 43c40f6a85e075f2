"""Publish a place: its validated table becomes what PostGIS has, in one transaction, if its release is let through."""

import asyncio
from dataclasses import dataclass

from zoning_assets.pipeline.release_gate import Gate
from zoning_assets.pipeline.validation import Validated
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.pipeline.workers.worker_tasks import compare_place, publish_place
from zoning_assets.storage.postgis.publish import PublishResult, find_published
from zoning_assets.storage.postgis.sessions import close_idle
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass(frozen=True)
class Publishing:
    """Who compares a place with what is published, and where it is published."""

    pool: Pool
    database: str

    async def published(self, validated: Validated, fields: ReleaseProfile, gate: Gate) -> PublishResult:
        """Publish a validated table, unless that was done before.

        Args:
            validated: the table.
            fields: the columns that the layer has.
            gate: where the place waits until the whole release was checked.

        Raises:
            AcceptanceNeeded: the release is held.
            CoverStale: a key is published elsewhere, or the rows changed after the release was checked.
            DatabaseUnavailable: nobody answers.
        """
        self.pool.at_exit(close_idle)
        work = validated.work
        done = await asyncio.to_thread(find_published, self.database, work.edition)
        # The profile is handed over as it is made: it may be large, and the place may wait.
        await gate.add(validated, await self._profile(validated, fields, gate, done), publishes=done is None)
        if done:
            return done
        await gate.wait(validated)
        async with gate.turn:  # in a thread: a worker that waits for PostgreSQL works on no page
            return await asyncio.to_thread(publish_place, work, self.database, await gate.undone())

    async def _profile(
        self, validated: Validated, fields: ReleaseProfile, gate: Gate, done: PublishResult | None
    ) -> ReleaseProfile:
        """What the release looks like in this place, beside what is published."""
        profile = fields + await asyncio.to_thread(validated.profile)
        if done:
            return profile + ReleaseProfile(kept=profile.rows)
        if await gate.compares():
            return profile + await self.pool.run(compare_place, validated.work, self.database)
        return profile
