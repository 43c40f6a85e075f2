"""Dagster's storage in PostgreSQL with fewer connections. dagster.yaml names this class.

dagster-postgres opens a connection for each statement, because a process may open many instances: a code server opens
one for each tick of a sensor. The daemon has one instance, and sends many statements a second. Each opening also looks
whether the tables exist, with six connections.

So the first opening of a process does both: it creates missing tables, and it keeps connections. Later ones do neither.

The sessions of both end if their server is lost (connection_settings.PEER_LIMITS).
"""

from typing import Any

from dagster_postgres import DagsterPostgresStorage

from zoning_assets.defs.dagster_instance import KEPT
from zoning_assets.storage.postgis.connection_settings import with_peer_limits

#: The configurations that this process has opened.
_opened = set[str]()


class KeptStorage(DagsterPostgresStorage):
    """The storage of dagster-postgres, with the same configuration."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """Return the storage of dagster-postgres. `inst_data`, `config_value`: Dagster's, from dagster.yaml."""
        limited: Any = {**config_value}
        if url := limited.get("postgres_url"):
            limited["postgres_url"] = with_peer_limits(url)
        if repr(config_value) in _opened:
            limited["should_autocreate_tables"] = False
            return super().from_config_value(inst_data, limited)
        storage = super().from_config_value(inst_data, limited)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(**KEPT)
        _opened.add(repr(config_value))
        return storage
