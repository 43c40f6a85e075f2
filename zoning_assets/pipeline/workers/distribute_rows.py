"""Distribute the rows of a layer's normalized pages to the normalized tables of its tiles.

This runs in a worker process. No row is decoded: the rows stay Arrow tables.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from zoning_assets.errors import Defect
from zoning_assets.harvest import Page
from zoning_assets.model import NORMALIZED
from zoning_assets.pipeline.workers import join_rows
from zoning_assets.pipeline.workers.normalize_page import normalized_page
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.geoparquet_tables import without_index

#: Rows of a part of the normalized table. A worker validates one part at a time.
_ROWS_PER_PART = 4000
#: Bytes of rows in memory that are not written yet, of all tiles: 70,000 rows of 350 bytes. Rows with 128 columns have
#: 2,100 bytes.
_MAX_BUFFERED_BYTES = 24 << 20


def distribute(layer: WorkItem, items: Sequence[WorkItem]) -> None:
    """Write the normalized tables of some tiles, or of the whole jurisdiction.

    Args:
        layer: the work item of the layer's harvest.
        items: the work items of tiles that were cut from it by the same cut, or `layer` itself.

    Raises:
        Defect: the number of rows is not that of the harvests.
    """
    parts, fields = _Parts(items), set[str]()
    for page, picked in _picked(layer, items):
        table = normalized_page(layer, page)
        fields |= set(orjson.loads(table.schema.metadata[b"fields"]))
        plain = without_index(table)
        for tile, together, rows in picked:
            parts.add((tile, together), plain if rows is None else plain.take(pa.array(rows)))
    parts.finish(sorted(fields))


#: Rows of a page for one tile: the tile, whether all rows of each of their keys are in one part, and the indexes of the
#: rows (None: all).
Pick = tuple[str | None, bool, npt.NDArray[np.uint32] | None]


def _picked(layer: WorkItem, items: Sequence[WorkItem]) -> list[tuple[Page, Sequence[Pick]]]:
    """Each page with the rows of each tile. A harvest that was not cut gives all rows."""
    harvest, cut = layer.harvest, items[0].harvest.cut
    if not cut:
        return [(page, [(None, True, None)]) for page in harvest.pages]
    rows = raw_harvests.get_rows(layer.objects, harvest.jurisdiction, harvest.feed, harvest.id, cut)
    of_page: defaultdict[int, list[Pick]] = defaultdict(list)
    for item in items:
        mine = rows.of(item.harvest.tile)
        for group in np.split(mine, np.flatnonzero(np.diff(rows.page[mine])) + 1) if len(mine) else ():
            for flag in (False, True):
                if (at := group[rows.together[group] == flag]).size:
                    of_page[int(rows.page[group[0]])].append((item.harvest.tile, flag, rows.row[at]))
    return [(harvest.pages[number], of_page[number]) for number in sorted(of_page)]


@dataclass
class _Parts:
    """Collects rows and writes them as parts of the normalized tables. Their size in memory is limited.

    The numbers of the parts begin at a random one, so that another process that distributes the same tile at the same
    time writes other parts.
    """

    items: Sequence[WorkItem]
    _number: int = field(default_factory=lambda: int.from_bytes(os.urandom(6), "little") * 1000)
    _buffered: dict[tuple[str | None, bool], list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    _sizes: Counter[tuple[str | None, bool]] = field(default_factory=Counter)
    _bytes: Counter[tuple[str | None, bool]] = field(default_factory=Counter)
    _written: dict[str | None, dict[int, bool]] = field(default_factory=lambda: defaultdict(dict))
    _rows: Counter[str | None] = field(default_factory=Counter)

    def add(self, at: tuple[str | None, bool], rows: pa.Table) -> None:
        """Add rows to a tile. `at`: the tile, and whether all rows of each of their keys are in one part."""
        self._buffered[at].append(rows)
        self._sizes[at] += len(rows)
        self._bytes[at] += rows.nbytes
        self._rows[at[0]] += len(rows)
        if self._sizes[at] >= _ROWS_PER_PART:
            self._write(at)
        while self._bytes.total() > _MAX_BUFFERED_BYTES:
            self._write(max(self._bytes, key=self._bytes.__getitem__))

    def finish(self, fields: Sequence[str]) -> None:
        """Write the remaining rows, and commit the tables. `fields`: the columns of the layer."""
        for at in sorted(self._buffered, key=str):
            self._write(at)
        for item in self.items:
            tile = item.harvest.tile
            wanted, written = sum(page.rows for page in item.harvest.pages), self._written[tile]
            if self._rows[tile] != wanted:
                what = f"its harvest has {wanted} rows, and {self._rows[tile]} were distributed"
                raise Defect(what, where=str(item.place), do="report this; nothing was published")
            together = [number for number, each in written.items() if each]
            summary = {"fetched": wanted, "fields": list(fields), "numbers": list(written), "together": together}
            item.table(NORMALIZED).commit(item.objects, len(written), summary)

    def _write(self, at: tuple[str | None, bool]) -> None:
        tile, together = at
        rows = pa.concat_tables(self._buffered.pop(at)).combine_chunks()
        del self._sizes[at], self._bytes[at]
        item = next(each for each in self.items if each.harvest.tile == tile)
        item.table(NORMALIZED).write_rows(item.objects, self._number, join_rows.with_joined(item, rows))
        self._written[tile][self._number] = together
        self._number += 1
