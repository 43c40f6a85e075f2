"""A layer that lies on this machine whole: its batches are its pages."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zoning_assets.errors import CrsRefused
from zoning_assets.model import Page
from zoning_assets.sources.download import cache_dir
from zoning_assets.sources.source import Draft, Earlier, Request, Update, prove
from zoning_assets.transform import normalize
from zoning_assets.transform.decode import wkt_columns
from zoning_assets.transform.geometry import crs


@dataclass(frozen=True)
class Here:
    """A layer in a file of ours or of a stranger, read in batches.

    Attributes:
        form: how a page of its batches is read, a key of page_readers.READERS; Arrow with a column `geometry` (WKB).
        layer: what reading needs; at least `crs` (None: not declared).
        stamp: what changes when the content does.
        rows: how many there are, None where the file does not say.
        batches: all rows, from the first, each time it is called.
        proof: how it is known that the file holds all rows of the portal's layer.
        shapes: columns of text that hold shapes as well, which are not the ones that are read.
    """

    form: str
    layer: Mapping[str, Any]
    stamp: Mapping[str, Any]
    rows: int | None
    batches: Callable[[], Iterator[pa.RecordBatch]]
    proof: Mapping[str, Any]
    shapes: Sequence[str] = ()


def page_of(batch: pa.RecordBatch) -> bytes:
    """A batch as a page: an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


class Whole:
    """A layer that lies on this machine whole. See source.Source.

    Its folder is held while this lives, so that no other process takes away what is being read.
    """

    def __init__(self, request: Request, here: Here, hold: cache_dir.Hold | None = None) -> None:
        self.request, self.here, self._hold = request, here, hold
        self.rows, self.tells = here.rows, True
        self.signals: Mapping[str, Any] | None = None
        self.form, self.layer, self.stamp = here.form, dict(here.layer), dict(here.stamp)

    async def pages(self, draft: Draft, proof: dict[str, Any]) -> AsyncGenerator[Page]:
        """See source.Source."""
        received, batches = 0, self.here.batches()
        proof |= self.here.proof
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            received += len(batch)
            yield await asyncio.to_thread(lambda rows: draft.add(page_of(rows), rows=len(rows)), batch)
        if self.here.rows is not None:
            prove(self.request.where, {"rows in the layer": (received, self.here.rows)}, proof)

    async def rows_since(self, earlier: Earlier) -> Update | None:  # noqa: ARG002 - other layers can tell
        """See source.Source; no list of ids, no changes."""
        return None

    def explained(self, error: CrsRefused) -> CrsRefused:
        """The refusal, and the column of the same table whose shapes lie where the jurisdiction is, if there is one."""
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
                do = f'set `geometry = "{name}"` of the feed in the jurisdiction file: its shapes lie there'
                return CrsRefused(error.what, where=error.where, do=do)
        return error
