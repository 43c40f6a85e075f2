"""How far each feed is up to date: when it was probed, and when what stands was last found to be the portal's."""

from dataclasses import dataclass
from datetime import datetime

from zoning_assets.storage.postgis.database import connect, dicts
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named


@dataclass(frozen=True)
class Known:
    """What is known of a feed; None: not yet."""

    jurisdiction: str
    feed: str
    probed: datetime | None = None
    next_probe: datetime | None = None
    why: str | None = None  # it was worth fetching then
    error: str | None = None  # it could not be asked
    requests: int | None = None  # of that probe
    current: datetime | None = None  # what stands was last found to be what the portal has
    harvested: datetime | None = None  # all of it was published last


def feeds(url: str) -> dict[str, Known]:
    """What is known, by `JURISDICTION/FEED`.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with said(url), session(url) as connection:
        known = [Known(**row) for row in dicts(connection, named("waking")["feeds"], {})]
    return {f"{each.jurisdiction}/{each.feed}": each for each in known}


def note_probed(url: str, known: Known) -> None:
    """What a probe found; `current` where nothing had changed."""
    values = {
        **{name: getattr(known, name) for name in ("jurisdiction", "feed", "why", "error", "requests", "current")},
        "now": known.probed,
        "next": known.next_probe,
    }
    with said(url), connect(url) as connection:
        connection.execute(named("waking")["probed"], values)


def note_harvested(url: str, jurisdiction: str, feed: str, at: datetime) -> None:
    """All of a feed was published, as its portal had it then."""
    with said(url), connect(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed, "at": at}
        connection.execute(named("waking")["harvested"], values)
