"""The process of one run that a Celery worker received.

The worker forks it from a server process that has imported this module, so a run does not wait for the imports. Unlike
a process of Celery's own pool it may have child processes. It ends with its worker.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_celery.app import execute_job

from zoning_assets import log_config
from zoning_assets.defs import build, kept_storage  # noqa: F401 - `build` is imported once, by the server process
from zoning_assets.defs.dagster_instance import keep_connections
from zoning_assets.defs.run_queue import STORAGE_FAILS
from zoning_assets.defs.run_workers import WORKER, this_process
from zoning_assets.pipeline.workers.worker_pool import forked_workers
from zoning_assets.storage.postgis import process_locks

_log = logging.getLogger(__name__)

#: Seconds between two looks whether the run is to be terminated.
_LOOK_S = 2.0
_LAUNCHED = (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING)


def execute(arguments: Mapping[str, Any], run_id: str, database: str) -> None:
    """Execute a run, unless it has a process already or has ended: brokers deliver a message more than once.

    Args:
        arguments: of the Celery task, as the launcher of dagster-celery sends them.
        run_id: the id in these arguments.
        database: the URL of the database, which has the locks.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    log_config.log_as_json()
    kept_storage.belong_to_one_run()
    with forked_workers():
        threading.Thread(target=_end_with_worker, daemon=True).start()
        _execute(arguments, run_id, database)


def _execute(arguments: Mapping[str, Any], run_id: str, database: str) -> None:
    with dg.DagsterInstance.get() as instance, process_locks.holding(database, run_id) as is_first:
        keep_connections(instance)  # a dagster.yaml of a user may name another storage
        run = instance.get_run_by_id(run_id)
        if run is None or run.status not in _LAUNCHED or not is_first:
            why = run.status.value if run else "unknown to this database"
            _log.warning("run %s is not executed by this delivery: it is %s", run_id, why)
            return
        instance.add_run_tags(run_id, {WORKER: this_process(run_id)})  # from now on, its lock shows whether it is alive
        with _terminated_on_request(instance, run_id):
            execute_job(execute_job_args_packed=dict(arguments))


@contextmanager
def _terminated_on_request(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Interrupt this process once if the run is to be terminated: a person or a command has requested it, or the sensor
    run_lost has given the run up."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(_LOOK_S):
            try:
                run = instance.get_run_by_id(run_id)
            except STORAGE_FAILS:
                continue
            if run is None or run.is_finished or run.status == dg.DagsterRunStatus.CANCELING:
                if not done.is_set():
                    os.kill(os.getpid(), signal.SIGTERM)  # SIGINT is blocked in child processes (worker_pool.py)
                return

    thread = threading.Thread(target=look, name="zoning-terminate", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


def _end_with_worker() -> None:
    worker = multiprocessing.parent_process()
    if worker is not None:
        worker.join()
        os._exit(1)
