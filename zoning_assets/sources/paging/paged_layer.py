"""A layer that is fetched page by page and stored in one local file.

For portals that cannot select rows by tile, or whose selection is not reliable. Pages are stored as they arrive, so
that a harvest that breaks is resumed. Proof that the rows are complete: the number of distinct ids equals the portal's
count, before and after; no row comes twice; the layer's signals did not change meanwhile. If the portal does not count,
all rows are fetched twice, with another page size, and must be equal.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.sources.completeness import prove
from zoning_assets.sources.full_layer import FullLayer, LocalLayer
from zoning_assets.sources.paging import cache_manifest, polling
from zoning_assets.sources.paging.polling import TRIES
from zoning_assets.sources.source import Request, check_columns
from zoning_assets.transform.decode.feature_batches import SCHEMA

_FILE = "assembled.arrow"
_ROWS_A_BATCH = 2000
#: A walk ends after so many rows, whatever the portal states: more than any county has.
_MOST_ROWS = 50_000_000


class Fetch(Protocol):
    """Fetches and parses an answer from the portal, or from an earlier try."""

    async def __call__(
        self, url: str, params: Mapping[str, str], read: Callable[[bytes], Any], tries: int = TRIES
    ) -> Any:
        """Return the parsed answer. `tries`: the most requests; fewer if the caller can ask for less.

        Raises:
            PortalError: see errors.py.
        """
        ...


class Paged(Protocol):
    """What a feed type states about a layer, and how its rows are fetched."""

    @property
    def layer(self) -> Mapping[str, Any]:
        """What decoding needs; at least `crs` (None: the portal does not state it)."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        ...

    async def stamp(self) -> Mapping[str, Any]:
        """The layer's state now: `count` (None: it does not count) and its signals of change."""
        ...

    def pages(self, fetch: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """Fetch all rows in the columns of feature_batches, in a stable order. `walk` 1: with another page size."""
        ...


@dataclass
class _RowFile:
    """Rows being written to a file, with a hash of all rows and of each id."""

    path: Path
    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    ids: list[bytes] = field(default_factory=list)  # 8 bytes a row

    def add(self, writer: pa.RecordBatchFileWriter, batch: pa.RecordBatch) -> None:
        """Write rows, and remember their ids."""
        writer.write_batch(batch)
        self.rows += len(batch)
        for name in ("id", "properties", "geometry"):
            for value in batch.column(name).to_pylist():
                raw = value.encode() if isinstance(value, str) else value or b"\0"
                self.digest.update(len(raw).to_bytes(4, "little") + raw)
        self.ids.append(b"".join(map(_id_hash, batch.column("id").to_pylist())))

    @property
    def hashes(self) -> Any:
        """The hashes of the ids, sorted."""
        return np.sort(np.frombuffer(b"".join(self.ids), dtype=np.uint64))


async def assemble(request: Request, paged: Paged) -> FullLayer:
    """Fetch the layer and prove that it is complete, unless a fresh file of it exists.

    Raises:
        HarvestIncomplete: the rows are not proven complete; none are kept.
        JurisdictionInvalid: the layer lacks a column that the jurisdiction file names.
        PortalError: see errors.py; the pages that arrived are kept.
    """
    check_columns(request, list(paged.columns))
    stamp = dict(await paged.stamp())
    # The address and the decoding are part of the identity: another layer may have the same count and signals.
    of = {**request.selection, "layer": dict(paged.layer), "stamp": stamp}
    note = await asyncio.to_thread(cache_manifest.find, request.folder / _FILE, of)
    if note is None:
        try:
            note = await _walked(request, paged, stamp, of)
        except HarvestIncomplete:
            await asyncio.to_thread(request.draft.abandon)
            raise
        finally:
            for left in request.folder.glob(f"assembled.{os.getpid()}.*"):
                left.unlink()
        await asyncio.to_thread(request.draft.abandon)
    here = _local_layer(request, paged.layer, stamp, note)
    return FullLayer(request, here)


async def _walked(request: Request, paged: Paged, stamp: Mapping[str, Any], of: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch all rows, prove that they are complete, and return the note of the file."""
    proof: dict[str, Any] = {}
    resumed = await asyncio.to_thread(request.draft.begin, {**request.selection, **stamp})
    if resumed:
        proof["resumed"] = resumed
    request.folder.mkdir(parents=True, exist_ok=True)
    draft = request.folder / f"assembled.{os.getpid()}.part"
    file = await _walk(request, paged, stamp["count"], proof, draft)
    evidence: dict[str, tuple[Any, Any]] = {}
    if stamp["count"] is not None:
        evidence["rows by the portal's count"] = (file.rows, stamp["count"])
    else:
        again = await _walk(request, paged, None, {}, draft.with_suffix(".again"), walk=1)
        evidence["rows of a second walk"] = (again.rows, file.rows)
        evidence["ids of a second walk"] = (_brief(again.hashes), _brief(file.hashes))
    after = dict(await paged.stamp())
    evidence |= {f"{name} after": (after.get(name), value) for name, value in stamp.items()}
    prove(request.where, evidence, proof)
    note = {"sha256": file.digest.hexdigest(), "rows": file.rows, "proof": proof}
    return await asyncio.to_thread(cache_manifest.keep, draft, request.folder / _FILE, of, note)


async def _walk(  # noqa: PLR0913 - where from, how far, where to, and which walk
    request: Request, paged: Paged, count: int | None, proof: dict[str, Any], path: Path, walk: int = 0
) -> _RowFile:
    """Fetch all pages into a file; raise an error if a row comes twice, or more rows come than the portal counts."""
    file = _RowFile(path)
    most = _MOST_ROWS if count is None else min(count, _MOST_ROWS)
    with pa.OSFile(str(path), "wb") as sink, _writer(sink) as writer:
        async for batch in paged.pages(_fetcher(request), proof, walk):
            await asyncio.to_thread(file.add, writer, batch)
            if file.rows > most:
                raise _incomplete(request, f"more rows came than the portal counts: {file.rows:,} of {most:,}")
    distinct = len(np.unique(file.hashes))
    if distinct < file.rows:
        raise _incomplete(request, f"{file.rows - distinct:,} of {file.rows:,} rows came twice")
    return file


def _writer(sink: pa.NativeFile) -> pa.RecordBatchFileWriter:
    return pa.ipc.new_file(sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd"))


def _incomplete(request: Request, what: str) -> HarvestIncomplete:
    return HarvestIncomplete(what, where=request.where, do="run again; nothing was published")


def _fetcher(request: Request) -> Fetch:
    async def fetch(url: str, params: Mapping[str, str], read: Callable[[bytes], Any], tries: int = TRIES) -> Any:
        question = {"": url, **params}
        body = await asyncio.to_thread(request.draft.find, question)
        if body is not None:
            return read(body)
        answer = await polling.query(request, url, params, read, tries)
        await asyncio.to_thread(lambda: request.draft.add(answer.body, rows=0, question=question))
        return answer.value

    return fetch


def _local_layer(
    request: Request, layer: Mapping[str, Any], stamp: Mapping[str, Any], note: Mapping[str, Any]
) -> LocalLayer:
    path = request.folder / _FILE

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                yield from _sliced(file.get_batch(number))

    return LocalLayer("features", layer, {"sha256": note["sha256"], **stamp}, note["rows"], batches, note["proof"])


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(batch), _ROWS_A_BATCH):
        yield batch.slice(start, _ROWS_A_BATCH)


def _id_hash(value: str) -> bytes:
    return hashlib.blake2b(value.encode(), digest_size=8).digest()


def _brief(hashes: Any) -> str:
    return hashlib.sha256(hashes.tobytes()).hexdigest()[:16]
