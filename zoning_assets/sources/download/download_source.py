"""Files to download, or files beside the jurisdiction file. They are fetched once for all tiles and read in batches.

Requests are conditional: within the feed's `full_refresh_days`, a file that did not change is not fetched again.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow as pa

from zoning_assets.errors import FeedRefused, FileRefused, PortalUnreachable
from zoning_assets.http import Response
from zoning_assets.model import Feed
from zoning_assets.redaction import without_secrets
from zoning_assets.sources import row_filter
from zoning_assets.sources.download import arrow_cache, async_export, cache_dir, ftp_client
from zoning_assets.sources.download.resumable_file import ResumableFile
from zoning_assets.sources.files import file_reader, format_detection, plain_table, row_selection
from zoning_assets.sources.full_layer import FullLayer, LocalLayer
from zoning_assets.sources.source import Request, check_columns

#: A probe hashes a file beside the jurisdiction file up to this size.
_CHEAP_BYTES = 64 << 20
#: Increase it when the decoding of files changes, so that files read before are read again.
READER = 2
_CONDITIONS = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}


@dataclass(frozen=True)
class _Fetched:
    """A file on this machine: its path, its hash, what the portal stated, and its modification time and size."""

    path: Path
    sha256: str
    stated: Mapping[str, Any]
    changed: tuple[int, int]


async def open_source(request: Request) -> FullLayer:
    """Fetch the file unless a current copy exists, and find the layer in it.

    Raises:
        FileRefused: its format is unknown, or it is damaged or unsafe.
        JurisdictionInvalid: the layer lacks a column that the jurisdiction file names.
        PortalError: see errors.py.
    """
    hold = await asyncio.to_thread(cache_dir.FolderLock, request.folder, _name(request.feed.url))
    fetched = await _fetched(request)
    into = request.folder / fetched.sha256[:32]
    if request.is_table and (table := await asyncio.to_thread(_plain_table, request, fetched, into)):
        return FullLayer(request, table, hold)
    named = [name for name in (request.feed.key, *request.feed.fields.values()) if name]
    found = await asyncio.to_thread(
        partial(
            file_reader.find_layer,
            fetched.path,
            where=request.where,
            layer=request.feed.layer,
            into=into / "unpacked",
            named=named,
            geometry=request.feed.geometry,
        )
    )
    check_columns(request, [name for name, _ in found.columns])
    batches = _unchanged(found, fetched)
    if found.format in format_detection.SLOW:
        which = (found.at, found.layer, request.feed.geometry, named, READER)
        batches = arrow_cache.cached(batches, into / f"{_name(str(which))}.rows")
    if clause := request.feed.where:
        kept = into / f"{_name(str((found.at, found.layer, request.feed.geometry, clause, READER)))}.npy"
        ids = await asyncio.to_thread(row_selection.matching_ids, found, clause, kept)
        found, batches = replace(found, rows=len(ids)), row_selection.selected(batches, ids)
    return FullLayer(request, _here(found, fetched, batches, request.feed), hold)


async def probe(request: Request) -> dict[str, Any]:
    """Return what the portal states about the file, with one or two requests and without fetching it.

    {} is no signal: the file must be fetched to detect a change. A size alone is not returned, because a table of fixed
    width keeps its size through most edits.

    Raises:
        PortalError: see errors.py.
    """
    url = request.feed.url
    scheme = urlsplit(url).scheme
    if scheme == "ftp":
        version = await ftp_client.read_version(request)
        return _known(changed=version.changed, size=version.size)
    if scheme in ("http", "https"):
        return _signals(await _headers(request))
    return await asyncio.to_thread(_local_signals, _beside(request))


async def _headers(request: Request) -> Response:
    """Fetch the headers by HEAD; if the server refuses it, by GET of one byte, whose body is not read."""
    look = partial(request.http.fetch_headers, request.jurisdiction.portal, request.feed.url)
    try:
        return await look({"Accept-Encoding": "identity"})
    except (FeedRefused, PortalUnreachable):  # some servers fail on HEAD
        return await look({"Accept-Encoding": "identity", "Range": "bytes=0-0"}, method="GET")


def _signals(answer: Response) -> dict[str, Any]:
    if answer.status == 202:
        return {}
    length = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() else None
    return _known(etag=answer.headers.get("ETag"), changed=answer.headers.get("Last-Modified"), size=size)


def _local_signals(path: Path) -> dict[str, Any]:
    changed, size = _changed(path)
    return {"sha256": _hash_of(path), "size": size} if size <= _CHEAP_BYTES else _known(changed=changed, size=size)


def _known(**signals: Any) -> dict[str, Any]:
    known = {name: value for name, value in signals.items() if value is not None}
    return known if known.keys() - {"size"} else {}


def _plain_table(request: Request, fetched: _Fetched, into: Path) -> LocalLayer | None:
    """The table in a file of text; None: it is no such file."""
    feed = request.feed
    named = [name for name in (feed.key, *feed.fields.values()) if name]
    found = plain_table.find(fetched.path, where=request.where, layer=feed.layer, into=into / "unpacked", named=named)
    if found is None:
        return None
    if feed.where:
        raise row_filter.unsupported(request, "the rows of a table of text cannot be selected")
    check_columns(request, list(found.columns))
    stamp = {"sha256": fetched.sha256, "reader": READER}
    proof = {"file": fetched.sha256, **fetched.stated}
    return LocalLayer("arrow", {"crs": None, "managed": []}, stamp, found.table.rows, found.batches, proof)


def _here(found: file_reader.LayerFile, fetched: _Fetched, batches: arrow_cache.Batches, feed: Feed) -> LocalLayer:
    ours = set(feed.fields.values())
    named = {column: dict(names) for column, names in found.names.items() if column in ours}
    names = {"names": {"columns": named}} if named else {}
    which = {"at": found.at, "geometry": feed.geometry}
    left_out = {"left out": list(found.left_out)} if found.left_out else {}
    return LocalLayer(
        form="arrow",
        layer={"crs": found.crs, "managed": ["fid", *found.managed], **names},
        stamp={
            "sha256": fetched.sha256,
            "layer": found.layer,
            "reader": READER,
            **{name: value for name, value in which.items() if value},
        },
        rows=found.rows,
        batches=batches,
        proof={"file": fetched.sha256, **fetched.stated, **left_out},
        shapes=found.shapes,
    )


def _unchanged(found: file_reader.LayerFile, fetched: _Fetched) -> arrow_cache.Batches:
    """The batches of the layer; an error is raised if the file changed since it was hashed."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield from file_reader.batches(found)
        if _changed(fetched.path) != fetched.changed:
            raise FileRefused("the file changed while it was read", where=found.where, do="run again")

    return batches


