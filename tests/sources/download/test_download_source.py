"""A file is fetched once, kept by its content, gone on with after a kill, and taken away when nobody reads it."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from aiohttp import web

from tests.sources.desk import FileDesk, request_for
from tests.sources.portals import count_of
from tests.support.http_client import plain_client
from tests.support.http_desk import Answers, Clock, served
from tests.support.waiting import until
from zoning_assets.errors import FeedRefused, FileRefused, HarvestIncomplete
from zoning_assets.http import Client, Tally
from zoning_assets.sources.download import cache_dir, download_source
from zoning_assets.sources.download.resumable_file import AGAIN_BYTES
from zoning_assets.sources.full_layer import FullLayer


@pytest.fixture
def tally() -> Tally:
    return Tally()


def lots(rows: int = 40, text: str = "") -> bytes:
    """A GeoJSON of lots about the origin."""
    corners = [(i % 100 * 5e-3, i // 100 * 5e-3) for i in range(rows)]
    boxes = [shapely.box(x, y, x + 4e-3, y + 4e-3) for x, y in corners]
    features = [
        {"type": "Feature", "properties": {"ml": f"p{i}", "text": text}, "geometry": shapely.geometry.mapping(box)}
        for i, box in enumerate(boxes)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


async def opened(desk: Answers, folder: Path, **effects: Any) -> FullLayer:
    async with served(desk) as url, plain_client(sleep=Clock().sleep, **effects) as http:
        return await download_source.open_source(request_for("http://town.example/lots", folder, _At(http, url)))


class _At:
    """A client that finds every address on one desk, so that it may move to another port."""

    def __init__(self, http: Client, url: str) -> None:
        self._http, self._url = http, url

    def __getattr__(self, name: str) -> Any:
        return getattr(self._http, name)

    async def fetch(self, portal: Any, _url: str, part: Any) -> Any:
        return await self._http.fetch(portal, self._url, part)


def contents(folder: Path) -> list[str]:
    """The versions that are kept."""
    return sorted(path.name for path in (folder / "scratch/us-xx-town/parcels").iterdir() if path.is_dir())


# Fetched once.


async def test_a_file_that_did_not_change_is_not_fetched(tmp_path):
    """The second run asks with the ETag, is told 304, and has the same file."""
    desk = FileDesk(lots())
    first = await opened(desk, tmp_path)
    again = await opened(desk, tmp_path)
    assert [each.get("If-None-Match") for each in desk.asked] == [None, '"one"']
    assert first.stamp == again.stamp
    assert first.stamp["sha256"] == hashlib.sha256(desk.body).hexdigest()
    assert await count_of(again) == 40


async def test_what_is_too_old_is_fetched_whole_again(tmp_path):
    """Beyond `full_refresh_days` no signal is believed."""
    desk = FileDesk(lots())
    await opened(desk, tmp_path)
    desk.body = lots(41)  # under the ETag of the other
    later = datetime.now(UTC) + timedelta(days=31)
    source = await opened(desk, tmp_path, now=lambda: later)
    assert source.here.rows == 41


async def test_a_304_for_who_has_nothing_is_refused(tmp_path):
    """A portal that says `not modified` to the first question is not believed."""

    async def never_modified(_: web.Request) -> web.Response:
        return web.Response(status=304)

    with pytest.raises(FeedRefused, match="304"):
        await opened(never_modified, tmp_path)


async def test_a_new_version_does_not_touch_the_old_one(tmp_path):
    """Who opened the old version goes on with it, though another run has fetched a new one and tidied."""
    desk = FileDesk(lots(40))
    old = await opened(desk, tmp_path)
    desk.body, desk.headers = lots(50), {"ETag": '"two"'}
    new = await opened(desk, tmp_path)
    assert (await count_of(old), await count_of(new)) == (40, 50)


async def test_the_export_is_part_of_the_proof(tmp_path):
    """What the portal said of its file stands in the harvest's proof, also where the file is not fetched again."""
    desk, baked = FileDesk(lots()), []

    async def baking(request: web.Request) -> web.StreamResponse:
        baked.append(request)
        if len(baked) == 1:
            return web.json_response({"status": "Pending", "cacheStatus": "stale"}, status=202)
        return await desk(request)

    for _ in range(2):
        source = await opened(baking, tmp_path)
        assert source.here.proof["stale export"] == "the portal states that its file is older than its layer"


# Killed.


class _Slow(FileDesk):
    """Gives half of the first answer, and then nothing until `gone` is set."""

    gone = asyncio.Event()

    async def _give(
        self, request: web.Request, body: bytes, headers: dict[str, str], status: int
    ) -> web.StreamResponse:
        if status == 206 or request.headers.get("If-None-Match"):
            return await super()._give(request, body, headers, status)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        self.given += len(body) // 2
        await self.gone.wait()
        return response


