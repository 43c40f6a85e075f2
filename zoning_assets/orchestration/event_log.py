"""Dagster's own event log in SQLite, with its connections kept open.

Dagster opens a database anew for every event, twice: 12 ms of work and 20 ms of waiting, four times a tile. Files and
tables are Dagster's own: without the section `event_log_storage` of dagster.yaml it reads and writes the
same ones.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

#: Shards kept open: the index, the run that is written, and those that someone looks at.
_MOST_OPEN = 8
_PATIENCE_S = 30


class EventLog(SqliteEventLogStorage):
    """See above. One connection a shard, used by one thread at a time, outside a transaction when idle.

    `base_dir` is DAGSTER_HOME; the files lie where Dagster's default puts them.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._open: OrderedDict[str, sa.Connection] = OrderedDict()
        self._tables: set[str] = set()
        self._indexed = False
        super().__init__(str(Path(base_dir) / "history" / "runs"), inst_data)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "EventLog":
        """From dagster.yaml; Dagster's own makes one of its own class."""
        return cls(**config_value, inst_data=inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        """A transaction on a shard; Dagster's own `_connect` opens and closes the file around it."""
        with self._db_lock:
            connection = self._opened(shard)
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                self._close(shard)  # whatever state it is in, the next one starts anew
                raise

    def _opened(self, shard: str) -> sa.Connection:
        if shard not in self._open:
            engine = sa.create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": _PATIENCE_S, "check_same_thread": False},
            )
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            self._open[shard] = engine.connect()
            # An event is safe from a crash of the process; from one of the power, once SQLite has next tidied up.
            self._open[shard].exec_driver_sql("PRAGMA synchronous = NORMAL")
            self._open[shard].commit()
        self._open.move_to_end(shard)
        while len(self._open) > _MOST_OPEN:
            self._close(next(iter(self._open)))
        return self._open[shard]

    def _close(self, shard: str) -> None:
        connection = self._open.pop(shard, None)
        if connection is not None:
            connection.close()
            connection.engine.dispose()

    def has_table(self, table_name: str) -> bool:
        """A table that was there stays; asked for with every event."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_index_cols_on_connection(self, conn: sa.Connection) -> bool:
        """As above: a column that was there stays."""
        self._indexed = self._indexed or super()._has_asset_key_index_cols_on_connection(conn)
        return self._indexed

    def wipe(self) -> None:
        """Close the files before they are removed."""
        self._close_all()
        super().wipe()

    def dispose(self) -> None:
        """Close the files."""
        super().dispose()
        self._close_all()

    def _close_all(self) -> None:
        with self._db_lock:
            for shard in list(self._open):
                self._close(shard)
