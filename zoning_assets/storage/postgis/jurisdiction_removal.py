"""Remove a jurisdiction from the database: its rows become versions, its open records are closed or deleted.

A removal is one batch for each feed that undoes all batches before it, like a rollback (rollback_batches.py). So a
rollback to the time before the removal restores the rows, and a run that started before it cannot publish.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.records import audit_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

#: In this order rows are ended; batches of parcel_zoning name the batches of both other feeds.
_FEEDS = (PARCELS, ZONING, "parcel_zoning")
#: Queries that close or delete other records, in this order.
_CLEANUP = ("delete_compared_batch", "best_lots", "rejections", "failures", "feeds", "held", "pauses", "budgets")
#: At most so many watched parcels are named in the audit.
_MOST_NAMED = 1000


@dataclass(frozen=True)
class RemovalResult:
    """The result of a removal: its batch by feed, and a time before it to which a rollback can go."""

    batches: Mapping[str, int]
    before: datetime | None


@dataclass(frozen=True)
class Removal:
    """The removal of a jurisdiction, in a transaction that holds its locks."""

    connection: Connection
    jurisdiction: str
    hosts: Sequence[str]  # hosts that no other jurisdiction uses

    def counts(self) -> dict[str, int]:
        """Count the rows and messages of the jurisdiction, by kind."""
        (found,) = dicts(self.connection, named("jurisdiction_removal")["counts"], self._values())
        return {**found, "messages": len(self._messages())}

    def remove(self, actor: str, reason: str) -> RemovalResult:
        """Remove the jurisdiction, and append the removal to the audit."""
        found, batches, before = self.counts(), dict[str, int](), None
        first = dict(self._do("first_batches").fetchall())
        for feed in (each for each in _FEEDS if each in first):
            batch, now = self._do("open_batch", feed=feed, undoes=first[feed]).fetchone() or (0, None)
            ended = self._do(f"end_{feed}", batch=batch, now=now).rowcount
            self._do("close_batch", batch=batch, counts=Jsonb(_counts(feed, ended, batches)))
            batches[feed], before = batch, before or now
        if harvested := [batches[feed] for feed in (PARCELS, ZONING) if feed in batches]:
            self._do("retract", batch=max(harvested))
            self._do("insert_release")
        for each in _CLEANUP:
            self._do(each, actor=actor)
        self._do("delete_messages", numbers=self._messages())
        watched = [parcel for (parcel,) in self._do("watches").fetchmany(_MOST_NAMED)]
        subject = {"jurisdiction": self.jurisdiction, "batches": batches, "removed": found, "watched": watched}
        audit_records.append(self.connection, actor, "remove", subject, reason)
        return RemovalResult(batches, before)

    def _messages(self) -> list[int]:
        """The numbers of messages that concern the jurisdiction. Messages that are not JSON are skipped."""
        rows = self._do("messages").fetchall()
        return [number for _, number, body in rows if _jurisdiction_of(body) == self.jurisdiction]

    def _values(self, **values: Any) -> dict[str, Any]:
        return {"jurisdiction": self.jurisdiction, "hosts": list(self.hosts), **values}

    def _do(self, query: str, **values: Any) -> Any:
        return self.connection.execute(named("jurisdiction_removal")[query], self._values(**values))


def _counts(feed: str, ended: int, batches: Mapping[str, int]) -> dict[str, Any]:
    """The counts of a removal in the form of the batches of the feed."""
    if feed == "parcel_zoning":
        return {"parcels": batches.get(PARCELS, 0), "zoning": batches.get(ZONING, 0), "changed": ended}
    return {"added": 0, "changed": 0, "unchanged": 0, "retired": ended, "rejected": 0, "layer": ""}


def _jurisdiction_of(body: str) -> str | None:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return message.get("jurisdiction") if isinstance(message, dict) else None


@contextmanager
def opened(url: str, jurisdiction: str, hosts: Collection[str]) -> Iterator[Removal]:
    """Open a transaction for a removal. It is committed when the block ends without an error.

    Raises:
        DatabaseUnavailable, StoreError: nothing was removed.
    """
    with session(url) as connection:
        connection.execute(named("rollback")["lock"], {"jurisdiction": jurisdiction})
        yield Removal(connection, jurisdiction, sorted(hosts))


def removed_jurisdictions(url: str) -> set[str]:
    """The ids of jurisdictions that were removed and not published since.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with session(url) as connection:
        return {name for (name,) in connection.execute(named("jurisdiction_removal")["removed"])}
