"""Sends runs to the broker of `ZONING_RUNS_ON` again whose message was lost.

A broker that keeps its messages in memory loses them if it restarts, and a worker loses one if the process of the run
dies before it took the run. Such a run would start only after Dagster's start timeout, as a new run. Brokers can count
messages but cannot look for one. So all waiting runs are sent again if there are more of them than messages. That is
safe, because a worker executes a run only once (run_process.py).
"""

import logging
import os
from collections.abc import Callable

import dagster as dg

from zoning_assets.defs.run_workers import starting
from zoning_assets.errors import QueueUnavailable
from zoning_assets.storage import run_broker

_log = logging.getLogger(__name__)


def send_again(instance: dg.DagsterInstance, is_lost: Callable[[str], bool]) -> list[dg.DagsterRun]:
    """Send runs again that wait for a worker without a message, and return them; none without a broker that answers.

    Args:
        instance: where the runs are recorded.
        is_lost: whether a name that has no message has had none for so long that it is not on its way to a process.
    """
    _, waiting = starting(instance)
    if not waiting or run_broker.find(os.environ) is None:
        return []
    from zoning_assets.defs.celery_launcher import CeleryLauncher  # noqa: PLC0415 - needs the extra `celery`

    launcher = instance.run_launcher
    if not isinstance(launcher, CeleryLauncher):
        return []
    try:
        if launcher.count_messages() >= len(waiting):
            return []
        lost = [run for run in waiting if is_lost(f"message {run.run_id}")]
        for run in lost:
            launcher.launch_again(run)
    except QueueUnavailable as error:
        _log.warning("%s", error)
        return []
    return lost