def _wait_for(folder: Path, size: int) -> None:
    until(lambda: sum(each.stat().st_size for each in folder.glob("*.part")) >= size, f"{size} bytes")


async def test_a_killed_download_goes_on(tmp_path):
    """kill -9 in the middle of a download: the next run asks for the rest only, and all rows are there."""
    desk = _Slow(lots(4000, "x" * 300))
    part = tmp_path / "scratch/us-xx-town/parcels"
    async with served(desk) as url:
        command = [sys.executable, "-m", "tests.sources.download.download_child", url, str(tmp_path)]
        process = await asyncio.create_subprocess_exec(*command)
        await asyncio.to_thread(_wait_for, part, 500_000)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        desk.gone.set()
        [left] = [each.stat().st_size for each in part.glob("*.part")]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
    assert out.decode().split() == ["4000", hashlib.sha256(desk.body).hexdigest()]
    assert [each.get("Range") for each in desk.asked] == [None, f"bytes={left - AGAIN_BYTES}-"]


# Several at once.


def test_processes_that_read_the_same_layer_at_once(tmp_path):
    """Three processes fetch and read one layer at the same time: each has all rows."""
    (tmp_path / "lots.geojson").write_bytes(lots(3000))
    command = [sys.executable, "-m", "tests.sources.download.download_child", "lots.geojson", str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [each.communicate(timeout=500)[0].split()[0] for each in running]
    assert said == ["3000"] * 3


async def test_rows_that_do_not_add_up_are_no_harvest(tmp_path):
    """A layer that gives fewer rows than the file says is refused."""
    source = await opened(FileDesk(lots()), tmp_path)
    source.here = replace(source.here, rows=41)
    with pytest.raises(HarvestIncomplete, match="rows in the layer"):
        await count_of(source)


# Tidied.


async def test_only_the_newest_version_stays(tmp_path):
    """Ten versions later, the scratch folder holds the newest and what the last run replaced."""
    desk = FileDesk(b"")
    for rows in range(10, 20):
        desk.body, desk.headers = lots(rows), {"ETag": f'"{rows}"'}
        source = await opened(desk, tmp_path)
        assert await count_of(source) == rows
        source._hold.end()
    assert len(contents(tmp_path)) == 2
    await opened(desk, tmp_path)
    assert contents(tmp_path) == [hashlib.sha256(desk.body).hexdigest()[:32]]


def test_nothing_goes_while_somebody_reads(tmp_path):
    """Whoever holds the folder keeps all of it; once it lets go, or dies, the next to come tidies."""
    for name in ("a" * 32, "b" * 32):
        (tmp_path / name / "unpacked").mkdir(parents=True)
    os.utime(tmp_path / ("a" * 32), (0, 0))
    code = "from zoning_assets.sources.download.cache_dir import FolderLock; from pathlib import Path; "
    code += f"h = FolderLock(Path({str(tmp_path)!r}))"
    hold = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print('in', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert hold.stdout is not None
    assert hold.stdout.readline() == b"in\n"
    (tmp_path / ("c" * 32)).mkdir()
    cache_dir.FolderLock(tmp_path).end()
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    hold.kill()
    hold.communicate()
    cache_dir.FolderLock(tmp_path).end()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["c" * 32]


def test_the_last_to_leave_still_holds(tmp_path):
    """Two hold the folder; when the first lets go, the second's files stay."""
    first, second = cache_dir.FolderLock(tmp_path), cache_dir.FolderLock(tmp_path)
    for name in ("a" * 32, "b" * 32):
        (tmp_path / name).mkdir()
    first.end()
    cache_dir.FolderLock(tmp_path).end()
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    second.end()


def test_a_broken_download_is_not_kept_for_ever(tmp_path):
    """What came of a download is kept for a day; the note of the one still of use stays."""
    names = ["0" * 16 + ending for ending in (".part", ".part.json", ".json")] + ["1" * 16 + ".json", "other"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - 25 * 3600,) * 2)
    (tmp_path / ("2" * 16 + ".part")).touch()
    cache_dir.FolderLock(tmp_path, "0" * 16).end()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"0" * 16 + ".json", "other", "2" * 16 + ".part", "lock"}


# Files beside the jurisdiction file.


async def test_a_shapefile_is_all_of_its_files(tmp_path):
    """Where only the .dbf of a local shapefile changed, the layer changed."""
    table = gpd.read_file(lots(3))
    table.to_file(tmp_path / "lots.shp")
    async with plain_client() as http:
        first = await download_source.open_source(request_for("lots.shp", tmp_path, http))
        table.assign(text="new").to_file(tmp_path / "other.shp")
        (tmp_path / "other.dbf").replace(tmp_path / "lots.dbf")
        second = await download_source.open_source(request_for("lots.shp", tmp_path, http))
    assert first.stamp["sha256"] != second.stamp["sha256"]


