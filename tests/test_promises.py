"""Promises 8 and 9 of DESIGN: memory stays flat, and the loop is never blocked."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.lag import lags_ms, percentile
from benchmarks.sync import measure
from tests.conftest import read_toml
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county import ID, county_toml
from zoning_assets.simulation.process import serving

#: What four times the parcels may add to the peak of all processes: noise of the allocators, not 90,000 parcels, which
#: take a gigabyte as Python objects.
GROWTH_MOST_MB = 100


#: A machine that gives its cores to others for a moment makes any loop late; one that is blocked is late each time.
_TRIES = 3


def test_the_loop_is_never_blocked(pipeline: Pipeline, tmp_path: Path) -> None:
    """Promise 9: while the pool works, 99 of 100 times the loop answers within 50 ms."""
    late_ms = []
    for seed in range(_TRIES):
        with serving(12_000, seed=seed) as portal:
            # Each county is its own: beside another's parcels a tripwire would hold it.
            late_ms.append(percentile(_lags_ms(pipeline, tmp_path, portal, f"us-xx-county{seed}"), 0.99))
        if late_ms[-1] < 50.0:
            return
    pytest.fail(f"99 of 100 times within {late_ms} ms")


def _lags_ms(pipeline: Pipeline, tmp_path: Path, portal: str, name: str) -> list[float]:
    """How late the loop was while all of the county was published."""
    county = read_toml(tmp_path, county_toml(portal).replace(ID, name), name)
    tiles = asyncio.run(pipeline.find_cover(county)).tiles
    outcomes: list[Outcome] = []
    places = [Place(name, tile) for tile in sorted(tiles)]
    lags = asyncio.run(lags_ms(pipeline.run({name: county}, places, PARCELS, STAGES, outcomes.append)))
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    assert sum(outcome.counts.fetched for outcome in outcomes) > 0.99 * 12_000
    return lags


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_county(server: str, tmp_path: Path) -> None:
    """Promise 8: four times the parcels through Dagster need no more memory, all processes together."""
    peaks_mb = {}
    for parcels in (30_000, 120_000):
        [found] = measure(parcels, server, tmp_path, print, only=("ours",))["contestants"]
        assert found["counts"]["fetched"] > 0.99 * parcels
        peaks_mb[parcels] = found["peak_rss_bytes"] / 1e6
    assert peaks_mb[120_000] - peaks_mb[30_000] < GROWTH_MOST_MB, peaks_mb
