"""A zip from a stranger: each danger is one clear line, and nothing is left behind."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import zip_archive

MB = 2**20


def zipped(path: Path, members: list[tuple[str, bytes]], **info: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name)
            entry.filename = entry.orig_filename = name  # ZipInfo itself would mend some names
            entry.compress_type = info.get("method", zipfile.ZIP_DEFLATED)
            entry.external_attr = info.get("mode", stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
    return path


def refused(path: Path, tmp_path: Path, match: str, **limits: int) -> FileRefused:
    into = tmp_path / "into" / "it"
    with pytest.raises(FileRefused, match=match) as caught:
        zip_archive.unpack(path, into, where="the feed", **{"most_bytes": 10 * MB, **limits})
    assert str(caught.value).startswith("the feed: ")
    assert "\n" not in str(caught.value)
    assert list(into.parent.iterdir()) == []  # neither the folder nor a draft of it
    return caught.value


def test_members_keep_their_folders(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.gdb/x", b"1"), ("./b.txt", b"2"), ("__MACOSX/b.txt", b"3"), ("e/", b"")])
    into = zip_archive.unpack(path, tmp_path / "into", where="w", most_bytes=MB)
    assert sorted(str(p.relative_to(into)) for p in into.rglob("*")) == ["a.gdb", "a.gdb/x", "b.txt", "e"]
    assert (into / "a.gdb" / "x").read_bytes() == b"1"


def test_a_folder_that_is_there_is_complete_and_taken(tmp_path):
    (tmp_path / "into").mkdir()
    assert zip_archive.unpack(tmp_path / "none.zip", tmp_path / "into", where="w", most_bytes=1) == tmp_path / "into"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x03\x04" + b"x" * 500, b"<html>"])
def test_a_zip_that_is_none(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", tmp_path, "damaged or not a zip")


@pytest.mark.parametrize(
    "name", ["../a", "x/../../a", "/etc/a", "C:/a", "c:a", "..\\a", "x\\..\\a", "\\\\host\\a", ".."]
)
def test_a_member_that_climbs_out(tmp_path, name):
    refused(zipped(tmp_path / "a.zip", [("good", b"1"), (name, b"2")]), tmp_path, "has a path outside")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["a\x01b", "a\nb", "xy:stream", "n" * 250, "a\x00b.shp"])
def test_a_name_that_is_not_safe(tmp_path, name):
    path = zipped(tmp_path / "a.zip", [(name.replace("\x00", "#"), b"2")])
    path.write_bytes(path.read_bytes().replace(b"a#b.shp", b"a\x00b.shp"))
    refused(path, tmp_path, "not safe to write|damaged")


def test_a_link(tmp_path):
    refused(zipped(tmp_path / "a.zip", [("l", b"/etc/passwd")], mode=stat.S_IFLNK | 0o777), tmp_path, "is a link")


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("x/a", "x//a"), ("./a", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path, names):
    refused(zipped(tmp_path / "a.zip", [(name, b"1") for name in names]), tmp_path, "two members named")


def test_a_file_where_a_folder_must_be(tmp_path):
    refused(zipped(tmp_path / "a.zip", [("a", b"1"), ("a/b", b"1")]), tmp_path, "both a file and a folder")


def test_a_zip_in_a_zip_stays_one(tmp_path):
    """Who knows what it is for unpacks it (files), or leaves it alone."""
    into = zip_archive.unpack(
        zipped(tmp_path / "a.zip", [("In.ZIP", b"1")]), tmp_path / "into", where="w", most_bytes=MB
    )
    assert (into / "In.ZIP").read_bytes() == b"1"


def test_an_encrypted_member(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a", b"1")])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, tmp_path, "encrypted")


def test_a_method_that_takes_memory(tmp_path):
    """LZMA says first how much: a gigabyte is too much."""
    path = zipped(tmp_path / "a.zip", [("a", b"1" * 1000)], method=zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    at = data.index(b"a", 30) + 1 + 4 + 1  # behind the name: version, size of the properties, and their first byte
    data[at : at + 4] = struct.pack("<I", 2**30)
    path.write_bytes(data)
    refused(path, tmp_path, "needs 1,073,741,824 bytes of memory")


def test_too_large_by_its_own_word(tmp_path):
    refused(
        zipped(tmp_path / "a.zip", [("a", b"\0" * MB)] * 1), tmp_path, "expands to 1,048,576 bytes", most_bytes=MB - 1
    )


def test_too_many_members(tmp_path):
    path = zipped(tmp_path / "a.zip", [(f"{i}", b"") for i in range(4)])
    refused(path, tmp_path, "4 members; at most 3 are allowed", most_members=3)


def test_a_bomb_is_known_by_its_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_archive, "FREE_BYTES", MB)
    refused(zipped(tmp_path / "a.zip", [("a", b"\0" * 4 * MB)]), tmp_path, "-fold; at most 300-fold is allowed")


def test_a_zip_that_lies_about_its_size(tmp_path):
    """It declares 10 bytes and holds a megabyte: no more than 10 are ever written, and the CRC tells."""
    path = zipped(tmp_path / "a.zip", [("a", b"\0" * MB)])
    data = path.read_bytes().replace(struct.pack("<I", MB), struct.pack("<I", 10))
    path.write_bytes(data)
    refused(path, tmp_path, "damaged|expands", most_bytes=100)


def test_the_count_while_inflating_has_the_last_word(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a", b"1" * 50)])
    with zipfile.ZipFile(path) as archive, pytest.raises(FileRefused, match="beyond what it declares"):
        zip_archive._inflate(archive, archive.infolist()[0], tmp_path / "x", "w", 49)


def test_a_damaged_member(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a", bytes(range(256)) * 40)], method=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[300] ^= 0xFF
    path.write_bytes(data)
    refused(path, tmp_path, "Bad CRC-32")


def test_a_zip_cut_in_the_middle(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a", b"1" * 1000)
    (tmp_path / "a.zip").write_bytes(data.getvalue()[:600])
    refused(tmp_path / "a.zip", tmp_path, "damaged or not a zip")