async def _fetched(request: Request) -> _Fetched:
    """The file on this machine; it is fetched if necessary.

    Raises:
        FileRefused, PortalError: see errors.py.
    """
    scheme = urlsplit(request.feed.url).scheme
    if scheme in ("http", "https"):
        return await _downloaded(request, _by_http)
    if scheme == "ftp":
        return await _downloaded(request, _by_ftp)
    return await asyncio.to_thread(_local_file, _beside(request))


def _local_file(path: Path) -> _Fetched:
    changed = _changed(path)
    return _Fetched(path, _hash_of(path), {}, changed)


def _beside(request: Request) -> Path:
    url = request.feed.url
    path = Path(request.jurisdiction.file).parent / url.removeprefix("file://")
    if not path.exists():
        raise FileRefused("there is no such file", where=f"{request.where}: {url}", do="fix `url`, or put it there")
    if not (path.is_file() or path.is_dir()):  # reading a pipe would block forever
        raise FileRefused("it is neither a file nor a folder", where=f"{request.where}: {url}", do="fix `url`")
    return path


_Download = Callable[[Request, Mapping[str, Any]], Any]


async def _downloaded(request: Request, download: _Download) -> _Fetched:
    """The file of an earlier run if it is still current, else a new download."""
    note = request.folder / f"{_name(request.feed.url)}.json"
    known = await asyncio.to_thread(_noted, note, request)
    came = await download(request, known)
    if came is None:
        body = request.folder / known["sha256"][:32] / "file"
        await asyncio.to_thread(cache_dir.mark_used, body.parent)
        return _Fetched(body, known["sha256"], known.get("said", {}), _changed(body))
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
) -> _Fetched:
    """Check the downloaded file, and move it to a folder named by its content."""
    sha256 = part.check()
    body = request.folder / sha256[:32] / "file"
    part.move_to(body)
    cache_dir.mark_used(body.parent)
    about = {"url": without_secrets(request.feed.url), "since": request.http.now().isoformat()}
    draft = note.with_suffix(f".part.{os.getpid()}.note")
    draft.write_bytes(orjson.dumps({**about, **signals, "sha256": sha256, "said": dict(stated)}))
    draft.replace(note)
    return _Fetched(body, sha256, stated, _changed(body))


async def _by_http(
    request: Request, known: Mapping[str, Any]
) -> tuple[ResumableFile, dict[str, Any], dict[str, Any]] | None:
    headers = {header: known[name] for header, name in _CONDITIONS.items() if known.get(name)}

    def part_of(address: str) -> ResumableFile:
        return ResumableFile(request.folder / f"{_name(address)}.part", headers, request.where)

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
    part = ResumableFile(request.folder / f"{_name(request.feed.url)}.part", {}, request.where)
    try:
        version = await ftp_client.fetch(request, part, known.get("version"))
    except BaseException:
        part.close()
        raise
    if version is None:
        part.close()
        return None
    return part, {"version": version.name}, {}


def _name(text: str) -> str:
    """A file name from an address, so that another address never uses the ETag of an old one."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _changed(path: Path) -> tuple[int, int]:
    """The modification time of the youngest file in nanoseconds, and the size of all files in bytes."""
    found = [each.stat() for each in _files_of(path)]
    return max((each.st_mtime_ns for each in found), default=0), sum(each.st_size for each in found)


def _hash_of(path: Path) -> str:
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
