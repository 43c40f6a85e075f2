"""`zoning worker`: execute runs of a cluster on this machine until Ctrl-C."""

import os
import socket
import sys
from functools import partial
from typing import Annotated

import typer

from zoning_assets import log_config
from zoning_assets.cli import bootstrap
from zoning_assets.cli.display import output, progress
from zoning_assets.errors import SettingInvalid
from zoning_assets.storage import run_broker
from zoning_assets.storage.postgis.database import address

_MOST_RUNS = 64


def worker(
    runs: Annotated[int, typer.Option(min=1, max=_MOST_RUNS, help="How many runs are executed at the same time.")] = 1,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON document when the worker is ready.")] = False,
) -> None:
    """Execute runs on this machine, which come through the broker of ZONING_RUNS_ON; Ctrl-C stops it."""
    broker = run_broker.find(os.environ)
    if broker is None:
        do = "set it to the broker of `zoning up`, such as redis://HOST:6379/0"
        raise SettingInvalid("it is not set", where=run_broker.SETTING, do=do)
    bootstrap.check_store()
    with progress.working("Starting"):
        from zoning_assets.defs import celery_worker  # noqa: PLC0415 - imports Celery

        url = bootstrap.bring_up_database()
        bootstrap.prepare_dagster()
        processes = celery_worker.RunProcesses(url)
        processes.start()
    log_config.log_as_json()
    facts = {"broker": run_broker.address(broker), "runs": runs, "host": socket.gethostname(), "pid": os.getpid()}
    ready = partial(_report, {**facts, "database": address(url)}, json=json)
    celery_worker.work(broker, runs, processes, ready)


def _report(facts: dict[str, object], *, json: bool) -> None:
    if json:
        output.document(facts)
        sys.stdout.flush()
    output.line(f"Runs come from {facts['broker']}, {facts['runs']} at a time. Ctrl-C stops the worker.")
