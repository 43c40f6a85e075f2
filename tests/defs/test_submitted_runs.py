"""Runs that a command submits to the queue of `zoning up`, with a webserver that a test plays."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.dagster_run import CANCELABLE_RUN_STATUSES
from dagster._utils.error import SerializableErrorInfo
from sqlalchemy.exc import OperationalError

from tests.conftest import read_toml
from zoning_assets.defs import partitions, retry_policies
from zoning_assets.defs.in_process_runs import FORCE, RANGE_END, RANGE_START
from zoning_assets.defs.run_queue import CodeServerGone, RunQueue
from zoning_assets.defs.run_results import gone
from zoning_assets.defs.run_workers import WORKER, this_process
from zoning_assets.defs.submitted_runs import Submission, materialize
from zoning_assets.defs.webserver import WebserverSilent
from zoning_assets.errors import DatabaseUnavailable, Stopping, StoreError
from zoning_assets.graceful_stop import STOP
from zoning_assets.model import Place
from zoning_assets.simulation.county.county import ID, county_toml

TILE_ASSETS = ["raw_feed", "normalized", "validated", "parcels"]
QUEUED, CANCELED = dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.CANCELED


@dg.job
def find_tiles() -> None:
    """A job of that name."""


def queued(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> dg.DagsterRun:
    """A run in the queue; Dagster requires that it knows its code location."""
    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__"), "find_tiles"
    )
    return instance.create_run_for_job(find_tiles, tags=tags, status=QUEUED, remote_job_origin=origin)


class FakeWebserver:
    """Creates and terminates runs in the storage, as the real one does; `after` is called with each new run. As in
    Dagster, only runs in the queue and runs that have started are terminated; failures are in the answer only."""

    address = "http://127.0.0.1:1"

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.gone, self.asked = instance, False, list[dict[str, Any]]()
        self.after: Callable[[dg.DagsterRun], object] = lambda _: None

    def is_gone(self) -> bool:
        return self.gone

    def graphql(self, query: str, variables: Mapping[str, Any], _timeout_s: float) -> Any:
        if "terminateRuns" in query:
            for run in map(self.run, variables["ids"]):
                if run.status in CANCELABLE_RUN_STATUSES:
                    self.instance.report_run_canceled(run)
            return {"terminateRuns": {}}
        params = variables["params"]
        self.asked.append(params)
        tags = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}
        run = queued(self.instance, tags)
        self.after(run)
        return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": run.run_id}}}

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    overrides = {"run_coordinator": {"module": "dagster", "class": "QueuedRunCoordinator"}}
    with dg.instance_for_test(overrides) as instance:
        yield instance


@pytest.fixture
def webserver(instance: dg.DagsterInstance) -> FakeWebserver:
    return FakeWebserver(instance)


@pytest.fixture
def submission(tmp_path: Path, instance: dg.DagsterInstance, webserver: FakeWebserver) -> Submission:
    jurisdiction = read_toml(tmp_path, county_toml("http://127.0.0.1:1"), ID)
    queue = RunQueue(webserver, instance, {"here": "__repository__"}, "sync 1")  # type: ignore[arg-type]
    return Submission(queue, {ID: jurisdiction}, "")


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoning_assets.defs.run_queue._last_heartbeat", lambda _: float("inf"))


def ends_well(instance: dg.DagsterInstance, asset: str) -> Callable[[dg.DagsterRun], None]:
    """Materialize all partitions of a run, and end it."""

    def end(run: dg.DagsterRun) -> None:
        ends = [run.tags[tag] for tag in (RANGE_START, RANGE_END) if tag in run.tags]
        for key in ends or [run.tags["dagster/partition"]]:
            made = dg.AssetMaterialization(asset, partition=key, metadata={"requests": 3})
            event = dg.DagsterEvent(
                "ASSET_MATERIALIZATION", run.job_name, event_specific_data=StepMaterializationData(made)
            )
            instance.report_dagster_event(event, run.run_id)
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_SUCCESS", run.job_name), run.run_id)

    return end


def test_a_run_has_the_job_and_the_tags_that_sensors_use(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    webserver.after = ends_well(instance, "tiles")
    steps = list[str]()
    result = materialize(submission, ["tiles"], [ID], tags={FORCE: "true"}, progress=steps.append)
    (asked,) = webserver.asked
    sent = {tag["key"]: tag["value"] for tag in asked["executionMetadata"]["tags"]}
    assert sent.pop(retry_policies.SUBMISSION)
    assert asked["selector"]["jobName"] == "find_tiles"
    assert asked["selector"]["assetSelection"] == [{"path": ["tiles"]}]
    assert sent == {
        retry_policies.HOST: "127.0.0.1:1",
        retry_policies.JURISDICTION: ID,
        retry_policies.FEED: "parcels",
        "dagster/partition": ID,
        FORCE: "true",
        retry_policies.ONCE: "0",
        retry_policies.COMMAND: "sync 1",
    }
    assert (result.done, result.failed) == ({ID: {"requests": 3}}, {})
    assert steps == [ID]


def test_each_range_of_tiles_is_a_run_and_unknown_tiles_fail(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    partitions.register(instance, ID, ["1", "2", "3"])
    webserver.after = ends_well(instance, "parcels")
    keys = [partitions.key_of(Place(ID, tile)) for tile in "134"]
    result = materialize(submission, TILE_ASSETS, keys)
    assert [asked["selector"]["jobName"] for asked in webserver.asked] == ["publish_parcels"] * 2
    assert sorted(result.done) == keys[:2]
    assert result.failed == {
        keys[2]: f"{Place(ID, '4')}: another process changed the tiles meanwhile; run the command again"
    }


def test_a_tile_that_was_unregistered_while_its_run_waited_fails(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    partitions.register(instance, ID, ["1", "2", "3"])
    webserver.after = ends_well(instance, "parcels")  # the first and the last tile only
    keys = [partitions.key_of(Place(ID, tile)) for tile in "123"]
    result = materialize(submission, TILE_ASSETS, keys)
    assert sorted(result.done) == [keys[0], keys[2]]
    assert result.failed == {keys[1]: gone(keys[1])}


def test_a_run_that_does_not_succeed_gives_one_line(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    """A failed start, a cancellation in the UI, a deletion."""
    ends = {
        "failed outside a step: no room": lambda run: instance.report_run_failed(run, "no room"),
        "was canceled in Dagster; run the command again": instance.report_run_canceled,
        "was deleted; run the command again": lambda run: instance.delete_run(run.run_id),
    }

    def canceled_in_a_step(run: dg.DagsterRun) -> None:
        failure = StepFailureData(SerializableErrorInfo("interrupted", [], None), None)
        instance.report_dagster_event(
            dg.DagsterEvent("STEP_FAILURE", run.job_name, event_specific_data=failure), run.run_id
        )
        instance.report_run_canceled(run)

    cases = [*ends.items(), ("was canceled in Dagster; run the command again", canceled_in_a_step)]
    for line, webserver.after in cases:
        result = materialize(submission, ["tiles"], [ID])
        assert result.failed[ID].startswith("run ")
        assert result.failed[ID].endswith(line)


def test_a_refused_run_gives_one_line(
    submission: Submission, webserver: FakeWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"launchRun": {"__typename": "PythonError", "message": "the job is broken"}}
    monkeypatch.setattr(webserver, "graphql", lambda *_: answer)
    result = materialize(submission, ["districts"], [ID])
    assert result.failed == {ID: f"{ID}: Dagster refused the run (the job is broken); run the command again"}


def test_a_run_is_submitted_again_while_the_code_server_is_replaced(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`zoning up` replaces a code server that was killed; a command that submits at this moment does not fail."""
    message = "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server."
    answers, launch = [{"launchRun": {"__typename": "PythonError", "message": message}}] * 2, webserver.graphql
    monkeypatch.setattr(webserver, "graphql", lambda *asked: answers.pop() if answers else launch(*asked))
    webserver.after = ends_well(instance, "tiles")
    assert materialize(submission, ["tiles"], [ID]).done == {ID: {"requests": 3}}
    monkeypatch.setattr("zoning_assets.defs.submitted_runs._REPLACED_WITHIN_S", 0.0)
    answers.append({"launchRun": {"__typename": "PythonError", "message": message}})
    assert "Could not reach user code server" in materialize(submission, ["tiles"], [ID]).failed[ID]


