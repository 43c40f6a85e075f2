"""The API over a real streaming replica: reads, decisions, lag, conflicts with the replay, an outage."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from fastapi import Request

from benchmarks.processes import ROOT, environment
from tests.api.conftest import REVIEW_TOKEN, TOWN, Client, fill, serving
from tests.conftest import rows
from tests.support.standby import Pair, streaming_pair
from tests.support.waiting import until
from zoning_assets.api import problems
from zoning_assets.api.server_settings import ServerSettings
from zoning_assets.api.tokens import Tokens
from zoning_assets.cli.serve import status_of
from zoning_assets.errors import DatabaseUnavailable
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis import replica
from zoning_assets.storage.postgis.reader_login import reader_url

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pair")


@pytest.fixture(scope="module")
def pair(home: Path) -> Iterator[Pair]:
    """A primary with the town, and its standby."""
    with streaming_pair(home) as made:
        fill(db.migrate(made.primary))
        until(lambda: behind(made) == 0, "the standby's replay", most_s=60, every_s=0.1)
        yield made


@pytest.fixture(scope="module")
def api(pair: Pair, home: Path) -> Iterator[Client]:
    read, write = reader_url(home / "none", pair.standby, 10), db.migrate(pair.primary)
    settings = ServerSettings(
        read_url=read,
        write_url=write,
        primary_url=reader_url(home / "none", write, 10),
        status=lambda: status_of(read, write),
        tokens=Tokens((("review", REVIEW_TOKEN),)),
    )
    with serving(settings) as client:
        yield client


def behind(pair: Pair) -> int | None:
    return replica.read_state(pair.standby, pair.primary).behind_bytes


def pause(pair: Pair, *, on: bool) -> None:
    """Stop or continue the replay of the standby."""
    with suppress(psycopg.errors.SerializationFailure):  # the replay that goes on may cancel this statement
        rows(pair.standby, f"SELECT pg_wal_replay_{'pause' if on else 'resume'}()")
    if on:
        until(
            lambda: rows(pair.standby, "SELECT pg_get_wal_replay_pause_state()") == [("paused",)], "the pause", 10, 0.05
        )


def rename(pair: Pair, address: str) -> None:
    with psycopg.connect(pair.primary) as connection:
        connection.execute("UPDATE zoning.parcel SET address = %s WHERE parcel_id = 'P7'", [address])
        connection.execute("INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started, committed) "
                           "VALUES ('us-xx-town', 'parcels', %s, 'r', now(), now())", [address])  # fmt: skip


FEATURES = f"/collections/zoning.zoned_parcel/items?jurisdiction={TOWN}&parcel_id=P7&f=json"


def address_of(api: Client) -> tuple[str, str]:
    answer = api.get(FEATURES)
    return answer.document["features"][0]["properties"]["address"], answer.headers["etag"]


def test_answers_and_their_tags_are_those_of_the_standby(pair: Pair, api: Client) -> None:
    """While the standby does not replay, the old answer has the old tag; a client that has it gets 304. Then both are
    new. The lag is told in bytes and seconds."""
    rename(pair, "before")
    until(lambda: address_of(api)[0] == "before", "the replay", most_s=20, every_s=0.1)
    time.sleep(0.6)  # the server uses a reading of the state for half a second
    _, tag = address_of(api)
    pause(pair, on=True)
    try:
        rename(pair, "after")
        time.sleep(1)
        assert address_of(api) == ("before", tag)
        assert api.get(FEATURES, if_none_match=tag).status == 304
        state = replica.read_state(pair.standby, pair.primary)
        assert state.is_standby
        assert (state.behind_bytes or 0) > 0
        assert 0.9 < (state.behind_s or 0) < 60
    finally:
        pause(pair, on=False)
    until(lambda: address_of(api)[0] == "after", "the replay", most_s=20, every_s=0.1)
    time.sleep(0.6)
    assert address_of(api)[1] != tag
    until(lambda: replica.read_state(pair.standby, pair.primary).behind_s == 0, "the replay", most_s=60, every_s=0.1)


def test_everything_that_reads_works_on_a_standby(api: Client) -> None:
    for path in (
        "/collections", "/collections/zoning.zoned_parcel/items?limit=3", "/collections/zoning.change_feature/items",
        f"/collections/zoning.parcel_as_of/items?jurisdiction={TOWN}", f"/api/changes?jurisdiction={TOWN}",
        f"/api/parcels/{TOWN}/P1", "/api/jurisdictions", f"/api/search?q=1%20main&jurisdiction={TOWN}", "/",
        "/collections/zoning.zoned_parcel/tiles/WebMercatorQuad/12/1239/1513", "/api/reviews",
    ):  # fmt: skip
        assert api.get(path).status in (200, 204), path


def test_a_decision_is_written_to_the_primary_and_listed_at_once(pair: Pair, api: Client) -> None:
    """Also while the standby is behind: nobody decides twice."""
    waiting = api.get("/api/reviews").document["reviews"]
    pause(pair, on=True)
    try:
        body = json.dumps({"action": "accept", "person": "Ann"}).encode()
        headers = {"authorization": f"Bearer {REVIEW_TOKEN}", "content_type": "application/json"}
        done = api.get(f"/api/reviews/{waiting[0]['id']}", "POST", body, **headers)
        assert done.status == 200
        assert len(api.get("/api/reviews").document["reviews"]) == len(waiting) - 1
    finally:
        pause(pair, on=False)


def test_a_conflict_with_the_replay_is_503_with_a_time(pair: Pair) -> None:
    """A query on the standby that needs deleted row versions is cancelled by the server."""
    with psycopg.connect(pair.standby) as holding:
        holding.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holding.execute("SELECT count(*) FROM zoning.parcel")
        until(lambda: _is_cancelled(pair, holding), "the conflict", most_s=120, every_s=0.5)
    answer = problems.of_any(Request({"type": "http"}), psycopg.errors.SerializationFailure())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def _is_cancelled(pair: Pair, holding: psycopg.Connection) -> bool:
    """Let the primary delete row versions, and the standby replay that; whether the reader was cancelled."""
    with psycopg.connect(pair.primary, autocommit=True) as connection:
        connection.execute("UPDATE zoning.parcel SET land_use = '1'")
        connection.execute("VACUUM zoning.parcel")
    until(lambda: behind(pair) == 0, "the replay over the reader", most_s=60, every_s=0.1)
    try:
        holding.execute("SELECT count(*) FROM zoning.parcel")
    except psycopg.Error as error:
        return error.sqlstate in ("40001", None)  # the replay ends the statement, or the session
    return False


def test_a_replica_that_is_down_is_503_until_it_is_back(pair: Pair, api: Client) -> None:
    """The primary is not asked in its place: reads would come upon it all at once."""
    pair.stop()
    try:
        for path in (f"/api/changes?jurisdiction={TOWN}", FEATURES):
            answer = api.get(path)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5"), path
        state = replica.read_state(pair.standby, pair.primary)
        assert state.fault is not None
        assert api.get("/api/reviews").status == 200
        with pytest.raises(DatabaseUnavailable, match="ZONING_READ_DATABASE_URL") as caught:
            replica.answering(pair.standby)
        assert "\n" not in str(caught.value)
    finally:
        pair.start()
    until(lambda: api.get(FEATURES).status == 200, "the replica", most_s=30, every_s=0.2)


def test_the_commands_use_it(pair: Pair, tmp_path: Path) -> None:
    """`zoning serve` reads the replica; `zoning status` tells its lag, and what to do when it is down."""
    environ = {**environment(tmp_path, pair.primary), "ZONING_READ_DATABASE_URL": pair.standby}
    command = [sys.executable, "-m", "zoning_assets.cli"]
    with subprocess.Popen([*command, "serve", "--port", "0", "--json"], env=environ, cwd=ROOT, stdout=subprocess.PIPE,
                          start_new_session=True) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            text = b""
            while not text.rstrip().endswith(b"}"):
                text += process.stdout.readline()
            port = int(json.loads(text)["map"].rstrip("/").rpartition(":")[2])
            client = Client(port, pair.primary)
            until(lambda: client.get("/api/status").status == 200, "the server", most_s=60, every_s=0.2)
            found = client.get("/api/status").document["database"][0]["replica"]
            assert found["is_standby"]
            assert found["behind_bytes"] is not None
            used = "SELECT count(*) FROM pg_stat_activity WHERE usename IS NOT NULL AND query LIKE '%zoning.%'"
            assert rows(pair.standby, used)[0][0] > 0
        finally:
            os.killpg(process.pid, signal.SIGTERM)
    done = subprocess.run([*command, "status"], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "behind the primary by" in done.stdout + done.stderr
    dead = {**environ, "ZONING_READ_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/zoning"}
    done = subprocess.run([*command, "status"], env=dead, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing listens at this address" in done.stdout
    refused = subprocess.run([*command, "serve"], env=dead, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "secret" not in refused.stderr + done.stdout
