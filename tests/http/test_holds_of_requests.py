"""When the polite client waits, for how long at most, and how it stops."""

import asyncio
import logging
from datetime import timedelta
from itertools import count

import orjson
import pytest
from aiohttp import web

from tests.support.http_client import NOW, OK, QUICK, ask, client, plain_client
from tests.support.http_desk import Clock, Desk, served
from zoning_assets.errors import PortalBusy, PortalResting, PortalUnreachable, Stopping
from zoning_assets.http import connection_scheduler, request_sender
from zoning_assets.http.rate_limit_store import MemoryLedger
from zoning_assets.http.response_checks import Unreadable
from zoning_assets.model import Portal


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("key", ["maintenance", "quiet_hours"])
async def test_a_window_is_waited_for(clock, caplog, key):
    """While a portal's window or our quiet hours are open nothing is asked; it goes on by itself, and says so once."""
    desk, portal = Desk(OK), Portal(60_000, 2, **{key: ("Wed 07:00-09:30 America/New_York",)})
    with caplog.at_level(logging.WARNING):
        async with served(desk) as url, client(clock) as asking:
            answers = await asyncio.gather(*(asking.query(portal, url, {}, read=orjson.loads) for _ in range(5)))
    assert len(answers) == len(desk.asked) == 5
    assert clock() >= 90 * 60
    assert clock() < 91 * 60
    assert [record.message for record in caplog.records] == [
        f"{url.split('/')[2]}: no requests until 2025-06-04T09:30-04:00 (maintenance or quiet hours); "
        "continues automatically"
    ]


async def test_a_window_that_opens_meanwhile_is_kept(clock):
    """A question that stands in line when the window opens is asked when it has closed; not one falls into it."""
    asked: list[float] = []

    async def desk(_: web.Request) -> web.Response:
        asked.append(clock())
        return web.Response(body=OK[1])

    portal = Portal(2, 2, maintenance=("12:05-12:40 UTC",))  # a request each half minute
    async with served(desk) as url, client(clock) as asking:
        await asyncio.gather(*(asking.query(portal, url, {}, read=orjson.loads) for _ in range(20)))
    assert len(asked) == 20
    assert not [moment for moment in asked if 300 <= moment < 2400]
    assert [moment for moment in asked if moment < 300]
    assert 2400 <= min(moment for moment in asked if moment > 300) < 2460


async def test_a_window_of_a_day_is_not_waited_for(clock):
    """What closes later than in twelve hours fails at once, in one line that says until when."""
    desk, portal = Desk(OK), Portal(maintenance=("Wed 00:00-24:00 UTC", "Thu 00:00-01:00 UTC"))
    with pytest.raises(PortalResting, match=r"127.*no requests until 2025-06-05T01:00\+00:00 .*; run again afterwards"):
        await ask(desk, clock, portal)
    assert (desk.asked, clock.slept) == ([], [])


async def test_a_clock_that_stands_still_ends_the_wait(clock):
    """Where time does not go on though it was slept, the client does not wait for ever."""
    async with served(Desk(OK)) as url, client(clock, now=lambda: NOW) as asking:
        with pytest.raises(PortalResting):
            await asking.query(Portal(maintenance=("12:00-13:00 UTC",)), url, {}, read=orjson.loads)
    assert sum(clock.slept) <= 12 * 3600


async def test_fewer_tries_are_fewer(clock):
    """A caller that can ask for less gives up sooner."""
    desk = Desk((500, b"", {}))
    with pytest.raises(PortalUnreachable, match=r"HTTP 500 \(2 tries\)"):
        await ask(desk, clock, tries=2)
    assert len(desk.asked) == 2
    assert [pause for pause in clock.slept if pause >= 0.5] == [0.5]


async def test_one_try_is_one_try(clock):
    """The number and its noun agree."""
    with pytest.raises(PortalUnreachable, match=r"HTTP 500 \(1 try\)"):
        await ask(Desk((500, b"", {})), clock, tries=1)


async def test_patience_ends_in_time(clock):
    """A question is not asked once more when half an hour has gone, however many tries are left."""
    desk = Desk((503, b"", {"Retry-After": "290"}))
    with pytest.raises(PortalBusy, match="HTTP 503; try again in 290 s"):
        await ask(desk, clock, tries=100)
    assert len(desk.asked) == 7
    assert clock() < 2100


async def test_a_rest_is_everybodys(clock):
    """What one question was told holds for those that wait, and those that come later: nobody asks before."""
    asked: list[float] = []

    async def desk(_: web.Request) -> web.Response:
        asked.append(clock())
        if len(asked) == 1:
            return web.Response(status=429, headers={"Retry-After": "30"})
        return web.Response(body=OK[1])

    async with served(desk) as url, client(clock) as asking:
        await asyncio.gather(*(asking.query(Portal(60, 1), url, {}, read=orjson.loads) for _ in range(4)))
    assert len(asked) == 5
    assert min(asked[1:]) >= 30


async def test_a_long_rest_fails_the_others_at_once(clock):
    """After a wish to wait an hour, the next question does not even ask, and says how long."""
    desk = Desk((503, b"", {"Retry-After": "3600"}), OK)
    async with served(desk) as url, client(clock) as asking:
        for _ in range(2):
            with pytest.raises(PortalBusy) as caught:
                await asking.query(QUICK, url, {}, read=orjson.loads)
            assert caught.value.wait_s == pytest.approx(3600, abs=1)
    assert (len(desk.asked), clock.slept) == (1, [])


