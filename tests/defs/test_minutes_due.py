"""The sensor that polls the minutes: once a day, not while a pause or a window is open, in a run of its own."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from aiohttp import web

from tests.conftest import read_toml, rows
from tests.support.asked_questions import tick
from tests.support.http_client import QUICK
from tests.support.http_desk import served
from tests.support.legistar_site import LegistarDesk, history, matter
from zoning_assets.defs import build, minutes_job
from zoning_assets.defs.sensors import minutes_due
from zoning_assets.model import Feed, Jurisdiction, Minutes, Portal
from zoning_assets.settings import Settings
from zoning_assets.storage.postgis.records import feed_freshness, hold_records
from zoning_assets.storage.postgis.records.feed_freshness import FeedFreshness
from zoning_assets.storage.postgis.records.hold_records import Hold

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID, QUIET = "us-xx-mytown", "us-xx-quiet"
FILE = """
id = "{id}"
name = "My Town"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "arcgis"
url = "https://gis.example.org/FeatureServer/0"
key = "PIN"
[portal]
requests_per_minute = {pace}
{minutes}
"""


def town(id_: str = ID, quiet: tuple[str, ...] = ()) -> Jurisdiction:
    feeds = {"parcels": Feed("parcels", "arcgis", "https://gis.example.org/0", key="PIN")}
    minutes = Minutes("legistar", "https://webapi.example.org/v1/mytown?token=secret")
    return Jurisdiction(
        id_, id_, (-71.17, 42.35, -71.06, 42.41), feeds, portal=Portal(quiet_hours=quiet), minutes=minutes
    )


def polled(at: datetime) -> dict[str, FeedFreshness]:
    return {f"{ID}/minutes": FeedFreshness(ID, "minutes", harvested=at)}


def test_a_town_is_polled_once_a_day_whoever_polls_it() -> None:
    """A request counts, and also a `zoning minutes` of a person; a lost cursor does not ask again."""
    assert minutes_due.due([town()], {}, {}, NOW) == [town()]
    assert minutes_due.due([town()], {ID: NOW - 23 * HOUR}, {}, NOW) == []
    assert minutes_due.due([town()], {}, polled(NOW - 23 * HOUR), NOW) == []
    assert minutes_due.due([town()], {ID: NOW - 24 * HOUR}, polled(NOW - 99 * HOUR), NOW) == [town()]


def test_a_pause_and_quiet_hours_keep_it_due() -> None:
    pauses = [(ID, None), (None, "webapi.example.org"), (None, None)]
    for jurisdiction, host in pauses:
        hold = Hold(1, jurisdiction, host, "?", "me", NOW, None)
        assert minutes_due.open_now([town()], [hold], NOW) == []
    elsewhere = Hold(1, None, "gis.example.org", "?", "me", NOW, None)
    mine, at_night = town(), town(QUIET, ("11:00-13:00 UTC",))
    assert minutes_due.open_now([mine, at_night], [elsewhere], NOW) == [mine]
    assert minutes_due.open_now([at_night], [], NOW + HOUR) == [at_night]


def test_a_run_is_limited_and_has_no_secret() -> None:
    """One run a host, not among the runs of a harvest, with an end; a repeated tick asks for the same run."""
    asked, again = minutes_job.request(town(), NOW), minutes_job.request(town(), NOW + HOUR)
    assert asked.run_key == again.run_key != minutes_job.request(town(), NOW + 24 * HOUR).run_key
    assert asked.tags["zoning/host"] == "webapi.example.org"
    assert "zoning/jurisdiction" not in asked.tags, "harvest_goes_on would wait for it"
    assert 0 < int(asked.tags["dagster/max_runtime"]) <= 7200
    assert "secret" not in str(asked)


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"a": 1}', '{"a": {}}', '{"a": "yesterday"}'])
def test_a_cursor_that_cannot_be_read_is_a_lost_one(text: str | None) -> None:
    assert minutes_due.parse_cursor(text) == {}


@pytest.fixture
def folder(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the jurisdiction files of an installation."""
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path / "toml"))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    return tmp_path / "toml"


def write(folder: Path, url: str) -> None:
    """Two files; one of them has minutes."""
    minutes = f'[minutes]\ntype = "legistar"\nurl = "{url}"'
    for id_, more in ((ID, minutes), (QUIET, "")):
        read_toml(folder, FILE.format(id=id_, minutes=more, pace=int(QUICK.requests_per_minute)), id_)


def day(cursor: str | None = None) -> tuple[list[bool], str]:
    """A tick and the runs that it requests: whether each went well; the cursor."""
    definitions = build.definitions(Settings.of(os.environ))
    with dg.instance_for_test() as instance:
        found = tick(definitions, instance, "minutes_due", cursor)
        job = definitions.resolve_job_def("read_minutes")
        runs = [
            job.execute_in_process(each.run_config, instance=instance, tags=each.tags, raise_on_error=False)
            for each in found.run_requests or ()
        ]
        return [run.success for run in runs], found.cursor or ""


async def test_a_tick_reads_what_was_edited(database: str, folder: Path) -> None:
    """Once; the amendment is stored, and the next tick of the day asks nothing, also without its cursor."""
    desk = LegistarDesk([matter(7, "Rezone property from RS-2 to NC-1", recently())], {7: [history(1, "approved")]})
    async with served(desk) as url:
        write(folder, url)
        first, cursor = await asyncio.to_thread(day)
        count = len(desk.asked)
        again = [await asyncio.to_thread(day, each) for each in (cursor, None)]
    assert first == [True]
    assert list(json.loads(cursor)) == [ID]
    assert rows(database, "SELECT jurisdiction, new_codes FROM zoning.amendment") == [(ID, ["NC-1"])]
    assert [runs for runs, _ in again] == [[], []]
    assert len(desk.asked) == count > 0


async def test_a_site_that_refuses_is_asked_again_on_the_next_day(database: str, folder: Path) -> None:
    """The run fails, nothing counts as read, and the cursor keeps the next ticks of the day quiet."""
    async with served(refuse) as url:
        write(folder, url)
        first, cursor = await asyncio.to_thread(day)
        assert first == [False]
        assert (await asyncio.to_thread(day, cursor))[0] == []
        yesterday = json.dumps({ID: (datetime.now(UTC) - 25 * HOUR).isoformat()})
        hold_records.pause(database, jurisdiction=ID, host=None, reason="wait", actor="ann", until=None)
        assert (await asyncio.to_thread(day, yesterday)) == ([], yesterday)
        hold_records.resume(database, jurisdiction=ID, host=None, reason="over", actor="ann")
        assert (await asyncio.to_thread(day, yesterday))[0] == [False]
    assert f"{ID}/minutes" not in feed_freshness.feeds(database)


async def refuse(_: web.Request) -> web.Response:
    return web.Response(status=403)


def recently() -> str:
    """A time of the site, which has no zone."""
    return (datetime.now(UTC) - HOUR).strftime("%Y-%m-%dT%H:%M:%S")
