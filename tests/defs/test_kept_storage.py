"""Dagster's storage as dagster.yaml names it: connections are kept, tables are looked for once."""

from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml
from sqlalchemy.exc import ProgrammingError

from tests.conftest import rows
from tests.support import waiting
from tests.support.cluster_fixture import REPO
from tests.support.lost_host import connections_to, peer_limits
from zoning_assets.defs import kept_storage
from zoning_assets.storage import dagster_storage

_OTHERS = """
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def home(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME with the storage of the packaged dagster.yaml, and no tables yet, in a new process."""
    chosen = yaml.safe_load((REPO / "dagster.yaml").read_text())["storage"]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": chosen, "telemetry": {"enabled": False}}))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv(dagster_storage.SETTING, dagster_storage.bring_up(tmp_path, {}, database))
    monkeypatch.setattr(kept_storage, "_opened", set())
    monkeypatch.setattr(kept_storage, "_is_of_one_run", False)
    return tmp_path


def other_connections(database: str) -> list[tuple]:
    """The connections to the database, as its owner sees them."""
    return rows(database.partition("?")[0], f"SELECT pid {_OTHERS}")


def test_the_first_instance_of_a_process_creates_the_tables_and_keeps_a_connection(home: Path, database: str) -> None:
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("tiles", ["a"])
        assert instance.get_dynamic_partitions("tiles") == ["a"]
        assert other_connections(database)


def test_a_later_instance_keeps_nothing_open(home: Path, database: str) -> None:
    """A code server opens one for each tick: kept connections would accumulate until the server has no more."""
    with dg.DagsterInstance.get(), dg.DagsterInstance.get() as later:
        before = other_connections(database)
        later.add_dynamic_partitions("tiles", ["a"])
        assert later.get_dynamic_partitions("tiles") == ["a"]
        assert other_connections(database) == before


def test_a_later_instance_does_not_look_for_the_tables(home: Path, database: str) -> None:
    """That takes six connections at each tick. An instance that looks creates the one that is missing."""
    table = "SELECT to_regclass('zoning_dagster.instance_info')::text"
    with dg.DagsterInstance.get():
        assert rows(database, table) == [("zoning_dagster.instance_info",)]
        with psycopg.connect(database.partition("?")[0]) as connection:
            connection.execute("DROP TABLE zoning_dagster.instance_info")
        with dg.DagsterInstance.get():
            assert rows(database, table) == [(None,)]


def test_a_server_that_was_restarted_is_found_again(home: Path, database: str) -> None:
    """A connection that the server has ended is not used again."""
    with dg.DagsterInstance.get() as instance:
        assert not instance.get_dynamic_partitions("tiles")
        rows(database.partition("?")[0], f"SELECT pg_terminate_backend(pid) {_OTHERS}")
        waiting.until(lambda: not other_connections(database), "the connections have ended")
        assert not instance.get_dynamic_partitions("tiles")


def test_the_process_of_one_run_keeps_connections_and_looks_for_no_tables(
    home: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task of dagster-celery opens an instance of its own, which opened 20 connections for each run."""
    with dg.DagsterInstance.get():
        pass
    monkeypatch.setattr(kept_storage, "_opened", set())
    kept_storage.belong_to_one_run()
    with dg.DagsterInstance.get(), dg.DagsterInstance.get() as later:
        assert not other_connections(database)
        later.add_dynamic_partitions("tiles", ["a"])
        kept = other_connections(database)
        assert later.get_dynamic_partitions("tiles") == ["a"]
        assert kept
        assert other_connections(database) == kept


def test_the_columns_of_the_table_of_runs_are_looked_up_once(
    home: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at a run asked for them: five questions to the catalog, which take longer than the look."""
    monkeypatch.setattr(kept_storage, "_current", set())
    with dg.DagsterInstance.get() as instance:
        assert instance.get_run_records() == []
        with psycopg.connect(database.partition("?")[0]) as connection:
            connection.execute("ALTER TABLE zoning_dagster.runs RENAME COLUMN end_time TO renamed")
        with pytest.raises(ProgrammingError, match="end_time"):
            instance.get_run_records()


def test_a_session_ends_if_its_server_is_lost(home: Path, database: str) -> None:
    """By default a statement of the daemon would wait for a quarter of an hour."""
    before = connections_to(database)
    with dg.DagsterInstance.get() as instance:
        assert not instance.get_dynamic_partitions("tiles")
        kept = connections_to(database)
        assert {peer_limits(kept[port]) for port in kept.keys() - before} == {(30, 10, 3, 60_000)}
