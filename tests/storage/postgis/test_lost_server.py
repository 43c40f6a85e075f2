"""A session whose server is lost ends within about a minute, and a statement may take any time."""

import threading
import time

import psycopg
import pytest

from tests.support.lost_host import peer_limits, relaying_host
from zoning_assets.api.read_pool import read_pool
from zoning_assets.storage.postgis import connection_settings
from zoning_assets.storage.postgis import database as db

_DEFAULT = (30, 10, 3, 60_000)


def test_a_session_has_limits(database: str) -> None:
    with db.open_connection(database) as connection:
        assert peer_limits(connection.fileno()) == _DEFAULT


async def test_a_session_of_asyncio_has_limits(database: str) -> None:
    connection = await connection_settings.connect_async(database)
    try:
        assert peer_limits(connection.fileno()) == _DEFAULT
    finally:
        await connection.close()


def test_the_address_may_state_other_limits(database: str) -> None:
    with db.open_connection(f"{database}&tcp_user_timeout=5000&keepalives_count=7") as connection:
        assert peer_limits(connection.fileno()) == (30, 10, 7, 5000)


async def test_the_api_reads_through_an_address_with_limits(database: str) -> None:
    """asyncpg would send them to the server, which does not know them."""
    url = f"{database}&keepalives=1&tcp_user_timeout=5000"
    async with read_pool(url, 1) as pool:
        assert await pool.fetchval("SELECT 1") == 1


def test_a_statement_may_take_longer_than_the_limits(database: str) -> None:
    """The kernel of the server acknowledges the statement and answers the probes, whatever the server does."""
    short = "&keepalives_idle=1&keepalives_interval=1&keepalives_count=1&tcp_user_timeout=1000"
    with db.open_connection(f"{database}{short}") as connection:
        assert connection.execute("SELECT pg_sleep(4), 'done'").fetchone() == ("", "done")


@pytest.mark.slow
def test_a_session_whose_server_is_lost_ends(database: str) -> None:
    """One waits for the result of a statement; the other sends one after the loss."""
    ended = dict[str, float]()

    def ends(name: str, connection: psycopg.Connection, statement: str) -> None:
        try:
            connection.execute(statement.encode())
        except psycopg.OperationalError:
            ended[name] = time.monotonic() - since

    with relaying_host(database) as host:
        waiting, sending = db.open_connection(host.url), db.open_connection(host.url)
        since = time.monotonic()
        threads = [threading.Thread(target=ends, args=("waits", waiting, "SELECT pg_sleep(600)"), daemon=True)]
        threads[0].start()
        time.sleep(1)
        host.lose()
        threads.append(threading.Thread(target=ends, args=("sends", sending, "SELECT 1"), daemon=True))
        threads[1].start()
        for thread in threads:
            thread.join(100 - (time.monotonic() - since))
    assert sorted(ended) == ["sends", "waits"], ended
    assert max(ended.values()) < 90
