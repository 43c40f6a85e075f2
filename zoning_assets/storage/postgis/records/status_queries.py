"""How things stand, for a look: what was published, held back, not believed. Hosts are the ledger's (ledger.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zoning_assets.storage.postgis.database import connect, dicts
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named


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
    with said(url), session(url) as connection:
        return {name: Published(*rest) for name, *rest in connection.execute(named("status")["jurisdictions"])}


def rejections(url: str) -> dict[str, dict[str, int]]:
    """Rows held back, by jurisdiction and state."""
    found: dict[str, dict[str, int]] = {}
    with said(url), session(url) as connection:
        for jurisdiction, state, count in connection.execute(named("status")["rejections"]):
            found.setdefault(jurisdiction, {})[state] = count
    return found


def alarms(url: str) -> dict[str, list[str]]:
    """By jurisdiction, why its last map was not believed; where a person has not said that it is right."""
    with said(url), session(url) as connection:
        return dict(connection.execute(named("status")["alarms"]).fetchall())


def held(url: str) -> list[dict[str, Any]]:
    """The releases that wait for a person: jurisdiction, feed, why (sentences), judged, places (how many)."""
    with said(url), session(url) as connection:
        found = dicts(connection, named("surveys")["held"], {})
    return [{**each, "why": reasons(each.pop("findings"))} for each in found]


def reasons(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why a release is held, in sentences: the findings that block it."""
    return [each["sentence"] for each in findings if each["tripped"] and each["blocks"]]


def batches(url: str) -> list[tuple[str, str, int, int, int, int]]:
    """What batches did so far: jurisdiction, feed, batches, rows added, changed, retired."""
    with connect(url) as connection:
        return connection.execute(named("status")["batches"]).fetchall()


def changes(url: str) -> list[tuple[str, str, str, int]]:
    """What was told so far: jurisdiction, kind, state, how many."""
    with connect(url) as connection:
        return connection.execute(named("status")["changes"]).fetchall()


def known(url: str) -> list[str]:
    """The jurisdictions of which anything was ever published."""
    with connect(url) as connection:
        return [name for (name,) in connection.execute(named("status")["known"])]
