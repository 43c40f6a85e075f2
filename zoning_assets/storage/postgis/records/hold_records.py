"""Emergency pauses, for all processes and machines that use this database. audit_records.py records who set them.

A publish checks for pauses as its last step before the commit, while it holds a shared lock. `pause` waits for this
lock, so when it returns, every later commit has seen the pause.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zoning_assets.errors import Held, NothingWaits
from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.records import audit_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named


@dataclass(frozen=True)
class Hold:
    """A pause of a jurisdiction, of a host, or (both None) of everything."""

    id: int
    jurisdiction: str | None
    host: str | None
    reason: str
    actor: str
    since: datetime
    until: datetime | None

    @property
    def what(self) -> str:
        """What is paused, for messages."""
        return self.jurisdiction or self.host or "everything"

    def error(self) -> Held:
        """The error that a paused step raises."""
        words = self.jurisdiction or (f"--host {self.host}" if self.host else "--all")
        until = f" until {self.until.isoformat(timespec='minutes')}" if self.until else ""
        return Held(f"paused by {self.actor}{until}: {self.reason}", where=self.what, do=f"`zoning resume {words}`")


def active(url: str) -> list[Hold]:
    """The active pauses.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        return _active(connection)


def find_hold(holds: Iterable[Hold], jurisdiction: str, hosts: Iterable[str]) -> Hold | None:
    """The first hold of a jurisdiction, of one of its hosts, or of everything; None: there is none."""
    places = {None, *hosts}
    return next((h for h in holds if h.jurisdiction in (None, jurisdiction) and h.host in places), None)


def check(connection: Connection, jurisdiction: str, hosts: Iterable[str]) -> None:
    """Check for pauses as the last step before a commit; until the commit no pause can be set.

    Raises:
        Held: the jurisdiction or a host is paused; the transaction must not be committed.
    """
    connection.execute(named("holds")["lock_shared"])
    if hold := find_hold(_active(connection), jurisdiction, hosts):
        raise hold.error()


def pause(  # noqa: PLR0913 - what, why, who, until when
    url: str, *, jurisdiction: str | None, host: str | None, reason: str, actor: str, until: datetime | None
) -> Hold:
    """Pause a jurisdiction, a host, or (both None) everything. After the return nothing of it is published."""
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        return insert_hold(connection, jurisdiction, reason, actor, host=host, until=until)


def insert_hold(  # noqa: PLR0913 - what, why, who, until when
    connection: Connection,
    jurisdiction: str | None,
    reason: str,
    actor: str,
    *,
    host: str | None = None,
    until: datetime | None = None,
) -> Hold:
    """Insert a pause in a transaction that holds the lock; it is active after the commit."""
    values = {"jurisdiction": jurisdiction, "host": host, "reason": reason, "actor": actor, "until": until}
    (hold,) = _holds(connection, "pause", values)
    audit_records.append(connection, actor, "pause", {"hold": hold.id, "what": hold.what}, reason)
    return hold


def resume(url: str, *, jurisdiction: str | None, host: str | None, reason: str, actor: str) -> list[Hold]:
    """Lift the pauses of exactly this jurisdiction, this host, or (both None) of everything.

    Raises:
        NothingWaits: it is not paused.
    """
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        lifted = _holds(connection, "resume", {"jurisdiction": jurisdiction, "host": host, "actor": actor})
        for hold in lifted:
            audit_records.append(connection, actor, "resume", {"hold": hold.id, "what": hold.what}, reason)
    if not lifted:
        what = jurisdiction or host or "everything"
        raise NothingWaits("it is not paused", where=what, do="look at `zoning status`")
    return lifted


def _active(connection: Connection) -> list[Hold]:
    return _holds(connection, "active", {})


def _holds(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Hold]:
    return [Hold(**row) for row in dicts(connection, named("holds")[query], values)]
