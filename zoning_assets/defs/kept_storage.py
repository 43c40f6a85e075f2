"""Dagster's storage in PostgreSQL with fewer connections. dagster.yaml names this class.

dagster-postgres opens a connection for each statement, because a process may open many instances: a code server opens
one for each tick of a sensor. The daemon has one instance, and sends many statements a second. Each opening also looks
whether the tables exist, with six connections.

So the first opening of a process does both: it creates missing tables, and it keeps connections. Later ones do neither.
"""

from typing import Any

from dagster_postgres import DagsterPostgresStorage

from zoning_assets.defs.dagster_instance import KEPT

#: The configurations that this process has opened.
_opened = set[str]()


class KeptStorage(DagsterPostgresStorage):
    """The storage of dagster-postgres, with the same configuration."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """Return the storage of dagster-postgres. `inst_data`, `config_value`: Dagster's, from dagster.yaml."""
        if repr(config_value) in _opened:
            later: Any = {**config_value, "should_autocreate_tables": False}
            return super().from_config_value(inst_data, later)
        storage = super().from_config_value(inst_data, config_value)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(**KEPT)
        _opened.add(repr(config_value))
        return storage
