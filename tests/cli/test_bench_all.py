"""`zoning bench all`: its options, its pages, an interruption, and wrong usage."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import run_all
from benchmarks.measurements import Measurement
from benchmarks.run_journal import Journal
from tests.benchmarks.test_run_all import ABOUT, a_round
from tests.cli.conftest import Zoning
from zoning_assets.cli import bench_all


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, int]]:
    """What `zoning bench all` measured: name and rounds; `truth` is interrupted once where it is told so."""
    measured: list[tuple[str, int]] = []

    def measure(wanted: dict[str, Measurement], journal: Journal, scale: str, rounds: int, say: Any) -> None:
        for name in wanted:
            if journal.read().done(name) < rounds:
                measured.append((name, rounds))
                journal.add(a_round(name, document={"figures": []} if name == "probes" else TRUTH))
            if os.environ.pop("INTERRUPTED", None):
                raise KeyboardInterrupt
        journal.end()

    monkeypatch.setattr(run_all, "measure", measure)
    monkeypatch.setattr(run_all, "about", lambda asked, *_: {**ABOUT, "scale": asked["scale"], "asked": asked})
    monkeypatch.setattr(bench_all, "server", lambda: "postgresql://server")
    monkeypatch.setattr(bench_all, "_PAGES", tmp_path / "pages")
    return measured


TRUTH = {"cambridge_zoning": [], "cambridge_parcels": {"added_or_removed_and_not_told": 0}}


def test_the_command_writes_the_pages(zoning: Zoning, told: list[tuple[str, int]], tmp_path: Path) -> None:
    words = ("--only", "truth, probes", "--scale", "full", "--rounds", "2", "--write", "--json")
    status, out, err = zoning("bench", "all", *words)
    assert (status, told) == (0, [("truth", 2), ("probes", 2)])
    assert json.loads(out) == json.loads((tmp_path / "pages" / "results.json").read_text())
    page = (tmp_path / "pages" / "results.md").read_text()
    assert page.startswith("# Results\n")
    assert "results.md" in err
    assert "quick" not in page
    status, out, _ = zoning("bench", "all", "--only", "truth")
    assert (status, "The scale is `quick`" in out) == (0, True)


def test_an_interrupted_run_goes_on_by_the_same_command(
    zoning: Zoning,
    told: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INTERRUPTED", "yes")
    status, _, err = zoning("bench", "all", "--only", "truth,probes")
    assert status == 130
    assert "run the same command again to continue" in err
    assert told == [("truth", 1)]
    status, out, err = zoning("bench", "all", "--only", "probes,truth", "--json")
    assert "Continuing the run of 2026-11-30T15:30:00+00:00" in err
    assert told == [("truth", 1), ("probes", 1)]
    assert [each["name"] for each in json.loads(out)["measurements"]] == ["truth", "probes"]


def test_another_run_begins_anew_and_resume_adds_to_the_last_one(zoning: Zoning, told: list[tuple[str, int]]) -> None:
    for words in (("truth",), ("truth",), ("probes",)):
        zoning("bench", "all", "--only", *words)
    assert told == [("truth", 1), ("truth", 1), ("probes", 1)]
    _, out, _ = zoning("bench", "all", "--only", "truth", "--rounds", "2", "--resume", "--json")
    assert told[3:] == [("truth", 2)]
    assert [each["name"] for each in json.loads(out)["measurements"]] == ["truth", "probes"]


def test_wrong_usage_is_one_line(zoning: Zoning, told: list[tuple[str, int]]) -> None:
    for words, why in (
        (("--only", "nonsense"), "there is no measurement 'nonsense'"),
        (("--resume", "--only", "truth"), "there is no run to continue"),
    ):
        status, out, err = zoning("bench", "all", *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert why in err
    zoning("bench", "all", "--only", "truth", "--scale", "full")
    status, _, err = zoning("bench", "all", "--only", "truth", "--resume")
    assert (status, "the last run has the scale full" in err) == (2, True)
