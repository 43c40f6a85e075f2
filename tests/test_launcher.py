"""Which runs Dagster's run monitoring takes for dead, and what its programs are told beside."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution import asset_backfill
from dagster._core.launcher import WorkerStatus

from zoning_assets.cli import environment
from zoning_assets.orchestration.launcher import WORKER, WatchedRunLauncher, this_process

_LAUNCHER = {"module": "zoning_assets.orchestration.launcher", "class": "WatchedRunLauncher"}


@dg.job
def nothing() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"run_launcher": _LAUNCHER}) as instance:
        yield instance


def _state(instance: dg.DagsterInstance, tags: dict[str, str], says_within_s: float) -> WorkerStatus:
    """What is thought of a run that began, with these tags and no process of ours."""
    run = instance.create_run_for_job(nothing, tags=tags)
    event = dg.DagsterEvent("PIPELINE_START", nothing.name, message="it begins")
    instance.report_dagster_event(event, run_id=run.run_id)
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    launcher.says_within_s = says_within_s
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.STARTED
    return launcher.check_run_worker_health(found).status


def test_a_run_killed_before_it_said_who_it_is_is_dead_after_a_while(instance: dg.DagsterInstance) -> None:
    """With the daemon and its code server killed too, nobody else would ever find it, and its portal's turn with it."""
    assert _state(instance, {}, 60) == WorkerStatus.RUNNING
    assert _state(instance, {}, -1) == WorkerStatus.FAILED


def test_a_run_started_again_is_not_taken_for_the_dead_one(instance: dg.DagsterInstance) -> None:
    """It inherits the tag of the dead run; until it says its own, that tells nothing."""
    inherited = {WORKER: this_process("another-run")}
    assert _state(instance, inherited, 60) == WorkerStatus.RUNNING
    assert _state(instance, inherited, -1) == WorkerStatus.FAILED


def test_a_backfill_survives_a_killed_code_server() -> None:
    """Killed while it starts, the assets look gone, and Dagster gives the backfill up (seen with kill -9), unless told
    not to by a variable that this Dagster must still read."""
    told = [name for name in environment.patient() if name.startswith("DAGSTER_BACKFILL")]
    assert told
    assert all(name in inspect.getsource(asset_backfill) for name in told)