async def test_a_limit_said_in_a_good_body_slows_the_host_too(clock):
    """A reader that finds a 429 in an HTTP 200 says so, and the host's pace is halved as for any other."""

    def read(body: bytes) -> dict[str, int]:
        if body == b"slow down":
            raise Unreadable("error 429 in an HTTP 200", status=429)
        return orjson.loads(body)

    ledger, desk = MemoryLedger(clock), Desk((200, b"slow down", {}), OK)
    async with served(desk) as url, client(clock, ledger=ledger) as asking:
        await asking.query(QUICK, url, {}, read=read)
    (budget,) = ledger.budgets.values()
    assert (budget.refused, budget.failed, budget.slowed_to) == (1, 0, QUICK.requests_per_minute / 2)


async def test_a_dead_host_is_left_alone(clock):
    """When one question after the other fails, the host is asked ever more seldom, and in the end not at all."""
    desk = Desk((500, b"", {}))
    async with served(desk) as url, client(clock) as asking:
        errors = []
        for _ in range(8):
            with pytest.raises(PortalUnreachable) as caught:
                await asking.query(QUICK, url, {}, read=orjson.loads)
            errors.append(str(caught.value))
    assert "HTTP 500 (6 tries)" in errors[0]
    assert "failed repeatedly" in errors[-1]
    assert "try again in" in errors[-1]
    assert len(desk.asked) < 20


async def test_a_host_that_lives_again_is_asked_again(clock):
    """The question that meets a breaker waits for its turn to probe; when it is answered, all go on."""
    desk = Desk(*[(500, b"", {})] * 8, OK)
    async with served(desk) as url, client(clock) as asking:
        asked = (asking.query(Portal(60_000, 3), url, {}, read=orjson.loads, tries=9) for _ in range(3))
        assert len(await asyncio.gather(*asked)) == 3
    assert 30 <= clock() < 60
    assert len(desk.asked) == 11


class Slow:
    """A portal whose answers come when they are let."""

    def __init__(self) -> None:
        self.begun, self.let, self.asked = asyncio.Event(), asyncio.Event(), 0

    async def __call__(self, _: web.Request) -> web.Response:
        self.asked += 1
        self.begun.set()
        await self.let.wait()
        return web.Response(body=OK[1])


async def test_a_drain_keeps_what_is_on_its_way():
    """After `drain` no request begins, those in line end at once with Stopping, and pages on their way are read."""
    desk = Slow()
    async with served(desk) as url, plain_client() as asking:
        questions = [asyncio.create_task(asking.query(Portal(60, 1), url, {}, read=orjson.loads)) for _ in range(4)]
        await desk.begun.wait()
        asking.shared.drain()
        asking.shared.drain()
        ends = asyncio.as_completed(questions)
        for _ in range(3):
            with pytest.raises(Stopping):
                await next(ends)
        desk.let.set()
        (first,) = (each for each in questions if not each.done())
        assert (await first).value == {"count": 7}
        with pytest.raises(Stopping, match=r"/layer: stopped; run the same command again to continue$"):
            await asking.query(QUICK, url, {}, read=orjson.loads)
    assert desk.asked == 1


@pytest.mark.parametrize("portal", [Portal(1, 1), Portal(60, 1, maintenance=("00:00-24:00 UTC",))])
async def test_a_drain_wakes_who_sleeps(portal, monkeypatch):
    """Who waits for the pace, or for a window to close, is woken and stops."""
    monkeypatch.setattr(connection_scheduler, "_LONGEST_WINDOW_S", 1e9)
    async with served(Desk(OK)) as url, plain_client() as asking:
        questions = [asyncio.create_task(asking.query(portal, url, {}, read=orjson.loads)) for _ in range(2)]
        await asyncio.sleep(0.05)
        asking.shared.drain()
        async with asyncio.timeout(50):  # unwoken, the second would sleep for a minute, or for a day
            found = await asyncio.gather(*questions, return_exceptions=True)
    assert isinstance(found[-1], Stopping)


async def test_a_drain_ends(monkeypatch):
    """A page that does not come in time is given up: the end is near, whatever a portal does."""
    monkeypatch.setattr(request_sender, "_DRAIN_S", 0.05)
    desk = Slow()
    async with served(desk) as url, plain_client() as asking:
        question = asyncio.create_task(asking.query(QUICK, url, {}, read=orjson.loads))
        await desk.begun.wait()
        asking.shared.drain()
        with pytest.raises(Stopping):
            async with asyncio.timeout(200):
                await question
        desk.let.set()


async def test_a_timeout_is_no_stop(clock):
    """An answer that did not come in time is a failure like others, not an end."""
    numbers = count()

    def read(body: bytes) -> bytes:
        if next(numbers) == 0:
            raise TimeoutError
        return body

    assert (await ask(Desk(OK), clock, read=read)).value == OK[1]


async def test_the_end_of_a_window_is_not_missed_by_a_second(clock):
    """The first request after a window comes as it has closed, not before and not long after."""
    portal = Portal(60_000, 2, maintenance=("11:00-12:00 UTC",))
    early = NOW - timedelta(seconds=100.25)
    now = lambda: early + timedelta(seconds=clock())  # noqa: E731
    async with served(Desk(OK)) as url, client(clock, now=now) as asking:
        await asking.query(portal, url, {}, read=orjson.loads)
    assert clock() == pytest.approx(100.25)


async def test_a_window_that_opens_while_a_connection_is_waited_for_is_kept(clock):
    """A question that waits long for another's connection is not asked in the window that has opened since."""
    desk, portal = Slow(), Portal(60_000, 1, maintenance=("12:05-12:40 UTC",))
    async with served(desk) as url, client(clock) as asking:
        questions = [asyncio.create_task(asking.query(portal, url, {}, read=orjson.loads)) for _ in range(2)]
        await desk.begun.wait()
        clock.now_s = 400.0
        desk.let.set()
        await asyncio.gather(*questions)
    assert desk.asked == 2
    assert clock() == pytest.approx(2400.0, abs=1)
