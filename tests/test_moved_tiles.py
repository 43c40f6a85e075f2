"""Of a layer that says when each row was edited only the tiles that moved are fetched, and all that stands is right."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from aiohttp import web

from tests.conftest import read_toml, rows
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county import ID, County, county_toml
from zoning_assets.simulation.layer import Layer
from zoning_assets.simulation.portal import Portal


def tracked(county: County, edited_ms: int, *, edit: int | None = None, take_away: int | None = None) -> Layer:
    """The county's parcels with editor tracking; one row's land use edited, or one row taken away."""
    layer = Layer.of("Parcels", county.parcels, edited_ms)
    columns = {name: np.array(values) for name, values in layer.columns.items()}
    shapes = layer.shapes
    if edit is not None:
        columns["USE_CODE"][edit], columns["LAST_EDIT"][edit] = "999", np.datetime64(edited_ms, "ms")
    if take_away is not None:
        kept = np.flatnonzero(np.arange(len(layer)) != take_away)
        columns, shapes = {name: values[kept] for name, values in columns.items()}, shapes.taken(kept)
    return Layer("Parcels", columns, shapes, replace(layer.about, edits="LAST_EDIT"))


async def harvest(pipeline: Pipeline, county: Jurisdiction) -> list[Outcome]:
    """All tiles, in this loop, in which the portal is too."""
    tiles = (await pipeline.harvest(county)).tiles
    outcomes: list[Outcome] = []
    places = [Place(county.id, tile) for tile in tiles]
    await pipeline.run({county.id: county}, places, PARCELS, STAGES, outcomes.append)
    assert [str(each.error) for each in outcomes if each.error] == []
    return outcomes


def test_only_what_moved_is_fetched(pipeline: Pipeline, database: str, tmp_path: Path) -> None:
    """Nothing, then one row edited, then one gone: one tile each is fetched. When its harvests are too old, all are."""
    county, asked, now = County.build(1200), Counter[str](), [datetime(2026, 11, 24, tzinfo=UTC)]
    pipeline = replace(pipeline, now=lambda: now[0])

    async def count(request: web.Request) -> None:
        said = {**request.query, **await request.post()}
        asked["pages"] += said.get("outFields") == "*"

    async def all_of_it() -> None:
        portal = Portal([tracked(county, 1_000)], fault=count)
        async with portal.running() as address:
            described = read_toml(tmp_path / "toml", county_toml(address), ID)
            first = await harvest(pipeline, described)
            tiles, all_pages = len(first), asked["pages"]
            assert tiles > 3

            async def again(layer: Layer) -> tuple[Counter[str], int]:
                portal.layers, before = [layer], asked["pages"]
                outcomes = await harvest(pipeline, described)
                counts = sum((Counter(each.counts.as_dict()) for each in outcomes), Counter())
                return counts, asked["pages"] - before

            counts, pages = await again(tracked(county, 2_000))
            assert (pages, counts["changed"]) == (0, 0), "it says that it was edited, and no row was"
            counts, pages = await again(tracked(county, 1_700_000_000_000, edit=700))
            assert (counts["changed"], counts["added"], counts["retired"]) == (1, 0, 0)
            assert 1 <= pages < all_pages / 2
            assert rows(database, "SELECT count(*) FROM zoning.parcel WHERE land_use = '999'") == [(1,)]
            counts, pages = await again(tracked(county, 1_700_000_000_001, edit=700, take_away=500))
            assert (counts["changed"], counts["added"], counts["retired"]) == (0, 0, 1)
            assert 1 <= pages < all_pages / 2
            whole = rows(database, "SELECT count(*) FROM zoning.whole WHERE feed = 'parcels'")
            assert whole == [(1,)], "and it is of one state, that may be compared with another"
            await pipeline.harvest(described, force=True)
            _, pages = await again(tracked(county, 1_700_000_000_001, edit=700, take_away=500))
            assert pages == all_pages, "a person wants it all"
            now[0] += timedelta(days=31)
            _, pages = await again(tracked(county, 1_700_000_000_001, edit=700, take_away=500))
            assert pages == all_pages, "no harvest is believed for longer than full_refresh_days"

    asyncio.run(all_of_it())
