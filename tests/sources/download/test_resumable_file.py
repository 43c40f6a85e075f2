"""A download that breaks goes on where it was, or begins anew; what is kept is exactly the portal's file."""

import asyncio
import base64
import fcntl
import hashlib
import random
from contextlib import closing
from pathlib import Path

import pytest

from tests.sources.desk import QUICK, FileDesk
from tests.support.http_client import plain_client
from tests.support.http_desk import Clock, served
from zoning_assets.errors import FileRefused, PortalUnreachable
from zoning_assets.sources.download import resumable_file
from zoning_assets.sources.download.resumable_file import AGAIN_BYTES, ResumableFile

BODY = random.Random(7).randbytes(600_000)
CUT = 300_000
OLD = {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "Date": "Wed, 01 Jan 2025 01:00:00 GMT"}


async def fetch(desk: FileDesk, path: Path, **limits: int) -> str:
    """The hash of the file once it is here; retries are those of one run."""
    async with served(desk) as url, plain_client(sleep=Clock().sleep) as http:
        with closing(ResumableFile(path, {}, "the feed", **limits)) as part:
            await http.fetch(QUICK, url, part)
            sha256 = part.check()
            part.move_to(path.with_name("whole"))
    assert path.with_name("whole").read_bytes() == desk.body
    assert sha256 == hashlib.sha256(desk.body).hexdigest()
    assert [each.name for each in path.parent.iterdir()] == ["whole"]
    return sha256


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, OLD, {"ETag": 'W/"one"', **OLD}])
async def test_a_broken_download_goes_on_where_it_was(tmp_path, headers):
    """A strong ETag or a settled Last-Modified vouches for the rest; only the last 64 KiB come twice."""
    desk = FileDesk(BODY, headers, cuts=[CUT])
    await fetch(desk, tmp_path / "a.part")
    assert [each.get("Range") for each in desk.asked] == [None, f"bytes={CUT - AGAIN_BYTES}-"]
    assert desk.asked[1]["If-Range"] == headers.get("Last-Modified", '"one"')
    assert desk.given == len(BODY) + AGAIN_BYTES


async def test_a_download_that_breaks_again_and_again_ends(tmp_path):
    """Each try goes on from the last; five breaks are survived by one run."""
    desk = FileDesk(BODY, cuts=[CUT, 70_000, 70_000, 70_000, 70_000])
    await fetch(desk, tmp_path / "a.part")
    assert len(desk.asked) == 6


async def test_another_run_goes_on_with_what_the_first_left(tmp_path):
    """What a run left when it gave up is there for the next one."""
    desk = FileDesk(BODY, cuts=[CUT, *[AGAIN_BYTES] * 5])
    with pytest.raises(PortalUnreachable):
        await fetch(desk, tmp_path / "a.part")
    desk.asked.clear()
    await fetch(desk, tmp_path / "a.part")
    assert [each.get("Range") for each in desk.asked] == [f"bytes={CUT - AGAIN_BYTES}-"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"one"'}, {"Last-Modified": OLD["Last-Modified"], "Date": "Wed, 01 Jan 2025 00:00:30 GMT"}],
)
async def test_without_a_strong_validator_it_begins_anew(tmp_path, headers):
    """Nothing proves that the rest would be of the same file, so no rest is asked for."""
    desk = FileDesk(BODY, headers, cuts=[CUT])
    await fetch(desk, tmp_path / "a.part")
    assert [each.get("Range") for each in desk.asked] == [None, None]


async def test_a_file_that_changed_meanwhile_is_fetched_whole(tmp_path):
    """If-Range names the old version; the portal gives the new one from its first byte."""
    desk = FileDesk(BODY, cuts=[CUT, *[AGAIN_BYTES] * 5])
    with pytest.raises(PortalUnreachable):
        await fetch(desk, tmp_path / "a.part")
    desk.body, desk.headers = BODY[::-1], {"ETag": '"two"'}
    await fetch(desk, tmp_path / "a.part")


