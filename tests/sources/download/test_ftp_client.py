"""Files by FTP: whole, politely, gone on with where they broke, and never a password in a message."""

import asyncio
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sources.desk import request_for
from tests.sources.download.ftp_desk import FtpDesk, serving_ftp
from tests.sources.download.test_download_source import lots
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock
from zoning_assets.errors import FeedRefused, FileRefused, PortalBusy, PortalResting, PortalUnreachable, Stopping
from zoning_assets.http import Client, Tally
from zoning_assets.model import Portal
from zoning_assets.sources.download import download_source, ftp_client, local_copy
from zoning_assets.sources.download.resumable_file import AGAIN_BYTES, ResumableFile

BODY = random.Random(3).randbytes(500_000)


@pytest.fixture
def tally() -> Tally:
    return Tally()


async def fetch(url: str, folder: Path, tally: Tally | None = None) -> local_copy.LocalCopy:
    async with plain_client(tally, sleep=Clock().sleep, jitter=lambda: 1.0) as http:
        return await local_copy.fetch(request_for(url, folder, http))


async def test_a_file_comes_whole(tmp_path, tally):
    """One conversation, passive and binary, to the host that was asked and not to the one it names; bytes counted."""
    desk = FtpDesk(BODY)
    with serving_ftp(desk) as url:
        fetched = await fetch(url, tmp_path, tally)
    assert fetched.path.read_bytes() == BODY
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert (tally.requests, tally.bytes) == (1, len(BODY))
    assert "TYPE I" in desk.asked
    assert desk.asked[:2] == ["USER anonymous", "PASS anonymous@"]


async def test_a_layer_comes_by_ftp(tmp_path):
    """From the address to the rows."""
    with serving_ftp(FtpDesk(lots(7))) as url:
        async with plain_client(sleep=Clock().sleep) as http:
            source = await download_source.open_source(request_for(url, tmp_path, http))
    assert source.here.rows == 7


async def test_a_file_that_did_not_change_is_not_fetched(tmp_path):
    """Same time and size: nothing comes. Another time: the file comes."""
    desk = FtpDesk(BODY)
    with serving_ftp(desk) as url:
        first = await fetch(url, tmp_path)
        assert await fetch(url, tmp_path) == first
        assert desk.given == len(BODY)
        desk.changed = "20250303000000"
        await fetch(url, tmp_path)
        assert desk.given == 2 * len(BODY)


@pytest.mark.parametrize("lack", [{"changed": None}, {"sizes": False}])
async def test_without_time_and_size_it_always_comes_whole(tmp_path, lack):
    """Nothing proves that the file is the same, or that a rest belongs to what is here."""
    desk = FtpDesk(BODY, cuts=[300_000], **lack)
    with serving_ftp(desk) as url:
        fetched = await fetch(url, tmp_path)
        assert fetched.path.read_bytes() == BODY
        await fetch(url, tmp_path)
    assert desk.given == 300_000 + 2 * len(BODY)
    assert not [words for words in desk.asked if words.startswith("REST")]


async def test_a_broken_transfer_goes_on(tmp_path):
    """REST where it broke, a few bytes earlier for comparison."""
    desk = FtpDesk(BODY, cuts=[300_000])
    with serving_ftp(desk) as url:
        fetched = await fetch(url, tmp_path)
    assert fetched.path.read_bytes() == BODY
    assert f"REST {300_000 - AGAIN_BYTES}" in desk.asked
    assert desk.given == len(BODY) + AGAIN_BYTES


async def test_another_run_goes_on_unless_the_file_changed(tmp_path):
    """What a run left is gone on with; where time or size changed it begins anew."""
    desk = FtpDesk(BODY, cuts=[300_000, *[AGAIN_BYTES] * 3])
    with serving_ftp(desk) as url:
        with pytest.raises(PortalUnreachable, match="426"):
            await fetch(url, tmp_path)
        desk.body, desk.changed = BODY[::-1], "20260101000000"
        fetched = await fetch(url, tmp_path)
    assert fetched.path.read_bytes() == BODY[::-1]


