"""The collections that tipg serves: three views and two functions of the schema `zoning`, nothing else.

Column types, and the SQL of features and tiles, are tipg's. Here are the ids, the titles, and what tipg lacks:
output in other CRSs, closed time intervals, and bounds for the functions.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import asyncpg
import orjson
from cql2 import Expr
from tipg.collections import Collection, Feature, ItemList, PgCollection, pg_get_collection_index
from tipg.database import DB_CATALOG_FILE
from tipg.settings import DatabaseSettings

from zoning_assets.api.cql2_filter import polygon_of
from zoning_assets.api.ogc_crs import CRS84, SUPPORTED
from zoning_assets.model import Bounds


class Source(NamedTuple):
    """Where a collection is in the database, and how it is presented. `moment`: its column for `datetime`."""

    table: str
    title: str
    description: str
    moment: str


#: Collection id -> source.
SOURCES: Mapping[str, Source] = {
    "zoning.zoned_parcel": Source(
        "zoned_parcel", "Parcels with their zoning", "One feature for each parcel, with the code of the zoning map.",
        "last_changed",
    ),
    "zoning.zoned_district": Source(
        "zoned_district", "Zoning districts", "One feature for each polygon of the zoning map.", "last_changed"
    ),
    "zoning.change_feature": Source(
        "change_feature", "Changes", "One feature for each change that has a place; see also /api/changes.", "detected"
    ),
    "zoning.parcel_as_of": Source(
        "parcel_map_as_of", "Parcels of a day in the past",
        "Parameters: jurisdiction; legal_time (a day), system_time (as known then), bounds (WKT), all three optional.",
        "system_from",
    ),
    "zoning.zoning_as_of": Source(
        "zoning_map_as_of", "Zoning of a day in the past",
        "One feature for each parcel and code. Parameters: jurisdiction, legal_time, system_time, bounds.",
        "system_from",
    ),
}  # fmt: skip
_NAMES = [f"zoning.{source.table}" for source in SOURCES.values()]


class ServedCollection(PgCollection):
    """A collection of tipg for one request. `output_crs`: a key of ogc_crs.SUPPORTED."""

    output_crs: str = CRS84

    def _geom_expr(self, geometry_column: Any, bbox_only: bool | None, simplify: float | None) -> str | None:
        """The shape in the CRS and the axis order of the answer."""
        expression = super()._geom_expr(geometry_column, bbox_only, simplify)
        if expression is None or self.output_crs == CRS84:
            return expression
        srid, is_latitude_first = SUPPORTED[self.output_crs]
        return f"ST_FlipCoordinates({expression})" if is_latitude_first else f"ST_Transform({expression}, {srid})"

    async def features(self, conn: asyncpg.Connection, **asked: Any) -> ItemList:
        """See PgCollection.features; `datetime` includes its end, and a function reads only within `bbox`."""
        asked = self._with_both_sides(self._with_closed_interval(asked))
        bounds = asked.get("bbox_filter")
        if self.type == "Function" and bounds and "bounds" in (given := asked.get("function_parameters") or {}):
            asked["function_parameters"] = {**given, "bounds": _polygon(bounds)}
        return await super().features(conn, **asked)

    async def _features_query(self, conn: asyncpg.Connection, **asked: Any) -> AsyncIterator[Feature]:
        """The features of a page. Their ids are chosen first, so that the zoning of other parcels is not computed."""
        if self.type != "Function":
            chosen = await conn.fetch(self._ids_query(asked))
            ids = [row["id"] for row in chosen]
            if not ids:
                return
            page = Expr({"op": "in", "args": [{"property": "id"}, ids]})
            asked = {**asked, "where": page, "limit": len(ids), "offset": 0}
        async for feature in super()._features_query(conn, **asked):
            yield feature

    def _ids_query(self, asked: Mapping[str, Any]) -> str:
        limit, offset = int(asked["limit"]), int(asked["offset"])
        where, order = self._where_clause(asked["where"]), self._sortby(asked["sortby"])
        return f"SELECT id FROM {self._qualified_name} {where} {order} LIMIT {limit} OFFSET {offset}"  # noqa: S608

    async def get_tile(self, conn: asyncpg.Connection, **asked: Any) -> bytes:
        """See PgCollection.get_tile."""
        tile: bytes = await super().get_tile(conn, **self._with_both_sides(self._with_closed_interval(asked)))
        return tile

    def _with_closed_interval(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Tipg leaves out the end of an interval with two ends, which the standard includes."""
        interval, column = asked.get("datetime_filter"), self.get_datetime_column(asked.get("dt"))
        if column is None or not interval or len(interval) != 2 or ".." in interval or "" in interval:
            return asked
        until = Expr({"op": "<=", "args": [{"property": column.name}, {"timestamp": interval[1]}]})
        return {**_narrowed(asked, until), "datetime_filter": [interval[0], ".."]}

    def _with_both_sides(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Tipg takes a box over the antimeridian, whose west is larger than its east, for the rest of the earth."""
        bounds, column = asked.get("bbox_filter"), self.get_geometry_column(asked.get("geom"))
        if column is None or not bounds or bounds[0] <= bounds[2]:
            return asked
        west, south, east, north = bounds
        boxes = [(west, south, 180.0, north), (-180.0, south, east, north)]
        sides = [{"op": "s_intersects", "args": [{"property": column.name}, polygon_of(box)]} for box in boxes]
        return {**_narrowed(asked, Expr({"op": "or", "args": sides})), "bbox_filter": None}


def _narrowed(asked: dict[str, Any], condition: Expr) -> dict[str, Any]:
    """A request with one more condition."""
    given = asked.get("cql_filter")
    return {**asked, "cql_filter": condition if given is None else given + condition}


def _polygon(bounds: Bounds) -> str:
    west, south, east, north = bounds
    return f"SRID=4326;POLYGON(({west} {south},{west} {north},{east} {north},{east} {south},{west} {south}))"


async def read_catalog(connection: asyncpg.Connection) -> dict[str, ServedCollection]:
    """The collections by id, with the columns that the database has."""
    await prepare(connection)
    await connection.execute(DB_CATALOG_FILE.read_text())
    settings = DatabaseSettings(
        schemas=["zoning"], tables=_NAMES, functions=_NAMES, datetime_extent=False, spatial_extent=False
    )
    found = {each.table: each for each in await pg_get_collection_index(connection, settings)}
    return {id_: _served(id_, source, found[source.table]) for id_, source in SOURCES.items()}


def _served(id_: str, source: Source, found: Collection) -> ServedCollection:
    moment = next(each for each in found.properties if each.name == source.moment)
    about = {"id": id_, "title": source.title, "description": source.description, "datetime_column": moment}
    return ServedCollection(**{**found.model_dump(by_alias=True), **about})


async def prepare(connection: asyncpg.Connection) -> None:
    """JSON columns as Python objects, as tipg expects them."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=orjson.dumps, decoder=orjson.loads, schema="pg_catalog")
