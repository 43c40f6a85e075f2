"""What the main process holds of a harvest does not grow with its rows: they pass through the workers by name."""

import asyncio
import tracemalloc
from pathlib import Path

from benchmarks.county_file import write
from tests.conftest import read_toml
from zoning_assets.model import PARCELS, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline

TOML = """
id = "{id}"
name = "A county in a GeoPackage"
bounds = [-71.80, 42.15, -71.40, 42.45]
tile_resolution = 8
[feeds.parcels]
type = "download"
url = "{id}.gpkg"
layer = "Parcels"
key = "PIN"
on_repeated_key = "dissolve"
"""
SMALL, LARGE = 3000, 12_000
#: A cell and a hash a row, and copies of them while they are sorted. A row's hash as text alone would be 80 bytes.
MOST_A_ROW = 150


def peak(pipeline: Pipeline, folder: Path, parcels: int) -> int:
    """The most that Python held while the county was harvested and published, bytes."""
    place = f"us-xx-of-{parcels}"
    county = read_toml(folder, TOML.format(id=place), place)
    write(folder / f"{place}.gpkg", parcels, 1)
    tracemalloc.start()
    try:
        places = [Place(place, tile) for tile in sorted(asyncio.run(pipeline.harvest(county)).tiles)]
        errors: list[object] = []
        run = pipeline.run({place: county}, places, PARCELS, STAGES, lambda outcome: errors.append(outcome.error))
        asyncio.run(run)
        found = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not any(errors)
    return found


def test_the_main_process_does_not_grow_with_the_rows(pipeline: Pipeline, tmp_path: Path) -> None:
    """Tiles are of one size in both counties, so that places are as large and only their number grows."""
    peak(pipeline, tmp_path, SMALL - 1000)  # what is loaded once belongs to neither
    small, large = (peak(pipeline, tmp_path, parcels) for parcels in (SMALL, LARGE))
    assert (large - small) / (LARGE - SMALL) < MOST_A_ROW, (small, large)