async def test_a_file_that_changes_under_way_is_refused(tmp_path):
    """Time and size are looked at before and after; what came is half of each and is not kept."""
    with (
        serving_ftp(FtpDesk(BODY, changes=True)) as url,
        pytest.raises(FileRefused, match="changed during the transfer"),
    ):
        await fetch(url, tmp_path)
    assert {path.name for path in (tmp_path / "scratch/us-xx-town/parcels").iterdir() if path.stat().st_size} == set()


async def test_a_no_is_a_no(tmp_path):
    """A file that is not there is not asked for twice."""
    desk = FtpDesk(BODY)
    with serving_ftp(desk) as url, pytest.raises(FeedRefused, match="550 No such file"):
        await fetch(url.replace("lots", "none"), tmp_path)
    assert sum(words.startswith("RETR") for words in desk.asked) == 1


async def test_the_password_is_in_no_message(tmp_path):
    """A user and a password stand in the address; the server's own words may hold the password, ours do not."""
    desk = FtpDesk(BODY, password="right")  # noqa: S106 - a test's
    with serving_ftp(desk) as url:
        await fetch(url.replace("ftp://", "ftp://ann:right@"), tmp_path)
        assert desk.asked[:2] == ["USER ann", "PASS right"]
        with pytest.raises(FeedRefused, match=r"127\.0\.0\.1.*530 \*\*\* is wrong") as caught:
            await fetch(url.replace("ftp://", "ftp://ann:s%40cret@"), tmp_path)
    assert "s@cret" not in str(caught.value)
    assert "s%40cret" not in str(caught.value)
    assert "right" not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))


async def test_a_busy_server_is_asked_again(tmp_path, tally):
    """Too many users is no answer: after a pause, again; and in the end the operator is told."""
    desk = FtpDesk(BODY, busy=3)
    with serving_ftp(desk) as url:
        assert (await fetch(url, tmp_path, tally)).path.exists()
        assert tally.requests == 4
        desk.busy = 9
        with pytest.raises(PortalBusy, match=r"421 Too many users \(4 tries\)"):
            await fetch(url + "?", tmp_path)


async def test_a_server_that_never_stops_talking_is_left(tmp_path):
    """A greeting without end is bounded in lines."""
    with serving_ftp(FtpDesk(BODY, endless=True)) as url, pytest.raises(PortalUnreachable, match="does not end"):
        await fetch(url, tmp_path)


async def test_nobody_there(tmp_path):
    """An address where nothing answers is named, and so is a path that would say two commands."""
    with serving_ftp(FtpDesk(BODY)) as url, pytest.raises(PortalUnreachable, match="illegal newline"):
        await fetch(url + "%0d%0aDELE%20x", tmp_path)
    with pytest.raises(PortalUnreachable, match="nothing listens there"):
        await fetch(url, tmp_path)


async def test_a_file_is_bounded(tmp_path):
    """A file larger than allowed is refused while it comes."""
    with serving_ftp(FtpDesk(BODY)) as url, closing(ResumableFile(tmp_path / "a.part", {}, "w", 400_000)) as part:
        with pytest.raises(FileRefused, match="larger than"):
            async with plain_client() as http:
                await ftp_client.fetch(request_for(url, tmp_path, http), part, None)
        assert part.size == 0


async def test_maintenance_counts_for_ftp_too(tmp_path):
    """A portal's own window is kept, whatever the protocol."""
    wednesday = datetime(2025, 6, 4, 2, tzinfo=UTC)
    request = request_for("ftp://127.0.0.1:9/x", tmp_path)
    portal = Portal(60_000, 1, ("Wed 00:00-24:00 UTC",))
    async with plain_client(now=lambda: wednesday) as http:
        town = replace(request.jurisdiction, portal=portal)
        with pytest.raises(PortalResting):
            await ftp_client.read_version(replace(request, jurisdiction=town, http=http))


