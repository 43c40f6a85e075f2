"""Dagster's SQLite event log, which does once what Dagster does again and again.

Dagster writes event by event, two files each, and for each of them makes an engine that compiles its statements anew:
7 ms an event, and a run of a county plans four events a tile before it begins, and has four to tell of each. Here an
engine is kept; a plan is written at once, and so is what is told of a tile. The files are closed after that, as ever:
the webserver watches for it. And a failure is shown to Dagster's daemon when its run has the status.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Self

import dagster as dg
import sqlalchemy as sa
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData

#: A run's status stands this long after its event at the latest, seconds.
_SETTLED_S = 2.0


class ThriftyEventLog(SqliteEventLogStorage):
    """Dagster's default event log, in its place and its form."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._made, self._alone = set[str](), threading.RLock()
        #: Connections that stay open while `together` lasts, by file, and what ends them.
        self._kept: dict[str, sa.Connection] = {}
        self._together: ExitStack | None = None
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, object]:
        """`home`: DAGSTER_HOME."""
        return {"home": dg.StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: dict[str, str]) -> Self:  # type: ignore[override]
        """Where Dagster keeps it when nothing is said."""
        return cls(str(Path(config_value["home"]) / "history" / "runs"), inst_data)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        """A transaction in the file of a run."""
        return self._transaction(run_id or "", lambda: super(ThriftyEventLog, self).run_connection(run_id))

    def index_connection(self) -> AbstractContextManager[sa.Connection]:
        """A transaction in the file of what concerns all runs."""
        return self._transaction("index", super().index_connection)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes meanwhile is one transaction a file; other threads wait."""
        with self._alone:
            if self._together is not None:
                yield
                return
            with ExitStack() as files:
                self._together = files
                try:
                    yield
                finally:
                    self._together = None
                    self._kept.clear()

    @contextmanager
    def _transaction(
        self, shard: str, first: Callable[[], AbstractContextManager[sa.Connection]]
    ) -> Iterator[sa.Connection]:
        with self._alone:
            if self._together is None:
                with self._opened(shard, first) as connection:
                    yield connection
                return
            if shard not in self._kept:
                self._kept[shard] = self._together.enter_context(self._opened(shard, first))
            yield self._kept[shard]

    @contextmanager
    def _opened(
        self, shard: str, first: Callable[[], AbstractContextManager[sa.Connection]]
    ) -> Iterator[sa.Connection]:
        """Dagster opens a file first, as it may have to make it; and closes it, as it opens one at a time."""
        if shard not in self._made or not Path(self.path_for_shard(shard)).exists():
            with first():
                self._made.add(shard)
        with _engine(self.conn_string_for_shard(shard)).begin() as connection:
            yield connection

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: dg.DagsterEventType | set[dg.DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, EventLogEntry]:
        """What the daemon that starts killed runs again reads, each event once; the young are left for its next look.

        A run's failure is written before its status: who looked between saw a run that had not failed, and never looked
        again (seen once, with a run and its daemon killed).
        """
        found = super().get_logs_for_all_runs_by_log_id(after_cursor, dagster_event_type, limit)
        now = time.time()
        return dict(takewhile(lambda each: abs(now - each[1].timestamp) > _SETTLED_S, sorted(found.items())))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """A run's planned materializations by one statement a file, and what else there is with them."""
        planned, others = list[EventLogEntry](), list[EventLogEntry]()
        for each in events:
            (planned if each.get_dagster_event().is_asset_materialization_planned else others).append(each)
        with self.together():
            super().store_event_batch(others)
            if planned:
                self._store_plan(planned)

    def _store_plan(self, planned: Sequence[EventLogEntry]) -> None:
        statement = self.prepare_insert_event_batch(planned)
        with self.run_connection(planned[0].run_id) as connection:
            connection.execute(statement)
        with self.index_connection() as connection:
            connection.execute(statement)
        for last in {each.get_dagster_event().asset_key: each for each in planned}.values():
            self.store_asset_event(last, 0)  # of what is only planned no event's number is kept


@lru_cache(maxsize=32)
def _engine(address: str) -> sa.Engine:
    return sa.create_engine(address, poolclass=sa.NullPool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})


def together(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    """The events that this thread tells an instance meanwhile, at once where that is faster."""
    log = instance.event_log_storage
    return log.together() if isinstance(log, ThriftyEventLog) else nullcontext()
