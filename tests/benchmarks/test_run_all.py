"""`zoning bench all`: rounds in a journal, failures that do not stop others, resume, marks of load, the pages."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import machine, results, run_all
from benchmarks.measurements import Measurement
from benchmarks.run_journal import Journal, Round

ABOUT = {
    "began": "2026-11-30T15:30:00+00:00",
    "scale": "full",
    "machine": {"cpu": "a|b", "cores": "2"},
    "versions": {"python": "3.11.2"},
    "load_start": 0.1,
}
SHARE = {"figure": "Dagster's share", "value": 8.0, "unit": "%"}


def listed(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"figures": list(rows), "faults": []}


def a_round(name: str = "backfill", load: float = 0.5, **more: Any) -> Round:
    usual = {"document": listed(SHARE), "error": None, "commit": "abc"}
    return Round(name, f"zoning bench {name}", ABOUT["began"], 60.0, load, 2.5, **{**usual, **more})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.create(tmp_path / "all", ABOUT)


def of(journal: Journal, *rounds: Round) -> dict[str, Any]:
    for each in rounds:
        journal.add(each)
    return results.document(journal.read())


def test_medians_and_spreads_stand_beside_the_targets(journal: Journal) -> None:
    rounds = [a_round(document=listed({**SHARE, "value": value})) for value in (8.0, 12.0, 9.0)]
    (found,) = of(journal, *rounds)["measurements"]
    (figure,) = found["figures"]
    assert (figure["median"], figure["lowest"], figure["highest"]) == (9.0, 8.0, 12.0)
    assert (figure["target"], figure["met"]) == ("below 10", True)
    assert (found["rounds"], found["seconds"], found["is_loaded"], found["errors"]) == (3, 180.0, False, [])


def test_the_page_has_the_machine_the_command_and_what_is_not_met(journal: Journal) -> None:
    page = results.markdown(of(journal, a_round(document=listed({**SHARE, "value": 11.0}))))
    assert "| Dagster's share | 11 |  | % | below 10 | **no** | issue 17, benchmarks |" in page
    assert "- backfill: Dagster's share: 11 % (target: below 10)" in page
    assert "0 of 1 figures with a target meet it" in page
    assert "`zoning bench backfill`" in page
    assert "| cpu | a\\|b |" in page
    assert "0.1 at the start, 2.5 at the end" in page


@pytest.mark.parametrize(("load", "marked"), [(2.0, False), (2.1, True)])
def test_a_figure_of_a_busy_machine_is_marked(journal: Journal, load: float, *, marked: bool) -> None:
    found = of(journal, a_round(), a_round(load=load))
    assert found["measurements"][0]["is_loaded"] == marked
    assert (results._LOADED in results.markdown(found)) == marked


def test_a_failed_measurement_has_its_error_and_no_figures(journal: Journal) -> None:
    found = of(journal, a_round("wide", document={"error": "no disk", "exit_status": 2}, error="no disk"), a_round())
    named = {each["name"]: each for each in found["measurements"]}
    assert named["wide"]["figures"] == []
    assert "Error: no disk" in results.markdown(found)
    assert named["backfill"]["figures"]


def test_a_line_that_was_cut_off_is_ignored(journal: Journal) -> None:
    journal.add(a_round())
    with journal.path.open("a") as file:
        file.write('{"measurement": "wide", "comm')
    journal.add(a_round("truth"))
    assert [each.measurement for each in journal.read().rounds] == ["backfill", "truth"]


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Measurement]:
    """A measurement that works, and one that fails; as programs of one line instead of `zoning bench`."""
    programs = {
        "good": f"print({json.dumps(listed(SHARE))!r})",
        "bad": "raise SystemExit(3)",
        "slow": "import time; time.sleep(60)",
    }
    real = run_all._run
    monkeypatch.setattr(run_all, "_run", lambda command: real([sys.executable, "-c", programs[command[4]]]))
    monkeypatch.setattr(machine, "load", lambda: 0.0)
    return {name: Measurement("a test", name, name) for name in ("bad", "good")}


def test_a_failed_measurement_does_not_stop_the_others(journal: Journal, measurements: dict[str, Measurement]) -> None:
    """Nor is it tried in each round; a second call has nothing left but what failed."""
    said: list[str] = []
    run_all.measure(measurements, journal, "full", 2, said.append)
    status = "it ended with exit status 3; its messages are above"
    assert [(each.measurement, each.error) for each in journal.read().rounds] == [
        ("bad", status),
        ("good", None),
        ("good", None),
    ]
    assert any(status in line for line in said)
    run_all.measure(measurements, journal, "full", 3, said.append)
    assert [each.measurement for each in journal.read().rounds[3:]] == ["bad", "good"]


def test_a_measurement_has_at_most_its_own_rounds(journal: Journal, measurements: dict[str, Measurement]) -> None:
    once = measurements["good"]._replace(most_rounds=1)
    run_all.measure({"good": once}, journal, "full", 5, print)
    assert len(journal.read().rounds) == 1


def test_a_measurement_that_takes_too_long_is_stopped(
    journal: Journal, measurements: dict[str, Measurement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_all, "MOST_S", 0.5)
    began = time.monotonic()
    run_all.measure({"slow": Measurement("a test", "slow", "slow")}, journal, "full", 1, print)
    assert time.monotonic() - began < 20
    assert "took longer" in str(journal.read().rounds[0].error)


def test_an_interrupt_stops_the_running_measurement(
    journal: Journal, measurements: dict[str, Measurement], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what ended before it is in the journal."""
    stopped: list[int] = []
    real = run_all._stop
    monkeypatch.setattr(run_all, "_stop", lambda process: (real(process), stopped.append(process.wait())))
    run_all.measure({"good": measurements["good"]}, journal, "full", 1, print)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_all.measure({"slow": Measurement("a test", "slow", "slow")}, journal, "full", 1, print)
    assert stopped != []
    assert [each.measurement for each in journal.read().rounds] == ["good"]


def test_the_machine_is_described_without_its_name(tmp_path: Path, server: str) -> None:
    found = {**machine.machine(tmp_path), **machine.versions(server)}
    assert all(found.values())
    assert {"cpu", "cores", "memory", "disk", "kernel", "postgresql", "postgis", "gdal", "geos", "dagster"} <= set(
        found
    )
    assert os.uname().nodename not in str(found)
    assert machine.commit() != "unknown"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_real_run(tmp_path: Path, server: str) -> None:
    """Quick, of two measurements, with everything real: the documents have figures with targets that are met."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    environ |= {"ZONING_HOME": str(tmp_path / "home"), "ZONING_DATABASE_URL": server}
    command = [sys.executable, "-m", "zoning_assets.cli", "bench", "all", "--scale", "quick", "--json"]
    command += ["--only", "truth,probes"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    figures = {each["name"]: each["figures"] for each in found["measurements"]}
    assert list(figures) == ["truth", "probes"]
    assert all(any(each["met"] for each in own) for own in figures.values())
    assert found["targets"]["not_met"] == 0
    kinds = {each["figure"].partition(":")[0] for each in figures["probes"]}
    assert kinds >= {"arcgis", "ckan", "download", "ogc-features", "opendatasoft", "socrata", "wfs", "5 counties"}
