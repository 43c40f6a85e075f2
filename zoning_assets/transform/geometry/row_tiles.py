"""Which H3 tile is each row of a layer assigned to, when all rows are known? The arithmetic of cells: h3_cells.py.

A row's tile is the ancestor of the finest H3 cell of its representative point. Rows with the same natural key have the
same owner, the tile of the smallest of their cells, so that the policy for repeated keys can be applied. Rows without a
shape are owned by the first tile.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from zoning_assets.model import Bounds
from zoning_assets.transform.geometry import crs, h3_cells

Numbers = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

#: A tile with more rows than this is split (`tile_resolution = "auto"`). A tile then has about a dozen pages. Measured
#: with a county of 200,000 parcels: 20 s with 10,000 rows a tile (65 tiles), 17 s with 25,000, 16 s with 50,000.
MOST_ROWS_A_TILE = 25_000
#: The owner where there are no tiles: the whole jurisdiction.
WHOLE_JURISDICTION = np.uint64(0)
#: Tiles are not split below this resolution (edge about 66 m): the parcels of one tower cannot be separated.
SMALLEST = 10


@dataclass(frozen=True)
class LayerRows:
    """One entry for each row of a layer, page after page.

    Attributes:
        page: number of the row's page in the harvest.
        row: index of the row in its page.
        cell: finest H3 cell of its representative point; 0: no shape.
        key: hash of its natural key; 0: no key.
        content: hash of its content.
        id: the portal's own id of the row, two's complement; 0 if the page has none.
    """

    page: Numbers
    row: Numbers
    cell: Numbers
    key: Numbers
    content: Numbers
    id: Numbers

    def __len__(self) -> int:
        return len(self.page)

    @classmethod
    def of_pages(cls, pages: Sequence["LayerRows"]) -> "LayerRows":
        """The rows of several pages; pages are numbered in this order."""
        numbers = [np.full(len(each), number, dtype=np.uint64) for number, each in enumerate(pages)]
        rest = [[getattr(page, each.name) for page in pages] for each in fields(cls)[1:]]
        return cls(_joined(numbers), *map(_joined, rest))

    def selected(self, which: npt.NDArray[np.intp] | Flags) -> "LayerRows":
        """Some of the rows, by position or by flag."""
        return LayerRows(*(getattr(self, each.name)[which] for each in fields(self)))

    def followed_by(self, other: "LayerRows") -> "LayerRows":
        """These rows, then the other ones; page numbers are kept."""
        return LayerRows(*(_joined([getattr(each, name.name) for each in (self, other)]) for name in fields(self)))


@dataclass(frozen=True)
class Ownership:
    """The owner of each row of a layer.

    Attributes:
        tiles: tile -> the number of its rows.
        owner: one entry a row: the tile's 64-bit index, or WHOLE_JURISDICTION.
        has_shared_key: one entry a row: whether other rows have its key.
    """

    tiles: Mapping[str, int]
    owner: Numbers
    has_shared_key: Flags


def by_jurisdiction(rows: LayerRows) -> Ownership:
    """The ownership of a layer whose shapes cross tiles: the jurisdiction owns all rows, and they are validated
    together.
    """
    return Ownership({}, np.full(len(rows), WHOLE_JURISDICTION), np.ones(len(rows), dtype=bool))


def by_tile(rows: LayerRows, bounds: Bounds, resolution: int | None) -> Ownership:
    """Find the tiles of a layer, and the owner of each row.

    Args:
        rows: all rows of the layer.
        bounds: of the jurisdiction; degrees.
        resolution: H3 resolution of the tiles; None: tiles are split until none has more than MOST_ROWS_A_TILE rows.
    """
    padded = crs.padded(bounds)
    start = h3_cells.outermost({*h3_cells.start_tiles(padded), *h3_cells.count_by(rows.cell, 3)})
    found = split(rows.cell, start, MOST_ROWS_A_TILE, resolution) or {h3_cells.start_tiles(padded)[0]: 0}
    has_shared_key = repeated(rows.key)
    owner = owners(rows.cell, found)
    owner[has_shared_key] = _owners_of_keys(rows.key[has_shared_key], rows.cell[has_shared_key], found)
    counted = dict(zip(*np.unique(owner, return_counts=True), strict=True))
    return Ownership({tile: int(counted.get(h3_cells.to_int(tile), 0)) for tile in found}, owner, has_shared_key)


def owners(cells: Numbers, tiles: Collection[str]) -> Numbers:
    """Which of `tiles` owns each finest cell. The default owner has the cells that no tile contains."""
    owned = np.full(len(cells), h3_cells.to_int(default_owner(tiles)), dtype=np.uint64)
    by_resolution: dict[int, list[int]] = {}
    for tile in tiles:
        by_resolution.setdefault(h3_cells.resolution_of(tile), []).append(h3_cells.to_int(tile))
    for resolution, ints in by_resolution.items():
        parents, known = h3_cells.ancestors(cells, resolution), np.sort(np.array(ints, dtype=np.uint64))
        is_known = known[np.searchsorted(known[:-1], parents)] == parents
        np.copyto(owned, parents, where=is_known)
    return owned


def default_owner(tiles: Collection[str]) -> str:
    """The tile that also owns rows without coordinates: the first one of the jurisdiction."""
    return min(tiles)


def split(cells: Numbers, start: Sequence[str], most_rows: int, fixed: int | None) -> dict[str, int]:
    """Split tiles until none has more than `most_rows` rows, or until the resolution `fixed`; empty tiles are left out.

    Args:
        cells: the finest cells of all rows.
        start: the tiles to begin with.
        most_rows: the largest number of rows in a tile.
        fixed: the resolution of the tiles; None: by the number of rows.

    Returns:
        Tile -> number of rows.
    """
    tiles: dict[str, int] = {}
    queue = [(tile, h3_cells.resolution_of(tile)) for tile in start]
    finest = SMALLEST if fixed is None else fixed
    counts = cache(partial(h3_cells.count_by, cells))  # fine tiles are many: only those of a resolution that is reached
    while queue:
        tile, resolution = queue.pop()
        rows = counts(resolution).get(tile, 0)
        if rows and resolution < finest and (fixed is not None or rows > most_rows):
            queue += [(child, resolution + 1) for child in h3_cells.children(tile)]
        elif rows:
            tiles[tile] = rows
    return dict(sorted(tiles.items()))


def _owners_of_keys(keys: Numbers, cells: Numbers, found: Mapping[str, int]) -> Numbers:
    """The owner of each row with a shared key: that of the smallest cell of the key."""
    each, which = np.unique(keys, return_inverse=True)
    smallest = np.full(len(each), np.uint64(h3_cells.LAST))
    np.minimum.at(smallest, which, np.where(cells == h3_cells.NO_CELL, np.uint64(h3_cells.LAST), cells))
    return owners(smallest, found)[which]


def key_hashes(keys: Sequence[str | None]) -> Numbers:
    """A 64-bit hash of each key; 0: no key. Equal keys have equal hashes."""
    return np.array([_hash(key) for key in keys], dtype=np.uint64)


def repeated(hashes: Numbers) -> Flags:
    """Which hashes occur several times; 0 never counts."""
    ordered = np.sort(hashes)
    several = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(hashes, several[several != 0])


def _hash(key: str | None) -> int:
    if key is None:
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1


def _joined(arrays: Sequence[Numbers]) -> Numbers:
    return np.concatenate([np.empty(0, np.uint64), *arrays])
