"""Queries of `zoning status` and of the metrics. For hosts see rate_limits.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named


@dataclass(frozen=True)
class PublishedSummary:
    """What is published of a jurisdiction. `last_batch`: time of its last batch; `parcels`: their number."""

    feeds: list[str]
    last_batch: datetime | None
    parcels: int


def published(url: str) -> dict[str, PublishedSummary]:
    """What is published, by jurisdiction.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        return {name: PublishedSummary(*rest) for name, *rest in connection.execute(named("status")["jurisdictions"])}


def rejections(url: str) -> dict[str, dict[str, int]]:
    """The number of rejected rows, by jurisdiction and state."""
    found: dict[str, dict[str, int]] = {}
    with session(url) as connection:
        for jurisdiction, state, count in connection.execute(named("status")["rejections"]):
            found.setdefault(jurisdiction, {})[state] = count
    return found


def alarms(url: str) -> dict[str, list[str]]:
    """The alarms of refused maps that no person accepted, by jurisdiction."""
    with session(url) as connection:
        return dict(connection.execute(named("status")["alarms"]).fetchall())


def held(url: str) -> list[dict[str, Any]]:
    """The held releases: `jurisdiction`, `feed`, `why` (sentences), `judged` (time), `places` (number)."""
    with session(url) as connection:
        found = dicts(connection, named("release_profiles")["held"], {})
    return [{**each, "why": reasons(each.pop("findings"))} for each in found]


def reasons(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The sentences of the findings that block a release."""
    return [each["sentence"] for each in findings if each["tripped"] and each["blocks"]]


def batches(url: str) -> list[tuple[str, str, int, int, int, int]]:
    """For each jurisdiction and feed: number of batches, and of added, changed and retired rows."""
    with session(url) as connection:
        return connection.execute(named("status")["batches"]).fetchall()


def changes(url: str) -> list[tuple[str, str, str, int]]:
    """For each jurisdiction, kind and state: the number of changes."""
    with session(url) as connection:
        return connection.execute(named("status")["changes"]).fetchall()


def known(url: str) -> list[str]:
    """The jurisdictions that were ever published."""
    with session(url) as connection:
        return [name for (name,) in connection.execute(named("status")["known"])]
