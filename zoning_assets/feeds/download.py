"""Files to download, or beside the jurisdiction file: fetched once, read in batches, sliced into the tiles' pages.

Two passes, so that memory holds a batch and not a file: the first finds each row's cell and which keys repeat (16 bytes
a row), the second deals the rows out to the tiles. Requests are conditional: a file that did not change is not fetched.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import shapely

from zoning_assets.errors import FileRefused
from zoning_assets.feeds import files
from zoning_assets.feeds.slices import Slices, page_of
from zoning_assets.feeds.source import MOST_ROWS_A_TILE, Request, Sheet, check_columns, prove
from zoning_assets.http import without_secrets
from zoning_assets.model import Cover, Place
from zoning_assets.transform import columns, crs, tiles

_MOST_BYTES = 8 << 30


async def open_source(request: Request) -> "Download":
    """Fetch the file unless we have it, and find the layer in it.

    Raises:
        FileRefused: it is no file of a known format, or not a safe one.
        JurisdictionInvalid: the layer has not the columns that the jurisdiction file names.
        PortalError: see errors.py.
    """
    path, sha256 = await _fetched(request)
    into = request.scratch / request.jurisdiction.id / request.feed.name / sha256[:32]
    found = await asyncio.to_thread(
        partial(files.find_layer, path, where=request.where, layer=request.feed.layer, into=into / "unpacked")
    )
    check_columns(request, [name for name, _ in found.columns])
    return Download(request, found, sha256, into)


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
    folder = request.scratch / request.jurisdiction.id / request.feed.name
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


@dataclass(frozen=True)
class _Scan:
    """What the first pass found, one entry a row: its finest cell, and the hash of its key (0: it has none)."""

    cells: npt.NDArray[np.uint64]
    keys: npt.NDArray[np.uint64]


class Download:
    """A layer in a file that lies here. See source.Source."""

    form = "arrow"

    def __init__(self, request: Request, found: files.LayerFile, sha256: str, folder: Path) -> None:
        self.request, self.found, self.folder = request, found, folder
        self.layer: dict[str, Any] = {"crs": found.crs, "managed": ["fid"]}
        self.stamp: dict[str, Any] = {"sha256": sha256, "layer": found.layer}
        self._slicing = asyncio.Lock()

    async def cover(self, *, exact: bool) -> Cover:  # noqa: ARG002 - looking at every row is always exact
        """One pass over the file."""
        return await asyncio.to_thread(self._cover)

    def _cover(self) -> Cover:
        scan = self._scan()
        bounds = crs.padded(self.request.jurisdiction.bounds)
        placed = scan.cells[scan.cells != tiles.NOWHERE]
        start = sorted({*tiles.start_tiles(bounds), *tiles.count_by(placed, 3)} if len(placed) else set())
        start = [tile for tile in start if not any(tiles.contains(other, tile) for other in start if other != tile)]
        found = tiles.split(scan.cells, start, MOST_ROWS_A_TILE, self.request.jurisdiction.tile_resolution)
        found = found or {tiles.start_tiles(bounds)[0]: 0}
        repeated = self._repeated(scan, found)
        return Cover(self.request.jurisdiction.id, self.request.feed.name, self.stamp, found, repeated)

    def _scan(self) -> _Scan:
        cells, keys = [], []
        for batch in self._batches():
            cells.append(self._cells(batch))
            keys.append(np.array([_key_hash(key) for key in self._keys(batch)], dtype=np.uint64))
        scan = _Scan(
            np.concatenate(cells or [np.empty(0, np.uint64)]), np.concatenate(keys or [np.empty(0, np.uint64)])
        )
        if self.found.rows is not None:
            prove(self.request.where, {"rows in the file": (len(scan.cells), self.found.rows)}, {})
        return scan

    def _repeated(self, scan: _Scan, found: dict[str, int]) -> dict[str, str]:
        """Each repeated key with the tile that owns its rows: that of the smallest of their cells."""
        hashes, counts = np.unique(scan.keys, return_counts=True)
        suspects = np.isin(scan.keys, hashes[(counts > 1) & (hashes != 0)])
        groups: dict[str, list[int]] = {}
        if suspects.any():
            at = 0
            for batch in self._batches():
                mine = np.flatnonzero(suspects[at : at + len(batch)])
                texts = self._keys(batch.take(pa.array(mine)))
                for key, row in zip(texts, mine.tolist(), strict=True):
                    groups.setdefault(str(key), []).append(int(scan.cells[at + row]) or tiles.LAST)
                at += len(batch)
        smallest = {key: min(cells) for key, cells in sorted(groups.items()) if len(cells) > 1}
        owners = tiles.owners(np.array(list(smallest.values()), dtype=np.uint64), found)
        return {key: tiles.to_str(owner) for key, owner in zip(smallest, owners.tolist(), strict=True)}

    async def pages(self, place: Place, cover: Cover, proof: dict[str, Any]) -> AsyncIterator[Sheet]:
        """See source.Source."""
        proof.update({"file": self.stamp["sha256"], "rows in the file": self.found.rows})
        if place.tile is None:
            received = 0
            for batch in self._batches():
                received += len(batch)
                yield Sheet(page_of([batch]), len(batch), "owned")
            if self.found.rows is not None:
                prove(self.request.where, {"rows in the file": (received, self.found.rows)}, proof)
            return
        slices = await self._sliced(cover)
        for kind, rows, body in slices.of(place.tile):
            yield Sheet(body, rows, kind)

    async def _sliced(self, cover: Cover) -> Slices:
        """The second pass, once for all tiles of a run."""
        text = orjson.dumps([sorted(cover.tiles), dict(cover.repeated)], option=orjson.OPT_SORT_KEYS)
        slices = Slices(self.folder / f"slices-{hashlib.sha256(text).hexdigest()[:16]}")
        async with self._slicing:
            if not slices.whole:
                for old in self.folder.glob("slices-*"):
                    shutil.rmtree(old)
                await asyncio.to_thread(self._slice, cover, slices)
        return slices

    def _slice(self, cover: Cover, slices: Slices) -> None:
        total = 0
        for batch in self._batches():
            owners = tiles.owners(self._cells(batch), cover.tiles)
            keys = self._keys(batch)
            total += len(batch)
            listed = np.array([key in cover.repeated for key in keys], dtype=bool)
            for row in np.flatnonzero(listed).tolist():
                owners[row] = tiles.to_int(cover.repeated[str(keys[row])])
            for kind, of_kind in (("owned", ~listed), ("listed", listed)):
                for owner in np.unique(owners[of_kind]).tolist():
                    rows = np.flatnonzero(of_kind & (owners == owner))
                    slices.add(tiles.to_str(owner), kind, batch.take(pa.array(rows)))
        written = slices.finish()
        prove(self.request.where, {"rows dealt out to tiles": (written, total)}, {})

    def _batches(self) -> Iterator[pa.RecordBatch]:
        return files.batches(self.found)

    def _cells(self, batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
        wkb = batch.column("geometry").to_numpy(zero_copy_only=False)
        shapes = shapely.from_wkb(wkb, on_invalid="ignore")
        points = columns.representative_points(shapes, crs.declared(self.found.crs, self.request.feed.crs))
        crs.gate(points, self.request.jurisdiction.bounds, crs=self.found.crs or "degrees", where=self.request.where)
        return tiles.finest_cells(np.nan_to_num(points, nan=tiles.OFF_GLOBE))

    def _keys(self, batch: pa.RecordBatch) -> Sequence[str | None]:
        if not self.request.feed.key:
            return [None] * len(batch)
        return [columns.key_of(value) for value in batch.column(self.request.feed.key).to_pylist()]


def _key_hash(key: str | None) -> int:
    if key is None:
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1
