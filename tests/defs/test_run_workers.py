"""Which runs are taken for dead, and what Dagster's programs are told beside."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution import asset_backfill

from zoning_assets.cli import bootstrap
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import COMMAND
from zoning_assets.defs.run_workers import SAYS_WITHIN_S, WORKER, dead, forgotten, this_process, why_dead
from zoning_assets.defs.sensors.run_lost import run_lost


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


def _gone() -> str:
    """A process that has ended, as the tag of a run says it, but for the run."""
    program = "from zoning_assets.defs.run_workers import this_process; print(this_process(''))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_a_run_killed_before_it_said_who_it_is_is_dead_after_a_while(instance: dg.DagsterInstance) -> None:
    """With the daemon and its code server killed too, nobody else would ever find it, and its portal's turn with it."""
    run = _begun(instance, {})
    assert why_dead(run, SAYS_WITHIN_S - 1) is None
    assert why_dead(run, SAYS_WITHIN_S + 1)


def test_a_run_started_again_is_not_taken_for_the_dead_one(instance: dg.DagsterInstance) -> None:
    """It inherits the tag of the dead run; until it says its own, that tells nothing."""
    run = _begun(instance, {WORKER: this_process("another-run")})
    assert why_dead(run, SAYS_WITHIN_S - 1) is None
    assert why_dead(run, SAYS_WITHIN_S + 1)


def test_a_run_whose_process_is_gone_fails_and_one_that_lives_goes_on(instance: dg.DagsterInstance) -> None:
    """Also where the process id was given out again; and a process of another machine is not ours to judge."""
    host, pid, began, _ = this_process("").split(" ")
    ids = [_begun(instance, {}).run_id for _ in range(4)]
    processes = [f"{host} {pid} {began}", _gone(), f"{host} {pid} {int(began) - 1}", f"not-{host} {pid} 1"]
    for run_id, process in zip(ids, processes, strict=True):
        instance.add_run_tags(run_id, {WORKER: f"{process} {run_id}"})
    with dg.build_sensor_context(instance=instance, resources={"zoning": Zoning()}) as context:
        assert not run_lost.evaluate_tick(context).run_requests
    found = {run.run_id: run.status.value for run in instance.get_runs()}
    assert [found[run_id] for run_id in ids] == ["STARTED", "FAILURE", "FAILURE", "STARTED"]


def _command(process: str) -> dict[str, str]:
    return {COMMAND: f"sync {process} 1a2b"}


@pytest.mark.parametrize("by", ["run_lost", "zoning up"])
def test_queued_runs_of_a_dead_command_are_canceled(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """By the sensor, and before `zoning up` starts the daemon. Runs of a living command, of another machine, of a
    sensor and runs that a person re-executed are kept."""
    gone, here = _gone(), this_process("").strip()
    _, *other = gone.split()
    tags = [_command(gone), _command(here), _command(" ".join(["elsewhere", *other])), {}, {COMMAND: "sync 1"}]
    runs = [instance.create_run_for_job(nothing, tags=each) for each in tags]
    again = instance.create_run_for_job(
        nothing, tags=_command(gone), parent_run_id=runs[0].run_id, root_run_id=runs[0].run_id
    )
    if by == "run_lost":
        with dg.build_sensor_context(instance=instance, resources={"zoning": Zoning()}) as context:
            run_lost.evaluate_tick(context)
    else:
        monkeypatch.setattr(bootstrap, "dagster_instance", lambda: nullcontext(instance))
        monkeypatch.setenv("DAGSTER_HOME", "home")
        bootstrap.prepare_storage()
    found = {run.run_id: run.status.value for run in instance.get_runs()}
    assert [found[run.run_id] for run in (*runs, again)] == ["CANCELED", *["NOT_STARTED"] * 5]


def test_a_run_that_ends_while_it_is_looked_at_is_left_alone(instance: dg.DagsterInstance) -> None:
    """Its process is gone because it ended well."""
    run = _begun(instance, {})
    instance.add_run_tags(run.run_id, {WORKER: f"{_gone()} {run.run_id}"})
    looking = dead(instance, datetime.now(UTC))
    records = instance.get_run_records

    def after_it_ended(filters: dg.RunsFilter) -> list[dg.RunRecord]:
        found = list(records(filters))
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_SUCCESS", nothing.name), run_id=run.run_id)
        return found

    instance.get_run_records = after_it_ended
    assert list(looking) == []


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
