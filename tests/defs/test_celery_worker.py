"""A run on its way to a worker, through Celery's broker in memory; and messages that are no runs."""

import queue
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import celery
import dagster as dg
import pytest
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.make_app import make_app
from kombu.exceptions import OperationalError

from zoning_assets.defs import celery_launcher, celery_worker, run_process
from zoning_assets.defs.celery_launcher import CeleryLauncher
from zoning_assets.defs.celery_worker import QUEUE, TASK, RunProcesses, application
from zoning_assets.defs.lost_messages import send_again
from zoning_assets.defs.run_workers import WORKER, LastLook, this_process
from zoning_assets.errors import QueueUnavailable
from zoning_assets.graceful_stop import STOP
from zoning_assets.pipeline.workers.worker_pool import empty_main_module
from zoning_assets.storage.postgis import process_locks


@dg.job
def nothing() -> None:
    """A job."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    launcher = {"module": "zoning_assets.defs.celery_launcher", "class": "CeleryLauncher"}
    overrides = {"run_launcher": {**launcher, "config": {"broker": "memory://"}}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=overrides) as instance:
        yield instance


def launched(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A run that was sent to the broker."""
    run = instance.create_run_for_job(nothing, job_code_origin=dg.reconstructable(nothing).get_python_origin())
    instance.run_launcher.launch_run(SimpleNamespace(dagster_run=run))
    return run


def received(app: Any) -> list[tuple[str, Any]]:
    """The task and the arguments of each message in the queue."""
    found = list[tuple[str, Any]]()
    with app.connection_for_read() as connection, connection.SimpleQueue(app.amqp.queues[QUEUE]) as messages:
        while True:
            try:
                message = messages.get(block=False)
            except queue.Empty:
                return found
            assert message.content_type == "application/json"
            message.ack()
            found.append((message.headers["task"], message.payload[1]["execute_job_args_packed"]))


