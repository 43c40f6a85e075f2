"""A layer that lies on this machine whole, and is cut into its tiles' pages.

Two passes, so that memory holds a batch and not a layer: the first finds each row's cell and which keys repeat (16
bytes a row), the second deals the rows out to the tiles.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from zoning_assets.errors import CrsRefused
from zoning_assets.feeds import scratch
from zoning_assets.feeds.slices import Slices, page_of
from zoning_assets.feeds.source import MOST_ROWS_A_TILE, Draft, Request, no_shapes, prove
from zoning_assets.http import Client
from zoning_assets.model import Cover, Place
from zoning_assets.transform import canonical, columns, crs, tiles, written

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Here:
    """A layer in a file of ours or of a stranger, read in batches.

    Attributes:
        form: how a page of its batches is read, a key of transform.pages.READERS; Arrow with a column `geometry` (WKB).
        layer: what reading needs; at least `crs` (None: not declared).
        stamp: what changes when the content does.
        rows: how many there are, None where the file does not say.
        batches: all rows, from the first, each time it is called.
        keys: a batch's keys as text.
        proof: how it is known that the file holds all rows of the portal's layer.
        shapes: columns of text that hold shapes as well, which are not the ones that are read.
    """

    form: str
    layer: Mapping[str, Any]
    stamp: Mapping[str, Any]
    rows: int | None
    batches: Callable[[], Iterator[pa.RecordBatch]]
    keys: Callable[[pa.RecordBatch], Sequence[str | None]]
    proof: Mapping[str, Any]
    shapes: Sequence[str] = ()


@dataclass(frozen=True)
class _Scan:
    """What the first pass found, one entry a row: its finest cell, and the hash of its key (0: it has none)."""

    cells: npt.NDArray[np.uint64]
    keys: Hashes


class Whole:
    """A layer that lies on this machine whole. See source.Source.

    Its folder is held while this lives, so that no other process takes away what is being read.
    """

    def __init__(self, request: Request, here: Here, folder: Path, hold: scratch.Hold | None = None) -> None:
        self.request, self.here, self.folder, self._hold = request, here, folder, hold
        self.rows = here.rows
        self.form, self.layer, self.stamp = here.form, dict(here.layer), dict(here.stamp)
        self._slicing = asyncio.Lock()

    def asked_by(self, http: Client) -> Self:  # noqa: ARG002 - no portal is asked any more
        """Itself: the rows are here already."""
        return self

    async def cover(self, *, exact: bool) -> Cover:  # noqa: ARG002 - looking at every row is always exact
        """One pass over the file."""
        return await asyncio.to_thread(self._cover)

    def _cover(self) -> Cover:
        scan = self._scan()
        if len(scan.cells) and not scan.cells.any():
            raise no_shapes(len(scan.cells), self.request.where)
        bounds = crs.padded(self.request.jurisdiction.bounds)
        placed = scan.cells[scan.cells != tiles.NOWHERE]
        start = sorted({*tiles.start_tiles(bounds), *tiles.count_by(placed, 3)} if len(placed) else set())
        start = [tile for tile in start if not any(tiles.contains(other, tile) for other in start if other != tile)]
        resolution = self.request.jurisdiction.tile_resolution
        found = tiles.split(scan.cells, start, MOST_ROWS_A_TILE, resolution) if start else {}
        found = found or {tiles.start_tiles(bounds)[0]: 0}
        repeated = self._repeated(scan, found)
        name, rows = self.request.feed.name, len(placed)
        return Cover(self.request.jurisdiction.id, name, self.stamp, found, repeated, rows=rows)

    def _scan(self) -> _Scan:
        cells, keys = [], []
        for batch in self.here.batches():
            cells.append(self._cells(batch))
            keys.append(hashes_of(self.here.keys(batch)))
        scan = _Scan(
            np.concatenate(cells or [np.empty(0, np.uint64)]), np.concatenate(keys or [np.empty(0, np.uint64)])
        )
        if self.here.rows is not None:
            prove(self.request.where, {"rows in the layer": (len(scan.cells), self.here.rows)}, {})
        return scan

    def _repeated(self, scan: _Scan, found: dict[str, int]) -> dict[str, str]:
        """Each repeated key with the tile that owns its rows: that of the smallest of their cells."""
        suspects = repeats(scan.keys)
        groups: dict[str, list[int]] = {}
        if suspects.any():
            at = 0
            for batch in self.here.batches():
                mine = np.flatnonzero(suspects[at : at + len(batch)])
                texts = self.here.keys(batch.take(pa.array(mine)))
                for key, row in zip(texts, mine.tolist(), strict=True):
                    groups.setdefault(str(key), []).append(int(scan.cells[at + row]) or tiles.LAST)
                at += len(batch)
        smallest = {key: min(cells) for key, cells in sorted(groups.items()) if len(cells) > 1}
        owners = tiles.owners(np.array(list(smallest.values()), dtype=np.uint64), found)
        return {key: tiles.to_str(owner) for key, owner in zip(smallest, owners.tolist(), strict=True)}

    async def fingerprint(self, place: Place, cover: Cover) -> None:
        """None: the rows are here already."""

    async def fetch(self, place: Place, cover: Cover, draft: Draft) -> dict[str, Any]:
        """See source.Source."""
        if place.tile is None:
            return await asyncio.to_thread(self._all, draft)
        slices = await self._sliced(cover)
        await asyncio.to_thread(_put, slices, place.tile, draft)
        return {**self.here.proof, "rows in the layer": self.here.rows}

    def _all(self, draft: Draft) -> dict[str, Any]:
        received, proof = 0, dict(self.here.proof)
        for batch in self.here.batches():
            received += len(batch)
            draft.add(page_of([batch]), rows=len(batch), kind="owned")
        if self.here.rows is not None:
            prove(self.request.where, {"rows in the layer": (received, self.here.rows)}, proof)
        return proof

    async def _sliced(self, cover: Cover) -> Slices:
        """The second pass, once for all tiles of a run."""
        told = [sorted(cover.tiles), dict(cover.repeated), self.stamp, self.request.feed.axes]
        text = canonical.json_bytes(told, default=str)
        slices = Slices(self.folder / f"sliced-{hashlib.sha256(text).hexdigest()[:16]}")
        async with self._slicing:
            await asyncio.to_thread(self._ready, cover, slices)
        return slices

    def _ready(self, cover: Cover, slices: Slices) -> None:
        self._hold = self._hold or scratch.Hold(self.request.folder)
        if not slices.whole:
            try:
                self._slice(cover, slices)
                slices.publish()
            finally:
                slices.abandon()
        scratch.used(slices.folder)

    def _slice(self, cover: Cover, slices: Slices) -> None:
        total = 0
        for batch in self.here.batches():
            owners = tiles.owners(self._cells(batch), cover.tiles)
            keys = self.here.keys(batch)
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

    def _cells(self, batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
        wkb = batch.column("geometry").to_numpy(zero_copy_only=False)
        shapes = crs.straight(shapely.from_wkb(wkb, on_invalid="ignore"), self.request.feed.axes)
        source = crs.declared(self.layer.get("crs"), self.request.feed.crs)
        points = columns.representative_points(shapes, source)
        read_as = crs.spoken(self.layer.get("crs"), self.request.feed.crs)
        try:
            crs.gate(points, self.request.jurisdiction.bounds, crs=read_as, where=self.request.where)
        except CrsRefused as error:
            raise self._with_other_shapes(error, batch) from error
        return tiles.finest_cells(np.nan_to_num(points, nan=tiles.OFF_GLOBE))

    def _with_other_shapes(self, error: CrsRefused, batch: pa.RecordBatch) -> CrsRefused:
        """The refusal, and the column of the same table whose shapes lie where the jurisdiction is, if there is one."""
        for name in self.here.shapes:
            found, _ = written.shapes_of(batch.column(name).to_pylist())
            points = columns.representative_points(found, crs.declared(self.layer.get("crs"), self.request.feed.crs))
            placed = points[~np.isnan(points).any(axis=1)]
            if len(placed) and not crs.outside(placed, self.request.jurisdiction.bounds).any():
                do = f'set `geometry = "{name}"` of the feed in the jurisdiction file: its shapes lie there'
                return CrsRefused(error.what, where=error.where, do=do)
        return error


def _put(slices: Slices, tile: str, draft: Draft) -> None:
    for kind, rows, body in slices.of(tile):
        draft.add(body, rows=rows, kind=kind)


def hashes_of(keys: Sequence[str | None]) -> Hashes:
    """A hash of each key, 8 bytes; 0: there is no key. Of equal keys they are equal."""
    return np.array([_key_hash(key) for key in keys], dtype=np.uint64)


def repeats(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """Which of the hashes stand there several times; 0 is none."""
    each, counts = np.unique(hashes, return_counts=True)
    return np.isin(hashes, each[(counts > 1) & (each != 0)])


def _key_hash(key: str | None) -> int:
    if key is None:
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1
