"""The broker is killed while runs wait in it, and started again. Redis has lost their messages, RabbitMQ has not."""

import time
from pathlib import Path

import pytest

from tests.integration.celery import machines
from tests.integration.celery.clusters import (
    BROKERS,
    COUNTIES,
    Cluster,
    all_done,
    cluster,
    executing,
    explained,
    up,
    zoning,
)
from tests.support.waiting import until
from zoning_assets.defs.celery_launcher import CeleryLauncher
from zoning_assets.defs.celery_worker import QUEUE, TASK
from zoning_assets.errors import QueueUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: Two looks of the sensor run_lost, which looks every 30 s, and a busy machine.
_STARTED_MOST_S = 150.0


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_waiting_runs_survive_a_restart_of_the_broker(broker: str, tmp_path: Path, server: str, template: str) -> None:
    """The run in progress goes on, and those that wait are started. None of them fails."""
    machines.check_possible()
    with (
        cluster(broker, "127.0.0.1", server, template, tmp_path) as place,
        machines.worker(1, place.environ) as worker,
    ):
        place.write_files(worker.home / "toml")
        worker.start()
        with up(place) as environ, explained(place, [worker]):
            place.gate.close_after(12)
            found = until(lambda: executing(place, [worker]), "a run in the middle", every_s=0.2)
            assert found
            waiting = until(lambda: _starting(place), "runs that wait in the broker", every_s=0.2)
            place.broker.kill()
            place.broker.start()
            began = time.monotonic()
            place.gate.close_after(None)
            until(lambda: not waiting & _starting(place), "the start of the runs", _STARTED_MOST_S, 0.2)
            print(f"{len(waiting)} waiting runs had started after {time.monotonic() - began:.0f} s")  # noqa: T201
            until(lambda: all_done(place), "the end of all runs", every_s=1.0)
            states = {run[0]: run[1] for run in place.runs()}
            assert {states[run_id] for run_id in (found[0], *waiting)} == {"SUCCESS"}
            document, _ = zoning(environ, "sync", *COUNTIES)
            assert all(report["complete"] for report in document["harvests"])


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_the_messages_of_a_broker_are_counted(broker: str, tmp_path: Path) -> None:
    """Also where no worker has created the queue. After a kill in the middle, the broker does not answer."""
    with BROKERS[broker](tmp_path) as started:
        launcher = CeleryLauncher(broker=started.url, default_queue=QUEUE)
        assert launcher.count_messages() == 0
        for priority in (0, 5, 9):
            launcher.celery.send_task(TASK, queue=QUEUE, priority=priority)
        until(lambda: launcher.count_messages() == 3, "the messages", 10.0)
        with launcher.celery.connection_for_read() as connection:
            assert launcher.celery.amqp.queues[QUEUE](connection.default_channel).get()
            until(lambda: launcher.count_messages() == 2, "the messages that no worker has", 10.0)
        started.kill()
        with pytest.raises(QueueUnavailable, match="the broker does not answer"):
            launcher.count_messages()


def _starting(place: Cluster) -> set[str]:
    """The runs that were sent to the broker and have no process."""
    return {run_id for run_id, status, _, process in place.runs() if status == "STARTING" and not process}