async def test_a_transfer_stops_when_asked_and_is_gone_on_with(tmp_path):
    """A drain ends a long transfer at the next piece; what came is there for the next run."""
    desk = FtpDesk(BODY)
    with serving_ftp(desk) as url:
        async with plain_client(sleep=Clock().sleep) as http:
            request = request_for(url, tmp_path, http)
            part = ResumableFile(tmp_path / "a.part", {}, "w")
            write, loop = part.written, asyncio.get_running_loop()
            part.written = lambda begun: _draining(write(begun), http, loop)  # type: ignore[method-assign]
            with closing(part), pytest.raises(Stopping):
                await ftp_client.fetch(request, part, None)
        assert 0 < part.path.stat().st_size < len(BODY)
        async with plain_client(sleep=Clock().sleep) as http:
            with closing(ResumableFile(tmp_path / "a.part", {}, "w")) as part:
                await ftp_client.fetch(request_for(url, tmp_path, http), part, None)
                assert part.path.read_bytes() == BODY
    assert any(words.startswith("REST") for words in desk.asked)


#: The last 64 KiB of what came are asked for again and compared; with fewer there is nothing to go on with.
_MORE_THAN_IS_CHECKED = 128 << 10


@contextmanager
def _draining(written: Any, http: Client, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Takes bytes, and has the program asked to stop when there is more than is always fetched again."""
    taken = 0

    async def drain() -> None:
        http.shared.drain()

    def take(piece: bytes) -> None:
        nonlocal taken
        write(piece)
        taken += len(piece)
        if taken > _MORE_THAN_IS_CHECKED:
            asyncio.run_coroutine_threadsafe(drain(), loop).result(10)

    with written as write:
        yield take


async def test_a_probe_asks_for_time_and_size(tmp_path, tally):
    """One conversation, no byte of the file; a size alone is no signal."""
    desk = FtpDesk(BODY)
    with serving_ftp(desk) as url:
        async with plain_client(tally, sleep=Clock().sleep) as http:
            request = request_for(url, tmp_path, http)
            assert await download_source.probe(request) == {"changed": "20250101000000", "size": len(BODY)}
            assert (tally.requests, desk.given) == (1, 0)
            desk.changed = None
            assert await download_source.probe(request) == {}, "a size alone is no signal"
            assert ftp_client.Version(None, 1).name is None


# A server that is not ours.

_SERVER = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
people = DummyAuthorizer()
people.add_anonymous(sys.argv[1])
people.add_user("ann", "s@cret", sys.argv[1], perm="elr")
FTPHandler.authorizer = people
server = FTPServer(("127.0.0.1", 0), FTPHandler)
print(server.socket.getsockname()[1], flush=True)
server.serve_forever()
"""


@contextmanager
def pyftpdlib(folder: Path) -> Iterator[str]:
    """A real server over a folder: pyftpdlib, where it is installed (or in the folder that ZONING_PYFTPDLIB names)."""
    beside = os.environ.get("ZONING_PYFTPDLIB", "")
    if not beside and importlib.util.find_spec("pyftpdlib") is None:
        pytest.skip("pyftpdlib is not installed here")
    command = [sys.executable, "-W", "ignore", "-c", _SERVER, str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": beside}, text=True, **pipes) as server:
        try:
            assert server.stdout is not None
            yield f"127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


@pytest.mark.parametrize("user", ["", "ann:s%40cret@"])
async def test_a_real_server_gives_the_same(tmp_path, user):
    """pyftpdlib: whole, unchanged, changed, and gone on with."""
    (tmp_path / "served/gis").mkdir(parents=True)
    file = tmp_path / "served/gis/town lots.bin"
    file.write_bytes(BODY)
    with pyftpdlib(tmp_path / "served") as host:
        url = f"ftp://{user}{host}/gis/town%20lots.bin"
        first = await fetch(url, tmp_path)
        assert first.path.read_bytes() == BODY
        assert await fetch(url, tmp_path) == first
        file.write_bytes(BODY[:-1])
        assert (await fetch(url, tmp_path)).path.read_bytes() == BODY[:-1]
        file.write_bytes(BODY)
        async with plain_client(sleep=Clock().sleep) as http:
            request = request_for(url, tmp_path / "again", http)
            version = await ftp_client.read_version(request)
            part = ResumableFile(request.folder / f"{local_copy.file_name(url)}.part", {}, "w")
            part.note({"validator": version.name, "size": version.size})
            with part.written(lambda: 0) as write:
                write(BODY[:200_000])
            part.close()
            http.tally.bytes = 0
            assert (await local_copy.fetch(request)).path.read_bytes() == BODY
            assert http.tally.bytes == len(BODY) - 200_000 + AGAIN_BYTES
