"""A poll of a Legistar site: what was edited becomes amendments: politely, once, and nothing is lost between polls."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import read_toml, rows
from tests.support.http_client import QUICK
from tests.support.http_desk import Answers, Clock, served
from tests.support.legistar_site import LegistarDesk, event_item, history, matter
from zoning_assets.errors import FeedRefused, HarvestIncomplete, Held, JurisdictionInvalid, PortalUnreachable
from zoning_assets.http import Http
from zoning_assets.model import Jurisdiction
from zoning_assets.operations.minutes_poll import MinutesPoll, poll, start_of_poll
from zoning_assets.storage.postgis.records import hold_records

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
ID = "us-xx-mytown"
FILE = """
id = "us-xx-mytown"
name = "My Town"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "arcgis"
url = "https://gis.example.org/FeatureServer/0"
key = "PIN"
[portal]
requests_per_minute = {pace}
connections = 8
{minutes}
"""
REZONING = matter(7, "Rezone property at 55 Spring Street from RS-2 to NC-1")
SIDEWALK = matter(8, "Approve the budget of the department of public works")
OLD = matter(3, "Rezone property at 9 Elm Street from R-1 to C-2", edited="2026-05-01T00:00:00")


def town(folder: Path, url: str | None, pace: float = QUICK.requests_per_minute) -> Jurisdiction:
    minutes = f'[minutes]\ntype = "legistar"\nurl = "{url}"' if url else ""
    return read_toml(folder, FILE.format(minutes=minutes, pace=int(pace)), ID)


async def polled(
    database: str, folder: Path, desk: Answers, since: datetime = SINCE, query: str = "", now: datetime = NOW
) -> MinutesPoll:
    clock = Clock()
    async with served(desk) as url:
        known = town(folder, url + query)
        return await poll(database, known, lambda: Http(sleep=clock.sleep, clock=clock), since, now)


def paths(desk: LegistarDesk) -> list[str]:
    return [path for path, _ in desk.asked]


async def test_edited_matters_become_amendments(database: str, tmp_path: Path) -> None:
    """Only a matter about zoning is asked for its histories; one that was not edited is not read."""
    desk = LegistarDesk([OLD, REZONING, SIDEWALK], {7: [history(1, "approved")]})
    done = await polled(database, tmp_path, desk)
    (found,) = done.amendments
    assert (found.status, found.old_codes, found.new_codes) == ("adopted", ("RS-2",), ("NC-1",))
    assert found.source.endswith("/layer/matters/7")
    assert (done.matters, done.events, done.requests) == (2, 0, len(desk.asked))
    assert paths(desk) == ["matters", "matters/7/histories", "matters", "events"]
    assert rows(database, "SELECT status, case_numbers FROM zoning.amendment") == [("adopted", ["Z-26-007"])]


async def test_a_second_poll_changes_nothing(database: str, tmp_path: Path) -> None:
    desk = LegistarDesk([REZONING], {7: [history(1, "approved")]})
    clock = Clock()
    async with served(desk) as url:
        known = town(tmp_path, url)
        first, second = [
            await poll(database, known, lambda: Http(sleep=clock.sleep, clock=clock), SINCE, NOW) for _ in range(2)
        ]
    assert (list(first.stored.values()), list(second.stored.values())) == ([True], [False])
    assert rows(database, "SELECT count(*) FROM zoning.amendment_version") == [(0,)]


async def test_what_a_meeting_did_is_read_although_its_matter_was_not_edited(database: str, tmp_path: Path) -> None:
    event = {"EventId": 5, "EventLastModifiedUtc": "2026-11-20T00:00:00"}
    items = [{"EventItemId": 1, "EventItemMatterId": None, "EventItemTitle": "Call to order"}, event_item(2, OLD)]
    desk = LegistarDesk([OLD, SIDEWALK], {3: [history(1, "adopted")]}, [event], {5: items})
    done = await polled(database, tmp_path, desk)
    assert [(each.case_numbers, each.status) for each in done.amendments] == [(("Z-26-003",), "adopted")]
    assert paths(desk)[-3:] == ["matters/3", "matters/3/histories", "events"]


async def test_a_matter_that_is_not_public_does_not_stop_the_others(database: str, tmp_path: Path) -> None:
    """A meeting acted on it, but the site has no page of it; it is reported."""
    event = {"EventId": 5, "EventLastModifiedUtc": "2026-11-20T00:00:00"}
    desk = LegistarDesk(
        [OLD], {3: [history(1, "adopted")]}, [event], {5: [event_item(1, REZONING), event_item(2, OLD)]}
    )
    done = await polled(database, tmp_path, desk)
    assert [each.case_numbers for each in done.amendments] == [("Z-26-003",)]
    [refused] = done.refused
    assert "/layer/matters/7" in refused


async def test_pages_are_walked_to_an_empty_one(database: str, tmp_path: Path) -> None:
    """Also on a site that answers fewer than it was asked for."""
    desk = LegistarDesk([matter(number, "Rezone from R-1 to C-2") for number in range(1, 8)], most=3)
    done = await polled(database, tmp_path, desk)
    assert (done.matters, len(done.amendments)) == (7, 7)
    assert paths(desk).count("matters") == 4


async def test_the_next_poll_starts_where_the_last_one_began(database: str, tmp_path: Path) -> None:
    """A day is read twice, as the clocks of both sides may differ. A poll that failed does not move it."""
    known = town(tmp_path, "http://127.0.0.1:1/layer")
    assert start_of_poll(database, known, NOW) == NOW - timedelta(days=365)

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=403)

    with pytest.raises(FeedRefused):
        await polled(database, tmp_path, broken)
    assert start_of_poll(database, known, NOW) == NOW - timedelta(days=365)
    await polled(database, tmp_path, LegistarDesk())
    assert start_of_poll(database, known, NOW + timedelta(days=9)) == NOW - timedelta(days=1)


async def test_a_poll_that_leaves_time_out_does_not_move_the_start(database: str, tmp_path: Path) -> None:
    """With a later `--since` what was edited in between would never be read."""
    known = town(tmp_path, "http://127.0.0.1:1/layer")
    await polled(database, tmp_path, LegistarDesk())
    start = start_of_poll(database, known, NOW)
    later = NOW + timedelta(days=9)
    await polled(database, tmp_path, LegistarDesk(), since=NOW + timedelta(days=5), now=later)
    assert start_of_poll(database, known, later) == start == NOW - timedelta(days=1)
    await polled(database, tmp_path, LegistarDesk(), since=start, now=later)
    assert start_of_poll(database, known, later) == later - timedelta(days=1)


async def test_a_token_is_sent_and_never_stored(database: str, tmp_path: Path) -> None:
    desk = LegistarDesk([REZONING])
    done = await polled(database, tmp_path, desk, query="?token=secret")
    assert {query["token"] for _, query in desk.asked} == {"secret"}
    ((source, evidence),) = rows(database, "SELECT source, evidence::text FROM zoning.amendment")
    assert "secret" not in f"{source} {evidence} {done}"


@pytest.mark.parametrize("body", ["{}", "[1]", '[{"MatterId": "7"}]', "<html></html>", '[{"MatterId": 7'])
async def test_an_answer_that_is_none_is_one_line(database: str, tmp_path: Path, body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    with pytest.raises(PortalUnreachable) as refused:
        await polled(database, tmp_path, answer)
    assert "\n" not in str(refused.value)


async def test_a_site_that_repeats_itself_is_refused(database: str, tmp_path: Path) -> None:
    """Else the walk would have no end."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response([SIDEWALK])

    with pytest.raises(HarvestIncomplete, match="another order"):
        await polled(database, tmp_path, answer)


