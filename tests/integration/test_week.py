"""A week of twenty portals: every change is published in time, no portal is asked too much, nothing without cause."""

from pathlib import Path

import pytest

from benchmarks.week import measure


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_week_of_twenty_portals(database: str, tmp_path: Path) -> None:
    found = measure(database, tmp_path, print)
    assert found["faults"] == []
    assert found["changes"] > 15
    assert found["runs_again"] >= found["runs_failed"] > 1, "what failed was asked for again by itself"
    assert found["requests_a_probe_most"] <= 3
    dead = found["portals"][-1]
    assert dead["runs"] == 0
    assert dead["requests"] < 200
