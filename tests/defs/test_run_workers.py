"""Which runs are taken for dead, and what Dagster's programs are told beside."""

import inspect
import json
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution import asset_backfill

from zoning_assets.cli import bootstrap
from zoning_assets.defs import run_workers
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import COMMAND
from zoning_assets.defs.run_workers import forgotten, lost
from zoning_assets.defs.sensors.run_lost import run_lost
from zoning_assets.storage.postgis import process_locks


@dg.job
def nothing() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    retries = {"run_retries": {"enabled": True, "max_retries": 3}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=retries) as instance:
        yield instance


def _begun(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run that began, with these tags and no process of ours."""
    run = instance.create_run_for_job(nothing, tags=tags)
    event = dg.DagsterEvent("PIPELINE_START", nothing.name, message="it begins")
    instance.report_dagster_event(event, run_id=run.run_id)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.STARTED
    return found


def look(instance: dg.DagsterInstance, cursor: str | None = None) -> str:
    """A tick of the sensor; its cursor."""
    with dg.build_sensor_context(instance=instance, resources={"zoning": Zoning()}, cursor=cursor) as context:
        assert not run_lost.evaluate_tick(context).run_requests
        return context.cursor


def earlier(cursor: str, seconds: float) -> str:
    """The cursor as if it had been written so much earlier."""
    return json.dumps({name: since - seconds for name, since in json.loads(cursor).items()})


@pytest.fixture
def zoning(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the sensor finds in its environment; the database."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "home"))
    return database


def test_a_run_without_a_lock_fails_at_the_second_look_and_one_that_lives_goes_on(
    instance: dg.DagsterInstance, zoning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was killed before it locked. A restart of the database takes the lock of a living run for a
    moment, so one look decides nothing; a run has time to lock after its start."""
    monkeypatch.setattr(run_workers, "LOCKS_WITHIN_S", -1.0)
    alive, dead = (_begun(instance, {}).run_id for _ in range(2))

    def status() -> list[str]:
        return [instance.get_run_by_id(run_id).status.value for run_id in (alive, dead)]

    with process_locks.holding(zoning, alive):
        cursor = look(instance)
        assert status() == ["STARTED", "STARTED"]
        cursor = look(instance, cursor)
        assert status() == ["STARTED", "STARTED"], "the looks were too close"
        assert list(json.loads(cursor)) == [dead]
        monkeypatch.setattr(run_workers, "LOCKS_WITHIN_S", 60.0)
        look(instance, earlier(cursor, 25))
        assert status() == ["STARTED", "STARTED"], "a run may take a minute until it locks"
        monkeypatch.setattr(run_workers, "LOCKS_WITHIN_S", -1.0)
        cursor = look(instance, earlier(cursor, 25))
    assert status() == ["STARTED", "FAILURE"]
    cursor = look(instance, cursor)
    with process_locks.holding(zoning, alive):
        cursor = look(instance, earlier(cursor, 25))
        assert json.loads(cursor) == {}, "it locked again: what was seen before is forgotten"
    look(instance, cursor)
    assert status() == ["STARTED", "FAILURE"]


def test_a_process_that_dies_while_its_run_is_starting_is_found(instance: dg.DagsterInstance, zoning: str) -> None:
    """It locked, and set the tag. A run without the tag waits for a worker, and a tag that was inherited from a dead
    run says nothing."""
    alive, dead, waiting, again = (instance.create_run_for_job(nothing).run_id for _ in range(4))
    for run_id in (alive, dead, waiting, again):
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_STARTING", nothing.name), run_id=run_id)
    for run_id, taken in ((alive, alive), (dead, dead), (again, dead)):
        instance.add_run_tags(run_id, {run_workers.WORKER: run_workers.this_process(taken)})
    with process_locks.holding(zoning, alive):
        cursor = look(instance)
        assert list(json.loads(cursor)) == [dead]
        look(instance, cursor)
        assert instance.get_run_by_id(dead).status.value == "STARTING", "the looks were too close"
        look(instance, earlier(cursor, 25))
    found = [instance.get_run_by_id(run_id).status.value for run_id in (alive, dead, waiting, again)]
    assert found == ["STARTING", "FAILURE", "STARTING", "STARTING"]


@pytest.mark.parametrize("by", ["run_lost", "zoning up"])
def test_queued_runs_of_a_dead_command_are_canceled(
    instance: dg.DagsterInstance, zoning: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """By the sensor, and before `zoning up` starts the daemon. Runs of a living command, of a sensor and runs that a
    person re-executed are kept."""
    tags = [{COMMAND: "sync dead"}, {COMMAND: "sync alive"}, {}]
    runs = [instance.create_run_for_job(nothing, tags=each) for each in tags]
    again = instance.create_run_for_job(nothing, tags=tags[0], parent_run_id=runs[0].run_id, root_run_id=runs[0].run_id)
    with process_locks.holding(zoning, "sync alive"):
        if by == "run_lost":
            look(instance, earlier(look(instance), 25))
        else:
            monkeypatch.setattr(bootstrap, "dagster_instance", lambda: nullcontext(instance))
            monkeypatch.setenv("DAGSTER_HOME", "home")
            bootstrap.prepare_storage()
    found = {run.run_id: run.status.value for run in instance.get_runs()}
    assert [found[run.run_id] for run in (*runs, again)] == ["CANCELED", *["NOT_STARTED"] * 3]


def test_a_run_that_ends_while_it_is_looked_at_is_left_alone(instance: dg.DagsterInstance) -> None:
    """Its process is gone because it ended well."""
    run = _begun(instance, {})
    now = datetime.now(UTC) + timedelta(minutes=2)

    def end(_: Collection[str]) -> set[str]:
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_SUCCESS", nothing.name), run_id=run.run_id)
        return set()

    assert list(lost(instance, end, lambda _: True, now)) == []


def test_a_failure_that_dagsters_daemon_missed_is_reported_once_more(instance: dg.DagsterInstance) -> None:
    """It reads a failure once; where the run had not the status yet, nobody would start it again."""
    run, other = _begun(instance, {}), _begun(instance, {})
    for each in (run, other):
        instance.report_run_failed(each)
    instance.add_run_tags(other.run_id, {"dagster/auto_retry_run_id": "its successor"})
    now = datetime.now(UTC)
    assert list(forgotten(instance, now)) == [], "Dagster has a minute to start it again"
    assert [found.run_id for found, _ in forgotten(instance, now + timedelta(minutes=2))] == [run.run_id]


def test_a_backfill_survives_a_killed_code_server() -> None:
    """Killed while it starts, the assets look gone, and Dagster gives the backfill up (seen with kill -9), unless told
    not to by a variable that this Dagster must still read."""
    told = [name for name in bootstrap.dagster_environ() if name.startswith("DAGSTER_BACKFILL")]
    assert told
    assert all(name in inspect.getsource(asset_backfill) for name in told)
