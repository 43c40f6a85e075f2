"""Portals are asked politely, patiently and within limits; a real server on loopback, and no test waits."""

import gzip
import hashlib
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web

from tests.support.http_client import client as client_from
from tests.support.http_desk import Answers, Clock, Desk, served
from zoning_assets.errors import FeedRefused, FileRefused, PortalBusy, PortalUnreachable
from zoning_assets.http import Client, Http, Response, Tally, body_reader
from zoning_assets.http.rate_limit import interval_s
from zoning_assets.model import Portal
from zoning_assets.sources.download.resumable_file import ResumableFile

NOW = datetime(2025, 6, 4, 12, 0, tzinfo=UTC)  # a Wednesday
QUICK = Portal(requests_per_minute=60_000, connections=8)


OK = (200, b'{"count": 7}', {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(clock: Clock, tally: Tally | None = None) -> AbstractAsyncContextManager[Client]:
    return client_from(clock, tally, now=lambda: NOW)


async def ask(
    desk: Answers, clock: Clock, portal: Portal = QUICK, tally: Tally | None = None, **params: str
) -> Response:
    async with served(desk) as url, client(clock, tally) as asking:
        return await asking.query(portal, url, params, read=orjson.loads)


async def test_an_answer_is_read_and_counted(clock):
    """One question is one request, its body read, inflated and counted in bytes."""
    mine = Tally()
    desk = Desk((200, gzip.compress(OK[1]), {"Content-Encoding": "gzip"}))
    answer = await ask(desk, clock, tally=mine, f="json", where="1=1")
    assert answer.value == {"count": 7}
    assert desk.asked == [("GET", {"f": "json", "where": "1=1"})]
    assert (mine.requests, mine.bytes, clock.slept) == (1, len(OK[1]), [])


async def test_the_budget_is_the_hosts(clock):
    """All questions to one host share its budget, the more careful file's; another host has its own."""
    async with served(Desk(OK)) as url, client(clock) as asking:
        other = url.replace("127.0.0.1", "LOCALHOST").replace("http://", "http://ann:secret@")
        for portal, address in (
            (Portal(60, 2), url),
            (Portal(30, 2), url + "/2"),
            (Portal(60, 2), url),
            (Portal(60, 2), other),
        ):
            await asking.query(portal, address, {}, read=orjson.loads)
        minute, half = interval_s(60), interval_s(30)
        assert clock.slept == pytest.approx([minute, half])
        await asking.query(Portal(60, 2), other.replace("ann:secret@", ""), {}, read=orjson.loads)
    assert clock.slept == pytest.approx([minute, half, minute], abs=0.021)  # who comes late may make up for 20 ms


@pytest.mark.parametrize(
    ("headers", "slept"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 04 Jun 2025 12:00:09 GMT"}, 9.0),
        ({"Retry-After": "0"}, 0.5),
        ({"Retry-After": "Wed, 04 Jun 2025 11:00:00 GMT"}, 0.5),
        ({"Retry-After": "soon"}, 0.5),
        ({}, 0.5),
    ],
)
async def test_retry_after_is_obeyed(clock, headers, slept):
    """The portal's own wish in seconds or as a date is the wait; 0, the past and nonsense are no hint."""
    desk = Desk((429, b"", headers), OK)
    assert (await ask(desk, clock)).value == {"count": 7}
    assert len(desk.asked) == 2
    assert clock.slept[0] == pytest.approx(slept, abs=0.01)


async def test_a_long_wait_is_handed_to_the_operator(clock):
    """A portal that wants an hour is left alone at once; the message says how long."""
    desk = Desk((503, b"", {"Retry-After": "3600"}))
    with pytest.raises(PortalBusy, match=r"HTTP 503.*3600 s") as caught:
        await ask(desk, clock)
    assert (caught.value.wait_s, len(desk.asked), clock.slept) == (3600, 1, [])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_passing_illness_is_waited_out(clock, status):
    """A busy or ill portal is asked again, each time after a longer pause, and its answer counts."""
    desk, mine = Desk(*[(status, b"", {})] * 3, OK), Tally()
    assert (await ask(desk, clock, tally=mine)).value == {"count": 7}
    assert [pause for pause in clock.slept if pause >= 0.5] == [0.5, 1.0, 2.0]
    assert mine.requests == 4


async def test_patience_ends(clock):
    """A portal that stays ill is given up after six tries, by name, without a last idle wait."""
    desk = Desk((503, b"", {}))
    with pytest.raises(PortalUnreachable, match=r"127\.0\.0\.1:\d+/layer: HTTP 503 \(6 tries\)"):
        await ask(desk, clock)
    assert len(desk.asked) == 6
    assert [pause for pause in clock.slept if pause >= 0.5] == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_no_is_a_no(clock, status):
    """A refusal is not asked again."""
    desk = Desk((status, b"<html>blocked</html>", {}))
    with pytest.raises(FeedRefused, match=f"HTTP {status}"):
        await ask(desk, clock)
    assert (len(desk.asked), clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"message": "You must be\\nlogged in", "error": true}', 'HTTP 403, it says "You must be logged in";'),
        (b'{"success": false, "error": {"message": "Not found"}}', 'HTTP 403, it says "Not found";'),
        (b'{"code": "NotFound", "description": "no such collection"}', 'HTTP 403, it says "no such collection";'),
        (b'{"message": "see http://ann:pa55@host/a?token=s3cret"}', 'HTTP 403, it says "see http://host/a";'),
        (b'{"message": "see http://["}', 'HTTP 403, it says "see an invalid address";'),
        (b'{"message": ["odd"], "error": 7}', "HTTP 403;"),
        (b"[1]", "HTTP 403;"),
        (b"[" * 100_000, "HTTP 403;"),
    ],
)
async def test_a_no_says_why(clock, tmp_path, body, said):
    """What the portal states of its refusal stands in the message, in one line and without secrets, in any form."""
    async with served(Desk((403, body, {}))) as url, client(clock) as asking:
        with pytest.raises(FeedRefused) as asked:
            await asking.query(QUICK, url, {}, read=orjson.loads)
        with pytest.raises(FeedRefused) as downloaded:
            await asking.fetch(QUICK, url, ResumableFile(tmp_path / "file", {}, "here"))
    assert said in str(asked.value)
    assert str(downloaded.value) == str(asked.value)


