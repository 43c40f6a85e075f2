"""Undoing what was published: back to a moment, or without one batch.

Rows, shares, changes and a hold, in one transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from zoning_assets import judging, parcel_zoning
from zoning_assets.model import Jurisdiction
from zoning_assets.stores import baselines, holds, rollback, shares
from zoning_assets.stores.objects import Objects


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
    with rollback.undoing(url, jurisdiction.id, in_earnest=in_earnest) as work:
        if isinstance(to, int):
            work.without(to, tile)
        else:
            work.to(to)
        desk = shares.of(work.connection, jurisdiction.id, judging.rules_of(jurisdiction))
        rezoned = parcel_zoning.overlaid(desk, jurisdiction).changed
        work.finish()
        holds.place(work.connection, jurisdiction.id, f"rolled back: {reason}", actor)
        subject = {"jurisdiction": jurisdiction.id, "batches": work.batches}
        holds.note(work.connection, actor, "rollback", subject, reason)
        for feed in work.batches if in_earnest else ():  # before the commit: who dies between has forgotten too much
            baselines.roll_back(objects, jurisdiction.id, feed)
    batches = {feed: batch if in_earnest else None for feed, batch in work.batches.items()}
    return Undone(batches, tuple(sorted(work.undone)), work.ended, work.begun, rezoned, work.retracted, work.restored)
