"""Publish a place: write its validated table to PostGIS in one transaction, if its release passes the release gate."""

import asyncio
from dataclasses import dataclass

from zoning_assets.pipeline.release_gate import ReleaseGate
from zoning_assets.pipeline.validation import ValidatedTable
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.pipeline.workers.worker_tasks import compare_place, publish_place
from zoning_assets.storage.postgis.publish import PublishResult, find_published
from zoning_assets.storage.postgis.sessions import close_idle
from zoning_assets.transform.quality.release_profile import ReleaseProfile


@dataclass(frozen=True)
class Publisher:
    """Publishes validated tables.

    Attributes:
        pool: the worker processes, which compare places with what is published.
        database: the URL of PostGIS.
    """

    pool: Pool
    database: str

    async def publish(self, validated: ValidatedTable, fields: ReleaseProfile, gate: ReleaseGate) -> PublishResult:
        """Publish a validated table, unless it is published already.

        Args:
            validated: the table.
            fields: a profile with the columns that the layer has.
            gate: where the place waits until the release of the jurisdiction is checked.

        Raises:
            AcceptanceNeeded: the release is held.
            CoverStale: a key is published elsewhere, or the rows changed after the release was checked.
            DatabaseUnavailable: the database does not answer.
            UndoneMeanwhile: the feed was rolled back during this run.
        """
        self.pool.at_exit(close_idle)
        item = validated.item
        done = await asyncio.to_thread(find_published, self.database, item.edition)
        # The profile is not kept in a variable: it may be large, and the place may wait.
        await gate.add(validated, await self._profile(validated, fields, gate, done), publishes=done is None)
        if done:
            return done
        await gate.wait(validated)
        async with gate.publish_slots:  # a thread, as a worker process would only wait for PostgreSQL
            return await asyncio.to_thread(publish_place, item, self.database, await gate.newest_rollback())

    async def _profile(
        self, validated: ValidatedTable, fields: ReleaseProfile, gate: ReleaseGate, done: PublishResult | None
    ) -> ReleaseProfile:
        """The release profile of this place, compared with what is published if there is something to compare with."""
        profile = fields + await asyncio.to_thread(validated.profile)
        if done:
            return profile + ReleaseProfile(kept=profile.rows)
        if await gate.has_baseline():
            return profile + await self.pool.run(compare_place, validated.item, self.database)
        return profile