def test_a_launched_run_is_what_a_worker_executes(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queue and task are those of dagster-celery, and a worker finds the run's id."""
    run, started = launched(instance), list[object]()
    monkeypatch.setattr(celery._state, "_on_app_finalizers", set())  # a worker has not imported dagster-celery
    app = application("memory://", started.append)
    ((task, arguments),) = received(app)
    assert task == TASK == TASK_EXECUTE_JOB_NAME
    assert celery_worker._run_id(arguments) == run.run_id
    assert "5ecret" not in str(arguments)
    app.tasks[TASK](execute_job_args_packed=arguments)
    assert started == [arguments]
    ours, theirs = app.amqp.queues, make_app({"broker": "memory://"}).amqp.queues
    assert {name: (each.routing_key, each.queue_arguments) for name, each in ours.items()} == {
        name: (each.routing_key, each.queue_arguments) for name, each in theirs.items()
    }


@pytest.mark.parametrize(
    "arguments",
    [None, [], "x", {}, {"pipeline_run_id": 5}, {"pipeline_run_id": "../x"}, {"pipeline_run_id": "a" * 10**6}],
)
def test_a_message_without_a_run_starts_nothing(arguments: object, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = RunProcesses("postgresql://127.0.0.1:1/none")
    monkeypatch.setattr(processes, "_start", lambda _: pytest.fail("a process was started"))
    processes.execute(arguments)


def test_a_stop_interrupts_all_runs_while_some_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of the worker removes its process at any moment."""
    processes, interrupted = RunProcesses("postgresql://127.0.0.1:1/none"), list[object]()

    class Ending:
        def is_alive(self) -> bool:
            processes._running.discard(self)
            return True

        def terminate(self) -> None:
            interrupted.append(self)

    monkeypatch.setattr(celery_worker, "_kill", lambda _: None)
    processes._running.update(Ending() for _ in range(3))
    processes.stop()
    assert len(interrupted) == 3


def test_a_worker_accepts_json_only_and_obeys_no_remote_control() -> None:
    conf = application("memory://", print).conf
    assert conf.accept_content == ["json"]
    assert conf.worker_enable_remote_control is False
    assert conf.result_backend is None
    assert conf.task_acks_late
    assert conf.worker_prefetch_multiplier == 1


def test_a_second_delivery_does_nothing(
    instance: dg.DagsterInstance, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the run is executed, nor after its end, nor if the database does not know it."""
    executed = list[str]()
    monkeypatch.setattr(run_process, "execute_job", lambda **_: executed.append("once"))
    monkeypatch.setattr(run_process.log_config, "log_as_json", lambda: None)
    monkeypatch.setattr(run_process.kept_storage, "_is_of_one_run", False)
    monkeypatch.setattr(run_process.signal, "signal", lambda *_: None)
    run = launched(instance)

    def deliver(run_id: str = run.run_id) -> list[str]:
        run_process.execute({}, run_id, database)
        return executed

    with process_locks.holding(database, run.run_id):
        process_locks._held.discard(run.run_id)  # as another process
        assert deliver() == []
        process_locks._held.add(run.run_id)
    assert deliver("6a7d4cf4-041b-4a2d-953d-543845cb514f") == []
    assert deliver() == ["once"]
    found = instance.get_run_by_id(run.run_id)
    assert found
    assert found.tags[WORKER] == this_process(run.run_id)
    for event in ("PIPELINE_START", "PIPELINE_SUCCESS"):
        instance.report_dagster_event(dg.DagsterEvent(event, nothing.name), run_id=run.run_id)
        assert deliver() == ["once"], event


def test_a_run_ends_when_its_end_is_requested(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher records the request, and the process of the run reads it. The process has SIGINT blocked, which the
    worker blocks when it starts processes."""
    monkeypatch.setattr(run_process, "_LOOK_S", 0.05)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = launched(instance)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_START", nothing.name), run_id=run.run_id)
    assert not instance.run_launcher.terminate("6a7d4cf4-041b-4a2d-953d-543845cb514f")
    request = threading.Timer(0.2, instance.run_launcher.terminate, [run.run_id])
    try:
        with empty_main_module(), run_process._terminated_on_request(instance, run.run_id):
            request.start()
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                time.sleep(3)
            assert time.monotonic() - began > 0.2
    finally:
        signal.signal(signal.SIGTERM, before)
    request.join()
    found = instance.get_run_by_id(run.run_id)
    assert found
    assert found.status == dg.DagsterRunStatus.CANCELING
    assert not STOP.requested


@pytest.mark.filterwarnings("ignore:Task name 'execute_job'")  # dagster-celery defines its task for each run
def test_runs_are_sent_again_if_the_broker_lost_their_messages(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second look. A message may be on its way, and a run that a process took needs none."""
    monkeypatch.setenv("ZONING_RUNS_ON", "redis://127.0.0.1:1/0")
    app = application("memory://", print)
    received(app)  # messages of other tests
    runs = [launched(instance) for _ in range(3)]
    for run in runs:
        instance.report_dagster_event(dg.DagsterEvent("PIPELINE_STARTING", nothing.name), run_id=run.run_id)
    instance.add_run_tags(runs[0].run_id, {WORKER: this_process(runs[0].run_id)})

    def sent(look: LastLook) -> set[str]:
        return {run.run_id for run in send_again(instance, look.is_dead)}

    assert isinstance(instance.run_launcher, CeleryLauncher)
    assert instance.run_launcher.count_messages() == 3
    assert sent(LastLook(None, 0.0)) == set()
    assert len(received(app)) == 3
    first = LastLook(None, 100.0)
    assert sent(first) == set()
    assert sent(LastLook(first.cursor, 124.0)) == set()
    lost = {run.run_id for run in runs[1:]}
    assert sent(LastLook(first.cursor, 125.0)) == lost
    assert sent(LastLook(first.cursor, 150.0)) == set(), "they have messages"
    assert {celery_worker._run_id(arguments) for _, arguments in received(app)} == lost


def test_a_broker_that_does_not_answer_loses_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one line, and the sensor goes on. Without the setting there is no broker."""
    run = launched(instance)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_STARTING", nothing.name), run_id=run.run_id)
    monkeypatch.setattr(CeleryLauncher, "count_messages", lambda _: pytest.fail("there is no broker"))
    assert send_again(instance, lambda _: True) == []
    monkeypatch.undo()
    monkeypatch.setenv("ZONING_RUNS_ON", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(instance.run_launcher.celery.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    with pytest.raises(QueueUnavailable, match="the broker does not answer"):
        instance.run_launcher.count_messages()
    assert send_again(instance, lambda _: True) == []


def test_a_broker_that_does_not_answer_is_one_line(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        message = "Error 111 connecting to 127.0.0.1:1. Connection refused."
        raise OperationalError(message)

    monkeypatch.setattr(celery_launcher.CeleryRunLauncher, "launch_run", refused)
    with pytest.raises(QueueUnavailable, match="the broker does not answer") as caught:
        launched(instance)
    assert "\n" not in str(caught.value)
    assert isinstance(instance.run_launcher, CeleryLauncher)
    assert not instance.run_launcher.supports_check_run_worker_health
