"""`zoning status`: what is published, and how the portals take it."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from zoning_assets.cli.retry import retry
from zoning_assets.cli.status import status
from zoning_assets.errors import (
    AcceptanceNeeded,
    NothingWaits,
    PortalUnreachable,
    SettingInvalid,
    TooManyRejections,
    ZoningError,
)
from zoning_assets.http.rate_limit import HostBudget, RequestOutcome, StatedLimit, record_outcome, take
from zoning_assets.model import Outcome, Place, Portal
from zoning_assets.storage.postgis.records import failure_records, feed_freshness, hold_records
from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger


@pytest.fixture
def at_home(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of an installation with this database and one jurisdiction file, a wrong one."""
    folder = tmp_path / "jurisdictions"
    folder.mkdir()
    (folder / "us-xx-wrong.toml").write_text("id = 1\n")
    monkeypatch.setenv("ZONING_HOME", str(tmp_path))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(folder))
    return database


def keep(database: str, **budgets: Any) -> None:
    """Put budgets into the ledger, each made by a function of an empty one and the time."""

    async def change() -> None:
        async with PostgresLedger(database) as ledger:
            for host, made in budgets.items():
                await ledger.change(host, lambda budget, now, made=made: (made(budget, now), None))

    asyncio.run(change())


def refused(budget: HostBudget, now: float) -> HostBudget:
    """Asked once, and told to wait for five minutes; seven are left in the window."""
    budget, turn = take(budget, Portal(30, 2), now)
    return record_outcome(budget, now, RequestOutcome(turn.ticket, 429, 300.0, StatedLimit(100, 7, 40.0)))


def failing(budget: HostBudget, now: float) -> HostBudget:
    for _ in range(8):
        budget, turn = take(replace(budget, next_at=0.0), Portal(60, 4), now)
        budget = record_outcome(budget, now, RequestOutcome(turn.ticket, None))
    return budget


def document(capsys: pytest.CaptureFixture[str], exits: int = 1) -> dict[str, Any]:
    """What it says; it needs a person, as the one file is wrong."""
    try:
        status(json=True)
        said = 0
    except typer.Exit as end:
        said = end.exit_code
    assert said == exits
    return json.loads(capsys.readouterr().out)


def test_a_fresh_installation_has_nothing_but_files(at_home, capsys):
    """Every known jurisdiction is named with its feeds, unpublished; a file that is wrong says what is wrong."""
    found = document(capsys)
    parts = ["jurisdictions", "failures", "hosts", "holds", "queues", "database", "needs"]
    assert list(found) == [*parts, "error", "exit_status"]
    assert found["error"].startswith("us-xx-wrong: id: must be text")
    assert [(each["role"], each["warning"]) for each in found["database"]] == [("zoning_writer", None)]
    assert [each["where"] for each in found["needs"]] == ["us-xx-wrong"]
    assert found["failures"] == found["hosts"] == found["holds"] == []
    empty = {"ready": 0, "leased": 0, "dead": 0, "oldest_s": None, "fault": None}
    assert found["queues"] == [{"name": name, **empty} for name in ("amendments", "tiles", "deliveries")]
    by_id = {each["id"]: each for each in found["jurisdictions"]}
    cambridge = {"feeds": ["parcels", "zoning"], "parcels": 0, "freshness_hours": 48, "waiting": 0, "dead": 0}
    cambridge["promise_hours"] = 48  # deprecated
    never = dict.fromkeys(("last_batch", "harvested", "current", "fresh", "next_probe", "probe_error", "fault"))
    nothing = {"id": "us-ma-cambridge", **cambridge, **never, "rejections": {}, "alarms": []}
    assert by_id["us-ma-cambridge"] == nothing
    assert by_id["us-xx-wrong"]["fault"].startswith("id: must be text")


def test_what_was_published_is_counted(at_home, capsys):
    """A jurisdiction says when it was published last and how many parcels it has, though its file may be gone."""
    with psycopg.connect(at_home) as connection:
        for feed, day in (("parcels", 1), ("parcels", 3), ("zoning", 2)):
            connection.execute(
                """INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started, committed)
                VALUES ('us-xx-gone', %s, 'h', 'r', now(), %s)""",
                [feed, datetime(2025, 1, day, tzinfo=UTC)],
            )
    (gone,) = [each for each in document(capsys)["jurisdictions"] if each["id"] == "us-xx-gone"]
    assert (gone["feeds"], gone["parcels"], gone["fault"]) == (["parcels", "zoning"], 0, None)
    assert datetime.fromisoformat(gone["last_batch"]) == datetime(2025, 1, 3, tzinfo=UTC)


