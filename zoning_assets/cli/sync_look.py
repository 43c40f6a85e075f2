"""The look of `zoning sync` before it starts Dagster: a jurisdiction that did not change needs no run."""

from typing import TYPE_CHECKING, Any

from zoning_assets import stopping
from zoning_assets.cli import environment, progress
from zoning_assets.model import COUNTED, PARCELS, ZONING, Jurisdiction, Outcome

if TYPE_CHECKING:
    from zoning_assets.http import Kept


def look(url: str, jurisdiction: Jurisdiction, feed: str | None, kept: "Kept") -> list[dict[str, Any]]:
    """The reports of a jurisdiction that did not change; none where a run is needed.

    Args:
        url: of the database.
        jurisdiction: which one.
        feed: only this one; None: all.
        kept: receives what the portals answered.

    Raises:
        Stopping: this process was asked to stop.
    """
    feeds = [name for name in (PARCELS, ZONING) if name in jurisdiction.feeds and feed in (None, name)]
    if not feeds:
        return []
    with progress.working(f"{jurisdiction.id}: asking whether anything changed"):
        from zoning_assets.http import Http  # noqa: PLC0415 - this and what follows takes half a second
        from zoning_assets.pool import Pool  # noqa: PLC0415
        from zoning_assets.stores.ledger import PostgresLedger  # noqa: PLC0415
        from zoning_assets.stores.objects import Objects  # noqa: PLC0415
        from zoning_assets.unchanged import Look  # noqa: PLC0415

        settings = environment.settings()
        http, objects = lambda: Http(ledger=PostgresLedger(url)), Objects(settings.store_url)
        with Pool() as pool:
            found = stopping.run(Look(objects, url, settings.scratch, pool, http).find(jurisdiction, feeds, kept))
    return list(map(_report, found))


def _report(outcome: Outcome) -> dict[str, Any]:
    """As syncing.Sync reports a partition that a run found published."""
    said = outcome.counts.as_dict()
    counts = {name: said[name] for name in (*COUNTED, "requests", "bytes", "seconds")}
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
