"""The lower limit: the cost of fetching, decoding, reprojecting and storing without anything else.

Concurrent pages, orjson, vectorized geometry, binary COPY into the final table with its indexes. No checks, no proof,
no history, no raw pages, no Dagster: a second run would fail or double every row. As a program: `python -m
benchmarks.floor LAYER DATABASE PAGE`.
"""

import asyncio
import gc
import sys
from typing import Any

import aiohttp
import orjson
import psycopg
import shapely

from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import crs

_AT_ONCE = 4
_TABLE = """
    CREATE TABLE parcel (
        parcel_id text, zoning_code text, land_use text, address text, attributes text, geom geometry(Geometry, 4326)
    );
    CREATE INDEX ON parcel (parcel_id);
    CREATE INDEX ON parcel USING gist (geom);
"""
_COPY = "COPY parcel FROM STDIN WITH (FORMAT BINARY)"
_NAMED = ("PIN", "ZONE", "USE_CODE", "SITE_ADDR")


def rows_of(body: bytes) -> tuple[list[Any], ...]:
    """The columns of a page, in the order of the table."""
    features = orjson.loads(body)["features"]
    shapes, _ = esri_json.shapes_of([each.get("geometry") or {} for each in features])
    shapes = crs.reproject(shapes, "EPSG:2249", crs.DEGREES)
    attributes = [each["attributes"] for each in features]
    named = [[row[name] for row in attributes] for name in _NAMED]
    wkb = shapely.to_wkb(shapely.set_srid(shapes, 4326), include_srid=True, byte_order=1).tolist()
    return *named, [orjson.dumps(row).decode() for row in attributes], wkb


class FloorHarvest:
    """One harvest of a layer."""

    def __init__(self, layer: str, page: int, connection: psycopg.Connection) -> None:
        self.url, self.page_rows, self.connection = f"{layer}/query", page, connection
        self.slots, self.storing = asyncio.Semaphore(_AT_ONCE), asyncio.Lock()

    async def run(self) -> None:
        """Process a few pages at a time: one is stored while others are decoded and fetched."""
        async with aiohttp.ClientSession() as session:
            count = orjson.loads(await self._ask(session, returnCountOnly="true"))["count"]
            await asyncio.gather(*(self._page(session, offset) for offset in range(0, count, self.page_rows)))
        self.connection.commit()

    async def _ask(self, session: aiohttp.ClientSession, **params: str) -> bytes:
        async with session.get(self.url, params={"f": "json", "where": "1=1", **params}) as answer:
            return await answer.read()

    async def _page(self, session: aiohttp.ClientSession, offset: int) -> None:
        which = {"resultOffset": str(offset), "resultRecordCount": str(self.page_rows), "orderByFields": "OBJECTID ASC"}
        async with self.slots:
            columns = await asyncio.to_thread(rows_of, await self._ask(session, outFields="*", **which))
            async with self.storing:
                await asyncio.to_thread(self._store, columns)

    def _store(self, columns: tuple[list[Any], ...]) -> None:
        with self.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(["text"] * 5 + ["bytea"])
            for row in zip(*columns, strict=True):
                copy.write_row(row)


def main(layer: str, database: str, page: str) -> None:
    """Load the layer into a new table."""
    gc.disable()  # the lists of a page have no reference cycles
    with psycopg.connect(database) as connection:
        connection.execute(_TABLE)
        connection.commit()
        asyncio.run(FloorHarvest(layer, int(page), connection).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
