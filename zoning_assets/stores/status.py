"""How things stand, for a look: what was published. Hosts are the ledger's (stores/ledger.py)."""

from dataclasses import dataclass
from datetime import datetime

from zoning_assets.stores.database import connect
from zoning_assets.stores.queries import named


@dataclass(frozen=True)
class Published:
    """What stands of a jurisdiction."""

    feeds: list[str]
    last_batch: datetime | None
    parcels: int


def published(url: str) -> dict[str, Published]:
    """What was published, by jurisdiction.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with connect(url) as connection:
        return {name: Published(*rest) for name, *rest in connection.execute(named("status")["jurisdictions"])}
