"""Taking a jurisdiction out: the database in one transaction, and what the object store remembers of its last release.

Raw pages and tables stay in the store, and so does the audit.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.object_store import feed_baselines
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import jurisdiction_removal
from zoning_assets.storage.postgis.jurisdiction_removal import RemovalResult


@dataclass(frozen=True)
class Done:
    """How much there was of a jurisdiction, by what it is; and what its removal did, None where it was a preview."""

    found: Mapping[str, int]
    removed: RemovalResult | None


def remove(  # noqa: PLR0913 - what, who, why, and whether in earnest
    url: str,
    objects: Objects,
    jurisdiction: str,
    *,
    hosts: Collection[str],
    actor: str,
    reason: str,
    in_earnest: bool,
) -> Done:
    """Remove a jurisdiction, or only count what would go.

    Args:
        url: the database.
        objects: the store.
        jurisdiction: its id; its file may be gone.
        hosts: hosts whose budgets go with it.
        actor: who does it.
        reason: why.
        in_earnest: remove; else only count.

    Raises:
        DatabaseUnavailable, StoreError: nothing was removed.
    """
    with jurisdiction_removal.opened(url, jurisdiction, hosts) as work:
        found = work.counts()
        if not in_earnest or not any(found.values()):
            return Done(found, None)
        done = work.remove(actor, reason)
        for feed in (PARCELS, ZONING):  # before the commit: who dies between has forgotten too much
            feed_baselines.delete(objects, jurisdiction, feed)
    return Done(found, done)