def test_a_host_says_how_it_takes_it(at_home, capsys):
    """Asked, refused, failed, the budget and the pace now, what is left until when, rest and breaker, per host."""
    keep(at_home, **{"a.example.org": refused, "b.example.org": failing})
    failed, busy = document(capsys)["hosts"]
    assert [busy[name] for name in ("host", "asked", "refused", "failed")] == ["a.example.org", 1, 1, 0]
    assert (busy["budget_per_minute"], busy["pace_per_minute"], busy["connections"]) == (30, 15, 2)
    assert (busy["left"], busy["breaker"], busy["breaker_until"]) == (7, "closed", None)
    rests_s = (datetime.fromisoformat(busy["rests_until"]) - datetime.now(UTC)).total_seconds()
    assert 200 < rests_s <= 301
    assert [failed[name] for name in ("host", "asked", "failed", "breaker")] == ["b.example.org", 8, 8, "open"]
    assert failed["breaker_until"]
    assert failed["rests_until"] is None


def test_people_see_tables(at_home, capsys):
    """Without --json the same is shown as tables, empty where there is nothing."""
    keep(at_home, **{"a.example.org": refused})
    with pytest.raises(typer.Exit):
        status()
    shown = capsys.readouterr().out
    assert "Hosts" in shown
    assert "a.example.org" in shown
    assert "us-ma-cambridge" in shown
    assert "None" not in shown


_TOML = """
id = "us-xx-mine"
name = "Mine"
bounds = [-71.2, 42.3, -71.0, 42.4]
fresh_hours = 36
[feeds.zoning]
type = "arcgis"
url = "https://gis.example.org/arcgis/rest/services/Zoning/FeatureServer/0"
probe = "0 3 * * *"
[feeds.zoning.fields]
code = "ZONE"
"""


@pytest.fixture
def mine(at_home: str, tmp_path: Path) -> str:
    """One jurisdiction, and its file is right."""
    (tmp_path / "jurisdictions" / "us-xx-wrong.toml").unlink()
    (tmp_path / "jurisdictions" / "us-xx-mine.toml").write_text(_TOML)
    return at_home


def current(database: str, hours_ago: float) -> None:
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    feed_freshness.store_harvest(database, "us-xx-mine", "zoning", at)


def failed(database: str, error: ZoningError | None) -> None:
    failure_records.store_outcomes(
        database, [Outcome(Place("us-xx-mine"), "zoning", error=error)], "run", datetime.now(UTC)
    )


def test_an_exceeded_freshness_limit_needs_a_person(mine, capsys):
    """The exit status is 0 while the published data was confirmed within the freshness limit, and during a pause."""
    current(mine, 35)
    (found,) = [each for each in document(capsys, 0)["jurisdictions"] if each["id"] == "us-xx-mine"]
    assert (found["fresh"], found["freshness_hours"]) == (True, 36)
    with psycopg.connect(mine) as connection:
        connection.execute("UPDATE zoning.feed SET current = current - interval '2 hours'")
    late = document(capsys, 1)
    assert [each["where"] for each in late["needs"]] == ["us-xx-mine/zoning"]
    assert late["needs"][0]["what"].startswith("not confirmed as current within 1 day, 12:00")
    hold_records.pause(mine, jurisdiction="us-xx-mine", host=None, reason="?", actor="me", until=None)
    assert document(capsys, 0)["holds"][0]["what"] == "us-xx-mine"


