"""The freshness of each feed: when it was probed, and when its published rows last equalled those of the portal."""

from dataclasses import dataclass
from datetime import datetime

from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named


@dataclass(frozen=True)
class FeedFreshness:
    """The freshness of a feed; None: not yet known."""

    jurisdiction: str
    feed: str
    probed: datetime | None = None
    next_probe: datetime | None = None
    why: str | None = None  # why the probe requested a harvest
    error: str | None = None  # why the probe failed
    requests: int | None = None  # requests of the probe
    current: datetime | None = None  # when the published rows last equalled those of the portal
    harvested: datetime | None = None  # when the complete feed was last published


def feeds(url: str) -> dict[str, FeedFreshness]:
    """The freshness of all feeds, by `JURISDICTION/FEED`.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        known = [FeedFreshness(**row) for row in dicts(connection, named("feed_freshness")["feeds"], {})]
    return {f"{each.jurisdiction}/{each.feed}": each for each in known}


def find_harvested(url: str, jurisdiction: str, feed: str) -> datetime | None:
    """When the complete feed was last published; None: never.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed}
        found = connection.execute(named("feed_freshness")["harvested_at"], values).fetchone()
    return found[0] if found else None


def store_probe(url: str, known: FeedFreshness) -> None:
    """Store the result of a probe; `current` is set if nothing had changed."""
    values = {
        **{name: getattr(known, name) for name in ("jurisdiction", "feed", "why", "error", "requests", "current")},
        "now": known.probed,
        "next": known.next_probe,
    }
    with session(url) as connection:
        connection.execute(named("feed_freshness")["probed"], values)


def store_harvest(url: str, jurisdiction: str, feed: str, at: datetime) -> None:
    """The complete feed was published, as the portal had it at this time."""
    with session(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed, "at": at}
        connection.execute(named("feed_freshness")["harvested"], values)