@pytest.mark.parametrize("ranges", ["wrong", "other", "416", "none"])
async def test_a_portal_that_goes_on_wrongly_is_found_out(tmp_path, ranges):
    """Another range than asked, bytes of another file, a range refused or ignored: the file comes anew, and right."""
    desk = FileDesk(BODY, cuts=[CUT], ranges=ranges)
    await fetch(desk, tmp_path / "a.part")
    assert desk.asked[-1].get("Range") is None or ranges == "none"


async def test_a_packed_answer_that_broke_is_asked_for_plain(tmp_path):
    """Half a gzip cannot be gone on with; from then on the file is asked for as it is, which can."""
    desk = FileDesk(BODY, packed=True, cuts=[CUT, CUT])
    await fetch(desk, tmp_path / "a.part")
    assert [each["Accept-Encoding"] == "identity" for each in desk.asked] == [False, True, True]
    assert desk.asked[2]["Range"] == f"bytes={CUT - AGAIN_BYTES}-"


def sums(body: bytes) -> list[dict[str, str]]:
    """The ways in which portals give a file's sum."""
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    sha = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return [
        {"Content-MD5": md5},
        {"x-goog-hash": f"crc32c=n03x6A==,md5={md5}"},
        {"Digest": f"SHA-256={sha}"},
        {"Repr-Digest": f"sha-256=:{sha}:"},
    ]


@pytest.mark.parametrize("way", range(4))
async def test_the_sum_a_portal_gives_is_compared(tmp_path, way):
    """A file with its sum is taken; one without it is refused by name, and nothing of it is kept."""
    await fetch(FileDesk(BODY, sums(BODY)[way]), tmp_path / "a" / "a.part")
    with pytest.raises(FileRefused, match=r"the feed: the file is incomplete or damaged: its (md5|sha256) is not"):
        await fetch(FileDesk(BODY, sums(BODY[1:])[way]), tmp_path / "b" / "a.part")
    assert (tmp_path / "b" / "a.part").stat().st_size == 0


async def test_a_file_is_bounded(tmp_path):
    """A file larger than allowed is refused as soon as it is, also where it is gone on with."""
    with pytest.raises(FileRefused, match="larger than 0 MiB"):
        await fetch(FileDesk(BODY, cuts=[CUT]), tmp_path / "a.part", most_bytes=400_000)


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    """The second works on a copy of its own and leaves nothing; the first one's bytes are as they were."""
    with (
        closing(ResumableFile(tmp_path / "a.part", {}, "w")) as first,
        closing(ResumableFile(tmp_path / "a.part", {}, "w")) as second,
    ):
        for part, piece in ((first, b"1"), (second, b"2")):
            part.note({"validator": '"v"'})
            with part.written(lambda: 0) as write:
                write(piece)
        assert first.path.read_bytes() == b"1"
        assert second.path.read_bytes() == b"2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.part", "a.part.json"]


def test_a_file_that_was_moved_while_it_was_locked_is_not_written(tmp_path, monkeypatch):
    """Another run may finish, and give the file its name, between our opening and our lock: that file is left alone."""
    (tmp_path / "a.part").write_bytes(b"theirs, whole")
    lock, moves = fcntl.flock, [tmp_path / "whole"]

    def late(handle: int, how: int) -> None:
        if moves:
            (tmp_path / "a.part").rename(moves.pop())
        lock(handle, how)

    monkeypatch.setattr(resumable_file.fcntl, "flock", late)
    with closing(ResumableFile(tmp_path / "a.part", {}, "w")) as part:
        part.note({})
        with part.written(lambda: 0) as write:
            write(b"ours")
    assert (tmp_path / "whole").read_bytes() == b"theirs, whole"


async def test_a_moved_file_is_not_touched_by_who_closes(tmp_path):
    """Closing the part of a file that got its name leaves the file alone, our own copy's too."""
    with (
        closing(ResumableFile(tmp_path / "a.part", {}, "w")),
        closing(ResumableFile(tmp_path / "a.part", {}, "w")) as own,
    ):
        with own.written(lambda: 0) as write:
            write(b"bytes")
        own.move_to(tmp_path / "whole")
    await asyncio.sleep(0)
    assert (tmp_path / "whole").read_bytes() == b"bytes"
