"""Undoing what was published: the inverse as a new batch, in one transaction; history is never deleted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.errors import NothingFound, RollbackRefused
from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.postgis.database import Connection, connect
from zoning_assets.storage.postgis.sessions import said
from zoning_assets.storage.postgis.sql_queries import named

_TABLES = {PARCELS: "parcels", ZONING: "districts"}


@dataclass
class Undoing:
    """A rollback under way: what each feed goes back to, and what that touched."""

    connection: Connection
    jurisdiction: str
    batches: dict[str, int] = field(default_factory=dict)  # feed -> the batch that undoes
    ended: dict[str, int] = field(default_factory=dict)  # feed -> rows that are no more, or no more so
    begun: dict[str, int] = field(default_factory=dict)  # feed -> rows that are there again
    retracted: int = 0
    restored: int = 0
    moment: datetime | None = None  # to which it goes back
    kept: dict[str, int] = field(default_factory=dict)  # feed -> its last batch that stands
    undone: list[int] = field(default_factory=list)

    def to(self, moment: datetime) -> None:
        """Back to what was published at a moment.

        Raises:
            NothingFound: nothing was published after it.
        """
        self.moment = moment
        found = {feed: self._row("at", feed=feed, moment=moment) for feed in _TABLES}
        later = {feed: (batch, first) for feed, (batch, first) in found.items() if first is not None}
        if not later:
            what = f"nothing was published after {moment.isoformat(timespec='seconds')}"
            raise NothingFound(what, where=self.jurisdiction, do="take an earlier time")
        for feed, (batch, first) in later.items():
            self._apply(feed, f"{_TABLES[feed]}_at", batch, first)
        self.kept = {feed: batch for feed, (batch, _) in found.items()}
        self.undone = [
            number
            for feed, undo in self.batches.items()
            for number in self._row("undone", feed=feed, batch=self.kept[feed], undo=undo)[0]
        ]
        self._changes(self.kept, None)

    def without(self, batch: int, tile: str | None) -> None:
        """Back to before one batch, where no later one has touched what it did.

        Raises:
            NothingFound: there is no such batch.
            RollbackRefused: a later batch builds on it.
        """
        row = self._row("batch", batch=batch)
        if row is None or row[0] not in _TABLES or tile not in (None, row[1]):
            where = f"{self.jurisdiction} batch {batch}"
            raise NothingFound("it has no such batch of parcels or districts", where=where, do="look at zoning.batch")
        feed = row[0]
        if later := self._row(f"later_{_TABLES[feed]}", batch=batch):
            what = f"batch {later[1]} has changed {later[0]!r} since"
            do = "roll back to a time before both, with --to"
            raise RollbackRefused(what, where=f"{self.jurisdiction} batch {batch}", do=do)
        keys = self._apply(feed, f"{_TABLES[feed]}_without", batch, batch)
        self.kept, self.undone = dict.fromkeys(_TABLES, 2**62), [batch]
        self._changes({**self.kept, feed: batch - 1}, sorted(set(keys)) if feed == PARCELS else None)

    def finish(self) -> None:
        """The next release is compared with this state; if not all of it was told yet, with the one that was told last.
        What was undone was never accepted, and is no measure of what is usual."""
        (removed,) = self._row("removed", **self.kept, undone=self.undone)
        told = dict(zip(_TABLES, self._row("told", **self.kept, removed=removed) or (0, 0), strict=True))
        for feed, undo in self.batches.items():
            known = {"told": told[feed], "kept": self.kept[feed], "undone": self.undone, "undo": undo}
            told[feed] = told[feed] if self._row("untold", feed=feed, **known)[0] else undo
            self._do("whole", feed=feed, batch=told[feed])
        self._do("not_whole", moment=self.moment, removed=removed)
        self._do("release", **told)
        self._do("disbelieve", undone=self.undone)

    def _apply(self, feed: str, target: str, batch: int, first: int) -> Iterator[str]:
        """Let a feed's table be the target; the keys of what that touched, for who needs them."""
        table = _TABLES[feed]
        row = self._row("open", feed=feed, undoes=first)
        self._do(target, batch=batch)
        undo = {"undo": row[0], "now": row[1]}
        touched = [self._do(f"{deed}_{table}", **undo) for deed in ("end", "begin")]
        self._do("drop")
        ended, begun = (each.rowcount for each in touched)
        counts = {"added": begun, "changed": 0, "unchanged": 0, "retired": ended, "rejected": 0, "layer": ""}
        self._do("close", batch=row[0], counts=counts)
        self.batches[feed], self.ended[feed], self.begun[feed] = row[0], ended, begun
        return (key for each in touched for (key,) in each)

    def _changes(self, kept: Mapping[str, int], keys: list[str] | None) -> None:
        """Tell again what undone rollbacks had retracted, and retract what the undone batches told."""
        told = {"batch": max(self.batches.values()), "parcels": kept[PARCELS], "zoning": kept[ZONING], "keys": keys}
        self.restored = self._do("restore", undone=self.undone).rowcount
        self.retracted = self._do("retract", **told).rowcount

    def _row(self, query: str, **values: Any) -> Any:
        return self._do(query, **values).fetchone()

    def _do(self, query: str, **values: Any) -> Any:
        told = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
        return self.connection.execute(named("rollback")[query], {"jurisdiction": self.jurisdiction, **told})


@contextmanager
def undoing(url: str, jurisdiction: str, *, dry_run: bool) -> Iterator[Undoing]:
    """A rollback in one transaction. If the block succeeds it is committed; in a dry run it is rolled back.

    Raises:
        DatabaseUnavailable, StoreError: nothing was undone.
    """
    with said(url), connect(url) as connection:
        connection.execute(named("rollback")["lock"], {"jurisdiction": jurisdiction})
        yield Undoing(connection, jurisdiction)
        if dry_run:
            connection.rollback()
