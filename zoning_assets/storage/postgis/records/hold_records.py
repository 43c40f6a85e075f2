"""Emergency pauses, in force for every process and machine that works with this database, and the audit of what people did.

A pause returns when nothing can be committed under it any more: who publishes looks for holds last, under a lock that
pausing waits for, and commits at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.errors import Held, NothingWaits
from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.sessions import said, session
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
        """What is paused, in words."""
        return self.jurisdiction or self.host or "everything"

    def error(self) -> Held:
        """As an error."""
        words = self.jurisdiction or (f"--host {self.host}" if self.host else "--all")
        until = f" until {self.until.isoformat(timespec='minutes')}" if self.until else ""
        return Held(f"paused by {self.actor}{until}: {self.reason}", where=self.what, do=f"`zoning resume {words}`")


def active(url: str) -> list[Hold]:
    """What is paused now.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with said(url), session(url) as connection:
        return _active(connection)


def of(holds: Iterable[Hold], jurisdiction: str, hosts: Iterable[str]) -> Hold | None:
    """The first hold that concerns a jurisdiction whose feeds lie at these hosts."""
    places = {None, *hosts}
    return next((h for h in holds if h.jurisdiction in (None, jurisdiction) and h.host in places), None)


def check(connection: Connection, jurisdiction: str, hosts: Iterable[str]) -> None:
    """The last look before a commit; until then nobody can pause.

    Raises:
        Held: it is paused; the transaction must not be committed.
    """
    connection.execute(named("holds")["looked"])
    if hold := of(_active(connection), jurisdiction, hosts):
        raise hold.error()


def pause(  # noqa: PLR0913 - what, why, who, until when
    url: str, *, jurisdiction: str | None, host: str | None, reason: str, actor: str, until: datetime | None
) -> Hold:
    """Pause; when this returns nothing is published under it any more."""
    with connect(url) as connection:
        connection.execute(named("holds")["lock"])
        return place(connection, jurisdiction, reason, actor, host=host, until=until)


def place(  # noqa: PLR0913 - what, why, who, until when
    connection: Connection,
    jurisdiction: str | None,
    reason: str,
    actor: str,
    *,
    host: str | None = None,
    until: datetime | None = None,
) -> Hold:
    """A pause, in a transaction that holds the lock; in force when it is committed."""
    said = {"jurisdiction": jurisdiction, "host": host, "reason": reason, "actor": actor, "until": until}
    (hold,) = _holds(connection, "pause", said)
    note(connection, actor, "pause", {"hold": hold.id, "what": hold.what}, reason)
    return hold


def resume(url: str, *, jurisdiction: str | None, host: str | None, reason: str, actor: str) -> list[Hold]:
    """Lift the pauses of just this.

    Raises:
        NothingWaits: it is not paused.
    """
    with connect(url) as connection:
        connection.execute(named("holds")["lock"])
        lifted = _holds(connection, "resume", {"jurisdiction": jurisdiction, "host": host, "actor": actor})
        for hold in lifted:
            note(connection, actor, "resume", {"hold": hold.id, "what": hold.what}, reason)
    if not lifted:
        what = jurisdiction or host or "everything"
        raise NothingWaits("it is not paused", where=what, do="look at `zoning status`")
    return lifted


def note(connection: Connection, actor: str, action: str, subject: Mapping[str, Any], reason: str) -> None:
    """Write a action into the audit; to be called under the lock, so that the chain has one end."""
    values = {"actor": actor, "action": action, "subject": Jsonb(dict(subject)), "reason": reason}
    connection.execute(named("holds")["note"], values)


def record(url: str, actor: str, action: str, subject: Mapping[str, Any], reason: str) -> None:
    """Write a action that was done elsewhere into the audit."""
    with connect(url) as connection:
        connection.execute(named("holds")["lock"])
        note(connection, actor, action, subject, reason)


def broken(url: str) -> list[int]:
    """The numbers of audit rows that were changed, or whose row before is missing."""
    with connect(url) as connection:
        return [number for (number,) in connection.execute(named("holds")["broken"])]


def _active(connection: Connection) -> list[Hold]:
    return _holds(connection, "active", {})


def _holds(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Hold]:
    return [Hold(**row) for row in dicts(connection, named("holds")[query], values)]
