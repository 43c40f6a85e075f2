"""`zoning bench sync` in the small: all end with the same parcels, and what they took from the server is counted."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sync
from benchmarks.contestants import CLASSIC, CONTESTANTS, FLOOR, OGR2OGR, OURS
from benchmarks.sync import UNCHANGED, measure

PARCELS, PAGE = 1000, 200
PAGES = PARCELS // PAGE
#: The machine's own; a test does not install it.
OTHERS = (CLASSIC, *((OGR2OGR,) if shutil.which("ogr2ogr") else ()), FLOOR)


def by_name(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    [variant] = found["variants"]
    assert found["faults"] == []
    return {each["contestant"]: each for each in variant["contestants"]}


@pytest.mark.slow
def test_the_others_take_each_row_once(server: str, tmp_path: Path) -> None:
    said: list[str] = []
    found = by_name(
        measure(PARCELS, server, tmp_path, said.append, page=PAGE, rounds=2, variants=["plain"], only=OTHERS)
    )
    assert list(found) == list(OTHERS)
    for each in found.values():
        assert (each["parcels"], each["rows_served"], each["map_requests"]) == (PARCELS, PARCELS, 0)
        assert PAGES <= each["requests"] <= PAGES + 2
        assert each["bytes"] > PARCELS * 500
        assert min(each["seconds"], each["cpu_s"], each["peak_bytes"]) > 0
        assert len(each["rounds_s"]) == 2
        assert each["seconds"] == pytest.approx(min(each["rounds_s"]), abs=0.01)
        assert each["times_classic"] == pytest.approx(found[CLASSIC]["seconds"] / each["seconds"], abs=0.01)
    assert len(said) == 2 * len(OTHERS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ours_ends_with_the_same_parcels_and_finds_the_edits(server: str, tmp_path: Path) -> None:
    """Whole commands: first, unchanged, and edited; each on the county as it then is."""
    found = by_name(measure(PARCELS, server, tmp_path, print, page=PAGE, variants=["tracked"], only=[FLOOR, OURS]))
    edited = f"ours, {PARCELS // 10} edited"
    assert list(found) == [FLOOR, OURS, UNCHANGED, edited]
    assert {each["parcels"] for each in found.values()} == {PARCELS}
    assert found[edited]["found"] == PARCELS // 10
    assert found[OURS]["rows_served"] >= PARCELS
    assert max(found[UNCHANGED][name] for name in ("requests", "map_requests")) <= 4
    assert all(found[name]["map_requests"] > 0 for name in (OURS, UNCHANGED, edited))


@pytest.mark.parametrize(
    ("figures", "faults"),
    [
        ({"parcels": 1000, "edited": 0}, []),
        ({"parcels": 999, "edited": 0}, ["999 of 1,000 parcels are in its database"]),
        ({"parcels": 1000, "edited": 100, "found": 100}, []),
        ({"parcels": 1000, "edited": 100, "found": 7}, ["7 of 100 edits are in its database"]),
    ],
)
def test_rows_that_are_missing_are_a_fault(figures: dict[str, int], faults: list[str]) -> None:
    assert list(sync._faults("plain, floor", figures, 1000)) == [f"plain, floor: {each}" for each in faults]


def test_a_fault_of_any_round_is_told(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a round that is not the median."""
    lacking = replace(CONTESTANTS[FLOOR], count="SELECT count(*) - 1 FROM parcel")
    monkeypatch.setattr(sync, "CONTESTANTS", {FLOOR: lacking})
    found = measure(PARCELS, server, tmp_path, print, page=PAGE, rounds=2, variants=["plain"], only=[FLOOR])
    short = "999 of 1,000 parcels are in its database"
    assert found["faults"] == [f"plain, round {at}, floor: {short}" for at in (1, 2)]


def test_a_command_that_fails_is_told_with_its_last_lines(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(_failing(tmp_path / "bin")))
    with pytest.raises(RuntimeError, match=r"ogr2ogr .* failed with exit status 3: no such layer"):
        measure(PARCELS, server, tmp_path, print, page=PAGE, variants=["plain"], only=[OGR2OGR])


def _failing(folder: Path) -> Path:
    """A folder with an ogr2ogr that fails."""
    folder.mkdir()
    program = folder / "ogr2ogr"
    program.write_text("#!/bin/sh\necho no such layer >&2\nexit 3\n")
    program.chmod(0o755)
    return folder
