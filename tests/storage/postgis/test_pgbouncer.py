"""All programs through a real PgBouncer: in its session mode they work, in its transaction mode they refuse it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.processes import ROOT, environment
from tests.conftest import rows
from tests.support.databases import Databases
from tests.support.pgbouncer import pgbouncer
from zoning_assets.api.read_pool import read_pool
from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.queues import AMENDMENTS, open_queue
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage import dagster_storage
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis import pooler_check, reader_login

pytestmark = pytest.mark.slow

#: How an administrator may treat startup parameters that PgBouncer does not know.
IGNORED = "ignore_startup_parameters = extra_float_digits, options"


@pytest.fixture
def owner(databases: Databases) -> Iterator[str]:
    """A migrated database, as its owner."""
    with databases.lent() as url:
        yield db.as_role(url, None)


@pytest.fixture(params=["", IGNORED], ids=["refused", "ignored"])
def pooled(request: pytest.FixtureRequest, owner: str) -> Iterator[str]:
    """The same database through PgBouncer in session mode."""
    with pgbouncer(owner, more=request.param) as url:
        yield url


def test_a_session_has_its_role_and_its_limits(pooled: str, tmp_path: Path) -> None:
    """Programs work as the writer, which owns nothing; the API reads as the reader, and only reads."""
    url = db.bring_up(tmp_path, {"ZONING_DATABASE_URL": pooled})
    assert (db.rights(url).role, db.rights(url).is_owner) == ("zoning_writer", False)
    reader = reader_login.reader_url(tmp_path, url, 7)
    shown = "SELECT current_user::text, current_setting('statement_timeout'), current_setting('transaction_read_only')"
    with db.connect(reader) as connection:
        assert connection.execute(shown).fetchall() == [("zoning_reader", "7s", "on")]
    with pytest.raises(db.StoreError, match="read-only"), db.connect(reader) as connection:
        connection.execute("INSERT INTO zoning.host_budget (host) VALUES ('h')")
    found = db.rights(pooled)
    assert (found.role, found.is_owner) == (found.login, True), "a role is left over from a session before"


def test_messages_wake_a_reader(pooled: str) -> None:
    """LISTEN belongs to a session, too."""

    async def exchange() -> tuple[list[str], list[str]]:
        async with open_queue(pooled, AMENDMENTS) as reading, open_queue(pooled, AMENDMENTS) as writing:
            waiting = asyncio.create_task(reading.take(1, wait_s=20))
            await asyncio.sleep(0.2)
            return await writing.put(["{}"]), [each.id for each in await waiting]

    sent, taken = asyncio.run(exchange())
    assert sent == taken


def test_a_pool_of_the_api_keeps_its_settings(pooled: str, tmp_path: Path) -> None:
    """A session that was used and given back is still read-only."""
    reader = reader_login.reader_url(tmp_path, db.migrate(pooled), 7)

    async def used_twice() -> list[tuple[str, str]]:
        async with read_pool(reader, 1) as pool:
            found = []
            for _ in range(2):
                async with pool.acquire() as connection:
                    found.append(tuple(await connection.fetchrow(
                        "SELECT current_user::text, current_setting('transaction_read_only')"
                    )))  # fmt: skip
            return found

    assert asyncio.run(used_twice()) == [("zoning_reader", "on")] * 2


def test_a_county_is_harvested_through_it(owner: str, tmp_path: Path) -> None:
    """`zoning sync` of a county, with Dagster's storage behind the same pooler, publishes what it publishes without."""
    dagster = owner.rpartition("/")[2] + "_dagster"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{dagster}"'.encode())
    try:
        with pgbouncer(owner, more=IGNORED) as url, serving(300) as portal:
            folder = tmp_path / "there"
            folder.mkdir()
            (folder / f"{ID}.toml").write_text(county_toml(portal))
            storage = url.rpartition("/")[0] + f"/{dagster}"
            environ = {**environment(folder, url), "ZONING_DAGSTER_DATABASE_URL": storage}
            report = json.loads(_zoning(["sync", ID, "--json"], environ).stdout)
            found = _zoning(["verify", "--json"], environ)
    finally:
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{dagster}" WITH (FORCE)'.encode())
    assert sum(each["added"] for each in report["harvests"] if each["feed"] == "parcels") == rows(
        owner, "SELECT count(*)::int FROM zoning.parcel"
    )[0][0] > 200  # fmt: skip
    assert json.loads(found.stdout)["ok"]


def _zoning(words: list[str], environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "zoning_assets.cli", *words]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.parametrize("more", ["", "server_round_robin = 1", "default_pool_size = 1"])
def test_transaction_mode_is_refused(owner: str, tmp_path: Path, more: str) -> None:
    """In one line, whatever the pool is like, and no session of the pool keeps a role."""
    with pgbouncer(owner, "transaction", f"{IGNORED}\n{more}") as url:
        others = [psycopg.connect(url, autocommit=True) for _ in range(1 if more else 3)]
        for each in others:
            each.execute("SELECT 1")
        with pytest.raises(DatabaseUnavailable, match="pooler in transaction mode") as caught:
            db.bring_up(tmp_path, {"ZONING_DATABASE_URL": url})
        assert "pool_mode = session" in str(caught.value)
        assert "\n" not in str(caught.value)
        for _ in range(10):  # a look may meet the end of a session, and more often on a busy machine
            with pytest.raises(DatabaseUnavailable, match="pooler in transaction mode"):
                pooler_check.check_sessions.__wrapped__(url, "here")
            time.sleep(0.1)  # until the server has ended the session of this look
        roles = {each.execute("SELECT current_user = session_user").fetchone() for each in others}
        assert roles == {(True,)}
        for each in others:
            each.close()


def test_dagsters_schema_needs_the_option(owner: str, tmp_path: Path) -> None:
    """Dagster's storage in our database is chosen by a startup parameter: one line says that it is lost."""
    for more in ("", IGNORED):
        with pgbouncer(owner, more=more) as url:
            working = db.bring_up(tmp_path, {"ZONING_DATABASE_URL": url})
            with pytest.raises(DatabaseUnavailable, match="ZONING_DAGSTER_DATABASE_URL") as caught:
                dagster_storage.bring_up(tmp_path, {}, working)
            assert "\n" not in str(caught.value)


def test_a_full_pool_is_told(owner: str) -> None:
    """In one line, after the time that the pooler lets a client wait."""
    with pgbouncer(owner, more="default_pool_size = 1\nquery_wait_timeout = 1") as url, db.connect(url) as first:
        first.execute("SELECT 1")
        with pytest.raises(db.StoreError, match="pooler") as caught, db.connect(url) as second:
            second.execute("SELECT 1")
        assert "\n" not in str(caught.value)
