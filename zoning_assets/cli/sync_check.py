"""Check before `zoning sync` starts runs: a feed that did not change needs no run, and no import of Dagster."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zoning_assets import graceful_stop
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import progress
from zoning_assets.jurisdictions.locations import Locations
from zoning_assets.model import COUNTED, Jurisdiction, Outcome
from zoning_assets.storage import dagster_storage

if TYPE_CHECKING:
    from zoning_assets.http import ResponseCaches
    from zoning_assets.pipeline.unchanged_check import UnchangedCheck


def find(url: str, jurisdiction: Jurisdiction, feed: str, kept: "ResponseCaches") -> list[dict[str, Any]]:
    """Return the reports of a feed that did not change; an empty list: a run is needed.

    Args:
        url: of the database.
        jurisdiction: which one.
        feed: which of its feeds.
        kept: receives what the portal answered.

    Raises:
        Stopping: this process was asked to stop.
    """
    with progress.working(f"{jurisdiction.id} {feed}: checking whether it changed"), _look(url) as look:
        reports = list(map(_report, graceful_stop.run(look.check_feed(jurisdiction, feed, kept))))
    tiles = [report["tile"] for report in reports if report["tile"]]
    return reports if _are_registered(jurisdiction, tiles) else []


def _are_registered(jurisdiction: Jurisdiction, tiles: Sequence[str]) -> bool:
    """Whether Dagster's storage has the tiles as partitions; it may have been created after they were published. The
    storage of another installation is not checked."""
    address = os.environ.get(dagster_storage.SETTING)
    location = Locations.of(bootstrap.settings().locations).find(jurisdiction.id)
    return not (tiles and address) or dagster_storage.has_tiles(address, jurisdiction.id, tiles, location.tiles)


def is_current(url: str, jurisdiction: Jurisdiction) -> bool:
    """Whether the parcel zoning and the changes of all published batches are computed."""
    with _look(url) as look:
        return look.is_compared(jurisdiction)


@contextmanager
def _look(url: str) -> "Iterator[UnchangedCheck]":
    from zoning_assets.http import Http  # noqa: PLC0415 - this and what follows takes half a second
    from zoning_assets.pipeline.unchanged_check import UnchangedCheck  # noqa: PLC0415
    from zoning_assets.pipeline.workers.worker_pool import Pool  # noqa: PLC0415
    from zoning_assets.storage.object_store.object_store import Objects  # noqa: PLC0415
    from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger  # noqa: PLC0415

    settings = bootstrap.settings()
    with Pool() as pool:
        objects = Objects(settings.store_url)
        yield UnchangedCheck(objects, url, settings.scratch, pool, lambda: Http(ledger=PostgresLedger(url)))


def _report(outcome: Outcome) -> dict[str, Any]:
    """Build the report of a partition, in the same form as defs/sync_runs.py."""
    counted = outcome.counts.as_dict()
    counts = {name: counted[name] for name in (*COUNTED, "requests", "bytes", "seconds")}
    remarks = {"remark": outcome.remark, "left_out": list(outcome.left_out)}
    return {
        "jurisdiction": outcome.place.jurisdiction,
        "tile": outcome.place.tile,
        "feed": outcome.feed,
        **counts,
        "content_hash": outcome.content_hash,
        **{name: each for name, each in remarks.items() if each},
        "complete": True,
    }
