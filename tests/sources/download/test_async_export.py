"""A portal that makes its file first is waited for, patiently and within bounds."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.sources.desk import request_for
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock, served
from zoning_assets.errors import FeedRefused, PortalBusy, Stopping
from zoning_assets.http import Tally
from zoning_assets.sources.download import async_export
from zoning_assets.sources.download.resumable_file import ResumableFile

FILE = b'{"type": "FeatureCollection", "status": "pending", "features": []}'
Said = tuple[int, Any, dict[str, str]]


class Baker:
    """A portal that answers from a list, by path; the last answer again and again."""

    def __init__(self, **answers: list[Said]) -> None:
        self.answers, self.asked = {"layer": [], **answers}, []

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        left = self.answers[request.path.strip("/")]
        status, said, headers = left.pop(0) if len(left) > 1 else left[0]
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return web.Response(status=status, body=body, headers=headers)


async def bake(
    baker: Baker, folder: Path, clock: Clock | None = None, tally: Tally | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The file, and what was said of it."""
    clock = clock or Clock()
    usual = {"sleep": clock.sleep, "clock": clock, "jitter": lambda: 1.0}
    async with served(baker) as url, plain_client(tally, **usual) as http:
        request = request_for(url, folder, http)
        answer, part, said = await async_export.fetch(
            request, lambda address: ResumableFile(folder / str(hash(address)), {}, "w")
        )
        with closing(part):
            assert answer.status == 200
            return part.path.read_bytes(), said


def waits(clock: Clock) -> list[float]:
    return [pause for pause in clock.slept if pause > 0.1]  # without the budget's own


async def test_the_same_address_is_asked_until_the_file_is_there(tmp_path):
    """202 while baking, then the file; the pauses grow, and jitter moves them."""
    baker, clock = Baker(layer=[(202, {"status": "Pending"}, {})] * 3 + [(200, FILE, {})]), Clock()
    assert await bake(baker, tmp_path, clock) == (FILE, {"export": "Pending"})
    assert (len(baker.asked), waits(clock)) == (4, [5.0, 10.0, 20.0])


async def test_a_file_that_is_there_is_not_polled(tmp_path):
    """A small GeoJSON is a file, whatever its members are called."""
    baker = Baker(layer=[(200, FILE, {})])
    assert await bake(baker, tmp_path) == (FILE, {})
    assert len(baker.asked) == 1


async def test_twelve_polls_and_no_more(tmp_path):
    """A portal that bakes for ever is left alone; the message says what to do."""
    baker, tally = Baker(layer=[(202, b"", {})]), Tally()
    with pytest.raises(PortalBusy, match=r"us-xx-town parcels: http.*still making the file after 12 polls.*run again"):
        await bake(baker, tmp_path, tally=tally)
    assert len(baker.asked) == 1 + async_export.MOST_POLLS == tally.requests


async def test_the_last_poll_may_bring_the_address(tmp_path):
    """What is made at the twelfth poll is still fetched."""
    pending = [(202, {"status": "InProgress"}, {})] * 12
    baker = Baker(layer=[*pending, (200, {"status": "Completed", "resultUrl": "/made"}, {})], made=[(200, FILE, {})])
    assert (await bake(baker, tmp_path))[0] == FILE


@pytest.mark.parametrize(
    ("first", "next_"),
    [
        ((200, {"status": "Completed", "resultUrl": "/made"}, {}), "/made"),
        ((200, {"data": {"attributes": {"status": "ready", "downloadUrl": "made?x=1"}}}, {}), "/made?x=1"),
        ((202, {"status": "Pending"}, {"Location": "/made"}), "/made"),
        ((202, {"statusUrl": "/made"}, {}), "/made"),
        ((202, {"token": "a b"}, {}), "/layer?token=a+b"),
    ],
)
async def test_a_portal_says_where_to_ask_next(tmp_path, first, next_):
    """A result's address, a job's address, or a token that goes with the question."""
    baker = Baker(layer=[first, (200, FILE, {})], made=[(200, FILE, {})])
    assert (await bake(baker, tmp_path))[0] == FILE
    assert baker.asked[1] == next_


