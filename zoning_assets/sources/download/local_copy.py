"""The file of a feed on this machine: downloaded over HTTP or FTP, or beside the jurisdiction file.

Requests are conditional: within the feed's `full_refresh_days`, a file that did not change is not fetched again.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from zoning_assets.errors import FeedRefused, FileRefused
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.download import async_export, cache_dir, ftp_client
from zoning_assets.sources.download.resumable_file import ResumableFile
from zoning_assets.sources.source import Request

_CONDITIONS = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}


@dataclass(frozen=True)
class LocalCopy:
    """A file on this machine: its path, its hash, what the portal stated, and its modification time and size."""

    path: Path
    sha256: str
    stated: Mapping[str, Any]
    changed: tuple[int, int]


async def fetch(request: Request) -> LocalCopy:
    """The file on this machine; it is fetched if necessary.

    Raises:
        FileRefused, PortalError: see errors.py.
    """
    scheme = urlsplit(request.feed.url).scheme
    if scheme in ("http", "https"):
        return await _downloaded(request, _by_http)
    if scheme == "ftp":
        return await _downloaded(request, _by_ftp)
    return await asyncio.to_thread(_local_file, path_beside(request))


def _local_file(path: Path) -> LocalCopy:
    changed = version_of(path)
    return LocalCopy(path, hash_of(path), {}, changed)


def path_beside(request: Request) -> Path:
    """The file or folder beside the jurisdiction file.

    Raises:
        FileRefused: there is none.
    """
    url = request.feed.url
    path = Path(request.jurisdiction.file).parent / url.removeprefix("file://")
    if not path.exists():
        raise FileRefused("there is no such file", where=f"{request.where}: {url}", do="fix `url`, or put it there")
    if not (path.is_file() or path.is_dir()):  # reading a pipe would block forever
        raise FileRefused("it is neither a file nor a folder", where=f"{request.where}: {url}", do="fix `url`")
    return path


_Download = Callable[[Request, Mapping[str, Any]], Any]


async def _downloaded(request: Request, download: _Download) -> LocalCopy:
    """The file of an earlier run if it is still current, else a new download."""
    note = request.folder / f"{file_name(request.feed.url)}.json"
    known = await asyncio.to_thread(_noted, note, request)
    came = await download(request, known)
    if came is None:
        body = request.folder / known["sha256"][:32] / "file"
        await asyncio.to_thread(cache_dir.mark_used, body.parent)
        return LocalCopy(body, known["sha256"], known.get("said", {}), version_of(body))
    part, signals, stated = came
    with closing(part):
        return await asyncio.to_thread(_kept, request, part, note, signals, stated)


def _noted(note: Path, request: Request) -> dict[str, Any]:
    """The note of the existing file; {}: there is none, or it is so old that it must be fetched again."""
    try:
        known: dict[str, Any] = orjson.loads(note.read_bytes())
        age = request.http.now() - datetime.fromisoformat(known["since"])
        there = (request.folder / known["sha256"][:32] / "file").exists()
    except (FileNotFoundError, ValueError, KeyError):
        return {}
    return known if there and age < timedelta(days=request.feed.full_refresh_days) else {}


def _kept(
    request: Request, part: ResumableFile, note: Path, signals: Mapping[str, Any], stated: Mapping[str, Any]
) -> LocalCopy:
    """Check the downloaded file, and move it to a folder named by its content."""
    sha256 = part.check()
    body = request.folder / sha256[:32] / "file"
    part.move_to(body)
    cache_dir.mark_used(body.parent)
    about = {"url": without_secrets(request.feed.url), "since": request.http.now().isoformat()}
    draft = note.with_suffix(f".part.{os.getpid()}.note")
    draft.write_bytes(orjson.dumps({**about, **signals, "sha256": sha256, "said": dict(stated)}))
    draft.replace(note)
    return LocalCopy(body, sha256, stated, version_of(body))


async def _by_http(
    request: Request, known: Mapping[str, Any]
) -> tuple[ResumableFile, dict[str, Any], dict[str, Any]] | None:
    headers = {header: known[name] for header, name in _CONDITIONS.items() if known.get(name)}

    def part_of(address: str) -> ResumableFile:
        return ResumableFile(request.folder / f"{file_name(address)}.part", headers, request.where)

    answer, part, stated = await async_export.fetch(request, part_of)
    if answer.status != 304:
        return part, {name: answer.headers.get(name) for name in _CONDITIONS.values()}, stated
    part.close()
    if not headers:
        what = "it answers 304 (not modified) to an unconditional request"
        raise FeedRefused(what, where=without_secrets(request.feed.url), do="check the address")
    return None


async def _by_ftp(
    request: Request, known: Mapping[str, Any]
) -> tuple[ResumableFile, dict[str, Any], dict[str, Any]] | None:
    part = ResumableFile(request.folder / f"{file_name(request.feed.url)}.part", {}, request.where)
    try:
        version = await ftp_client.fetch(request, part, known.get("version"))
    except BaseException:
        part.close()
        raise
    if version is None:
        part.close()
        return None
    return part, {"version": version.name}, {}


def file_name(text: str) -> str:
    """A file name from an address, so that another address never uses the ETag of an old one."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def version_of(path: Path) -> tuple[int, int]:
    """The modification time of the youngest file in nanoseconds, and the size of all files in bytes."""
    found = [each.stat() for each in _files_of(path)]
    return max((each.st_mtime_ns for each in found), default=0), sum(each.st_size for each in found)


def hash_of(path: Path) -> str:
    """The hash of a file, of all files of a folder (FileGDB), or of a shapefile with its side files."""
    digest, found = hashlib.sha256(), _files_of(path)
    for each in found:
        digest.update(each.relative_to(path if path.is_dir() else path.parent).as_posix().encode())
        with each.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return [each for each in sorted(path.rglob("*")) if each.is_file()]
    stem = path.stem.casefold()
    beside = sorted(path.parent.iterdir()) if path.suffix.casefold() == ".shp" else [path]
    return [each for each in beside if each.stem.casefold() == stem and each.is_file()]
