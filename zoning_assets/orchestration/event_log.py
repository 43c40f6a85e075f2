"""What a run plans is written at once: Dagster's SQLite event log writes event by event, two files each (10 ms), and a
run of a county plans four events a tile before it begins.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import dagster as dg
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData


class PlanningEventLog(SqliteEventLogStorage):
    """Dagster's default event log, in its place."""

    @classmethod
    def config_type(cls) -> dict[str, object]:
        """`home`: DAGSTER_HOME."""
        return {"home": dg.StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: dict[str, str]) -> Self:  # type: ignore[override]
        """Where Dagster keeps it when nothing is said."""
        return cls(str(Path(config_value["home"]) / "history" / "runs"), inst_data)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """A run's planned materializations in one transaction a file; other events one by one."""
        planned, others = list[EventLogEntry](), list[EventLogEntry]()
        for each in events:
            (planned if each.get_dagster_event().is_asset_materialization_planned else others).append(each)
        super().store_event_batch(others)
        if not planned:
            return
        statement = self.prepare_insert_event_batch(planned)
        with self.run_connection(planned[0].run_id) as connection:
            connection.execute(statement)
        with self.index_connection() as connection:
            connection.execute(statement)
        for last in {each.get_dagster_event().asset_key: each for each in planned}.values():
            self.store_asset_event(last, 0)  # of what is only planned no event's number is kept
