"""`zoning bench memory` says what it promises, and its sampler sees a command's main process and what that started."""

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import whole_command
from benchmarks.footprint import Footprint
from tests.cli.conftest import Zoning
from zoning_assets.cli import bench_memory

_MB = 1_000_000
#: Holds so many megabytes, and starts a child that holds others; both say so, and wait until standard input ends.
_HOLDS = """
import subprocess, sys
mine, childs = map(int, sys.argv[1:3])
held = b"x" * (mine * 1_000_000)
words = [sys.executable, "-c", sys.argv[3], str(childs), "0", ""]
child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) if childs else None
child and child.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_sampler_tells_the_main_process_from_those_that_it_started() -> None:
    """What the child holds is no peak of the main process, and both are in the total."""
    words = [sys.executable, "-c", _HOLDS, "40", "120", _HOLDS]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        footprint = Footprint(process.pid)
        footprint.sample()
        process.communicate()
    peaks = footprint.peaks
    assert 40 * _MB < peaks.main < 120 * _MB < peaks.workers
    assert peaks.total == peaks.main + peaks.workers


def test_a_process_that_ended_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    footprint = Footprint(process.pid)
    footprint.sample()
    assert footprint.peaks.total == 0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """What a measurement found, which takes minutes; its peaks in bytes may be set."""
    peaks = {2000: 500e6, 4000: 600e6}

    def measure(sizes: tuple[int, int], *_: object, **options: Any) -> dict[str, Any]:
        kinds, words = options["feed_types"], options["commands"]
        figures = [
            whole_command.Figure(kind, size, name, 1, 2, int(peaks[size]), 1.0)
            for kind in kinds
            for size in sizes
            for name in words
        ]
        return whole_command.document(figures, sizes)

    known = {name: getattr(whole_command, name) for name in ("ALL", "FIRST", "MOST_RATIO", "MOST_BYTES")}
    monkeypatch.setattr(bench_memory, "load", lambda _: SimpleNamespace(measure=measure, **known))
    monkeypatch.setattr(bench_memory, "server", lambda: "postgresql://server")
    return peaks


@pytest.mark.parametrize(
    ("large", "status", "ratio"), [(600e6, 0, 1.2), (625e6, 0, 1.25), (640e6, 1, 1.28), (400e6, 0, 0.8)]
)
def test_a_peak_that_grows_is_a_failure(
    zoning: Zoning, measured: dict[int, float], large: float, status: int, ratio: float
) -> None:
    measured[4000] = large
    found, out, err = zoning("bench", "memory", "--small", "2000", "--large", "4000", "--json")
    document = json.loads(out)
    assert found == status
    assert [each["ratio"] for each in document["growth"]] == [ratio, ratio]
    assert {each["feed_type"] for each in document["figures"]} == {"download", "arcgis"}
    assert ("limit: at most" in err) == bool(status)


def test_a_peak_above_the_limit_is_a_failure_though_it_does_not_grow(
    zoning: Zoning, measured: dict[int, float]
) -> None:
    measured |= dict.fromkeys(measured, 950e6)
    status, out, err = zoning("bench", "memory", "--small", "2000", "--large", "4000", "--feed-type", "download")
    assert status == 1
    assert "950 MB, 1.0 times" in err
    assert "rollback" not in out
