"""Taking a jurisdiction out of the database: its rows become history, what waits or is remembered of it goes.

A removal is a batch for each feed that undoes all batches before it, as a rollback's is (rollback.py): a rollback to
the time before it brings the rows back, and a run that was under way publishes nothing any more.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named

#: The feed of the shares' batches, which are made of both others; in this order rows are ended.
_FEEDS = (PARCELS, ZONING, "parcel_zoning")
#: What goes besides rows, in this order.
_FORGOTTEN = ("not_whole", "best_lots", "rejections", "failures", "feeds", "held", "pauses", "budgets")
#: Watched parcels that the audit names; more are counted only.
_MOST_NAMED = 1000


@dataclass(frozen=True)
class Removed:
    """What a removal did: its batch by feed, and a time just before it, to which a rollback leads back."""

    batches: Mapping[str, int]
    before: datetime | None


@dataclass(frozen=True)
class Removal:
    """One jurisdiction, in a transaction that holds its locks."""

    connection: Connection
    jurisdiction: str
    hosts: Sequence[str]  # that no other jurisdiction is harvested from

    def found(self) -> dict[str, int]:
        """How much there is of it, by what it is."""
        (counts,) = dicts(self.connection, named("remove")["found"], self._values())
        return {**counts, "messages": len(self._messages())}

    def remove(self, actor: str, reason: str) -> Removed:
        """Take it out, and note that in the audit."""
        found, batches, before = self.found(), dict[str, int](), None
        first = dict(self._do("first").fetchall())
        for feed in (each for each in _FEEDS if each in first):
            batch, now = self._do("open", feed=feed, undoes=first[feed]).fetchone() or (0, None)
            ended = self._do(f"end_{feed}", batch=batch, now=now).rowcount
            self._do("close", batch=batch, counts=Jsonb(_counts(feed, ended, batches)))
            batches[feed], before = batch, before or now
        if harvested := [batches[feed] for feed in (PARCELS, ZONING) if feed in batches]:
            self._do("retract", batch=max(harvested))
            self._do("release")
        for each in _FORGOTTEN:
            self._do(each, actor=actor)
        self._do("delete_messages", numbers=self._messages())
        watched = [parcel for (parcel,) in self._do("watches").fetchmany(_MOST_NAMED)]
        subject = {"jurisdiction": self.jurisdiction, "batches": batches, "removed": found, "watched": watched}
        hold_records.note(self.connection, actor, "remove", subject, reason)
        return Removed(batches, before)

    def _messages(self) -> list[int]:
        """The numbers of messages that are about it; one that cannot be read is about nothing."""
        rows = self._do("messages").fetchall()
        return [number for _, number, body in rows if _about(body) == self.jurisdiction]

    def _values(self, **values: Any) -> dict[str, Any]:
        return {"jurisdiction": self.jurisdiction, "hosts": list(self.hosts), **values}

    def _do(self, query: str, **values: Any) -> Any:
        return self.connection.execute(named("remove")[query], self._values(**values))


def _counts(feed: str, ended: int, batches: Mapping[str, int]) -> dict[str, Any]:
    """As batches of the feed have them."""
    if feed == "parcel_zoning":
        return {"parcels": batches.get(PARCELS, 0), "zoning": batches.get(ZONING, 0), "changed": ended}
    return {"added": 0, "changed": 0, "unchanged": 0, "retired": ended, "rejected": 0, "layer": ""}


def _about(body: str) -> str | None:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return message.get("jurisdiction") if isinstance(message, dict) else None


@contextmanager
def opened(url: str, jurisdiction: str, hosts: Collection[str]) -> Iterator[Removal]:
    """A removal in one transaction, committed when the block ends well.

    Raises:
        DatabaseUnavailable, StoreError: nothing was removed.
    """
    with said(url), connect(url) as connection:
        connection.execute(named("rollback")["lock"], {"jurisdiction": jurisdiction})
        yield Removal(connection, jurisdiction, sorted(hosts))


def removed(url: str) -> set[str]:
    """Jurisdictions of which nothing was published since they were removed.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    with said(url), session(url) as connection:
        return {name for (name,) in connection.execute(named("remove")["removed"])}
