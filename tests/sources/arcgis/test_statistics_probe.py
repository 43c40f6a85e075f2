"""A probe by statistics sees what a person wants to be told, and stays within its requests."""

from pathlib import Path
from typing import Any

from tests.sources.arcgis.test_arcgis_source import LAYER, Desk, opened
from zoning_assets.simulation.portal import layer_query
from zoning_assets.simulation.portal.served_layer import ServedLayer
from zoning_assets.sources.arcgis import arcgis_source

USE = "USE_CODE"


async def signals(tmp_path: Path, desk: Desk) -> dict[str, Any]:
    """What a probe finds, without the date of the last edit."""
    async with opened(tmp_path, desk) as (_, _, request):
        desk.queries.clear()
        found = await arcgis_source.probe(request)
    assert len(desk.queries) <= 3
    return {name: value for name, value in found.items() if name not in {"edited", "last_edit"}}


async def test_a_changed_land_use_changes_the_statistics(tmp_path: Path) -> None:
    """The count, the ids, the areas and the zoning codes are as before."""
    uses = LAYER.columns[USE].copy()
    uses[7] = "an edited use"
    edited = ServedLayer(LAYER.name, {**LAYER.columns, USE: uses}, LAYER.shapes, LAYER.about)
    desk = Desk(lambda query: layer_query.answer(edited, query) if "outStatistics" in query else None)
    assert await signals(tmp_path / "a", Desk()) != await signals(tmp_path / "b", desk)


async def test_too_many_groups_are_replaced_by_those_of_the_zoning_code(tmp_path: Path) -> None:
    """As on a layer in which each lot has its own land use."""
    cut = {"features": [], "exceededTransferLimit": True}
    desk = Desk(lambda query: cut if "," in query.get("groupByFieldsForStatistics", "") else None)
    assert (await signals(tmp_path, desk))["count"] == len(LAYER.ids)
    assert [each.get("groupByFieldsForStatistics") for each in desk.queries if "outStatistics" in each] == [
        "ZONE,USE_CODE",
        "ZONE",
    ]
