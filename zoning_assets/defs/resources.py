"""Dagster resources: the pipeline, opened once per run, and the jurisdictions."""

import gc
import os
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import PrivateAttr

from zoning_assets import jurisdictions
from zoning_assets.defects import unexpected_error
from zoning_assets.defs.dagster_instance import keep_connections
from zoning_assets.defs.run_workers import WORKER, this_process
from zoning_assets.errors import WrongUsage, ZoningError
from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline import holds
from zoning_assets.queues import AMENDMENTS, TILES, Queue, open_queue
from zoning_assets.settings import Settings
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.postgis import database, process_locks

if TYPE_CHECKING:
    from zoning_assets.http import Http, ResponseCaches
    from zoning_assets.pipeline.pipeline import Pipeline

#: Portal answers that the command received before it started the run (response_cache.py). Empty if there are none.
KeptResource = dg.ResourceParam[dict[tuple[str, str], Any]]


class Zoning(dg.ConfigurableResource[None]):
    """The settings of this process, and a pipeline that starts on first use. Each run and each tick of a sensor has an
    instance of its own."""

    _url: str | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:  # type: ignore[override]
        """Hold the lock of the run, so that a dead process is detected (run_workers.py), and tag the run with it."""
        run, instance = context.run, context.instance
        if run is None or instance is None or instance.is_ephemeral:
            yield self
            return
        keep_connections(instance)
        instance.add_run_tags(run.run_id, {WORKER: this_process(run.run_id)})
        with process_locks.holding(self.database(), run.run_id):
            yield self

    @property
    def settings(self) -> Settings:
        """Return the settings of this process."""
        return Settings.of(os.environ)

    def now(self) -> datetime:
        """Return the time by which sensors decide and failures are recorded. A simulation replaces it."""
        return datetime.now(UTC)

    def database(self) -> str:
        """Return the URL of the database. The first call migrates it, and starts it if it is the embedded one."""
        self._url = self._url or database.bring_up(self.settings.home, os.environ)
        return self._url

    def known_ids(self) -> list[str]:
        """Return the ids of all jurisdictions that have a file."""
        return sorted(jurisdictions.files(self.settings.jurisdictions))

    def jurisdictions(self, ids: Collection[str]) -> dict[str, Jurisdiction]:
        """Return the jurisdictions with these ids.

        Raises:
            WrongUsage: an id is not known, or its file is invalid.
        """
        folder = self.settings.jurisdictions
        return {each: jurisdictions.load(each, folder, FEED_TYPES) for each in sorted(set(ids))}

    def load_jurisdictions(self, ids: Collection[str]) -> tuple[dict[str, Jurisdiction], dict[str, WrongUsage]]:
        """Return the jurisdictions with these ids, and the error of each one that cannot be loaded."""
        known: dict[str, Jurisdiction] = {}
        wrong: dict[str, WrongUsage] = {}
        for each in sorted(set(ids)):
            try:
                known |= self.jurisdictions([each])
            except WrongUsage as error:
                wrong[each] = error
        return known, wrong

    def jurisdiction(self, id_: str) -> Jurisdiction:
        """Return the jurisdiction with this id.

        Raises:
            WrongUsage: the id is not known, or its file is invalid.
        """
        return self.jurisdictions([id_])[id_]

    @asynccontextmanager
    async def queues(self, url: str) -> AsyncIterator[tuple[Queue, Queue]]:
        """Open the queues of amendments and tiles. `url`: the database, which holds the queues by default."""
        where = self.settings.queue_url or url
        async with open_queue(where, AMENDMENTS) as amendments, open_queue(where, TILES) as tiles:
            yield amendments, tiles

    @contextmanager
    def pipeline(self, kept: "ResponseCaches | None" = None) -> "Iterator[Pipeline]":
        """Open a pipeline with its own process pool. The database is started (if embedded) and migrated first."""
        from zoning_assets.pipeline.pipeline import Pipeline  # noqa: PLC0415 - see defs/__init__
        from zoning_assets.pipeline.workers.worker_pool import Pool  # noqa: PLC0415
        from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

        settings = self.settings
        with Pool() as pool, _without_garbage_collection():
            url = self.database()
            http = partial(_http_client, url)
            yield Pipeline(Objects(settings.store_url), url, settings.scratch, pool, http, kept=kept or {})

    @contextmanager
    def open_jurisdiction(self, id_: str) -> Iterator[tuple[str, Jurisdiction]]:
        """Open the database and load a jurisdiction, for steps that send no request to a portal.

        Raises:
            WrongUsage: the id is not known, or its file is invalid.
            Defect: an unexpected error, in one line.
        """
        url = self.database()
        jurisdiction = self.jurisdictions([id_])[id_]
        holds.wait(url, jurisdiction)
        try:
            yield url, jurisdiction
        except ZoningError:
            raise
        except Exception as error:
            kept = "published parcels and districts did not change; this step wrote nothing"
            raise unexpected_error(id_, error, kept) from error


def _http_client(url: str) -> "Http":
    """Open an HTTP client that shares its rate limits with all processes that use this database."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    return Http(ledger=PostgresLedger(url))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Exclude Dagster's 200,000 objects from garbage collection: a collection over them blocks the loop for 0.15 s."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
