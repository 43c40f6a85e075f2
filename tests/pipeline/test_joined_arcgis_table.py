"""A table of a FeatureServer as the table of a join: it is listed, fetched in pages and proven like a layer."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from tests.sources.portals import served_aside
from tests.support.town import town
from zoning_assets.harvest import JoinedTable
from zoning_assets.http import Tally
from zoning_assets.model import PARCELS, PARCELS_JOIN, Feed, Jurisdiction, Place
from zoning_assets.pipeline.join_harvest import TableHarvester
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.simulation.county.county import ID
from zoning_assets.simulation.portal.where_clause import Values, rows_where
from zoning_assets.storage.object_store import joined_tables, raw_harvests

Row = dict[str, str]
NO_LIMIT = "[portal]\nrequests_per_minute = 60000"
TABLE = [{"PARCEL": f"P-{number}", "OWNER": f"Owner {number}"} for number in range(240)]


class ArcGisTable:
    """A table of a FeatureServer: no geometry, pages of 50 rows."""

    edited: Mapping[str, Any] = {}

    def __init__(self, table: list[Row]) -> None:
        self.table = [{"OBJECTID": number, **row} for number, row in enumerate(table, 1)]

    async def __call__(self, request: web.Request) -> web.Response:
        sent = {**request.query, **await request.post()}
        names = list(self.table[0])
        if not request.path.endswith("/query"):
            kinds = ["esriFieldTypeOID", *["esriFieldTypeString"] * (len(names) - 1)]
            fields = [{"name": name, "type": kind} for name, kind in zip(names, kinds, strict=True)]
            about = {"type": "Table", "name": "Assessments", "objectIdField": "OBJECTID", "maxRecordCount": 50}
            return web.json_response(
                {**about, **self.edited, "fields": fields, "supportedQueryFormats": "JSON, geoJSON, PBF"}
            )
        return web.json_response(self._answer(sent))

    def _answer(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        found = [row for row in self.table if self._meets(row, str(sent["where"]))]
        if sent.get("returnCountOnly") == "true":
            return {"count": len(found)}
        if sent.get("returnIdsOnly") == "true":
            return {"objectIdFieldName": "OBJECTID", "objectIds": [row["OBJECTID"] for row in found]}
        return {"features": [{"attributes": row} for row in found[:50]], "exceededTransferLimit": len(found) > 50}

    def _meets(self, row: Mapping[str, Any], where: str) -> bool:
        values = {name: Values(np.array([value]), np.array([True])) for name, value in row.items()}
        return bool(rows_where(where, 1, values.get)[0])


def harvested(pipeline: Pipeline, place: Jurisdiction, join: Feed) -> JoinedTable:
    """Only the table."""
    feed = replace(place.feeds[PARCELS], join=join)

    async def harvest() -> JoinedTable | None:
        async with pipeline.http() as http:
            harvester = TableHarvester(pipeline.objects, pipeline.scratch, pipeline.pool)
            return await harvester.harvest(place, feed, http.for_work(Tally()), datetime.now(UTC))

    table = asyncio.run(harvest())
    assert table
    return table


def test_another_table_that_states_the_same(pipeline: Pipeline, tmp_path: Path) -> None:
    """Last year's table has the same ids, columns and last edit; only the address differs."""
    tables = {year: ArcGisTable([{**row, "OWNER": f"{year}"} for row in TABLE]) for year in (2025, 2026)}
    for table in tables.values():
        table.edited = {"editingInfo": {"lastEditDate": 1}}

    async def answer(request: web.Request) -> web.Response:
        return await tables[2025 if "2025" in request.path else 2026](request)

    with served_aside(answer) as address:
        urls = [f"{address}/arcgis/rest/services/Y{year}/FeatureServer/2" for year in (2025, 2025, 2026)]
        feeds = [Feed(PARCELS_JOIN, "arcgis", url, key="PARCEL", fields={"owner": "OWNER"}) for url in urls]
        first, again, other = [harvested(pipeline, town(tmp_path, more=NO_LIMIT), feed) for feed in feeds]
    assert first.fetched == again.fetched
    assert first.table != other.table


def test_a_table_of_arcgis(pipeline: Pipeline, tmp_path: Path) -> None:
    """It is listed, fetched in pages and proven like a layer, although it has no shapes."""
    with served_aside(ArcGisTable(TABLE)) as address:
        url = f"{address}/arcgis/rest/services/County/FeatureServer/2"
        join = Feed(PARCELS_JOIN, "arcgis", url, key="PARCEL", fields={"owner": "OWNER"})
        table = harvested(pipeline, town(tmp_path, more=NO_LIMIT), join)
    assert table.counts["rows"] == len(TABLE)
    harvest_ = raw_harvests.of(pipeline.objects, Place(ID), PARCELS_JOIN, table.harvest)
    assert harvest_.proof["rows by the server's list"] == len(TABLE)
    keyed = joined_tables.get_keyed(pipeline.objects, ID, PARCELS_JOIN, table.table)
    assert set(keyed.column("key").to_pylist()) == {row["PARCEL"] for row in TABLE}
