"""Changes of single rows for the next release. The tables of the previous release do not change."""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from zoning_assets.simulation.county.county_table import CountyTable, texts
from zoning_assets.simulation.portal.polygon_arrays import Floats, Rings, Shapes


def clockwise(ring: Floats) -> Floats:
    """The ring in the direction that Esri uses for shells."""
    turned: Floats = ring[::-1] if shapely.is_ccw(shapely.linearrings(ring)) else ring
    return turned


class ReleaseDraft:
    """The parcels and districts of the next release. Row numbers stay valid until `result`."""

    def __init__(self, parcels: CountyTable, zoning: CountyTable, rng: np.random.Generator, release: int) -> None:
        self.parcels, self.zoning, self.rng, self.release = parcels, zoning, rng, release
        self.columns = {name: values.copy() for name, values in parcels.columns.items()}
        self.zones = {name: values.copy() for name, values in zoning.columns.items()}
        self.hidden = {name: values.copy() for name, values in parcels.hidden.items()}
        self.plain: npt.NDArray[np.bool_] = self.hidden["plain"]  # may still be changed
        self.kept = np.ones(len(parcels), dtype=bool)
        self.edited = np.datetime64("2023-11-15", "ms") + np.timedelta64(30 * (release - 1), "D")
        self._added: list[tuple[int, str, Floats]] = []  # the copied row, PIN, ring
        self._rezoned: list[int] = []  # rows of the lots with an island
        self._islands: list[tuple[int, Floats, str, str]] = []  # district's row, ring, code, name

    def pick(self, how_many: int, among: npt.NDArray[np.bool_] | None = None) -> list[int]:
        """Choose unchanged lots without flaws. They are not chosen again.

        Raises:
            ValueError: there are not enough of them.
        """
        candidates = np.flatnonzero(self.plain if among is None else self.plain & among)
        rows = self.rng.choice(candidates, how_many, replace=False)
        self.plain[rows] = False
        return [int(row) for row in rows]

    def pick_neighbours(self, how_many: int) -> list[tuple[int, int]]:
        """Choose pairs of adjacent lots in one district, without flaws and unchanged."""
        place = self._places()
        order = np.argsort(place)
        one, two = order[:-1], order[1:]
        beside = (place[two] == place[one] + 1) & (self.hidden["along"][one] % 2 == 0)  # so that pairs do not overlap
        same = self.hidden["district"][one] == self.hidden["district"][two]
        fit = np.flatnonzero(beside & same & self.plain[one] & self.plain[two])
        chosen = self.rng.choice(fit, how_many, replace=False)
        self.plain[one[chosen]] = self.plain[two[chosen]] = False
        return [(int(one[k]), int(two[k])) for k in chosen]

    def one_of_each_block(self) -> npt.NDArray[np.bool_]:
        """One unchanged lot without flaws in each block without a rezoned lot."""
        blocks = self._blocks()
        taken = np.isin(blocks, blocks[list(self._rezoned)])
        rows = self.rng.permutation(np.flatnonzero(self.plain & ~taken))
        return np.isin(np.arange(len(blocks)), rows[np.unique(blocks[rows], return_index=True)[1]])

    def pick_blocks(self, how_many: int) -> list[npt.NDArray[np.int64]]:
        """Choose blocks in which nothing has changed yet and no key has a row in another town; return the rows of
        each."""
        if not how_many:
            return []
        blocks = self._blocks()
        busy = (self.plain != self.parcels.hidden["plain"]) | self.hidden["far"] | ~self.kept
        busy |= self.columns["ZONE"] != self.parcels.columns["ZONE"]
        chosen = self.rng.choice(np.setdiff1d(blocks, blocks[busy]), how_many, replace=False)
        rows = [np.flatnonzero(blocks == block) for block in chosen]
        self.plain[np.concatenate(rows)] = False
        return rows

    def _blocks(self) -> npt.NDArray[np.int64]:
        """A number for the block of each lot."""
        numbers: npt.NDArray[np.int64] = self.hidden["town"] * 1_000_000 + self.hidden["block"]
        return numbers

    def _places(self) -> npt.NDArray[np.int64]:
        """A number for the place of each lot; the next lot along the block has the next number."""
        places: npt.NDArray[np.int64] = (self._blocks() * 2 + self.hidden["deep"]) * 100 + self.hidden["along"]
        return places

    def small_districts(self, how_many: int) -> list[int]:
        """Districts with few lots, except islands and districts with a row whose key has a row in another town."""
        district = self.hidden["district"]
        counts = np.bincount(district, weights=self.plain)
        counts[np.unique(district[self.hidden["far"]])] = 0
        order = np.argsort(counts, kind="stable")
        return [int(each) for each in order[counts[order] >= 8][:how_many]]

    def pin(self, row: int) -> str:
        """The key of the row before the changes."""
        return str(self.parcels.columns["PIN"][row])

    def pins_of(self, rows: npt.NDArray[np.integer], *, shapeless: bool = False) -> list[str]:
        """The keys of rows that can be published, or (`shapeless`) of all rows that have a key."""
        fit = (np.diff(self.parcels.shapes.features) > 0) | shapeless
        return sorted({self.pin(row) for row in rows if fit[row] and (self.columns["PIN"][row] or "").strip()})

    def zone(self, row: int) -> str:
        """The code of the parcel."""
        return str(self.columns["ZONE"][row])

    def ring(self, row: int) -> Floats:
        """The ring of a lot without flaws."""
        return self.parcels.shapes.rings_of(row)[0]

    def edit(self, row: int, column: str, value: Any) -> None:
        """Set a value of one row."""
        self.columns[column][row] = value
        self.columns["LAST_EDIT"][row] = self.edited

    def rezone(self, rows: npt.NDArray[np.integer], code: str) -> list[str]:
        """Set the code of parcels; return their keys."""
        for row in rows:
            self.edit(int(row), "ZONE", code)
        return self.pins_of(rows)

    def remove(self, row: int) -> None:
        """Remove the row."""
        self.kept[row] = False

    def add(self, like: int, pin: str, ring: Floats) -> None:
        """Add a copy of a row with another key and ring."""
        self._added.append((like, pin, ring))

    def rename_district(self, district: int, code: str, name: str) -> str:
        """Set the code of a whole district; return the previous one."""
        row = self._district_row(district)
        old = str(self.zones["ZONE_CODE"][row])
        self._set_code(row, code, name, self.zones)
        return old

    def island(self, lot: int, ring: Floats, code: str, name: str) -> None:
        """Add a district inside the one that contains the lot."""
        self._rezoned.append(lot)
        self._islands.append((self._district_row(int(self.hidden["district"][lot])), ring, code, name))

    def _district_row(self, district: int) -> int:
        return int(np.flatnonzero(self.zoning.hidden["district"] == district)[0])

    def _set_code(self, row: int, code: str, name: str, zones: dict[str, npt.NDArray[Any]]) -> None:
        zones["ZONE_CODE"][row], zones["ZONE_NAME"][row] = code, name
        zones["EFFECTIVE"][row] = self.edited
        zones["ORDINANCE"][row] = f"{str(self.edited)[:4]}-{500 + self.release}"

    def result(self) -> tuple[CountyTable, CountyTable]:
        """The changed parcels and districts."""
        return self._parcels(), self._zoning()

    def _parcels(self) -> CountyTable:
        changed = CountyTable(self.columns, {**self.hidden, "plain": self.plain}, self.parcels.shapes)
        kept = changed.taken(np.flatnonzero(self.kept))
        if not self._added:
            return kept
        like, pins, rings = zip(*self._added, strict=True)
        new = changed.taken(np.array(like))
        new = new.with_shapes(Shapes.from_rings([[ring] for ring in rings])).with_columns(
            PIN=texts(list(pins)),
            LAST_EDIT=np.full(len(pins), self.edited, dtype="datetime64[ms]"),
        )
        return kept.joined(new.with_acres(np.arange(len(new))))

    def _zoning(self) -> CountyTable:
        """Each island is a hole in its district and a row of its own."""
        changed = self.zoning.with_columns(**self.zones)
        if not self._islands:
            return changed
        rows, rings, codes, names = zip(*self._islands, strict=True)
        holed: dict[int, Rings] = {}
        for row, ring in zip(rows, rings, strict=True):
            before = holed.get(row) or self._shell_first(row)
            holed[row] = [*before, ring[::-1]]
        new = changed.taken(np.array(rows)).with_shapes(Shapes.from_rings([[ring] for ring in rings]))
        columns = {name: values.copy() for name, values in new.columns.items()}
        for row, (code, name) in enumerate(zip(codes, names, strict=True)):
            self._set_code(row, code, name, columns)
        first = int(self.zoning.hidden["district"].max()) + 1
        new = new.with_columns(**columns).with_hidden(district=np.arange(first, first + len(new)))
        return changed.with_shapes(changed.shapes.replaced(list(holed), list(holed.values()))).joined(new)

    def _shell_first(self, row: int) -> Rings:
        shell, *holes = self.zoning.shapes.rings_of(row)
        return [clockwise(shell), *holes]
