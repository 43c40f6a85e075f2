"""Taking a jurisdiction out: the database in one transaction, and what the object store remembers of its last release.

Raw pages and tables stay in the store, and so does the audit.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import jurisdiction_removal
from zoning_assets.storage.postgis.jurisdiction_removal import Removed


@dataclass(frozen=True)
class RemovalResult:
    """How much there was of a jurisdiction, by what it is; and what its removal did, None where it was a preview."""

    found: Mapping[str, int]
    removed: Removed | None


def remove(  # noqa: PLR0913 - what, who, why
    url: str,
    objects: Objects,
    jurisdiction: str,
    *,
    hosts: Collection[str],
    actor: str,
    reason: str,
    dry_run: bool,
) -> RemovalResult:
    """Remove a jurisdiction, or only count what would go.

    Args:
        url: the database.
        objects: the store.
        jurisdiction: its id; its file may be gone.
        hosts: hosts whose budgets go with it.
        actor: who does it.
        reason: why.
        dry_run: only count.

    Raises:
        DatabaseUnavailable, StoreError: nothing was removed.
    """
    with jurisdiction_removal.opened(url, jurisdiction, hosts) as work:
        found = work.found()
        if dry_run or not any(found.values()):
            return RemovalResult(found, None)
        done = work.remove(actor, reason)
        for feed in (PARCELS, ZONING):  # before the commit: who dies between has forgotten too much
            feed_baselines.forget(objects, jurisdiction, feed)
    return RemovalResult(found, done)
