"""Rows dealt out to tiles, on disk, in pages; memory holds a bounded number of rows however many tiles there are."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

_ROWS_A_PAGE = 2000
_ROWS_HELD = 50_000


def page_of(batches: Sequence[pa.RecordBatch]) -> bytes:
    """Batches of one schema as a page: an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


class Slices:
    """Pages by tile in a folder, which appears whole or not at all, by one rename: until then each who makes it has a
    draft of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._draft = folder.with_name(f"{folder.name}.{os.getpid()}.{os.urandom(4).hex()}.part")
        self._held: defaultdict[tuple[str, str], list[pa.RecordBatch]] = defaultdict(list)
        self._rows = self._written = self._pages = 0

    @property
    def whole(self) -> bool:
        """Whether all rows are there."""
        return self.folder.is_dir()

    def add(self, tile: str, kind: str, batch: pa.RecordBatch) -> None:
        """Give a tile some rows."""
        self._held[tile, kind].append(batch)
        self._rows += len(batch)
        while self._rows > _ROWS_HELD:
            self._write(max(self._held, key=lambda at: sum(map(len, self._held[at]))))

    def finish(self) -> int:
        """Write what is held; the number of rows written in all."""
        for at in sorted(self._held):
            self._write(at)
        self._draft.mkdir(parents=True, exist_ok=True)
        return self._written

    def publish(self) -> None:
        """Give the draft its name. Where somebody else was quicker, theirs is as good: the name is the content."""
        try:
            self._draft.rename(self.folder)
        except OSError:
            if not self.whole:
                raise
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing of the draft."""
        shutil.rmtree(self._draft, ignore_errors=True)

    def of(self, tile: str) -> Iterator[tuple[str, int, bytes]]:
        """A tile's pages: kind, rows, bytes."""
        for path in sorted((self.folder / tile).glob("*.arrow")):
            _, kind, rows = path.stem.split("-")
            yield kind, int(rows), path.read_bytes()

    def _write(self, at: tuple[str, str]) -> None:
        tile, kind = at
        table = pa.Table.from_batches(self._held.pop(at)).combine_chunks()
        folder = self._draft / tile
        folder.mkdir(parents=True, exist_ok=True)
        for batch in table.to_batches(max_chunksize=_ROWS_A_PAGE):
            (folder / f"{self._pages:06d}-{kind}-{len(batch)}.arrow").write_bytes(page_of([batch]))
            self._pages += 1
        self._rows -= len(table)
        self._written += len(table)
