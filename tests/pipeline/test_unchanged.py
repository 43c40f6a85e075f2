"""A layer that states no change is not fetched; of one that changed only the tiles that changed are published."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from aiohttp import web

from tests.conftest import read_toml, rows
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal import SimulatedPortal
from zoning_assets.simulation.portal.served_layer import ServedLayer


def tracked(county: County, edited_ms: int, *, edit: int | None = None, take_away: int | None = None) -> ServedLayer:
    """The county's parcels with editor tracking; one row's land use edited, or one row taken away."""
    layer = ServedLayer.of("Parcels", county.parcels, edited_ms)
    columns = {name: np.array(values) for name, values in layer.columns.items()}
    shapes = layer.shapes
    if edit is not None:
        columns["USE_CODE"][edit], columns["LAST_EDIT"][edit] = "999", np.datetime64(edited_ms, "ms")
    if take_away is not None:
        kept = np.flatnonzero(np.arange(len(layer)) != take_away)
        columns, shapes = {name: values[kept] for name, values in columns.items()}, shapes.taken(kept)
    return ServedLayer("Parcels", columns, shapes, replace(layer.about, edits="LAST_EDIT"))


async def harvest(pipeline: Pipeline, county: Jurisdiction, *, force: bool = False) -> list[Outcome]:
    """All tiles, in this loop, in which the portal is too."""
    tiles = (await pipeline.harvest(county, force=force)).tiles
    outcomes: list[Outcome] = []
    places = [Place(county.id, tile) for tile in tiles]
    await pipeline.run({county.id: county}, places, PARCELS, STAGES, outcomes.append)
    assert [str(each.error) for each in outcomes if each.error] == []
    return outcomes


def test_only_what_changed_is_published(pipeline: Pipeline, database: str, tmp_path: Path) -> None:
    """The same state, then another date of the last edit, then one row edited, then one gone; a person wants it all;
    the harvest is too old."""
    county, asked, now = County.build(1200), Counter[str](), [datetime(2026, 11, 24, tzinfo=UTC)]
    pipeline = replace(pipeline, now=lambda: now[0])

    async def count(request: web.Request) -> None:
        said = {**request.query, **await request.post()}
        asked["requests"] += 1
        asked["pages"] += said.get("outFields") == "*"

    async def all_of_it() -> None:
        portal = SimulatedPortal([tracked(county, 1_000)], fault=count)
        async with portal.running() as address:
            described = read_toml(tmp_path / "toml", county_toml(address), ID)
            first = await harvest(pipeline, described)
            all_pages = asked["pages"]
            assert len(first) > 3

            async def again(layer: ServedLayer, **how: bool) -> tuple[int, int, Counter[str]]:
                """Pages that were fetched, tiles that were published, and the counts of rows."""
                portal.layers = [layer]
                asked.clear()
                outcomes = await harvest(pipeline, described, **how)
                counts = sum((Counter(each.counts.as_dict()) for each in outcomes), Counter())
                return asked["pages"], sum(each.batch is not None for each in outcomes), counts

            assert (await again(tracked(county, 1_000)))[:2] == (0, 0)
            assert asked["requests"] <= 4
            pages, published, counts = await again(tracked(county, 2_000))
            assert (pages, published, counts["changed"]) == (all_pages, 0, 0), "no row was edited"
            pages, published, counts = await again(tracked(county, 1_700_000_000_000, edit=700))
            assert (published, counts["changed"], counts["added"], counts["retired"]) == (1, 1, 0, 0)
            assert rows(database, "SELECT count(*) FROM zoning.parcel WHERE land_use = '999'") == [(1,)]
            pages, published, counts = await again(tracked(county, 1_700_000_000_001, edit=700, take_away=500))
            assert (published, counts["changed"], counts["added"], counts["retired"]) == (1, 0, 0, 1)
            whole = rows(database, "SELECT count(*) FROM zoning.whole WHERE feed = 'parcels'")
            assert whole == [(1,)], "and it is of one state, that may be compared with another"
            last = tracked(county, 1_700_000_000_001, edit=700, take_away=500)
            assert (await again(last))[:2] == (0, 0)
            assert (await again(last, force=True))[:2] == (all_pages, 0), "a person wants it all"
            now[0] += timedelta(days=31)
            assert (await again(last))[:2] == (all_pages, 0), "nothing is believed for longer than full_refresh_days"

    asyncio.run(all_of_it())
