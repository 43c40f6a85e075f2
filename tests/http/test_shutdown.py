"""A run that is told to stop ends soon and loses nothing; the same command does the rest."""

import asyncio
from pathlib import Path

from tests.conftest import read_toml, sync
from zoning_assets.errors import Stopping
from zoning_assets.graceful_stop import STOP
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving


def test_a_stopped_run_says_so_of_every_place_and_the_next_does_the_rest(pipeline: Pipeline, tmp_path: Path) -> None:
    """A stop ends those in line and those not begun with Stopping; places that were done stay done."""
    outcomes: list[Outcome] = []

    def stop(outcome: Outcome) -> None:
        outcomes.append(outcome)
        STOP.request()

    try:
        with serving(1000) as portal:
            county = read_toml(tmp_path, county_toml(portal, tile_resolution=9), ID)
            tiles = sorted(asyncio.run(pipeline.harvest(county)).tiles)
            assert len(tiles) > 10
            places = [Place(ID, tile) for tile in tiles]
            asyncio.run(pipeline.run({ID: county}, places, PARCELS, STAGES, stop))
            done = [outcome for outcome in outcomes if outcome.error is None]
            STOP.reset()
            again = sync(pipeline, county)
    finally:
        STOP.reset()
    assert [outcome.place for outcome in outcomes if outcome.place not in places] == []
    assert len(outcomes) == len(places)
    assert 0 < len(done) < len(places)
    assert {type(outcome.error) for outcome in outcomes if outcome.error} == {Stopping}
    assert [outcome.error for outcome in again] == [None] * len(places)
    assert sum(outcome.batch is None for outcome in again) == len(done)
