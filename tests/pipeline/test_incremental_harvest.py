"""A layer with editor tracking: only the rows that changed are fetched, and the harvest is whole again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from tests.conftest import read_toml, rows
from zoning_assets.errors import HarvestIncomplete
from zoning_assets.harvest import Cover
from zoning_assets.model import PARCELS, ZONING, Jurisdiction, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal import SimulatedPortal
from zoning_assets.simulation.portal.served_layer import ServedLayer

HARVEST_TIME = datetime(2026, 11, 24, tzinfo=UTC)
LOADED_MS = round(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
USE = "SELECT parcel_id, land_use FROM zoning.parcel WHERE land_use LIKE '99%' ORDER BY parcel_id"


def tracked(county: County, days: int, edits: Sequence[tuple[int, str]] = (), gone: Sequence[int] = ()) -> ServedLayer:
    """The county's parcels, edited last so many days after they were loaded.

    Args:
        county: whose.
        days: since the load.
        edits: the position of a row, and the land use that it has since then.
        gone: positions of rows that were deleted.
    """
    layer = ServedLayer.of("Parcels", county.parcels, LOADED_MS + days * DAY_MS)
    columns = {name: np.array(values) for name, values in layer.columns.items()}
    for row, use in edits:
        columns["USE_CODE"][row] = use
        columns["LAST_EDIT"][row] = np.datetime64(LOADED_MS + days * DAY_MS, "ms")
    kept = np.setdiff1d(np.arange(len(layer)), np.array(gone, dtype=int))
    columns = {name: values[kept] for name, values in columns.items()}
    return ServedLayer("Parcels", columns, layer.shapes.taken(kept), replace(layer.about, edits="LAST_EDIT"))


@dataclass
class Watched:
    """A portal, what it was asked, and a county that is harvested from it."""

    portal: SimulatedPortal
    pipeline: Pipeline
    county: Jurisdiction
    requests: int = 0
    pages: int = 0
    spoil: Callable[[dict[str, str]], web.Response | None] = lambda _: None

    async def count(self, request: web.Request) -> web.Response | None:
        """Count a request."""
        said = {**request.query, **await request.post()}
        self.requests += 1
        self.pages += said.get("outFields") == "*"
        return self.spoil(said)

    async def harvest(self, layer: ServedLayer, *, force: bool = False) -> Cover:
        """Let the portal have this layer, and harvest and publish all tiles."""
        self.portal.layers = [layer]
        self.requests = self.pages = 0
        cover = await self.pipeline.harvest(self.county, force=force)
        outcomes: list = []
        places = [Place(self.county.id, tile) for tile in cover.tiles]
        await self.pipeline.run({self.county.id: self.county}, places, PARCELS, STAGES, outcomes.append)
        assert [str(each.error) for each in outcomes if each.error] == []
        return cover


@asynccontextmanager
async def watched(pipeline: Pipeline, folder: Path, layer: ServedLayer) -> AsyncIterator[Watched]:
    """A portal with one layer, in this loop."""
    portal = SimulatedPortal([layer])
    async with portal.running() as address:
        found = Watched(
            portal, replace(pipeline, now=lambda: HARVEST_TIME), read_toml(folder, county_toml(address), ID)
        )
        portal.fault = found.count
        yield found


@pytest.fixture(scope="module")
def county() -> County:
    return County.build(1200)


def test_only_changed_rows_are_fetched(pipeline: Pipeline, database: str, tmp_path: Path, county: County) -> None:
    """Rows edited, then others edited and one deleted, then one edited again: each time few requests, and the database
    is what the portal has."""

    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            before = rows(database, "SELECT count(*) FROM zoning.parcel")[0][0]
            all_pages = portal.pages
            one = [(700, "991"), (20, "992")]
            cover = await portal.harvest(tracked(county, 10, one))
            assert (portal.requests, portal.pages) == (6, 1)
            assert [use for _, use in rows(database, USE)] in (["991", "992"], ["992", "991"])
            layer = tracked(county, 20, [*one, (30, "993")], gone=[500])
            cover = await portal.harvest(layer)
            assert (portal.requests, portal.pages) == (6, 1)
            assert len(rows(database, USE)) == 3
            assert rows(database, "SELECT count(*) FROM zoning.parcel") == [(before - 1,)]
            layer = tracked(county, 30, [(700, "994"), (20, "992"), (30, "993")], gone=[500])
            cover = await portal.harvest(layer)
            assert sorted(use for _, use in rows(database, USE)) == ["992", "993", "994"]
            same = rows(database, "SELECT parcel_id, content_hash FROM zoning.parcel ORDER BY 1")
            whole = await portal.harvest(layer, force=True)
            assert portal.pages == all_pages
            assert (cover.tiles, cover.rows) == (whole.tiles, whole.rows)
            assert rows(database, "SELECT parcel_id, content_hash FROM zoning.parcel ORDER BY 1") == same

    asyncio.run(check())


def answering(
    value: object, *, when: Callable[[dict[str, str]], bool]
) -> Callable[[dict[str, str]], web.Response | None]:
    """A fault: some questions have this answer."""
    return lambda said: web.json_response(value) if when(said) else None


def asks_for_edits(said: dict[str, str]) -> bool:
    """Whether the question is for the ids of edited rows."""
    return "returnIdsOnly" in said and "LAST_EDIT" in said["where"]


ALL_IDS = {"objectIdFieldName": "OBJECTID", "objectIds": list(range(1, 1201))}
REASONS: dict[str, Callable[[dict[str, str]], web.Response | None]] = {
    "the layer cannot compare times": answering({"error": {"code": 400, "message": "bad"}}, when=asks_for_edits),
    "the layer ignores the condition": answering(ALL_IDS, when=asks_for_edits),
    "ids that it does not list": answering({**ALL_IDS, "objectIds": [99_999]}, when=asks_for_edits),
    "the layer was edited, and no row says so": answering({**ALL_IDS, "objectIds": []}, when=asks_for_edits),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("why", REASONS)
def test_all_rows_are_fetched_where_the_edits_cannot_be_believed(
    pipeline: Pipeline, database: str, tmp_path: Path, county: County, why: str
) -> None:
    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            all_pages = portal.pages
            portal.spoil = REASONS[why]
            await portal.harvest(tracked(county, 10, [(700, "991")]))
            assert portal.pages == all_pages
            assert len(rows(database, USE)) == 1

    asyncio.run(check())


def test_an_edit_past_the_tracking_is_not_missed(
    pipeline: Pipeline, database: str, tmp_path: Path, county: County
) -> None:
    """A load into the database: the layer says that it was edited, and its newest row is older than that."""

    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            all_pages = portal.pages
            layer = tracked(county, 10, [(700, "991")])
            loaded = ServedLayer(
                "Parcels", layer.columns, layer.shapes, replace(layer.about, edited_ms=LOADED_MS + 90 * DAY_MS)
            )
            loaded.columns["USE_CODE"][20] = "992"
            await portal.harvest(loaded)
            assert portal.pages == all_pages
            assert len(rows(database, USE)) == 2

    asyncio.run(check())


def test_a_column_more_is_fetched_for_all_rows(pipeline: Pipeline, tmp_path: Path, county: County) -> None:
    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            all_pages = portal.pages
            layer = tracked(county, 10, [(700, "991")])
            columns = {**layer.columns, "OWNER": layer.columns["USE_CODE"]}
            await portal.harvest(ServedLayer("Parcels", columns, layer.shapes, layer.about))
            assert portal.pages == all_pages

    asyncio.run(check())


def test_a_layer_that_changes_meanwhile_is_refused(
    pipeline: Pipeline, database: str, tmp_path: Path, county: County
) -> None:
    """Between the list of edited rows and the last look at the layer it is edited once more."""

    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            layer, later = (tracked(county, days, [(700, use)]) for days, use in ((10, "991"), (11, "992")))

            def edit(said: dict[str, str]) -> None:
                if said.get("outFields") == "*":
                    portal.portal.layers = [later]

            portal.spoil = edit
            with pytest.raises(HarvestIncomplete, match="last edit after"):
                await portal.harvest(layer)
            assert rows(database, USE) == []
            portal.spoil = lambda _: None
            await portal.harvest(later)
            assert [use for _, use in rows(database, USE)] == ["992"]
            assert portal.pages == 1

    asyncio.run(check())


def test_all_rows_are_fetched_anew_in_time(pipeline: Pipeline, tmp_path: Path, county: County) -> None:
    """However often only changed rows came: full_refresh_days are counted from the last whole harvest."""

    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            all_pages, fetched = portal.pages, []
            for days in (10, 20, 31):
                now = HARVEST_TIME + timedelta(days=days)
                portal.pipeline = replace(portal.pipeline, now=lambda now=now: now)
                await portal.harvest(tracked(county, days, [(700, f"99{days // 10}")]))
                fetched.append(portal.pages)
            assert fetched == [1, 1, all_pages]

    asyncio.run(check())


def test_a_deleted_row_may_come_back(pipeline: Pipeline, database: str, tmp_path: Path, county: County) -> None:
    """Its id is new to the last harvest, though its edit date is old."""

    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:
            await portal.harvest(tracked(county, 0))
            before = rows(database, "SELECT count(*) FROM zoning.parcel")
            await portal.harvest(tracked(county, 10, [(700, "991")], gone=[500]))
            await portal.harvest(tracked(county, 20, [(700, "992")]))
            assert portal.pages == 1, "two ids, by their list"
            assert rows(database, "SELECT count(*) FROM zoning.parcel") == before

    asyncio.run(check())


def test_of_a_map_too(pipeline: Pipeline, database: str, tmp_path: Path, county: County) -> None:
    """Districts cross tiles, and are judged together: a page of which one row is gone gives the others."""

    def districts(days: int, code: str, *, gone: int | None = None) -> ServedLayer:
        layer = ServedLayer.of("Zoning", county.zoning, LOADED_MS + days * DAY_MS)
        columns = {**layer.columns, "ZONE_CODE": np.array(layer.columns["ZONE_CODE"])}
        columns["LAST_EDIT"] = np.full(len(layer), np.datetime64(LOADED_MS, "ms"))
        if days:
            columns["ZONE_CODE"][3], columns["LAST_EDIT"][3] = code, np.datetime64(LOADED_MS + days * DAY_MS, "ms")
        kept = np.setdiff1d(np.arange(len(layer)), [] if gone is None else [gone])
        columns = {name: values[kept] for name, values in columns.items()}
        return ServedLayer("Zoning", columns, layer.shapes.taken(kept), replace(layer.about, edits="LAST_EDIT"))

    async def check() -> None:
        async with watched(pipeline, tmp_path / "toml", tracked(county, 0)) as portal:

            async def publish(layer: ServedLayer) -> list[str]:
                portal.portal.layers = [tracked(county, 0), layer]
                portal.requests = portal.pages = 0
                outcomes: list = []
                run = {portal.county.id: portal.county}
                await portal.pipeline.run(run, [Place(portal.county.id)], ZONING, STAGES, outcomes.append)
                assert [str(each.error) for each in outcomes if each.error] == []
                return [code for (code,) in rows(database, "SELECT code FROM zoning.district ORDER BY code")]

            before = await publish(districts(0, ""))
            all_pages = portal.pages
            after = await publish(districts(10, "NEW-1"))
            assert (portal.requests, portal.pages, len(after)) == (6, 1, len(before))
            assert after.count("NEW-1") == 1
            after = await publish(districts(20, "NEW-2", gone=5))
            assert (portal.pages, len(after)) == (1, len(before) - 1)
            assert (after.count("NEW-1"), after.count("NEW-2")) == (0, 1)
            assert all_pages >= 1

    asyncio.run(check())