async def test_a_block_page_is_asked_again(clock):
    """HTML where JSON was asked for is a proxy's page: asked again, and then read."""
    desk = Desk((200, b"<html>Request blocked</html>", {}), OK)
    assert (await ask(desk, clock)).value == {"count": 7}
    assert len(desk.asked) == 2


async def test_a_block_page_that_stays_is_refused_by_name(clock):
    """A proxy that never lets us through is named with the address, and its page is never taken for an answer."""
    desk = Desk((200, b"<html>Request blocked</html>", {}))
    with pytest.raises(PortalUnreachable, match=r"127\.0\.0\.1:\d+/layer: a web page.*Request blocked.*6 tries"):
        await ask(desk, clock)


async def test_a_silent_address_is_named(clock):
    """Nobody listening is tried again and then said in one line."""
    async with served(Desk(OK)) as url:
        pass
    async with client(clock) as asking:
        with pytest.raises(PortalUnreachable, match=r"nothing listens there.*check the address") as caught:
            await asking.query(QUICK, url, {}, read=orjson.loads)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.what, str)


async def test_an_answer_larger_than_allowed_is_refused(clock, monkeypatch):
    """An answer that grows beyond the limit, inflated, is dropped at once and not asked for again."""
    monkeypatch.setattr(body_reader, "_LARGEST_BODY", 1 << 20)
    desk = Desk((200, gzip.compress(b" " * (2 << 20)), {"Content-Encoding": "gzip"}))
    with pytest.raises(FileRefused, match="larger than 1 MiB"):
        await ask(desk, clock)
    assert len(desk.asked) == 1


@pytest.mark.parametrize(("length", "method"), [(1400, "GET"), (1600, "POST"), (1_000_000, "POST")])
async def test_a_long_query_goes_by_post(clock, length, method):
    """Servers refuse addresses beyond 2,000 characters: such a query is a form, and arrives whole."""
    desk = Desk(OK)
    await ask(desk, clock, geometry="x" * length)
    assert desk.asked == [(method, {"geometry": "x" * length})]


async def test_a_file_comes_whole_or_is_refused(clock, tmp_path):
    """A download lies on disk with its hash; 304 leaves the file alone; one that is too large is refused."""
    into, body = tmp_path / "file", b"x" * (3 << 20)
    async with (
        served(Desk((503, b"ill", {}), (200, body, {"ETag": "1"}), (304, b"", {}), (200, body, {}))) as url,
        client(clock) as asking,
    ):
        part = ResumableFile(into, {}, "here", 4 << 20)
        first = await asking.fetch(QUICK, url, part)
        assert part.check() == hashlib.sha256(body).hexdigest()
        part.close()
        again = await asking.fetch(QUICK, url, ResumableFile(into, {"If-None-Match": "1"}, "here", 4 << 20))
        assert (first.status, first.headers["ETag"], again.status) == (200, "1", 304)
        with pytest.raises(FileRefused, match="larger than 2 MiB"):
            await asking.fetch(QUICK, url, ResumableFile(tmp_path / "other", {}, "here", 2 << 20))
    assert into.read_bytes() == body


async def _round_and_round(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(f"http://ann:pa55@{request.host}/layer?token=s3cret&n={request.query.get('n', '') + '1'}")


async def _wrong_way(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("ftp://ann:pa55@host/layer?token=s3cret")


@pytest.mark.parametrize("answers", [_round_and_round, _wrong_way, Desk((503, b"", {})), Desk((403, b"", {}))])
async def test_secrets_are_in_no_message(clock, answers):
    """Neither the token of a query nor a password in an address reaches a message, wherever the client saw it."""
    async with served(answers) as url, client(clock) as asking:
        address = url.replace("http://", "http://ann:pa55@")
        with pytest.raises((PortalUnreachable, FeedRefused)) as caught:
            await asking.query(QUICK, address, {"token": "s3cret"}, read=orjson.loads)
    assert "s3cret" not in str(caught.value)
    assert "pa55" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


async def test_a_client_that_was_not_entered_says_so():
    """Asking before the session is open is our own mistake, and named."""
    with pytest.raises(RuntimeError, match="enter the client first"):
        await Http().for_work().query(QUICK, "http://127.0.0.1/", {}, read=orjson.loads)
