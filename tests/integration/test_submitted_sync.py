"""`zoning sync` while `zoning up` is running: the daemon executes the runs, the reports are as in one process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.integration.signals.command import judged, started
from tests.integration.signals.gated_portal import Gate, gated
from tests.support.databases import copied
from zoning_assets.defs.webserver import Webserver
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.records import hold_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PORT, _MOST_S = 3990, 120.0
_JOBS = ["find_tiles", "publish_parcels", "publish_zoning"]
_TABLES = (
    "SELECT tile, parcel_id, content_hash FROM zoning.parcel ORDER BY 2",
    "SELECT district_id, code, content_hash FROM zoning.district ORDER BY 1",
    "SELECT parcel_id, code, facet, fraction::text FROM zoning.parcel_zoning ORDER BY 1, 2, 3",
    "SELECT feed, count(*) FROM zoning.rejection GROUP BY 1 ORDER BY 1",
)
_SAME = ("jurisdiction", "tile", "feed", "fetched", "accepted", "rejected", "repaired", "added", "content_hash")
_SUBMITTED = "The daemon of `zoning up` executes the runs"


@dataclass(frozen=True)
class Place:
    """A gate before the portal, the environment of commands, the database, and a folder for output."""

    gate: Gate
    environ: dict[str, str]
    database: str
    folder: Path

    def sync(self, *words: str) -> tuple[dict, str]:
        """Run `zoning sync`, which succeeds; return its document and its stderr."""
        command = [sys.executable, "-m", "zoning_assets.cli", *(words or ("sync", ID)), "--json"]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout), done.stderr

    def runs(self) -> list[tuple[str, str, dict[str, str]]]:
        """Return the job, the status and the tags of each run, oldest first."""
        found = rows(
            self.database,
            "SELECT pipeline_name, status, jsonb_object_agg(key, value) FROM zoning_dagster.runs"
            " JOIN zoning_dagster.run_tags USING (run_id) GROUP BY runs.id, 1, 2 ORDER BY runs.id",
        )
        return [(job, status, tags) for job, status, tags in found]


@pytest.fixture
def place(tmp_path: Path, server: str, template: str) -> Iterator[Place]:
    (tmp_path / "jurisdictions").mkdir()
    with serving(1500) as portal, gated(portal) as gate, copied(server, template) as (_, url):
        gate.close_after(None)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ZONING_HOME": str(tmp_path / "home"),
            "ZONING_JURISDICTIONS": str(tmp_path / "jurisdictions"),
            "ZONING_DATABASE_URL": url,
        }
        yield Place(gate, environ, url, tmp_path / "run")


@contextmanager
def up(place: Place) -> Iterator["subprocess.Popen[str]"]:
    """Run `zoning up` without the sensors that harvest by themselves; the daemon is ready."""
    command = [sys.executable, "-m", "zoning_assets.cli", "up", "--json", "--port", str(_PORT)]
    with subprocess.Popen(command, env=place.environ, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            ui = json.loads("".join(iter(program.stdout.readline, "}\n")) + "}")["ui"]
            stop_sensors(Webserver(int(ui.rpartition(":")[2])), ["feed_changed", "promise_broken"])
            beats = "SELECT 1 FROM zoning_dagster.daemon_heartbeats WHERE daemon_type = 'QUEUED_RUN_COORDINATOR'"
            until(lambda: rows(place.database, beats))
            looked = ticks(place)  # ticks run in threads: one of a stopped sensor may still have to begin
            until(lambda: ticks(place) > looked + 1)
            until(lambda: not rows(place.database, "SELECT 1 FROM zoning_dagster.job_ticks WHERE status = 'STARTED'"))
            # Written last, so that no sensor harvests it, and to show that the webserver need not be reloaded.
            folder = Path(place.environ["ZONING_JURISDICTIONS"])
            (folder / f"{ID}.toml").write_text(county_toml(place.gate.address))
            yield program
        finally:
            program.terminate()
            assert program.wait(60) == 128 + signal.SIGTERM


def stop_sensors(webserver: Webserver, names: list[str]) -> None:
    selector = {"repositoryLocationName": "zoning_assets.definitions", "repositoryName": "__repository__"}
    query = """query($selector: RepositorySelector!) { sensorsOrError(repositorySelector: $selector) {
        ... on Sensors { results { name id } } } }"""
    found = webserver.graphql(query, {"selector": selector})["sensorsOrError"]["results"]
    for sensor in found:
        if sensor["name"] in names:
            stop = "mutation($id: String!) { stopSensor(id: $id) { __typename } }"
            stopped = webserver.graphql(stop, {"id": sensor["id"]})
            assert stopped["stopSensor"]["__typename"] == "StopSensorMutationResult", stopped


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + _MOST_S
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.3)


def ticks(place: Place) -> int:
    """How often the sensor harvest_goes_on has looked."""
    query = """SELECT count(*) FROM zoning_dagster.job_ticks JOIN zoning_dagster.instigators USING (selector_id)
        WHERE job_ticks.status = 'SKIPPED' AND instigator_body LIKE '%harvest_goes_on%'"""
    return int(rows(place.database, query)[0][0])


def test_a_sync_submits_its_runs(place: Place, server: str, template: str) -> None:
    """The runs are those that sensors request. Tables and reports equal those of a sync in its own process, and no
    run is requested a second time."""
    with up(place):
        document, err = place.sync()
        assert _SUBMITTED in err
        runs = place.runs()
        assert [(job, status) for job, status, _ in runs] == [(job, "SUCCESS") for job in _JOBS]
        for job, _, tags in runs:
            assert tags["zoning/jurisdiction"] == ID
            assert tags["zoning/host"] in place.gate.address
            assert ("dagster/partition" in tags) == (job != "publish_parcels")
        assert [tags["zoning/feed"] for _, _, tags in runs] == ["parcels", "parcels", "zoning"]
        assert len({tags["zoning/command"] for _, _, tags in runs}) == 1
        enqueued = "SELECT count(DISTINCT run_id) FROM zoning_dagster.event_logs WHERE dagster_event_type = %s"
        assert rows(place.database, enqueued, "PIPELINE_ENQUEUED") == [(3,)]
        looked = ticks(place)
        replayed, _ = place.sync("replay", ID, "--feed", "parcels")
        until(lambda: ticks(place) > looked + 1)
        assert {report["fetched"] for report in replayed["harvests"]} != {0}
        ours = [tags for job, _, tags in place.runs() if job in _JOBS]  # exports follow by a sensor
        commands = [tags.get("zoning/command", "none").split()[0] for tags in ours]
        assert commands == ["sync"] * 3 + ["replay"] * (len(commands) - 3), "the sensor requested a run again"
        assert len(commands) > 3
    with copied(server, template) as (_, url):
        alone = replace(place, database=url, environ={**place.environ, "ZONING_DATABASE_URL": url})
        alone.environ["ZONING_HOME"] += "-alone"
        expected, err = alone.sync()

        assert _SUBMITTED not in err
        for table in _TABLES:
            assert rows(place.database, table) == rows(url, table), table
        assert [[report[name] for name in _SAME] for report in document["harvests"]] == [
            [report[name] for name in _SAME] for report in expected["harvests"]
        ]


def held_in_a_run(place: Place, before: int) -> Callable[[], bool]:
    """Return a function that closes the gate when a new run was submitted; it returns True when that run waits there.

    `before`: how many runs there were.
    """
    closed = False

    def happened() -> bool:
        nonlocal closed
        runs = place.runs()[before:]
        if runs and not closed:
            closed = True
            place.gate.close_after(0)
        return closed and place.gate.held.is_set() and runs[-1][1] == "STARTED"

    return happened


def test_a_stop_terminates_the_runs(place: Place) -> None:
    """Ctrl-C ends the command in time and its run, also while the run is starting, and the same command again
    completes. A pause is reported. If `zoning up` ends, the command ends, too."""
    with up(place) as program:
        with started(["sync", ID, "--feed", "zoning", "--json"], place.environ, place.folder) as command:
            command.until(held_in_a_run(place, 0))
            ended = command.stopped(signal.SIGINT, group=True)
        judged(ended, signal.SIGINT, as_json=True)
        assert ended.seconds < 10
        until(lambda: [status for _, status, _ in place.runs()] == ["CANCELED"])
        assert rows(place.database, "SELECT * FROM zoning.failure") == [], "the sensor retry_failed would restart it"
        place.gate.close_after(None)
        with started(["sync", ID, "--feed", "zoning"], place.environ, place.folder / "starting") as command:
            command.until(lambda: [status for _, status, _ in place.runs()] == ["CANCELED", "STARTING"])
            ended = command.stopped(signal.SIGINT, group=True)
        judged(ended, signal.SIGINT, as_json=False)
        until(lambda: [status for _, status, _ in place.runs()] == ["CANCELED", "CANCELED"])
        hold = hold_records.pause(place.database, jurisdiction=ID, host=None, reason="storm", actor="me", until=None)
        with started(["sync", ID], place.environ, place.folder / "paused") as command:
            command.until(lambda: "storm" in command.err.read_text())
            ended = command.stopped(signal.SIGTERM, group=False)
        judged(ended, signal.SIGTERM, as_json=False)
        assert ended.seconds < 10
        hold_records.resume(place.database, jurisdiction=hold.jurisdiction, host=None, reason="over", actor="me")
        place.sync("sync", ID, "--feed", "parcels")
        assert rows(place.database, "SELECT count(*) > 1000 FROM zoning.parcel") == [(True,)]
        with started(["sync", ID, "--force"], place.environ, place.folder / "lost") as command:
            command.until(held_in_a_run(place, len(place.runs())))
            program.terminate()
            assert command.process.wait(60) == 1
            lines = command.err.read_text()
            assert f"{ID}: `zoning up` has ended" in lines.splitlines()[-1], lines
