"""Files to download, or files beside the jurisdiction file. They are fetched once for all tiles and read in batches."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from zoning_assets.errors import FeedRefused, FileRefused, PortalUnreachable
from zoning_assets.http import Response
from zoning_assets.model import Feed
from zoning_assets.sources import row_filter
from zoning_assets.sources.download import arrow_cache, cache_dir, ftp_client, local_copy
from zoning_assets.sources.files import file_reader, format_detection, plain_table, row_selection
from zoning_assets.sources.full_layer import FullLayer, LocalLayer
from zoning_assets.sources.source import Request, check_columns

#: A probe hashes a file beside the jurisdiction file up to this size.
_CHEAP_BYTES = 64 << 20
#: Increase it when the decoding of files changes, so that files read before are read again.
READER = 2


async def open_source(request: Request) -> FullLayer:
    """Fetch the file unless a current copy exists, and find the layer in it.

    Raises:
        FileRefused: its format is unknown, or it is damaged or unsafe.
        JurisdictionInvalid: the layer lacks a column that the jurisdiction file names.
        PortalError: see errors.py.
    """
    hold = await asyncio.to_thread(cache_dir.FolderLock, request.folder, local_copy.file_name(request.feed.url))
    try:
        return FullLayer(request, await _layer(request), hold)
    except BaseException:  # an error that is kept, such as that of an outcome, would keep the lock
        hold.end()
        raise


async def _layer(request: Request) -> LocalLayer:
    """Fetch the file unless a current copy exists, and find the layer in it; see open_source."""
    fetched = await local_copy.fetch(request)
    into = request.folder / fetched.sha256[:32]
    if request.is_table and (table := await asyncio.to_thread(_plain_table, request, fetched, into)):
        return table
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
        batches = arrow_cache.cached(batches, into / f"{local_copy.file_name(str(which))}.rows")
    if clause := request.feed.where:
        kept = into / f"{local_copy.file_name(str((found.at, found.layer, request.feed.geometry, clause, READER)))}.npy"
        ids = await asyncio.to_thread(row_selection.matching_ids, found, clause, kept)
        found, batches = replace(found, rows=len(ids)), row_selection.selected(batches, ids)
    return _here(found, fetched, batches, request.feed)


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
    return await asyncio.to_thread(_local_signals, local_copy.path_beside(request))


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
    changed, size = local_copy.version_of(path)
    return (
        {"sha256": local_copy.hash_of(path), "size": size}
        if size <= _CHEAP_BYTES
        else _known(changed=changed, size=size)
    )


def _known(**signals: Any) -> dict[str, Any]:
    known = {name: value for name, value in signals.items() if value is not None}
    return known if known.keys() - {"size"} else {}


def _plain_table(request: Request, fetched: local_copy.LocalCopy, into: Path) -> LocalLayer | None:
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


def _here(
    found: file_reader.LayerFile, fetched: local_copy.LocalCopy, batches: arrow_cache.Batches, feed: Feed
) -> LocalLayer:
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


def _unchanged(found: file_reader.LayerFile, fetched: local_copy.LocalCopy) -> arrow_cache.Batches:
    """The batches of the layer; an error is raised if the file changed since it was hashed."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield from file_reader.batches(found)
        if local_copy.version_of(fetched.path) != fetched.changed:
            raise FileRefused("the file changed while it was read", where=found.where, do="run again")

    return batches
