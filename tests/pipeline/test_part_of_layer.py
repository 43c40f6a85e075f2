"""Feeds that are a part of an ArcGIS layer, by `where`: towns in a county's layer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from tests.conftest import read_toml, rows, with_feed
from zoning_assets.errors import AcceptanceNeeded, FeedRefused
from zoning_assets.harvest import Cover
from zoning_assets.model import PARCELS, Jurisdiction, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal import SimulatedPortal
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.storage.object_store import feed_baselines, raw_harvests

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LOADED_MS = round(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
EAST, WEST = "TOWN = 'East'", "TOWN = 'West'"


@pytest.fixture(scope="module")
def county() -> County:
    return County.build(1200)


def layer_of(county: County, days: int = 0, edits: tuple[int, ...] = (), gone: tuple[int, ...] = ()) -> ServedLayer:
    """The county's parcels with a column of towns: every third is in the east. `edits`: rows with another use."""
    layer = ServedLayer.of("Parcels", county.parcels, LOADED_MS + days * DAY_MS, page_rows=200)
    columns = {name: np.array(values) for name, values in layer.columns.items()}
    keys = [hash_of(pin) for pin in columns["PIN"].tolist()]
    columns["TOWN"] = np.array(["East" if key % 3 == 0 else "West" for key in keys], dtype=object)
    for row in edits:
        columns["USE_CODE"][row] = "991"
        columns["LAST_EDIT"][row] = np.datetime64(LOADED_MS + days * DAY_MS, "ms")
    kept = np.setdiff1d(np.arange(len(layer)), np.array(gone, dtype=int))
    columns = {name: values[kept] for name, values in columns.items()}
    return ServedLayer("Parcels", columns, layer.shapes.taken(kept), replace(layer.about, edits="LAST_EDIT"))


def hash_of(pin: str | None) -> int:
    """A number of a key, so that all rows of a key are in one town."""
    return sum(map(ord, pin or ""))


@dataclass
class Served:
    """A portal with the county's layer, and what it was asked."""

    portal: SimulatedPortal
    pipeline: Pipeline
    address: str
    folder: Path
    clauses: list[str] = field(default_factory=list)
    pages: int = 0
    spoil: Callable[[dict[str, str]], dict[str, Any] | None] = lambda _: None

    async def note(self, request: web.Request) -> web.Response | None:
        """Remember what is asked about rows."""
        sent = {**request.query, **await request.post()}
        if request.path.endswith("/query"):
            self.clauses.append(sent.get("where", ""))
            self.pages += sent.get("outFields") == "*"
        answer = self.spoil(sent) if request.path.endswith("/query") else None
        return None if answer is None else web.json_response(answer)

    def town(self, id_: str, where: str | None, **feed: Any) -> Jurisdiction:
        """A jurisdiction that is a part of the layer."""
        text = county_toml(self.address).replace(f'id = "{ID}"', f'id = "{id_}"')
        return with_feed(read_toml(self.folder, text, id_), where=where, **feed)

    async def sync(self, town: Jurisdiction) -> Cover:
        """Harvest and publish the parcels of a town."""
        self.pages, self.clauses = 0, []
        cover = await self.pipeline.harvest(town)
        outcomes: list[Any] = []
        places = [Place(town.id, tile) for tile in cover.tiles]
        await self.pipeline.run({town.id: town}, places, PARCELS, STAGES, outcomes.append)
        failed = [each.error for each in outcomes if each.error]
        if failed:
            raise failed[0]
        return cover


@asynccontextmanager
async def served(pipeline: Pipeline, folder: Path, layer: ServedLayer) -> AsyncIterator[Served]:
    portal = SimulatedPortal([layer])
    async with portal.running() as address:
        found = Served(portal, replace(pipeline, now=lambda: NOW), address, folder / "toml")
        portal.fault = found.note
        yield found


def published(database: str, town: str) -> set[str]:
    """The keys that are published for a town."""
    return {key for (key,) in rows(database, "SELECT parcel_id FROM zoning.parcel WHERE jurisdiction = %s", town)}


def test_two_towns_of_one_layer(pipeline: Pipeline, database: str, tmp_path: Path, county: County) -> None:
    """Each publishes exactly its own rows; together they are the county; each question has the clause."""

    async def check() -> None:
        async with served(pipeline, tmp_path, layer_of(county)) as here:
            cover = await here.sync(here.town("us-xx-east", EAST))
            assert here.clauses
            assert all(EAST in clause for clause in here.clauses)
            harvest = raw_harvests.of(pipeline.objects, Place("us-xx-east"), PARCELS, cover.harvest)
            layer = layer_of(county)
            east = int((layer.columns["TOWN"] == "East").sum())
            assert (harvest.proof["where"], harvest.proof["rows by the server's list"]) == (EAST, east)
            await here.sync(here.town("us-xx-west", WEST))
            await here.sync(here.town("us-xx-all", None))

    asyncio.run(check())
    east, west, every = (published(database, f"us-xx-{name}") for name in ("east", "west", "all"))
    assert east
    assert west
    assert not east & west
    assert east | west == every
    assert all(hash_of(key) % 3 == 0 for key in east)


