"""Sessions of asyncpg that only read, for the features and tiles of tipg."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from zoning_assets.api import ogc_collections
from zoning_assets.storage.postgis import connection_settings


@asynccontextmanager
async def read_pool(url: str, connections: int) -> AsyncIterator[asyncpg.Pool]:
    """A pool of sessions with the settings of the address (see connection_settings). `connections`: at most so many."""
    address, statements = connection_settings.split(connection_settings.without_peer_limits(url))

    async def begin(connection: asyncpg.Connection) -> None:
        await connection.execute(statements)
        await ogc_collections.prepare(connection)

    async def reset(connection: asyncpg.Connection) -> None:
        await connection.execute(f"{connection.get_reset_query()}\n{statements}")  # RESET ALL undoes the settings

    async with asyncpg.create_pool(address, min_size=1, max_size=connections, init=begin, reset=reset) as pool:
        yield pool


async def read_collections(url: str) -> dict[str, ogc_collections.ServedCollection]:
    """The collections with their columns. The database must not be a standby."""
    address, statements = connection_settings.split(connection_settings.without_peer_limits(url))
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statements)
        # tipg reads the catalog with temporary functions, which a read-only transaction refuses.
        await connection.execute("SET default_transaction_read_only = off")
        return await ogc_collections.read_catalog(connection)
    finally:
        await connection.close()
