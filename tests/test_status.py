"""`zoning status`: what is published, and how the portals take it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from zoning_assets.cli.status import status
from zoning_assets.http.budget import Budget, Said, Stated, take, told
from zoning_assets.model import Portal
from zoning_assets.stores.ledger import PostgresLedger


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


def refused(budget: Budget, now: float) -> Budget:
    """Asked once, and told to wait for five minutes; seven are left in the window."""
    budget, turn = take(budget, Portal(30, 2), now)
    return told(budget, now, Said(turn.ticket, 429, 300.0, Stated(100, 7, 40.0)))


def failing(budget: Budget, now: float) -> Budget:
    for _ in range(8):
        budget, turn = take(replace(budget, next_at=0.0), Portal(60, 4), now)
        budget = told(budget, now, Said(turn.ticket, None))
    return budget


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    status(json=True)
    return json.loads(capsys.readouterr().out)


def test_a_fresh_installation_has_nothing_but_files(at_home, capsys):
    """Every known jurisdiction is named with its feeds, unpublished; a file that is wrong says what is wrong."""
    found = document(capsys)
    assert list(found) == ["jurisdictions", "hosts", "holds", "queues", "database"]
    assert found["hosts"] == found["holds"] == found["queues"] == []
    assert [(each["role"], each["warning"]) for each in found["database"]] == [("zoning_writer", None)]
    by_id = {each["id"]: each for each in found["jurisdictions"]}
    nothing = {"last_batch": None, "parcels": 0}
    cambridge = {"id": "us-ma-cambridge", "feeds": ["parcels", "zoning"], **nothing, "fault": None}
    assert by_id["us-ma-cambridge"] == cambridge
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
    status()
    shown = capsys.readouterr().out
    assert "Hosts" in shown
    assert "a.example.org" in shown
    assert "us-ma-cambridge" in shown
    assert "None" not in shown