def test_what_failed_says_when_it_is_asked_for_again_and_what_is_dead_needs_a_person(mine, capsys):
    failed(mine, PortalUnreachable("gone", where="gis.example.org", do="wait"))
    (waits,) = document(capsys, 0)["failures"]
    assert (waits["state"], waits["tries"], waits["kind"]) == ("waiting", 1, "PortalUnreachable")
    assert timedelta(minutes=9) < datetime.fromisoformat(waits["next"]) - datetime.now(UTC) < timedelta(minutes=13)
    failed(mine, TooManyRejections("half of it", where="us-xx-mine", do="look"))
    found = document(capsys, 1)
    (need,) = found["needs"]
    assert (need["where"], need["what"]) == ("us-xx-mine zoning", "us-xx-mine: half of it; look")
    (dead,) = found["failures"]
    said = f"us-xx-mine zoning: us-xx-mine: half of it; look; then `zoning retry {dead['id']}`"
    assert (found["error"], found["exit_status"]) == (said, 1)
    retry("us-xx-mine", json=True)
    assert json.loads(capsys.readouterr().out)["failures"][0]["state"] == "waiting"
    assert document(capsys, 0)["needs"] == []
    with pytest.raises(SettingInvalid):
        retry(None)
    with pytest.raises(NothingWaits):
        retry("17")
    failed(mine, None)
    assert document(capsys, 0)["failures"] == []


def test_what_a_person_must_decide_is_never_advised_to_be_tried_again(mine, capsys):
    """A layer that shrank waits for a word, once, however many of its tiles failed."""
    held = AcceptanceNeeded.of("us-xx-mine", "zoning", "count_drop: the layer has 0 rows")
    places = [Place("us-xx-mine", tile) for tile in (None, "882a306603fffff")]
    failure_records.store_outcomes(
        mine, [Outcome(each, "zoning", error=held) for each in places], "run", datetime.now(UTC)
    )
    (needs,) = document(capsys, 1)["needs"]
    assert "count_drop: the layer has 0 rows" in needs["what"]
    words = "us-xx-mine --feed zoning --reason ..."
    assert needs["do"] == f"`zoning accept {words}` or `zoning discard {words}`"


def test_a_map_that_was_not_believed_needs_a_person(mine, capsys):
    with psycopg.connect(mine) as connection:
        connection.execute(
            """INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules,
                drift_m, moved, tolerance_m, alarms, refused, counts, judged)
            VALUES ('us-xx-mine', 0, 1, 0, 2, '', 0, 0, 0, '{lost its codes}', 2, '{}', now())"""
        )
    assert document(capsys, 1)["needs"][0]["what"] == "lost its codes"
    with psycopg.connect(mine) as connection:
        connection.execute("UPDATE zoning.release SET accepted_by = 'me'")
    assert document(capsys, 0)["needs"] == []


def fill(database: str, rejected: int, failed: int) -> None:
    """So many rows held back and so many failures more."""
    with psycopg.connect(database) as connection:
        connection.execute(
            """WITH b AS (INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started, committed)
                VALUES ('us-xx-mine', 'zoning', 'h', 'r', now(), now()) RETURNING id)
            INSERT INTO zoning.rejection (batch_id, jurisdiction, feed, reason, raw)
            SELECT b.id, 'us-xx-mine', 'zoning', 'r', '{}' FROM b, generate_series(1, %s)""",
            [rejected],
        )
        connection.execute(
            """INSERT INTO zoning.failure (jurisdiction, feed, tile, kind, message, passes, tries, first, last, state)
            SELECT 'us-xx-mine', 'zoning', %s || '-' || n, 'K', 'm', true, 1, now(), now(), 'waiting'
            FROM generate_series(1, %s) n""",
            [str(rejected), failed],
        )


def looked() -> float:
    """Seconds that the quickest of some looks took; a program that looks loads no Dagster."""
    look = (
        "import sys, time; from datetime import UTC, datetime\n"
        "from zoning_assets.cli import bootstrap as environment, health\n"
        "from zoning_assets.cli.status import PARTS\n"
        "for _ in range(10):\n"  # a busy machine may be late, but not each time
        "    began = time.monotonic()\n"
        "    s = health.read_status(environment.bring_up_database(), environment.settings(), datetime.now(UTC))\n"
        "    [find(s) for find in PARTS.values()]; print(time.monotonic() - began)\n"
        "print('dagster' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=500)
    *seconds, dagster = done.stdout.split()
    assert dagster == "False"
    return min(map(float, seconds))


def test_a_look_takes_what_there_is_to_see(mine: str) -> None:
    """Four times the rows held back and the failures take less than eight times as long."""
    fill(mine, 25_000, 400)
    few_s = looked()
    fill(mine, 75_000, 1200)
    assert looked() < 8 * few_s


@pytest.mark.slow
def test_a_look_is_fast(mine: str) -> None:
    """By the clock, with 300,000 rows held back and 5,000 failures: under a second."""
    fill(mine, 300_000, 5_000)
    assert looked() < 1.0