def test_a_run_whose_submission_was_not_answered_is_found(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    def end(_: str) -> None:
        for run in submission.queue.runs():
            ends_well(instance, "tiles")(run)

    webserver.after = silent
    other = queued(instance, {"dagster/partition": ID})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STOP, "wait", end)
        result = materialize(submission, ["tiles"], [ID])
    assert result.done == {ID: {"requests": 3}}
    assert webserver.run(other.run_id).status == QUEUED


def silent(_: dg.DagsterRun) -> None:
    raise WebserverSilent("no answer", where="it", do="wait")


def test_a_run_that_ended_before_it_was_looked_for_is_found(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    def end(run: dg.DagsterRun) -> None:
        ends_well(instance, "tiles")(run)
        silent(run)

    webserver.after = end
    assert materialize(submission, ["tiles"], [ID]).done == {ID: {"requests": 3}}


def test_a_run_that_is_created_too_late_is_canceled(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoning_assets.defs.run_queue.QUEUED_WITHIN_S", 0.0)
    webserver.after = silent
    result = materialize(submission, ["tiles"], [ID])
    assert "the webserver did not answer" in result.failed[ID]
    assert [run.status for run in instance.get_runs()] == [CANCELED]


def test_a_queue_that_does_not_move_is_reported(
    submission: Submission,
    instance: dg.DagsterInstance,
    webserver: FakeWebserver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("zoning_assets.defs.run_watch._REPORTED_AFTER_S", 0.0)
    looks = list[int]()

    def pause(_: float) -> None:
        looks.append(1)
        if len(looks) == 2:
            ends_well(instance, "tiles")(submission.queue.runs()[0])

    monkeypatch.setattr(STOP, "wait", pause)
    assert not materialize(submission, ["tiles"], [ID]).failed
    assert re.search(r"has waited in the queue for \d+ s \(other unfinished runs of 127.0.0.1:1: 0\)", caplog.text)
    assert webserver.asked


def test_the_wait_ends_with_zoning_up(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    """A run that waits in the queue is canceled: nobody would start it now, and much later nobody expects it."""
    webserver.gone = True
    with pytest.raises(StoreError, match=r"`zoning up` has ended, and run \w+ is queued; run the command again"):
        materialize(submission, ["tiles"], [ID])
    assert [run.status for run in instance.get_runs()] == [CANCELED]


def test_a_run_that_zoning_up_ended_is_no_reason_to_submit_the_next_one(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    """`zoning up` interrupts its runs when it ends, and an interrupted run records its end."""

    def end(run: dg.DagsterRun) -> None:
        webserver.gone = True
        instance.report_run_failed(run)

    webserver.after = end
    with pytest.raises(StoreError, match=r"`zoning up` has ended, and run \w+ has failed; run the command again"):
        materialize(submission, ["tiles"], [ID])


@pytest.mark.timeout(30)
def test_a_run_whose_process_was_killed_with_zoning_up_is_not_waited_for(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process had locked, so the lock tells at once. Only a run that has not locked yet gets a minute."""
    monkeypatch.setattr("zoning_assets.defs.run_watch.process_locks.living", lambda *_: set())

    def kill(run: dg.DagsterRun) -> None:
        webserver.gone = True
        instance.add_run_tags(run.run_id, {WORKER: this_process(run.run_id)})
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name, message="started"), run.run_id
        )

    webserver.after = kill
    with pytest.raises(StoreError, match=r"`zoning up` has ended, and run \w+ is started; run the command again"):
        materialize(submission, ["tiles"], [ID])


@pytest.mark.timeout(30)
def test_a_code_server_that_is_gone_with_zoning_up_is_not_waited_for(
    submission: Submission, webserver: FakeWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replacement is waited for, up to a minute, while `zoning up` is running."""

    def refuse(*_: object) -> None:
        raise CodeServerGone("the code server is gone", where="it", do="wait")

    monkeypatch.setattr(RunQueue, "submit", refuse)
    webserver.gone = True
    with pytest.raises(StoreError, match="`zoning up` has ended"):
        materialize(submission, ["tiles"], [ID])


def test_the_wait_ends_without_heartbeats(submission: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoning_assets.defs.run_queue._last_heartbeat", lambda _: 0.0)
    with pytest.raises(StoreError, match="the daemon of `zoning up` has sent no heartbeat for"):
        materialize(submission, ["tiles"], [ID])


def test_a_storage_that_does_not_answer_gives_one_line(
    submission: Submission, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise OperationalError("SELECT 1", {}, Exception("refused"))

    monkeypatch.setattr(instance, "get_run_record_by_id", fail)
    with pytest.raises(DatabaseUnavailable, match=r"Dagster's storage: it does not answer \(OperationalError\)"):
        materialize(submission, ["tiles"], [ID])
    assert [run.status for run in instance.get_runs()] == [CANCELED]


def test_a_webserver_that_is_gone_ends_the_command(
    submission: Submission, webserver: FakeWebserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise WebserverSilent("no answer", where="it", do="wait")

    monkeypatch.setattr(webserver, "graphql", silent)
    webserver.gone = True
    with pytest.raises(StoreError, match="`zoning up` has ended"):
        materialize(submission, ["tiles"], [ID])


def test_a_stop_terminates_the_runs_of_this_command_only(
    submission: Submission, instance: dg.DagsterInstance, webserver: FakeWebserver
) -> None:
    other = queued(instance, {retry_policies.COMMAND: "sync 2"})
    webserver.after = lambda _: STOP.request()
    try:
        with pytest.raises(Stopping):
            materialize(submission, ["tiles"], [ID])
    finally:
        STOP.reset()
    assert {run.run_id == other.run_id: run.status for run in instance.get_runs()} == {True: QUEUED, False: CANCELED}


@pytest.mark.parametrize("starts", [True, False])
def test_a_stop_ends_a_run_that_is_starting(
    submission: Submission,
    instance: dg.DagsterInstance,
    webserver: FakeWebserver,
    monkeypatch: pytest.MonkeyPatch,
    starts: bool,
) -> None:
    """Dagster refuses to terminate it. When it has started, it is terminated. A run that does not start in time is
    canceled in the storage, which its process reads before it executes the run."""
    seconds = iter(range(1000))

    def report(event: str) -> None:
        (run,) = instance.get_runs()
        instance.report_dagster_event(dg.DagsterEvent(event, run.job_name), run.run_id)

    def sleep(_: float) -> None:
        if starts:
            report("PIPELINE_START")

    def after(_: dg.DagsterRun) -> None:
        report("PIPELINE_STARTING")
        STOP.request()

    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)), time=lambda: 0.0, sleep=sleep)
    monkeypatch.setattr("zoning_assets.defs.submitted_runs.time", clock)
    webserver.after = after
    try:
        with pytest.raises(Stopping):
            materialize(submission, ["tiles"], [ID])
    finally:
        STOP.reset()
    (run,) = instance.get_runs()
    assert run.status == CANCELED
    assert bool(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)) == starts