@pytest.mark.parametrize("name", ["lots.geojson", "lots.gpkg"])
async def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, name):
    """What was hashed, what was scanned and what is cut out must be one file."""
    gpd.read_file(lots(40)).to_file(tmp_path / name)
    async with plain_client() as http:
        source = await download_source.open_source(request_for(name, tmp_path, http))
    gpd.read_file(lots(40, "y")).to_file(tmp_path / name)
    with pytest.raises(FileRefused, match="changed while it was read"):
        await count_of(source)
    assert not list((tmp_path / "scratch").rglob("*.rows*"))


async def test_rows_of_text_are_parsed_once(tmp_path):
    """The scan leaves a copy of the rows, and what is cut out is what was scanned, whatever became of the file."""
    (tmp_path / "lots.geojson").write_bytes(lots(40))
    async with plain_client() as http:
        source = await download_source.open_source(request_for("lots.geojson", tmp_path, http))
    first = list(source.here.batches())
    (tmp_path / "lots.geojson").write_bytes(b"{}")
    assert list(source.here.batches()) == first
    assert await count_of(source) == 40


async def test_a_reading_that_breaks_off_leaves_no_copy(tmp_path):
    """Half of the rows are nobody's copy."""
    source = await opened(FileDesk(lots(5000)), tmp_path)
    reading = source.here.batches()
    next(reading)
    reading.close()
    assert not list((tmp_path / "scratch").rglob("*.rows*"))
    assert sum(map(len, source.here.batches())) == 5000
    assert len(list((tmp_path / "scratch").rglob("*.rows"))) == 1


# Asked about, not fetched.


async def probed(desk: Answers, folder: Path, tally: Tally | None = None) -> dict[str, Any]:
    async with served(desk) as url, plain_client(tally, sleep=Clock().sleep) as http:
        return await download_source.probe(request_for(url, folder, http))


async def test_a_probe_is_one_head(tmp_path, tally):
    """What the portal states of the file in one request, without a byte of it; a new version is seen."""
    desk = FileDesk(lots(), {"ETag": '"one"', "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"})
    first = await probed(desk, tmp_path, tally)
    assert first == {"etag": '"one"', "changed": "Wed, 01 Jan 2025 00:00:00 GMT", "size": len(desk.body)}
    assert (tally.requests, desk.given, desk.asked[0]["method"]) == (1, 0, "HEAD")
    desk.headers = {"ETag": '"two"'}
    assert await probed(desk, tmp_path) != first


@pytest.mark.parametrize("status", [403, 404, 405, 500, 501])
async def test_a_portal_without_head_is_asked_for_a_byte(tmp_path, tally, status):
    """Two requests at most; the size is that of the whole file."""
    body = lots()

    async def no_head(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(status=status)
        assert request.headers["Range"] == "bytes=0-0"
        headers = {"ETag": '"one"', "Content-Range": f"bytes 0-0/{len(body)}"}
        return web.Response(status=206, body=body[:1], headers=headers)

    assert await probed(no_head, tmp_path, tally) == {"etag": '"one"', "size": len(body)}
    assert tally.requests == 2


async def test_a_size_alone_is_no_signal(tmp_path):
    """A table of fixed width keeps its size through most edits."""
    assert await probed(FileDesk(lots(), {}), tmp_path) == {}


async def test_a_file_that_is_being_made_gives_no_signal(tmp_path):
    """A 202 says nothing of the file."""

    async def baking(_: web.Request) -> web.Response:
        return web.Response(status=202, headers={"ETag": '"job"'})

    assert await probed(baking, tmp_path) == {}


async def test_a_probe_of_a_local_file(tmp_path, monkeypatch):
    """Size and hash, or the time where hashing takes long; nothing is asked of anybody."""
    (tmp_path / "lots.geojson").write_bytes(lots())
    request = request_for("lots.geojson", tmp_path)
    first = await download_source.probe(request)
    assert first["sha256"]
    assert first["size"] == len(lots())
    (tmp_path / "lots.geojson").write_bytes(lots(text="y"))
    assert (await download_source.probe(request))["sha256"] != first["sha256"]
    assert request.http.tally.requests == 0
    monkeypatch.setattr(download_source, "_CHEAP_BYTES", 10)
    assert set(await download_source.probe(request)) == {"changed", "size"}


async def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "lots.geojson")
    async with plain_client() as http:
        with pytest.raises(FileRefused, match="neither a file nor a folder"):
            await download_source.open_source(request_for("lots.geojson", tmp_path, http))


async def test_an_error_keeps_no_lock(tmp_path):
    """The errors of many feeds are kept until the end of a run; each lock would be an open file."""
    async with plain_client() as http:
        with pytest.raises(FileRefused, match="there is no such file") as caught:
            await download_source.open_source(request_for("none.geojson", tmp_path, http))
    assert caught.value.__traceback__ is not None
    with (tmp_path / "scratch/us-xx-town/parcels/lock").open() as lock:
        assert cache_dir._alone(lock.fileno())
