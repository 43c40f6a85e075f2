"""The Celery worker of `zoning worker`: takes runs from the broker, and starts a process for each.

This module does not import Dagster. A thread of Celery waits for the process of each run (run_process.py).

A message is acknowledged when its run has ended, so that a worker takes only as many as it executes, and a message of a
worker that died is delivered again. Brokers also deliver it again if a run takes longer than their time limit, and
after a lost connection; the process of a run checks for that.
"""

import logging
import multiprocessing
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from celery import Celery, bootsteps
from celery.worker import WorkController
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from zoning_assets.errors import QueueUnavailable
from zoning_assets.graceful_stop import STOP
from zoning_assets.pipeline.workers.worker_pool import IMPORTS_DONE, empty_main_module
from zoning_assets.storage import run_broker

_log = logging.getLogger(__name__)

#: What dagster-celery calls its queue and its task (dagster_celery.make_app).
QUEUE, TASK, PRIORITIES = "dagster", "execute_job", 10
#: The name of the run's id in the arguments of the task.
_RUN_ID = "pipeline_run_id"
#: What a run imports, also what Dagster imports with a run only.
_PRELOADED = [
    "zoning_assets.defs.run_process",
    "zoning_assets.pipeline.pipeline",
    "zoning_assets.pipeline.change_detection",
    "zoning_assets.pipeline.workers.distribute_rows",
    "psycopg2",
    "pyarrow.dataset",
    "upath.implementations.local",
    IMPORTS_DONE,
]
#: Seconds until a run must have ended after a stop. A command must have ended 8 s after a signal (cli/signals.py).
_ENDS_WITHIN_S = 6.5
#: Seconds between two looks of Celery's loop at what threads have done.
_WAKES_S = 0.1


class RunProcesses:
    """The processes of the runs of this worker. They are forks of a server that has imported Dagster and this program.

    Args:
        database: the URL of the database, which has the locks of runs.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        self._running = set[BaseProcess]()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the server, which takes seconds, and wait for it."""
        self._start(self._context.Process(target=int)).join()

    def execute(self, arguments: object) -> None:
        """Execute the run of a message, and wait for its end. A message that names no run is ignored."""
        run_id = _run_id(arguments)
        if run_id is None:
            _log.warning("a message that names no run was ignored")
            return
        process = self._context.Process(target=_execute, args=(arguments, run_id, self._database))
        self._start(process)
        process.join()
        self._running.discard(process)
        if process.exitcode:
            _log.warning("the process of run %s ended with status %s", run_id, process.exitcode)

    def _start(self, process: BaseProcess) -> BaseProcess:
        with self._lock, empty_main_module():
            STOP.check("zoning worker")
            process.start()
            self._running.add(process)
        return process

    def stop(self) -> None:
        """Interrupt all runs, and kill those that do not end. Dagster starts them again, on this worker or another."""
        running = [process for process in list(self._running) if process.is_alive()]
        for process in running:
            process.terminate()
        killer = threading.Timer(_ENDS_WITHIN_S, _kill, [running])
        killer.daemon = True
        killer.start()


def _kill(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.kill()


def work(broker: str, runs: int, processes: RunProcesses, ready: Callable[[], None]) -> None:
    """Execute runs until a stop is requested.

    Args:
        broker: the address of the broker.
        runs: how many runs are executed at the same time.
        processes: of the runs.
        ready: is called when the worker waits for runs.

    Raises:
        Stopping: a stop was requested, and the runs have ended.
        QueueUnavailable: the broker does not answer at the start. Later the worker waits for it.
    """
    app = application(broker, processes.execute)
    app.set_default()  # Celery's threads look for tasks in the default application
    app.steps["consumer"].add(_Waking)
    with _translated_errors(broker), app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0.5, timeout=10)
    worker = WorkController(
        app=app,
        pool_cls="threads",
        concurrency=runs,
        ready_callback=lambda _: ready(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    with STOP.call_on_request(processes.stop):
        worker.start()  # Celery catches KeyboardInterrupt
    STOP.check("zoning worker")
    raise QueueUnavailable("Celery's worker ended", where=run_broker.address(broker), do="read the lines above")


class _Waking(bootsteps.StartStopStep):  # type: ignore[misc]
    """Wakes Celery's loop, which acknowledges the messages of other threads only after it has waited for the broker: up
    to ten seconds, during which the worker would get no further run."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Start a timer that does nothing; it ends with the connection."""
        if parent.hub:
            self._timer = parent.hub.call_repeatedly(_WAKES_S, lambda: None)

    def stop(self, _parent: Any) -> None:
        """End the timer, before a new connection starts another one."""
        if timer := getattr(self, "_timer", None):
            timer.cancel()


def application(broker: str, execute: Callable[[object], None]) -> Celery:
    """Return the Celery application of a worker. It accepts JSON only, stores no result and obeys no remote control.

    Args:
        broker: the address of the broker.
        execute: executes the run of a message.
    """
    app = Celery("zoning", broker=broker, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=4,
        task_acks_late=True,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_queue_max_priority=PRIORITIES,
        task_queues=[_queue()],
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
    )

    @app.task(name=TASK, shared=False)  # type: ignore[untyped-decorator]
    def execute_job(execute_job_args_packed: Any = None, **_: Any) -> None:
        execute(execute_job_args_packed)

    return app


def _queue() -> Any:
    """Return the queue as dagster-celery declares it."""
    arguments = {"x-max-priority": PRIORITIES}
    return Queue(QUEUE, routing_key=f"{QUEUE}.#", queue_arguments=arguments)  # type: ignore[no-untyped-call]


def _execute(arguments: dict[str, Any], run_id: str, database: str) -> None:
    """Execute a run in its process, which has imported Dagster; the worker itself has not."""
    from zoning_assets.defs import run_process  # noqa: PLC0415

    run_process.execute(arguments, run_id, database)


def _run_id(arguments: object) -> str | None:
    """Return the id of the run in the arguments of a task; None: there is no valid one."""
    found = arguments.get(_RUN_ID) if isinstance(arguments, dict) else None
    try:
        return found if isinstance(found, str) and str(uuid.UUID(found)) == found else None
    except ValueError:
        return None


@contextmanager
def _translated_errors(broker: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, OSError) as error:
        where, do = run_broker.address(broker), f"start it, or correct {run_broker.SETTING}"
        raise QueueUnavailable("the broker does not answer or refuses the login", where=where, do=do) from error
