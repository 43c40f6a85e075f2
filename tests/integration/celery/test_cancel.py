"""A run in progress on a worker is cancelled: in the UI, and by Ctrl-C of the command that submitted it."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.celery import machines
from tests.integration.celery.clusters import COUNTIES, Cluster, cluster, executing, explained, objects, up, zoning
from tests.integration.celery.machines import Worker
from tests.integration.signals.command import descendants, judged, started
from tests.support.waiting import until
from zoning_assets.defs import webserver
from zoning_assets.defs.webserver import Webserver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: The process looks every two seconds whether its run is to end, and interrupts what it does.
_ENDS_MOST_S = 30.0
#: As the UI does.
_TERMINATE = """mutation($ids: [String!]!) { terminateRuns(runIds: $ids, terminatePolicy: SAFE_TERMINATE) {
    ... on TerminateRunsResult { terminateRunResults { __typename } } } }"""


def test_a_run_on_a_worker_is_cancelled(tmp_path: Path, server: str, template: str) -> None:
    """Each time a request of the run is held by the portal. The run ends soon and is recorded as canceled, its
    processes are gone, and the next sync completes and leaves no draft."""
    machines.check_possible()
    with (
        cluster("redis", "127.0.0.1", server, template, tmp_path) as place,
        machines.worker(1, place.environ) as worker,
    ):
        place.write_files(worker.home / "toml")
        worker.start()
        with up(place) as environ, explained(place, [worker]):
            place.gate.close_after(12)
            _cancelled(place, worker, lambda run_id: _terminate_in_ui(environ, run_id))
            _completes(place, environ)
            place.gate.close_after(0)
            with started(["sync", *COUNTIES, "--force", "--json"], environ, tmp_path / "sync") as command:
                _cancelled(
                    place,
                    worker,
                    lambda _: judged(command.stopped(signal.SIGINT, group=True), signal.SIGINT, as_json=True),
                )
            _completes(place, environ, "--force")  # nothing has changed


def _cancelled(place: Cluster, worker: Worker, cancel: Callable[[str], None]) -> None:
    """Wait for a run whose request is held, cancel it, and check its end."""
    found = until(lambda: executing(place, [worker]), "a run in the middle", every_s=0.2)
    assert found
    run_id, _ = found
    (pid,) = [int(run[3].split()[1]) for run in place.runs() if run[0] == run_id]
    family = {pid, *descendants(pid)}
    began = time.monotonic()
    cancel(run_id)
    until(lambda: (run_id, "CANCELED") in [run[:2] for run in place.runs()], "the end of the run", _ENDS_MOST_S)
    until(lambda: not any(map(worker.executes, family)), "the end of its processes", _ENDS_MOST_S)
    print(f"the run and its {len(family)} processes ended after {time.monotonic() - began:.1f} s")  # noqa: T201


def _terminate_in_ui(environ: dict[str, str], run_id: str) -> None:
    announced = webserver.announcement(Path(environ["ZONING_HOME"]) / "dagster")
    assert announced
    answer = Webserver(announced.port).graphql(_TERMINATE, {"ids": [run_id]})
    assert answer["terminateRuns"]["terminateRunResults"] == [{"__typename": "TerminateRunSuccess"}]


def _completes(place: Cluster, environ: dict[str, str], *options: str) -> None:
    """The next sync of both counties, undisturbed."""
    place.gate.close_after(None)
    document, lines = zoning(environ, "sync", *COUNTIES, *options)
    assert "The daemon of `zoning up` executes the runs" in lines
    assert all(report["complete"] for report in document["harvests"])
    assert {report["jurisdiction"] for report in document["harvests"]} == set(COUNTIES)
    until(lambda: not any("/draft/" in name for name in objects(place)), "the end of all drafts", 60.0, 1.0)
