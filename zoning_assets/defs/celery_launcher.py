"""The launcher of runs for `ZONING_RUNS_ON`: a run is one Celery task, which `zoning worker` executes.

The launcher of dagster-celery asks Celery's result backend whether a run is alive, and Celery's remote control to
terminate it. Both fail after a restart of the broker, and a worker that shares its broker would obey everybody. Here,
the lock of a run shows that it is alive (run_workers.py), and its process reads in Dagster's storage that it is to end
(run_process.py). So no result is stored, and workers have no remote control.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher
from kombu.exceptions import OperationalError

from zoning_assets.errors import QueueUnavailable
from zoning_assets.storage.run_broker import SETTING

#: Celery retries to send a task for about ten seconds. Then the run fails, and Dagster starts it again.
_CONFIG = {
    "task_ignore_result": True,
    "broker_connection_timeout": 4,
    "broker_transport_options": {"socket_connect_timeout": 4, "socket_timeout": 10, "read_timeout": 10},
    "task_publish_retry_policy": {"max_retries": 5, "interval_start": 0.5, "interval_step": 0.5, "interval_max": 2},
}


class CeleryLauncher(CeleryRunLauncher):
    """Sends runs to the broker. Its only configuration in dagster.yaml is the environment variable of the broker."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**{**config, "backend": None, "config_source": _CONFIG})

    def launch_run(self, context: Any) -> None:
        """Send a run to the broker.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        with _translated_errors():
            super().launch_run(context)

    def launch_again(self, run: dg.DagsterRun) -> None:
        """Send a run to the broker again. If its message is not lost, the later one does nothing (run_process.py).

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        self.launch_run(SimpleNamespace(dagster_run=run))

    def count_messages(self) -> int:
        """Return how many messages wait in the broker for a worker.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        with self.celery.connection_for_write() as connection:
            lost = (*connection.connection_errors, *connection.channel_errors)
            with _translated_errors(*lost):
                connection.ensure_connection(max_retries=1, interval_start=0.5, timeout=5)
                queue = self.celery.amqp.queues[self.default_queue](connection.default_channel)
                return int(queue.queue_declare().message_count)

    def terminate(self, run_id: str) -> bool:
        """Request the end of a run; its process reads the status."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The sensor run_lost finds dead runs."""
        return False

    @property
    def supports_resume_run(self) -> bool:
        """A run of a dead process is started again as a new run."""
        return False

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> None:
        """Return nothing, because no result is stored."""


@contextmanager
def _translated_errors(*lost: type[Exception]) -> Iterator[None]:
    """Raise QueueUnavailable for errors of the broker. `lost`: further ones, of a connection."""
    errors: tuple[type[Exception], ...] = (OperationalError, OSError, *lost)
    try:
        yield
    except errors as error:
        what = f"the broker does not answer ({type(error).__name__})"
        raise QueueUnavailable(what, where=SETTING, do="start it; the run is started again") from None