HOSTILE: Sequence[dict[str, Any]] = [
    {"MatterTitle": {"deep": []}},
    {"MatterTitle": "x" * 2_000_000},
    {"MatterTitle": "Rezone from <script>alert(1)</script> to =cmd|'/c calc'!A1 \u202e\u0000"},
    {"MatterFile": ["Z"], "MatterTitle": "Rezone from R-1 to C-2"},
]


@pytest.mark.parametrize("more", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_matter_does_not_stop_the_others(
    database: str, tmp_path: Path, more: dict[str, Any]
) -> None:  # fmt: skip
    desk = LegistarDesk([{**matter(6, ""), **more}, REZONING], {7: [history(1, "approved")]})
    done = await polled(database, tmp_path, desk)
    assert ("Z-26-007",) in [each.case_numbers for each in done.amendments]
    json.dumps(rows(database, "SELECT to_jsonb(a) FROM zoning.amendment a"))


async def test_a_paused_town_is_not_asked(database: str, tmp_path: Path) -> None:
    hold_records.pause(database, jurisdiction=ID, host=None, reason="wait", actor="ann", until=None)
    desk = LegistarDesk([REZONING])
    with pytest.raises(Held):
        await polled(database, tmp_path, desk)
    assert desk.asked == []


async def test_it_keeps_the_pace_of_the_file(database: str, tmp_path: Path) -> None:
    """30 requests a minute: on the clock of the client, the ones of this poll take their time."""
    desk, clock = LegistarDesk([matter(number, "Rezone from R-1 to C-2") for number in range(1, 9)]), Clock()
    async with served(desk) as url:
        await poll(database, town(tmp_path, url, 30), lambda: Http(sleep=clock.sleep, clock=clock), SINCE, NOW)
    assert clock() >= (len(desk.asked) - 1) * 2


def test_a_town_without_minutes(database: str, tmp_path: Path) -> None:
    with pytest.raises(JurisdictionInvalid, match=r"no table \[minutes\]"):
        start_of_poll(database, town(tmp_path, None), NOW)
