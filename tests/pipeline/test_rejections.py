"""How many rejected rows are too many for a place."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import read_toml, rows, sync
from zoning_assets.pipeline.pipeline import Pipeline

CITY = """
id = "us-ma-cambridge"
name = "Cambridge"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "{url}"
key = "PIN"
"""


def lot(number: int, key: str | None, *, placed: bool = True) -> dict[str, Any]:
    west, south = -71.1 + number * 1e-4, 42.37
    ring = [(west, south), (west + 5e-5, south), (west + 5e-5, south + 5e-5), (west, south)]
    shape = {"type": "Polygon", "coordinates": [ring]} if placed else None
    return {"type": "Feature", "properties": {"PIN": key, "N": number}, "geometry": shape}


def published(pipeline: Pipeline, folder: Path, lots: list[dict[str, Any]]) -> tuple[list[str], int]:
    """The errors, and how many parcels there are, when these lots were published."""
    file = folder / "lots.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": lots}))
    outcomes = sync(pipeline, read_toml(folder, CITY.format(url=file)))
    assert sum(outcome.counts.fetched for outcome in outcomes) == len(lots)
    return [str(each.error) for each in outcomes if each.error], rows(
        pipeline.database, "SELECT count(*) FROM zoning.parcel"
    )[0][0]


def test_rows_without_a_place_do_not_count_against_the_tile_that_keeps_them(pipeline: Pipeline, tmp_path: Path) -> None:
    """All rows without a shape are kept at one tile, though they are no more wrong there than anywhere."""
    placed = [lot(number, f"A{number}") for number in range(25)]
    homeless = [lot(number, f"B{number}", placed=False) for number in range(60)]
    assert published(pipeline, tmp_path, placed + homeless) == ([], 25)
    held = "SELECT reason, count(*), count(DISTINCT raw->'attributes'->>'N') FROM zoning.rejection GROUP BY 1"
    assert rows(pipeline.database, held) == [("no_geometry", 60, 60)]


def test_rows_that_have_a_place_do(pipeline: Pipeline, tmp_path: Path) -> None:
    """Where most rows of a place are rejected nothing is published; the rows without a place hide none of them."""
    placed = [lot(number, f"A{number}") for number in range(25)]
    keyless = [lot(number, None) for number in range(25, 60)]
    homeless = [lot(number, f"B{number}", placed=False) for number in range(60)]
    errors, parcels = published(pipeline, tmp_path, placed + keyless + homeless)
    assert [error for error in errors if "35 of 60 rows were rejected" in error] == errors != []
    assert parcels == 0
