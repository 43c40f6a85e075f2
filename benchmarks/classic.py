"""The usual pattern: aiohttp with a semaphore, threads with shapely for single features, upserts by executemany.

Most harvesters work in this way. It stores what it receives: nothing is proven, validated or kept for later runs. As a
program: `python -m benchmarks.classic LAYER DATABASE PAGE`.
"""

import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import psycopg
import pyproj
from shapely import make_valid, transform
from shapely.geometry import shape

_AT_ONCE, _THREADS = 20, 8
_TABLE = """
    CREATE TABLE parcel (
        parcel_id text PRIMARY KEY, zoning_code text, land_use text, address text, attributes jsonb NOT NULL,
        geom geometry(Geometry, 4326) NOT NULL
    );
    CREATE INDEX ON parcel USING gist (geom);
"""
_UPSERT = """
    INSERT INTO parcel VALUES (%s, %s, %s, %s, %s, ST_GeomFromText(%s, 4326))
    ON CONFLICT (parcel_id) DO UPDATE SET zoning_code = excluded.zoning_code, land_use = excluded.land_use,
        address = excluded.address, attributes = excluded.attributes, geom = excluded.geom
"""
_to_degrees = pyproj.Transformer.from_crs(2249, 4326, always_xy=True).transform


def row_of(feature: dict[str, Any]) -> tuple[Any, ...] | None:
    """The row to insert for a feature; None if it has no key or no geometry."""
    attributes, geometry = feature["attributes"], feature.get("geometry")
    if not geometry or not geometry["rings"] or attributes["PIN"] is None:
        return None
    polygon = make_valid(shape({"type": "Polygon", "coordinates": geometry["rings"]}))
    polygon = transform(polygon, _to_degrees, interleaved=False)
    named = [attributes[name] for name in ("PIN", "ZONE", "USE_CODE", "SITE_ADDR")]
    return (*named, json.dumps(attributes), polygon.wkt)


def rows_of(features: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The rows of a page. A thread gets a page, because a task for each feature would cost more than its work."""
    return [row for row in map(row_of, features) if row]


class ClassicHarvest:
    """One harvest of a layer."""

    def __init__(self, layer: str, page: int, connection: psycopg.Connection) -> None:
        self.url, self.page_rows, self.connection = f"{layer}/query", page, connection
        self.slots, self.threads = asyncio.Semaphore(_AT_ONCE), ThreadPoolExecutor(_THREADS)
        self.writing = threading.Lock()

    async def run(self) -> None:
        """Fetch all pages, as concurrently as the semaphore permits."""
        async with aiohttp.ClientSession() as session:
            count = (await self._ask(session, returnCountOnly="true"))["count"]
            await asyncio.gather(*(self._page(session, offset) for offset in range(0, count, self.page_rows)))

    async def _ask(self, session: aiohttp.ClientSession, **params: str) -> Any:
        async with self.slots, session.get(self.url, params={"f": "json", "where": "1=1", **params}) as answer:
            return json.loads(await answer.read())

    async def _page(self, session: aiohttp.ClientSession, offset: int) -> None:
        which = {"resultOffset": str(offset), "resultRecordCount": str(self.page_rows), "orderByFields": "OBJECTID ASC"}
        features = (await self._ask(session, outFields="*", **which))["features"]
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self.threads, rows_of, features)
        await loop.run_in_executor(self.threads, self._write, rows)

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        with self.writing, self.connection.cursor() as cursor:
            cursor.executemany(_UPSERT, rows)
            self.connection.commit()


def main(layer: str, database: str, page: str) -> None:
    """Load the layer into a new table."""
    with psycopg.connect(database) as connection:
        connection.execute(_TABLE)
        connection.commit()
        asyncio.run(ClassicHarvest(layer, int(page), connection).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
