"""Dagster's storage in PostgreSQL with fewer connections and questions. dagster.yaml names this class.

dagster-postgres opens a connection for each statement, because a process may open many instances: a code server opens
one for each tick of a sensor. Opening and ending one takes 6.5 ms of processor time on both sides, the statement less
than one. Each opening of an instance also looks whether the tables exist, with six connections.

So the first instance of a process does both: it creates missing tables, and it keeps connections. Later ones do
neither. The process of one run of `zoning worker` opens few instances, for a run that is recorded already: each keeps
connections, and none looks for tables.

The sessions of all end if their server is lost (connection_settings.PEER_LIMITS).
"""

from typing import Any

import psycopg2
from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from zoning_assets.storage.postgis.connection_settings import has_ended, with_peer_limits

#: Dagster's options for a storage that uses a connection for several statements. One is kept for half a minute; ten
#: more may be open at the same time.
KEPT = {"statement_timeout": 0, "pool_recycle": 30, "max_overflow": 10}

#: The configurations that this process has opened.
_opened = set[str]()
#: The addresses of storages whose table of runs has the columns of this version of Dagster.
_current = set[str]()
_is_of_one_run = False


def belong_to_one_run() -> None:
    """State that this process executes one run, which is recorded already."""
    global _is_of_one_run  # noqa: PLW0603 - a fact of the process
    _is_of_one_run = True


class KeptRuns(PostgresRunStorage):
    """The table of runs. Dagster asks for its columns before each look at it, which takes longer than the look. The
    columns of a current table stay.

    Attributes:
        keeps_connections: whether Dagster, or this module, has told it to.
    """

    keeps_connections = False

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Keep connections (Dagster's name for it)."""
        super().optimize_for_webserver(statement_timeout, pool_recycle, max_overflow)
        self.keeps_connections = True

    def has_run_stats_index_cols(self) -> bool:
        """Whether the table has the columns of this version."""
        if self.postgres_url not in _current and super().has_run_stats_index_cols():
            _current.add(self.postgres_url)
        return self.postgres_url in _current


class KeptStorage(DagsterPostgresStorage):
    """The storage of dagster-postgres, with the same configuration. The table of runs of its base class is not used."""

    def __init__(self, url: str, should_autocreate_tables: bool, inst_data: Any, token_provider: Any) -> None:
        super().__init__(url, should_autocreate_tables, inst_data, token_provider)
        self._runs = KeptRuns(url, should_autocreate_tables=False, token_provider=token_provider)

    @property
    def run_storage(self) -> KeptRuns:
        """Dagster's table of runs."""
        return self._runs

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """Return the storage. `inst_data`, `config_value`: Dagster's, from dagster.yaml."""
        is_first = repr(config_value) not in _opened
        creates = is_first and not _is_of_one_run and config_value.get("should_autocreate_tables", True)
        url, token_provider = pg_url_from_config(config_value), get_token_provider_from_config(config_value)
        storage = cls(with_peer_limits(url), creates, inst_data, token_provider)
        if is_first or _is_of_one_run:
            for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
                part.optimize_for_webserver(**KEPT)
        _opened.add(repr(config_value))
        return storage


@event.listens_for(Pool, "checkout")
def _check_open(connection: Any, *_: Any) -> None:
    """Replace a kept connection whose server has ended it."""
    if isinstance(connection, psycopg2.extensions.connection) and (connection.closed or has_ended(connection.fileno())):
        raise DisconnectionError
