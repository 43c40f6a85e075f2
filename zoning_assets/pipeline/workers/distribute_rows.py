"""Distribute the rows of a layer's normalized pages to the normalized tables of its tiles.

This runs in a worker process. No row is decoded: the rows stay Arrow tables.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from zoning_assets.errors import Defect
from zoning_assets.harvest import Page
from zoning_assets.model import NORMALIZED
from zoning_assets.pipeline.workers.normalize_page import normalized_page
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.geoparquet_tables import without_index

#: Rows of a part: as many as a worker judges at a time.
_ROWS_A_PART = 4000
#: Rows that wait for their part, of all tiles.
_MOST_HELD = 50_000


def deal(layer: Work, works: Sequence[Work]) -> None:
    """Write the normalized tables of some tiles, or of the whole jurisdiction.

    Args:
        layer: the layer's harvest.
        works: harvests that were cut from it in one way, or itself.

    Raises:
        Defect: other rows came than the harvests have.
    """
    parts, fields = _Parts(works), set[str]()
    for page, picked in _picked(layer, works):
        table = normalized_page(layer, page)
        fields |= set(orjson.loads(table.schema.metadata[b"fields"]))
        plain = without_index(table)
        for tile, together, rows in picked:
            parts.add((tile, together), plain if rows is None else plain.take(pa.array(rows)))
    parts.finish(sorted(fields))


#: Of a page: a tile, whether all rows of their keys stand together, and the rows (None: all).
Pick = tuple[str | None, bool, npt.NDArray[np.uint32] | None]


def _picked(layer: Work, works: Sequence[Work]) -> Iterator[tuple[Page, Sequence[Pick]]]:
    """Page after page, the rows of each tile; of a harvest that was not cut all rows."""
    harvest, cut = layer.harvest, works[0].harvest.cut
    if not cut:
        yield from ((page, [(None, True, None)]) for page in harvest.pages)
        return
    rows = raw_harvests.get_rows(layer.objects, harvest.jurisdiction, harvest.feed, harvest.id, cut)
    of_page: defaultdict[int, list[Pick]] = defaultdict(list)
    for work in works:
        mine = rows.of(work.harvest.tile)
        for group in np.split(mine, np.flatnonzero(np.diff(rows.page[mine])) + 1) if len(mine) else ():
            for flag in (False, True):
                if (at := group[rows.together[group] == flag]).size:
                    of_page[int(rows.page[group[0]])].append((work.harvest.tile, flag, rows.row[at]))
    for number in sorted(of_page):
        yield harvest.pages[number], of_page[number]


@dataclass
class _Parts:
    """Rows on their way to the parts of their tables; memory holds a bounded number of them.

    Another process that deals out the same tile at the same time writes parts with other numbers.
    """

    works: Sequence[Work]
    _number: int = field(default_factory=lambda: int.from_bytes(os.urandom(6), "little") * 1000)
    _held: dict[tuple[str | None, bool], list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    _sizes: Counter[tuple[str | None, bool]] = field(default_factory=Counter)
    _written: dict[str | None, dict[int, bool]] = field(default_factory=lambda: defaultdict(dict))
    _rows: Counter[str | None] = field(default_factory=Counter)

    def add(self, at: tuple[str | None, bool], rows: pa.Table) -> None:
        """Add rows to a tile. `at`: the tile, and whether all rows of their keys stand together."""
        self._held[at].append(rows)
        self._sizes[at] += len(rows)
        self._rows[at[0]] += len(rows)
        if self._sizes[at] >= _ROWS_A_PART:
            self._write(at)
        while self._sizes.total() > _MOST_HELD:
            self._write(max(self._sizes, key=self._sizes.__getitem__))

    def finish(self, fields: Sequence[str]) -> None:
        """Write what is held, and commit the tables."""
        for at in sorted(self._held, key=str):
            self._write(at)
        for work in self.works:
            tile = work.harvest.tile
            wanted, written = sum(page.rows for page in work.harvest.pages), self._written[tile]
            if self._rows[tile] != wanted:
                what = f"its harvest has {wanted} rows, and {self._rows[tile]} were dealt out"
                raise Defect(what, where=str(work.place), do="report this; nothing was published")
            together = [number for number, each in written.items() if each]
            said = {"fetched": wanted, "fields": list(fields), "numbers": list(written), "together": together}
            work.table(NORMALIZED).commit(work.objects, len(written), said)

    def _write(self, at: tuple[str | None, bool]) -> None:
        tile, together = at
        rows = pa.concat_tables(self._held.pop(at)).combine_chunks()
        del self._sizes[at]
        work = next(each for each in self.works if each.harvest.tile == tile)
        work.table(NORMALIZED).write_rows(work.objects, self._number, rows)
        self._written[tile][self._number] = together
        self._number += 1
