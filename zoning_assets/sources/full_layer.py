"""A layer that is completely on this machine: its record batches are its pages."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zoning_assets.errors import CrsRefused
from zoning_assets.harvest import Page
from zoning_assets.sources.completeness import prove
from zoning_assets.sources.download import cache_dir
from zoning_assets.sources.source import Earlier, PageDraft, Request, Update
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import wkt_columns
from zoning_assets.transform.geometry import crs


@dataclass(frozen=True)
class LocalLayer:
    """A layer in a local file, read in batches.

    Attributes:
        form: how a page of its batches is decoded, a key of page_readers.READERS. Their column `geometry` is WKB.
        layer: what decoding needs; at least `crs` (None: not declared).
        stamp: changes when the content changes.
        rows: the number of rows; None: the file does not state it.
        batches: each call returns all rows, from the first.
        proof: why the file has all rows of the portal's layer.
        shapes: text columns that contain shapes too, but are not used.
    """

    form: str
    layer: Mapping[str, Any]
    stamp: Mapping[str, Any]
    rows: int | None
    batches: Callable[[], Iterator[pa.RecordBatch]]
    proof: Mapping[str, Any]
    shapes: Sequence[str] = ()


def page_of(batch: pa.RecordBatch) -> bytes:
    """Serialize a batch as a page: an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


class FullLayer:
    """A source whose layer is completely on this machine. See source.Source.

    It holds the lock of its folder as long as it lives, so that no other process deletes the file.
    """

    def __init__(self, request: Request, here: LocalLayer, hold: cache_dir.FolderLock | None = None) -> None:
        self.request, self.here, self._hold = request, here, hold
        self.rows, self.tells = here.rows, True
        self.signals: Mapping[str, Any] | None = None
        self.form, self.layer, self.stamp = here.form, dict(here.layer), dict(here.stamp)

    async def pages(self, draft: PageDraft, proof: dict[str, Any]) -> AsyncGenerator[Page]:
        """See source.Source."""
        received, batches = 0, self.here.batches()
        proof |= self.here.proof
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            received += len(batch)
            yield await asyncio.to_thread(lambda rows: draft.add(page_of(rows), rows=len(rows)), batch)
        if self.here.rows is not None:
            prove(self.request.where, {"rows in the layer": (received, self.here.rows)}, proof)

    async def update_since(self, earlier: Earlier) -> Update | None:  # noqa: ARG002 - the interface has it
        """See source.Source; such a layer cannot state its changes."""
        return None

    def explained(self, error: CrsRefused) -> CrsRefused:
        """Advise another column of shapes of the same table, if its shapes are in the jurisdiction."""
        for batch in self.here.batches() if self.here.shapes else ():
            if (found := self._with_other_shapes(error, batch)) is not error:
                return found
        return error

    def _with_other_shapes(self, error: CrsRefused, batch: pa.RecordBatch) -> CrsRefused:
        for name in self.here.shapes:
            found, _ = wkt_columns.shapes_of(batch.column(name).to_pylist())
            points = normalize.representative_points(found, crs.declared(self.layer.get("crs"), self.request.feed.crs))
            placed = points[~np.isnan(points).any(axis=1)]
            if len(placed) and not crs.outside(placed, self.request.jurisdiction.bounds).any():
                do = f'set `geometry = "{name}"` of the feed in the jurisdiction file: its shapes lie within the bounds'
                return CrsRefused(error.what, where=error.where, do=do)
        return error
