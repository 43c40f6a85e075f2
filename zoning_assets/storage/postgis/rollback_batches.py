"""Roll back batches: a new batch restores the earlier state, in one transaction. History is never deleted.

`zoning rollback` starts in operations/history_rollback.py, which also restores parcel zoning and changes, and sets a
hold.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.errors import NothingFound, RollbackRefused
from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

_TABLES = {PARCELS: "parcels", ZONING: "districts"}


@dataclass
class RollbackTransaction:
    """A rollback in an open transaction, and its results so far."""

    connection: Connection
    jurisdiction: str
    batches: dict[str, int] = field(default_factory=dict)  # feed -> the batch of the rollback
    ended: dict[str, int] = field(default_factory=dict)  # feed -> number of rows that were ended
    begun: dict[str, int] = field(default_factory=dict)  # feed -> number of rows that were restored
    retracted: int = 0  # changes
    restored: int = 0  # changes
    moment: datetime | None = None  # the state of which time is restored
    kept: dict[str, int] = field(default_factory=dict)  # feed -> its last batch that is not undone
    undone: list[int] = field(default_factory=list)  # batches

    def to(self, moment: datetime) -> None:
        """Restore the state of a time.

        Raises:
            NothingFound: nothing was published after it.
        """
        self.moment = moment
        found = {feed: self._row("batches_at", feed=feed, moment=moment) for feed in _TABLES}
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
            for number in self._row("undone_batches", feed=feed, batch=self.kept[feed], undo=undo)[0]
        ]
        self._update_changes(self.kept, None)

    def without(self, batch: int, tile: str | None) -> None:
        """Undo one batch.

        Raises:
            NothingFound: there is no such batch.
            RollbackRefused: a later batch changed the same rows.
        """
        row = self._row("batch", batch=batch)
        if row is None or row[0] not in _TABLES or tile not in (None, row[1]):
            where = f"{self.jurisdiction} batch {batch}"
            what = "it has no such batch of parcels or districts"
            raise NothingFound(what, where=where, do="look at the table zoning.batch")
        feed = row[0]
        if later := self._row(f"later_{_TABLES[feed]}", batch=batch):
            what = f"batch {later[1]} has changed {later[0]!r} since"
            do = "roll back to a time before both batches, with --to"
            raise RollbackRefused(what, where=f"{self.jurisdiction} batch {batch}", do=do)
        keys = self._apply(feed, f"{_TABLES[feed]}_without", batch, batch)
        self.kept, self.undone = dict.fromkeys(_TABLES, 2**62), [batch]
        self._update_changes({**self.kept, feed: batch - 1}, sorted(set(keys)) if feed == PARCELS else None)

    def finish(self) -> None:
        """Set the state that the next release is compared with, and supersede the profiles of undone batches.

        It is the restored state, or the last released one if later batches that are not undone have no release.
        """
        (removed,) = self._row("last_removal", **self.kept, undone=self.undone)
        released = dict(zip(_TABLES, self._row("last_release", **self.kept, removed=removed) or (0, 0), strict=True))
        for feed, undo in self.batches.items():
            known = {"released": released[feed], "kept": self.kept[feed], "undone": self.undone, "undo": undo}
            released[feed] = released[feed] if self._row("has_unreleased", feed=feed, **known)[0] else undo
            self._do("set_compared_batch", feed=feed, batch=released[feed])
        self._do("delete_incomplete", moment=self.moment, removed=removed)
        self._do("insert_release", **released)
        self._do("supersede_profiles", undone=self.undone)

    def _apply(self, feed: str, target: str, batch: int, first: int) -> Iterator[str]:
        """Replace the table of a feed by the target state; return an iterator over the keys of changed rows."""
        table = _TABLES[feed]
        row = self._row("open_batch", feed=feed, undoes=first)
        self._do(target, batch=batch)
        undo = {"undo": row[0], "now": row[1]}
        results = [self._do(f"{step}_{table}", **undo) for step in ("end", "begin")]
        self._do("drop_target")
        ended, begun = (each.rowcount for each in results)
        counts = {"added": begun, "changed": 0, "unchanged": 0, "retired": ended, "rejected": 0, "layer": ""}
        self._do("close_batch", batch=row[0], counts=counts)
        self.batches[feed], self.ended[feed], self.begun[feed] = row[0], ended, begun
        return (key for each in results for (key,) in each)

    def _update_changes(self, kept: Mapping[str, int], keys: list[str] | None) -> None:
        """Restore the changes that undone rollbacks retracted, and retract the changes of the undone batches."""
        values = {"batch": max(self.batches.values()), "parcels": kept[PARCELS], "zoning": kept[ZONING], "keys": keys}
        self.restored = self._do("restore", undone=self.undone).rowcount
        self.retracted = self._do("retract", **values).rowcount

    def _row(self, query: str, **values: Any) -> Any:
        return self._do(query, **values).fetchone()

    def _do(self, query: str, **values: Any) -> Any:
        known = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
        return self.connection.execute(named("rollback")[query], {"jurisdiction": self.jurisdiction, **known})


@contextmanager
def opened(url: str, jurisdiction: str, *, dry_run: bool) -> Iterator[RollbackTransaction]:
    """Open a transaction for a rollback. It is committed when the block ends without an error and `dry_run` is False.

    Raises:
        DatabaseUnavailable, StoreError: nothing was undone.
    """
    with session(url) as connection:
        connection.execute(named("rollback")["lock"], {"jurisdiction": jurisdiction})
        yield RollbackTransaction(connection, jurisdiction)
        if dry_run:
            connection.rollback()
