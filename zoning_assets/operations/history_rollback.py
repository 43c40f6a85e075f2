"""Undoing what was published: back to a moment, or without one batch.

Rows, shares, changes and a hold, in one transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline import change_detection, zone_parcels
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import parcel_zoning, rollback_batches
from zoning_assets.storage.postgis.records import hold_records


@dataclass(frozen=True)
class Undone:
    """What a rollback did, or would do; by feed."""

    batches: dict[str, int | None]  # the batch that undoes; None: a preview, there is no such batch
    undone: tuple[int, ...]  # the batches that are undone
    ended: dict[str, int]  # rows that are no more, or no more so
    begun: dict[str, int]  # rows that are there again
    parcels_rezoned: int  # whose shares are others
    retracted: int  # changes
    restored: int  # changes that an undone rollback had retracted


def undo(  # noqa: PLR0913 - where, back to what, who, why, and whether in earnest
    url: str,
    objects: Objects,
    jurisdiction: Jurisdiction,
    *,
    to: datetime | int,
    tile: str | None = None,
    actor: str,
    reason: str,
    in_earnest: bool,
) -> Undone:
    """Back to a moment, or (a number) without one batch; then the jurisdiction is paused, so that the next harvest does
    not bring back what was undone.

    Raises:
        NothingFound: there is nothing to be undone.
        RollbackRefused: a later batch builds on it.
        DatabaseUnavailable, StoreError: nothing was undone.
    """
    with rollback_batches.opened(url, jurisdiction.id, dry_run=not in_earnest) as work:
        if isinstance(to, int):
            work.without(to, tile)
        else:
            work.to(to)
        desk = parcel_zoning.of(work.connection, jurisdiction.id, change_detection.rules_of(jurisdiction))
        rezoned = zone_parcels.overlaid(desk, jurisdiction).changed
        work.finish()
        hold_records.insert_hold(work.connection, jurisdiction.id, f"rolled back: {reason}", actor)
        subject = {"jurisdiction": jurisdiction.id, "batches": work.batches}
        hold_records.append_audit(work.connection, actor, "rollback", subject, reason)
        for feed in work.batches if in_earnest else ():  # before the commit: who dies between has forgotten too much
            feed_baselines.mark_rolled_back(objects, jurisdiction.id, feed)
    batches = {feed: batch if in_earnest else None for feed, batch in work.batches.items()}
    return Undone(batches, tuple(sorted(work.undone)), work.ended, work.begun, rezoned, work.retracted, work.restored)
