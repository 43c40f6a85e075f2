"""Remove a jurisdiction: its rows in the database, in one transaction, and the baselines in the object store.

Raw pages, stored tables and the audit are kept.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import jurisdiction_removal
from zoning_assets.storage.postgis.jurisdiction_removal import RemovalResult


@dataclass(frozen=True)
class RemovalReport:
    """Number of objects found, by kind, and the result of the removal; None: a preview, or there was nothing."""

    found: Mapping[str, int]
    removed: RemovalResult | None


def remove(  # noqa: PLR0913 - what, who, why
    url: str,
    objects: Objects,
    jurisdiction: str,
    *,
    hosts: Collection[str],
    actor: str,
    reason: str,
    dry_run: bool,
) -> RemovalReport:
    """Remove a jurisdiction, or only count what would go.

    Args:
        url: address of the database.
        objects: the object store.
        jurisdiction: its id; its file may be missing.
        hosts: hosts whose rate limits are removed too.
        actor: the user.
        reason: the reason, for the audit.
        dry_run: only count.

    Raises:
        DatabaseUnavailable, StoreError: nothing was removed.
    """
    with jurisdiction_removal.opened(url, jurisdiction, hosts) as work:
        found = work.counts()
        if dry_run or not any(found.values()):
            return RemovalReport(found, None)
        done = work.remove(actor, reason)
        for feed in (PARCELS, ZONING):  # before the commit: a crash in between only loses a baseline
            feed_baselines.delete(objects, jurisdiction, feed)
    return RemovalReport(found, done)
