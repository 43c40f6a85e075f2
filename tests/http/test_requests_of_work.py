"""One client for each piece of work: what it counts, and which pause stops it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import orjson
import pytest
from aiohttp import web

from tests.sources.desk import FileDesk
from tests.support.http_client import OK, QUICK, client
from tests.support.http_desk import Clock, served
from zoning_assets.errors import Held
from zoning_assets.http import Http, Response, Tally
from zoning_assets.model import Portal

ONE_AT_A_TIME = Portal(60_000, 1)


class Paused:
    """Says whether a piece of work is paused; `looked` when it was asked for the first time."""

    def __init__(self) -> None:
        self.held, self.looked = False, asyncio.Event()

    def __call__(self) -> Held | None:
        self.looked.set()
        return Held("paused by ann", where="us-xx-one", do="resume it") if self.held else None


class Gate:
    """A portal whose answers come when they are let."""

    def __init__(self) -> None:
        self.begun, self.let, self.asked = asyncio.Event(), asyncio.Event(), list[str]()

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked.append(request.query.get("by", ""))
        self.begun.set()
        await self.let.wait()
        return web.Response(body=OK[1])


async def test_each_work_counts_its_own():
    """Works that ask at the same time through one shared client: each counts its requests, redirects and retries too,
    and the bytes of its answers."""
    failed = set[str]()

    async def desk(request: web.Request) -> web.Response:
        who = request.query["by"]
        if who == "moved" and request.path == "/layer":
            raise web.HTTPFound(f"/there?by={who}")
        if who == "ill" and who not in failed:
            failed.add(who)
            return web.Response(status=503, body=b"ill")
        return web.Response(body=b'"' + who.encode() * 100 + b'"')

    tallies = {who: Tally() for who in ("plain", "moved", "ill")}
    clock = Clock()
    async with served(desk) as url, client(clock) as shared:

        async def work(who: str) -> None:
            asking = shared.shared.for_work(tallies[who])
            for _ in range(2):
                await asking.query(QUICK, url, {"by": who}, read=orjson.loads)

        await asyncio.gather(*(work(who) for who in tallies))
    found = {who: (tally.requests, tally.bytes) for who, tally in tallies.items()}
    redirect = len(b"302: Found")
    assert found == {
        "plain": (2, 2 * 502),
        "moved": (4, 2 * (502 + redirect)),
        "ill": (3, 2 * 302 + 3),
    }


class Pieces:
    """A part that only adds up what it is given."""

    def __init__(self) -> None:
        self.size = 0

    def request_headers(self) -> Mapping[str, str]:
        return {"Range": f"bytes={self.size}-", "If-Range": '"one"'} if self.size else {}

    @contextmanager
    def open_writer(self, _: Response) -> Iterator[Callable[[bytes], None]]:
        def write(piece: bytes) -> None:
            self.size += len(piece)

        yield write


async def test_a_download_that_goes_on_counts_each_byte_once():
    """Two requests where the first breaks off; the bytes are those that came in both."""
    tally, part, body = Tally(), Pieces(), b"x" * 600_000
    async with served(FileDesk(body, cuts=[300_000])) as url, client(Clock(), tally) as asking:
        await asking.fetch(QUICK, url, part)
    assert (tally.requests, tally.bytes, part.size) == (2, len(body), len(body))


@pytest.mark.parametrize("by", ["ask", "turn"])
async def test_a_pause_stops_what_waits_in_line(by):
    """A request in line when its work is paused is never sent and not counted; that of another work goes on."""
    desk, paused, tally = Gate(), Paused(), Tally()
    async with served(desk) as url, Http() as http:

        async def ask(who: str, client: object) -> None:
            if who == "held" and by == "turn":
                async with client.permit(ONE_AT_A_TIME, url):
                    desk.asked.append(who)
                return
            await client.query(ONE_AT_A_TIME, url, {"by": who}, read=orjson.loads)

        pausable = http.for_work(tally, paused)
        first = asyncio.create_task(ask("first", http.for_work()))
        await desk.begun.wait()
        held, free = asyncio.create_task(ask("held", pausable)), asyncio.create_task(ask("free", http.for_work()))
        await paused.looked.wait()
        paused.held = True
        desk.let.set()
        with pytest.raises(Held, match="paused by ann"):
            await held
        await asyncio.gather(first, free)
        assert (sorted(desk.asked), tally.requests) == (["first", "free"], 0)
        paused.held = False
        await ask("held", pausable)
    assert (sorted(desk.asked), tally.requests) == (["first", "free", "held"], 1)
