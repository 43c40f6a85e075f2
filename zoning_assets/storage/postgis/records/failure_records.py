"""What failed, partition by partition, until it is solved: the evidence, how often, and when to ask again."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zoning_assets.errors import NothingWaits, ZoningError
from zoning_assets.model import Outcome, Place
from zoning_assets.storage.postgis.database import connect, dicts
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named

#: Asked for once, and again so often; then it is dead, and waits for a person.
MOST_AGAIN = 5


@dataclass(frozen=True)
class Failure:
    """A partition (tile None: the whole jurisdiction) whose last run failed. `kind`: the error's name."""

    id: int
    jurisdiction: str
    feed: str
    tile: str | None
    kind: str
    message: str
    passes: bool  # asking again may succeed
    tries: int  # how often it failed, since a person asked last
    first: datetime
    last: datetime
    not_before: datetime | None  # the portal's own word
    state: str  # waiting | asked | dead
    asked: datetime | None  # when a run that asks again began
    run: str | None

    @property
    def where(self) -> str:
        """As messages name it."""
        return f"{Place(self.jurisdiction, self.tile)} {self.feed}"


def note(url: str, outcomes: Iterable[Outcome], run: str, now: datetime) -> None:
    """Keep what failed, with how often; and that the others are solved.

    Raises:
        StoreError: the database cannot be reached.
    """
    query = named("waking")
    with said(url), connect(url) as connection:
        for each in outcomes:
            at = {"jurisdiction": each.place.jurisdiction, "feed": each.feed, "tile": each.place.tile}
            values = {**at, "now": now, "run": run, "most": MOST_AGAIN}
            if each.error is None:
                connection.execute(query["solved"], values)
            else:
                connection.execute(query["failed"], {**values, **_evidence(each.error, now)})


def _evidence(error: ZoningError, now: datetime) -> dict[str, Any]:
    not_before = now + timedelta(seconds=error.wait_s) if error.wait_s else None
    kind, message = type(error).__name__, str(error)[:2000]
    return {"kind": kind, "message": message, "passes": error.is_temporary, "not_before": not_before}


def note_gone(url: str, jurisdiction: str, feed: str, tiles: Collection[str], now: datetime) -> None:
    """Only these are tiles now: what failed of others is solved."""
    with said(url), connect(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed, "tiles": list(tiles), "now": now}
        connection.execute(named("waking")["gone"], values)


def note_asked(  # noqa: PLR0913 - what, by which run, when
    url: str, jurisdiction: str, feed: str, tiles: Collection[str], run: str, now: datetime
) -> None:
    """A run that asks again has begun; no tiles: all of the feed."""
    values = {"jurisdiction": jurisdiction, "feed": feed, "tiles": list(tiles) or None, "run": run, "now": now}
    with said(url), connect(url) as connection:
        connection.execute(named("waking")["asked"], values)


def unsolved(url: str) -> list[Failure]:
    """What failed and is not solved, the oldest first.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with said(url), session(url) as connection:
        return [Failure(**row) for row in dicts(connection, named("waking")["open"], {})]


def is_any_open(url: str, jurisdiction: str, feed: str) -> bool:
    """Whether anything of a feed failed and is not solved.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with said(url), session(url) as connection:
        values = {"jurisdiction": jurisdiction, "feed": feed}
        return connection.execute(named("waking")["is_any_open"], values).fetchone() == (True,)


def ask_again(
    url: str, *, jurisdiction: str | None = None, id_: int | None = None, dead: bool = False
) -> list[Failure]:
    """A person's word that it is worth another try: of a jurisdiction, of one failure, or of all that are dead.

    Raises:
        NothingWaits: none of that kind failed.
    """
    with connect(url) as connection:
        values = {"jurisdiction": jurisdiction, "id": id_, "dead": dead}
        found = [Failure(**row) for row in dicts(connection, named("waking")["again"], values)]
    if not found:
        what = jurisdiction or (str(id_) if id_ else "all that are dead")
        raise NothingWaits("nothing failed that could be asked for again", where=what, do="look at `zoning status`")
    return sorted(found, key=lambda each: each.id)