@pytest.mark.parametrize("status", ["Failed", "CompletedWithErrors"])
async def test_an_export_that_failed_is_refused(tmp_path, status):
    """A failed export is a no, whatever HTTP says."""
    with pytest.raises(FeedRefused, match=f"could not make the file: {status}"):
        await bake(Baker(layer=[(200, {"status": status}, {})]), tmp_path)


@pytest.mark.parametrize(
    "address",
    ["http://elsewhere.example/f", "file:///etc/passwd", "https://10.0.0.1/f", "https://x.localhost/f", "ftp://a.b/c"],
)
async def test_the_file_is_not_fetched_from_anywhere(tmp_path, address):
    """A portal cannot send us into our own network, or over an open line to another site."""
    with pytest.raises(FeedRefused, match="points to another site"):
        await bake(Baker(layer=[(200, {"resultUrl": address}, {})]), tmp_path)


async def test_a_job_is_only_polled_on_its_own_site(tmp_path):
    """Where a job's address leads elsewhere, encrypted or not, nobody is asked there."""
    with pytest.raises(FeedRefused, match="points to another site"):
        await bake(Baker(layer=[(202, {}, {"Location": "https://elsewhere.example/job"})]), tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example.org/x", "https://b.example.org/y", True),
        ("https://example.org/x", "http://example.org/y", True),
        ("https://10.0.0.1/x", "https://9.0.0.1/y", False),
        ("https://example.org/x", "https://example.com/y", False),
        ("gopher://example.org/x", "https://example.org/y", False),
    ],
)
def test_what_one_site_is(one, other, same):
    """A host, or hosts of one domain; numbers are no names."""
    assert async_export._same_site(one, other) is same


async def test_addresses_that_lead_in_a_circle_end(tmp_path):
    """A result that is another result's address is followed a few times."""
    baker = Baker(layer=[(200, {"resultUrl": "/layer"}, {})])
    with pytest.raises(PortalBusy):
        await bake(baker, tmp_path)
    assert len(baker.asked) < 6


async def test_retry_after_is_the_least_pause(tmp_path):
    """A portal that says when to ask again is not asked before."""
    baker, clock = Baker(layer=[(202, b"", {"Retry-After": "30"}), (200, FILE, {})]), Clock()
    await bake(baker, tmp_path, clock)
    assert waits(clock) == [32.5]


async def test_polling_stops_when_asked(tmp_path):
    """A drain does not wait for a file that is being made."""
    baker = Baker(layer=[(202, b"", {})])
    async with served(baker) as url, plain_client(sleep=Clock().sleep) as http:
        request = request_for(url, tmp_path, http)
        http.shared.drain()
        with pytest.raises(Stopping):
            await async_export.fetch(request, lambda _: ResumableFile(tmp_path / "a", {}, "w"))
    assert baker.asked == []


async def test_a_long_retry_after_is_handed_on(tmp_path):
    """An hour is not waited for; the operator is told."""
    with pytest.raises(PortalBusy, match="3600 s") as caught:
        await bake(Baker(layer=[(202, b"", {"Retry-After": "3600"})]), tmp_path)
    assert caught.value.wait_s == 3600


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"cacheStatus": "stale"}, "older than its layer"),
        ({"lastModified": "2025-01-01T00:00:00Z", "lastEditDate": 1738368000000}, "made 2025-01-01.*edited 2025-02-01"),
        ({"lastModified": "2025-03-01T00:00:00Z", "lastEditDate": 1738368000000}, None),
        ({"lastModified": "yesterday", "lastEditDate": 1e300}, None),
    ],
)
async def test_a_stale_file_is_told(tmp_path, said, told):
    """Where the answer says that the file is older than its layer, so does the proof."""
    baker = Baker(layer=[(200, {"status": "Completed", "resultUrl": "/made", **said}, {})], made=[(200, FILE, {})])
    _, proof = await bake(baker, tmp_path)
    assert re.search(told, proof["stale export"]) if told else "stale export" not in proof


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"x"', b"\xff\xfe", b"{" * 60_000, b"null", b'{"data": ' * 500])
async def test_a_202_may_say_anything(tmp_path, body):
    """The body of a 202 is a stranger's; it is polled all the same."""
    baker = Baker(layer=[(202, body, {}), (200, FILE, {})])
    assert (await bake(baker, tmp_path))[0] == FILE
