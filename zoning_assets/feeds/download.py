"""Files to download, or beside the jurisdiction file: fetched once for all tiles, read in batches.

Requests are conditional: a file that did not change is not fetched.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow as pa

from zoning_assets.errors import FileRefused
from zoning_assets.feeds import files
from zoning_assets.feeds.source import Request, check_columns
from zoning_assets.feeds.whole import Here, Whole
from zoning_assets.http import without_secrets
from zoning_assets.transform import columns

_MOST_BYTES = 8 << 30


async def open_source(request: Request) -> Whole:
    """Fetch the file unless we have it, and find the layer in it.

    Raises:
        FileRefused: it is no file of a known format, or not a safe one.
        JurisdictionInvalid: the layer has not the columns that the jurisdiction file names.
        PortalError: see errors.py.
    """
    path, sha256 = await _fetched(request)
    into = request.folder / sha256[:32]
    found = await asyncio.to_thread(
        partial(files.find_layer, path, where=request.where, layer=request.feed.layer, into=into / "unpacked")
    )
    check_columns(request, [name for name, _ in found.columns])
    return Whole(request, _here(found, sha256, request.feed.key), into)


def _here(found: files.LayerFile, sha256: str, key: str | None) -> Here:
    def keys(batch: pa.RecordBatch) -> Sequence[str | None]:
        values = batch.column(key).to_pylist() if key else [None] * len(batch)
        return list(map(columns.key_of, values))

    return Here(
        form="arrow",
        layer={"crs": found.crs, "managed": ["fid"]},
        stamp={"sha256": sha256, "layer": found.layer},
        rows=found.rows,
        batches=lambda: files.batches(found),
        keys=keys,
        proof={"file": sha256},
    )


async def _fetched(request: Request) -> tuple[Path, str]:
    """The file on this machine, and the hash of what is in it."""
    url = request.feed.url
    if urlsplit(url).scheme in ("http", "https"):
        return await _downloaded(request)
    path = Path(request.jurisdiction.file).parent / url.removeprefix("file://")
    if not path.exists():
        raise FileRefused("there is no such file", where=f"{request.where}: {url}", do="mend `url`, or put it there")
    return path, await asyncio.to_thread(_hash_of, path)


async def _downloaded(request: Request) -> tuple[Path, str]:
    folder = request.folder
    folder.mkdir(parents=True, exist_ok=True)
    # By address, so that a changed address never meets the old one's ETag.
    name = hashlib.sha256(request.feed.url.encode()).hexdigest()[:16]
    body, note, part = (folder / f"{name}{suffix}" for suffix in (".body", ".json", ".part"))
    known = orjson.loads(note.read_bytes()) if note.exists() and body.exists() else {}
    headers = {ask: known[said] for ask, said in _CONDITIONS.items() if known.get(said)}
    answer = await request.http.download(
        request.jurisdiction.portal, request.feed.url, part, headers, most_bytes=_MOST_BYTES
    )
    if answer.status == 304:
        return body, known["sha256"]
    note.unlink(missing_ok=True)  # between the two moves the note must not speak of another body
    part.replace(body)
    says = {said: answer.headers.get(said) for said in _CONDITIONS.values()}
    note.write_bytes(orjson.dumps({**says, "sha256": answer.sha256, "url": without_secrets(request.feed.url)}))
    return body, answer.sha256


_CONDITIONS = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}


def _hash_of(path: Path) -> str:
    """The hash of a file, or of all files of a folder (a FileGDB)."""
    digest = hashlib.sha256()
    for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if each.is_file():
            digest.update(str(each.relative_to(path)).encode())
            with each.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()


async def probe(request: Request) -> dict[str, Any]:
    """The file's content hash; where the portal answers "not modified", for one request and no download."""
    return {"sha256": (await _fetched(request))[1]}
