"""Normalized pages of a layer to the normalized tables of its tiles. A worker process does it; no row is decoded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from zoning_assets.errors import HarvestMissing
from zoning_assets.model import NORMALIZED, Page
from zoning_assets.stages import Work
from zoning_assets.stores import harvests
from zoning_assets.stores.harvests import OwnedRows
from zoning_assets.stores.tables import Table, without_index

#: Rows of a part: as many as a worker judges at a time.
_ROWS_A_PART = 4000
#: Rows that wait for their part, of all tiles.
_MOST_HELD = 100_000


def deal(layer: Work, works: Sequence[Work]) -> None:
    """Write the normalized tables of some tiles, or of the whole jurisdiction.

    Args:
        layer: the layer's harvest; its pages are normalized.
        works: harvests that were cut from it, or itself.
    """
    tables = {work.harvest.tile: work.table(NORMALIZED) for work in works}
    parts, fields = _Parts(layer, tables), set[str]()
    if None in tables:
        picks: Iterator[tuple[Page, Mapping[str | None, npt.NDArray[np.intp]]]] = ((p, {}) for p in layer.harvest.pages)
    else:
        harvest = layer.harvest
        rows = harvests.get_rows(layer.objects, harvest.jurisdiction, harvest.feed, harvest.id)
        picks = _picked(layer, rows, list(tables))
    for page, by_tile in picks:
        table = layer.pages.find(layer.objects, page.name)
        if table is None:
            raise HarvestMissing("a normalized page is gone", where=page.name[:12], do="run again")
        fields |= set(orjson.loads(table.schema.metadata[b"fields"]))
        plain = without_index(table)
        if not by_tile:
            parts.add(None, True, plain)
            continue
        for tile, picked in by_tile.items():
            together = rows.together[picked]
            at = rows.row[picked]
            for flag in (False, True):
                if (mine := at[together == flag]).size:
                    parts.add(tile, flag, plain.take(pa.array(mine)))
    parts.finish(sorted(fields))


def _picked(
    layer: Work, rows: OwnedRows, tiles: Sequence[str | None]
) -> Iterator[tuple[Page, Mapping[str | None, npt.NDArray[np.intp]]]]:
    """Page after page, the positions of the rows of each tile."""
    of_page: defaultdict[int, dict[str | None, npt.NDArray[np.intp]]] = defaultdict(dict)
    for tile in tiles:
        mine = rows.of(tile)
        numbers = rows.page[mine]
        edges = np.flatnonzero(np.diff(numbers)) + 1
        for group in np.split(mine, edges) if len(mine) else ():
            of_page[int(rows.page[group[0]])][tile] = group
    for number in sorted(of_page):
        yield layer.harvest.pages[number], of_page[number]


@dataclass
class _Parts:
    """Rows on their way to the parts of their tables; memory holds a bounded number of them."""

    layer: Work
    tables: Mapping[str | None, Table]
    _held: dict[tuple[str | None, bool], list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    _sizes: dict[tuple[str | None, bool], int] = field(default_factory=lambda: defaultdict(int))
    _written: dict[str | None, list[bool]] = field(default_factory=lambda: defaultdict(list))
    _rows: dict[str | None, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, tile: str | None, together: bool, rows: pa.Table) -> None:
        """Give a tile rows; `together`: all rows of their keys come so."""
        at = (tile, together)
        self._held[at].append(rows)
        self._sizes[at] += len(rows)
        self._rows[tile] += len(rows)
        if self._sizes[at] >= _ROWS_A_PART:
            self._write(at)
        while sum(self._sizes.values()) > _MOST_HELD:
            self._write(max(self._sizes, key=self._sizes.__getitem__))

    def finish(self, fields: Sequence[str]) -> None:
        """Write what is held, and commit the tables."""
        for at in sorted(self._held, key=str):
            self._write(at)
        for tile, table in self.tables.items():
            written = self._written[tile]
            together = [number for number, each in enumerate(written) if each]
            said = {"fetched": self._rows[tile], "fields": list(fields), "together": together}
            table.commit(self.layer.objects, len(written), said)

    def _write(self, at: tuple[str | None, bool]) -> None:
        tile, together = at
        rows = pa.concat_tables(self._held.pop(at)).combine_chunks()
        self._sizes.pop(at)
        self.tables[tile].write_rows(self.layer.objects, len(self._written[tile]), rows)
        self._written[tile].append(together)
