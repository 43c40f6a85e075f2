"""Failures of partitions until they are solved: the error, the number of tries, and when to retry."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zoning_assets.errors import NothingWaits, ZoningError
from zoning_assets.model import Outcome, Place
from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

#: The number of automatic retries; then the failure is dead and waits for a person.
MAX_RETRIES = 5


@dataclass(frozen=True)
class Failure:
    """A partition (tile None: the whole jurisdiction) whose last run failed. `kind`: the name of the error."""

    id: int
    jurisdiction: str
    feed: str
    tile: str | None
    kind: str
    message: str
    passes: bool  # a retry may succeed
    tries: int  # how often it failed since a person last requested a retry
    first: datetime
    last: datetime
    not_before: datetime | None  # stated by the portal, such as Retry-After
    state: str  # waiting | asked | dead
    asked: datetime | None  # when the last retry started
    run: str | None

    @property
    def where(self) -> str:
        """The partition, for messages."""
        return f"{Place(self.jurisdiction, self.tile)} {self.feed}"


def store_outcomes(url: str, outcomes: Iterable[Outcome], run: str, now: datetime) -> None:
    """Store failed partitions, and mark the others as solved.

    Raises:
        DatabaseUnavailable, StoreError: nothing was stored.
    """
    query = named("failures")
    with session(url) as connection:
        for each in outcomes:
            at = {"jurisdiction": each.place.jurisdiction, "feed": each.feed, "tile": each.place.tile}
            values = {**at, "now": now, "run": run, "most": MAX_RETRIES}
            if each.error is None:
                connection.execute(query["solved"], values)
            else:
                connection.execute(query["failed"], {**values, **_evidence(each.error, now)})


def _evidence(error: ZoningError, now: datetime) -> dict[str, Any]:
    not_before = now + timedelta(seconds=error.wait_s) if error.wait_s else None
    kind, message = type(error).__name__, str(error)[:2000]
    return {"kind": kind, "message": message, "passes": error.is_temporary, "not_before": not_before}


def solve_removed_tiles(url: str, jurisdiction: str, feed: str, tiles: Collection[str], now: datetime) -> None:
    """Mark failures of tiles that are not in `tiles`, the current tile index, as solved."""
    with session(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed, "tiles": list(tiles), "now": now}
        connection.execute(named("failures")["solve_removed_tiles"], values)


def store_retry(  # noqa: PLR0913 - what, by which run, when
    url: str, jurisdiction: str, feed: str, tiles: Collection[str], run: str, now: datetime
) -> None:
    """A run that retries these tiles has started; no tiles: all of the feed."""
    values = {"jurisdiction": jurisdiction, "feed": feed, "tiles": list(tiles) or None, "run": run, "now": now}
    with session(url) as connection:
        connection.execute(named("failures")["retry_started"], values)


def unsolved(url: str) -> list[Failure]:
    """The failures that are not solved, oldest first.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        return [Failure(**row) for row in dicts(connection, named("failures")["open"], {})]


def is_any_open(url: str, jurisdiction: str, feed: str) -> bool:
    """Whether a feed has failures that are not solved.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed}
        return connection.execute(named("failures")["is_any_open"], values).fetchone() == (True,)


def request_retry(
    url: str, *, jurisdiction: str | None = None, id_: int | None = None, dead: bool = False
) -> list[Failure]:
    """A person requests a retry: of a jurisdiction, of one failure, or of all that are dead; return the failures.

    Raises:
        NothingWaits: there is no such failure.
    """
    with session(url) as connection:
        values = {"jurisdiction": jurisdiction, "id": id_, "dead": dead}
        found = [Failure(**row) for row in dicts(connection, named("failures")["retry"], values)]
    if not found:
        what = jurisdiction or (str(id_) if id_ else "all that are dead")
        raise NothingWaits("there is no failure to retry", where=what, do="look at `zoning status`")
    return sorted(found, key=lambda each: each.id)