def test_only_the_changed_rows_of_the_part(pipeline: Pipeline, database: str, tmp_path: Path, county: County) -> None:
    """An edit in the town is fetched alone; a row that leaves the town, or the layer, is retired."""
    layer = layer_of(county)
    inside = np.flatnonzero(layer.columns["TOWN"] == "East").tolist()

    async def check() -> None:
        async with served(pipeline, tmp_path, layer) as here:
            town = here.town("us-xx-east", EAST)
            await here.sync(town)
            assert here.pages > 1
            before = published(database, town.id)
            here.portal.layers = [layer_of(county, 10, edits=(inside[5],), gone=(inside[20],))]
            await here.sync(town)
            assert here.pages == 1
            used = rows(database, "SELECT parcel_id FROM zoning.parcel WHERE land_use = '991'")
            assert used == [(layer.columns["PIN"][inside[5]],)]
            assert before - published(database, town.id) == {layer.columns["PIN"][inside[20]]}
            assert (await here.pipeline.probe(town, PARCELS, NOW)).why is None

    asyncio.run(check())


def test_another_clause_is_another_feed(pipeline: Pipeline, database: str, tmp_path: Path, county: County) -> None:
    """The probe asks for a harvest. A larger part is fetched and published; a smaller one waits for a person."""

    async def check() -> None:
        async with served(pipeline, tmp_path, layer_of(county)) as here:
            await here.sync(here.town("us-xx-town", EAST))
            every = here.town("us-xx-town", None)
            assert f"where {EAST} -> None" in ((await here.pipeline.probe(every, PARCELS, NOW)).why or "")
            cover = await here.sync(every)
            assert cover.refreshed == NOW
            assert "TOWN" not in "".join(here.clauses)
            before = published(database, every.id)
            assert len(before) > 1000
            west = here.town("us-xx-town", WEST, may_shrink=0.1)
            with pytest.raises(AcceptanceNeeded, match=r"count_drop.*where: \"TOWN = 'West'\", before: None"):
                await here.sync(west)
            assert published(database, every.id) == before
            feed_baselines.accept(pipeline.objects, every.id, PARCELS, "a person", "the town only")
            await here.sync(west)
            assert published(database, every.id) == {key for key in before if hash_of(key) % 3}

    asyncio.run(check())


@pytest.mark.parametrize(
    ("where", "why"),
    [("CITY = 'East'", "no column"), ("TOWN LIKE 'E%'", "error 400"), ("TOWN = 5", "error 400")],
)
def test_a_wrong_clause(pipeline: Pipeline, tmp_path: Path, county: County, where: str, why: str) -> None:
    """One line that names the feed and the clause, from a harvest and from a probe."""

    async def check() -> None:
        async with served(pipeline, tmp_path, layer_of(county)) as here:
            town = here.town("us-xx-town", where)
            for run in (here.pipeline.harvest(town), here.pipeline.probe(town, PARCELS, NOW)):
                with pytest.raises(FeedRefused) as caught:
                    await run
                message = str(caught.value)
                assert message.startswith(f'us-xx-town parcels: where = "{where}": the portal refuses it: error 400')
                assert "\n" not in message

    asyncio.run(check())


def test_a_server_that_ignores_the_clause(pipeline: Pipeline, tmp_path: Path, county: County) -> None:
    """Some proxies send every row whatever is asked."""

    async def check() -> None:
        async with served(pipeline, tmp_path, layer_of(county)) as here:
            here.spoil = lambda sent: {"count": 1200} if sent.get("returnCountOnly") == "true" else None
            with pytest.raises(FeedRefused, match="ignores it"):
                await here.pipeline.harvest(here.town("us-xx-town", EAST))

    asyncio.run(check())


def test_a_clause_that_no_row_meets(pipeline: Pipeline, tmp_path: Path, county: County) -> None:
    """Probably a name is misspelled: an empty part is not published without a person."""

    async def check() -> None:
        async with served(pipeline, tmp_path, layer_of(county)) as here:
            with pytest.raises(AcceptanceNeeded, match=r"has 0 rows \(where: \"TOWN = 'Esat'\"\)"):
                await here.pipeline.harvest(here.town("us-xx-town", "TOWN = 'Esat'"))

    asyncio.run(check())
