"""What assets work with: the pipeline, opened once a run, and the jurisdictions."""

import gc
import os
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.defects import defect
from zoning_assets.defs.dagster_instance import keep_connections
from zoning_assets.defs.run_workers import WORKER, this_process
from zoning_assets.errors import WrongUsage, ZoningError
from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline import holds
from zoning_assets.queues import AMENDMENTS, TILES, Queue, open_queue
from zoning_assets.settings import Settings
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.postgis import database

if TYPE_CHECKING:
    from zoning_assets.http import Http, Kept
    from zoning_assets.pipeline.pipeline import Pipeline

#: What portals answered to a look of the command that starts the run (kept_answers.py); empty where there was none.
KeptResource = dg.ResourceParam[dict[tuple[str, str], Any]]


class Zoning(dg.ConfigurableResource[None]):
    """The settings of this process, and a pipeline that is started when it is first asked for."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """A run says which process it is, so that its death is noticed (run_workers.py)."""
        if context.run and context.instance and not context.instance.is_ephemeral:
            keep_connections(context.instance)
            context.instance.add_run_tags(context.run.run_id, {WORKER: this_process(context.run.run_id)})

    @property
    def settings(self) -> Settings:
        """Where things live."""
        return Settings.of(os.environ)

    def database(self) -> str:
        """The database's URL; it is brought up and up to date where that is ours to do."""
        return database.bring_up(self.settings.home, os.environ)

    def jurisdictions(self, ids: Collection[str]) -> dict[str, Jurisdiction]:
        """The jurisdictions of these ids.

        Raises:
            WrongUsage: one is not known, or its file is wrong.
        """
        folder = self.settings.jurisdictions
        return {each: jurisdictions.load(each, folder, FEED_TYPES) for each in sorted(set(ids))}

    def sorted_out(self, ids: Collection[str]) -> tuple[dict[str, Jurisdiction], dict[str, WrongUsage]]:
        """The jurisdictions of these ids, and why the others cannot be had: one bad file stops no other."""
        known: dict[str, Jurisdiction] = {}
        wrong: dict[str, WrongUsage] = {}
        for each in sorted(set(ids)):
            try:
                known |= self.jurisdictions([each])
            except WrongUsage as error:
                wrong[each] = error
        return known, wrong

    def jurisdiction(self, id_: str) -> Jurisdiction:
        """The jurisdiction of this id.

        Raises:
            WrongUsage: it is not known, or its file is wrong.
        """
        return self.jurisdictions([id_])[id_]

    @asynccontextmanager
    async def queues(self, url: str) -> AsyncIterator[tuple[Queue, Queue]]:
        """The queues of amendments and of tiles; `url`: of the database, which is where they are by default."""
        where = self.settings.queue_url or url
        async with open_queue(where, AMENDMENTS) as amendments, open_queue(where, TILES) as tiles:
            yield amendments, tiles

    @contextmanager
    def pipeline(self, kept: "Kept | None" = None) -> "Iterator[Pipeline]":
        """A pipeline with its own process pool; the database is brought up and up to date where that is ours to do."""
        from zoning_assets.pipeline.pipeline import Pipeline  # noqa: PLC0415 - see defs/__init__
        from zoning_assets.pipeline.workers.worker_pool import Pool  # noqa: PLC0415
        from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415

        settings = self.settings
        with Pool() as pool, _undisturbed():
            url = self.database()
            http = partial(_asking, url)
            yield Pipeline(Objects(settings.store_url), url, settings.scratch, pool, http, kept=kept or {})

    @contextmanager
    def judged(self, id_: str) -> Iterator[tuple[str, Jurisdiction]]:
        """The database, brought up and up to date, and a jurisdiction: for what needs no portal.

        Raises:
            WrongUsage: it is not known, or its file is wrong.
            Defect: what nobody thought of, in one line.
        """
        url = self.database()
        jurisdiction = self.jurisdictions([id_])[id_]
        holds.wait(url, jurisdiction)
        try:
            yield url, jurisdiction
        except ZoningError:
            raise
        except Exception as error:
            stands = "the published parcels and districts stand; this step wrote nothing"
            raise defect(id_, error, stands) from error


def _asking(url: str) -> "Http":
    """A client that shares its budgets with all who work with this database."""
    from zoning_assets.http import Http  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    return Http(ledger=PostgresLedger(url))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Dagster's 200,000 objects stay whatever happens, and looking through them stops the loop for 0.15 s."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
