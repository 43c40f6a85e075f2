"""One process at a time harvests a feed; the others wait, or say who does."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import rows
from tests.queues import brokers
from tests.support.waiting import until
from zoning_assets.errors import DatabaseUnavailable, HarvestRunning, Stopping, ZoningError
from zoning_assets.storage.postgis import kept_lock
from zoning_assets.storage.postgis.database import with_option
from zoning_assets.storage.postgis.harvest_lock import harvest_lock
from zoning_assets.storage.postgis.process_locks import LOCKED_AGAIN_WITHIN_S

_HOLD = """
import asyncio, sys
from zoning_assets.storage.postgis.harvest_lock import harvest_lock
async def main():
    async with harvest_lock(sys.argv[1], "us-xx-a", "parcels", lambda: None):
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


_END = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'zoning_assets harvest' AND datname = %s"


def no_reason() -> ZoningError | None:
    return None


async def taken(url: str, feed: str = "parcels", longest_s: float = 0.0) -> bool:
    async with harvest_lock(url, "us-xx-a", feed, no_reason, longest_s):
        return True


def test_a_killed_process_leaves_no_lock(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """While it runs, another one waits with one line, and fails in the end; other feeds are free. After kill -9 the one
    that waits goes on."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, database], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(HarvestRunning, match=r"another process.* harvests this feed"):
                asyncio.run(taken(database))
            assert asyncio.run(taken(database, "zoning"))
            caplog.clear()

            async def waits() -> bool:
                waiting = asyncio.create_task(taken(database, longest_s=60))
                await asyncio.sleep(1.2)
                assert not waiting.done()
                holder.kill()
                return await waiting

            with caplog.at_level(logging.WARNING):
                assert asyncio.run(waits())
            assert [each.message.count("waiting for its end") for each in caplog.records] == [1]
        finally:
            holder.kill()


def test_a_time_limit_of_the_server_for_idle_sessions_does_not_end_the_lock(database: str) -> None:
    async def held(url: str) -> None:
        async with harvest_lock(url, "us-xx-a", "parcels", no_reason):
            await asyncio.sleep(0.5)
            with pytest.raises(HarvestRunning):
                await taken(database)

    asyncio.run(held(with_option(database, "-c idle_session_timeout=100")))


def test_who_is_asked_to_stop_waits_no_longer(database: str) -> None:
    """And a database that does not answer is one line."""
    asked = Stopping("asked to stop", where="here", do="run again")

    async def both() -> None:
        first = harvest_lock(database, "us-xx-a", "parcels", no_reason)
        async with first, harvest_lock(database, "us-xx-a", "parcels", lambda: asked):
            pass

    with pytest.raises(Stopping):
        asyncio.run(both())
    with pytest.raises(DatabaseUnavailable):
        asyncio.run(taken("postgresql://127.0.0.1:1/none"))


def test_the_lock_is_taken_again_after_a_restart_of_the_database(
    database: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart ends all sessions. The harvest goes on, and another process must not begin one."""
    monkeypatch.setattr(kept_lock, "_RETRY_S", 0.05)
    with psycopg.connect(server, autocommit=True) as connection:

        async def held() -> None:
            async with harvest_lock(database, "us-xx-a", "parcels", no_reason):
                assert connection.execute(_END).rowcount == 1
                await asyncio.sleep(1)
                with pytest.raises(HarvestRunning):
                    await taken(database)
            assert await taken(database)

        asyncio.run(held())


@pytest.mark.slow
def test_the_lock_survives_a_killed_server(tmp_path: Path) -> None:
    """PostgreSQL is killed and started again in the middle of a harvest."""
    with brokers.postgresql(tmp_path) as cluster:
        url = cluster.url

        async def held() -> None:
            async with harvest_lock(url, "us-xx-a", "parcels", no_reason):
                cluster.kill()
                cluster.start()
                assert cluster.url == url
                until(lambda: rows(url, _LOCKS) == [(1,)], "the lock", most_s=LOCKED_AGAIN_WITHIN_S)
                with pytest.raises(HarvestRunning):
                    await taken(url)
            assert await taken(url)

        asyncio.run(held())


def test_a_lost_machine_leaves_no_lock(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session stays open behind a pooler or a proxy, and sends nothing. The server ends it."""
    monkeypatch.setattr(kept_lock, "LOST_AFTER_S", 1)
    monkeypatch.setattr(kept_lock, "_HEARTBEAT_S", 60)
    monkeypatch.setattr(kept_lock, "_RETRY_S", 60)

    async def held() -> None:
        async with harvest_lock(database, "us-xx-a", "parcels", no_reason):
            assert await taken(database, longest_s=5)

    asyncio.run(held())


def test_a_wait_that_is_cancelled_leaves_no_session(database: str) -> None:
    async def cancelled_after(seconds: float) -> None:
        waiting = asyncio.create_task(taken(database, longest_s=60))
        await asyncio.sleep(seconds)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def held() -> None:
        async with harvest_lock(database, "us-xx-a", "parcels", no_reason):
            for seconds in (0.0, 0.001, 0.2):
                await cancelled_after(seconds)

    asyncio.run(held())
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        until(lambda: connection.execute(_SESSIONS, [name]).fetchone() == (0,), "the end of all sessions", most_s=5)
