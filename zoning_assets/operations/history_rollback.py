"""Roll back published data to an earlier time, or undo one batch.

Rows, parcel zoning, changes and the hold are written in one transaction. The rows of a batch are restored by
storage/postgis/rollback_batches.py.
"""

from dataclasses import dataclass
from datetime import datetime

from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline import change_detection, zone_parcels
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import parcel_zoning, rollback_batches
from zoning_assets.storage.postgis.records import audit_records, hold_records


@dataclass(frozen=True)
class RollbackResult:
    """The result of a rollback, or of its preview. Dictionaries are keyed by feed."""

    batches: dict[str, int | None]  # id of the new batch; None: a preview
    undone: tuple[int, ...]  # ids of the undone batches
    ended: dict[str, int]  # number of row versions that ended
    begun: dict[str, int]  # number of row versions that were restored
    parcels_rezoned: int  # parcels whose zoning changed
    retracted: int  # number of changes that were retracted
    restored: int  # number of changes that an undone rollback had retracted


def roll_back(  # noqa: PLR0913 - what, who, why
    url: str,
    objects: Objects,
    jurisdiction: Jurisdiction,
    *,
    to: datetime | int,
    tile: str | None = None,
    actor: str,
    reason: str,
    dry_run: bool,
) -> RollbackResult:
    """Roll back a jurisdiction, then pause it, so that the next harvest does not publish the undone data again.

    Args:
        url: address of the database.
        objects: the object store.
        jurisdiction: the jurisdiction.
        to: the time to return to, or the id of the one batch to undo.
        tile: the tile of that batch, as a check.
        actor: the user.
        reason: the reason, for the audit.
        dry_run: change nothing, only return what would change.

    Raises:
        NothingFound: there is nothing to undo.
        RollbackRefused: a later batch depends on it.
        DatabaseUnavailable, StoreError: nothing was undone.
    """
    with rollback_batches.opened(url, jurisdiction.id, dry_run=dry_run) as work:
        if isinstance(to, int):
            work.without(to, tile)
        else:
            work.to(to)
        zoning = parcel_zoning.of(work.connection, jurisdiction.id, change_detection.rules_hash(jurisdiction))
        rezoned = zone_parcels.update_shares(zoning, jurisdiction).changed
        work.finish()
        hold_records.insert_hold(work.connection, jurisdiction.id, f"rolled back: {reason}", actor)
        subject = {"jurisdiction": jurisdiction.id, "batches": work.batches}
        audit_records.append(work.connection, actor, "rollback", subject, reason)
        for feed in () if dry_run else work.batches:  # before the commit: a crash in between only loses a baseline
            feed_baselines.mark_rolled_back(objects, jurisdiction.id, feed)
    batches = {feed: None if dry_run else batch for feed, batch in work.batches.items()}
    return RollbackResult(
        batches, tuple(sorted(work.undone)), work.ended, work.begun, rezoned, work.retracted, work.restored
    )
