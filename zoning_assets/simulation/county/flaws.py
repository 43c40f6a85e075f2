"""What is wrong, or at least odd, in a real county's parcels: put in on purpose, and counted."""

import numpy as np
import numpy.typing as npt

from zoning_assets.simulation.county.county_table import Table, texts
from zoning_assets.simulation.county.plat import ALONG
from zoning_assets.simulation.portal.polygon_arrays import Floats, Ints, Rings

FEWEST = 200  # parcels that can carry all flaws
_STREET_MIDDLE_FT = 82.0  # from a lot's middle to the middle of its street


class _Pool:
    """Rows that are still as they were drawn, in an order of chance; each is given out once."""

    def __init__(self, table: Table, rng: np.random.Generator) -> None:
        self.table, self.rng = table, rng
        self.free: npt.NDArray[np.bool_] = ~table.hidden["crossed"]

    def some(self, rows: int, among: npt.NDArray[np.bool_] | None = None) -> Ints:
        """So many rows."""
        candidates = np.flatnonzero(self.free if among is None else self.free & among)
        taken = np.sort(self.rng.choice(candidates, rows, replace=False))
        self.free[taken] = False
        return taken

    def neighbours(self, groups: int) -> Ints:
        """The first row of each of so many groups of three lots side by side."""
        along, free = self.table.hidden["along"], self.free
        first = np.isin(along, (0, ALONG - 3))
        full = np.zeros(len(free), dtype=bool)
        full[:-2] = first[:-2] & free[:-2] & free[1:-1] & free[2:] & (along[2:] == along[:-2] + 2)
        taken = self.some(groups, full)
        self.free[[taken + 1, taken + 2]] = False
        return taken


def spoiled(table: Table, rng: np.random.Generator) -> tuple[Table, dict[str, int]]:
    """The parcels with flaws, and how many rows have each.

    Names: `bow_ties`, `self_touching`, `spikes` (together `invalid`), `empty_rings`, `null_geometry`, `null_keys` (a
    third of them blank), `repeated_keys` (how many keys) and `repeated_rows` (their rows; `far_keys` of the keys have
    rows in two towns), `holes`, `multipolygons`, `split_zoned`. No row has two of them.
    """
    rows, pool = len(table), _Pool(table, rng)
    table, repeats = _with_repeats(table, pool)
    table, shapes = _with_shapes(table, pool)
    null_keys = pool.some(max(3, rows // 1000))
    pins = table.columns["PIN"].copy()
    pins[null_keys] = texts([" " if i % 3 == 2 else None for i in range(len(null_keys))])
    counts = {**shapes, **repeats, "null_keys": len(null_keys), "split_zoned": int(table.hidden["crossed"].sum())}
    return table.having(PIN=pins).knowing(plain=pool.free), counts


def _with_repeats(table: Table, pool: _Pool) -> tuple[Table, dict[str, int]]:
    """Keys of two or three neighbours, and keys with a row in the first town and one in the last."""
    rows, town, pins = len(table), table.hidden["town"], table.columns["PIN"].copy()
    near, far = max(4, rows // 400), max(2, rows // 1000)
    first = pool.neighbours(near)
    thrice = first[::2]
    pins[first + 1], pins[thrice + 2] = pins[first], pins[thrice]
    here, there = pool.some(far, town == 0), pool.some(far, town == town.max())
    pins[there] = pins[here]
    counts = {"repeated_keys": near + far, "repeated_rows": 2 * near + len(thrice) + 2 * far, "far_keys": far}
    far_rows = np.isin(np.arange(rows), [here, there])
    return table.having(PIN=pins).knowing(far=far_rows), counts


def _with_shapes(table: Table, pool: _Pool) -> tuple[Table, dict[str, int]]:
    rows = len(table)
    recipes = {
        "bow_ties": (_bow_tie, max(3, rows // 500)),
        "self_touching": (_self_touching, max(2, rows // 1000)),
        "spikes": (_spike, max(2, rows // 1000)),
        "empty_rings": (_empty, max(2, rows // 2000)),
        "null_geometry": (_null, max(2, rows // 2000)),
        "holes": (_with_hole, max(4, rows // 150)),
        "multipolygons": (_with_island, max(4, rows // 200)),
    }
    where, shapes = [], []
    for draw, how_many in recipes.values():
        chosen = pool.some(how_many)
        where.append(chosen)
        shapes += [draw(table, int(row)) for row in chosen]
    touched = np.concatenate(where)
    counts = {name: how_many for name, (_, how_many) in recipes.items()}
    counts["invalid"] = counts["bow_ties"] + counts["self_touching"] + counts["spikes"]
    return table.shaped(table.shapes.replaced(touched, shapes)).measured(touched), counts


def _bow_tie(table: Table, row: int) -> Rings:
    """Two of four corners in the wrong order."""
    return [table.hidden["corners"][row][[0, 2, 1, 3, 0]]]


def _self_touching(table: Table, row: int) -> Rings:
    """A hole that hangs on the shell by one corner, drawn in one stroke."""
    a, b, c, d = table.hidden["corners"][row]
    inner = np.round([(a + c + d) / 3, (a + b + c) / 3], 3)
    return [np.concatenate([[a, b, c, d, a], inner, [a]])]


def _spike(table: Table, row: int) -> Rings:
    """Out to a point in the street and straight back."""
    ring = table.shapes.rings_of(row)[0]
    tip = np.round(ring[1] + 20.0 * table.hidden["outward"][row], 3)
    return [np.concatenate([ring[:2], [tip], ring[1:]])]


def _empty(_table: Table, _row: int) -> Rings:
    return []


def _null(_table: Table, _row: int) -> None:
    return None


def _with_hole(table: Table, row: int) -> Rings:
    """A smaller copy of the lot is cut out of its middle."""
    ring = table.shapes.rings_of(row)[0]
    return [ring, _copy(table, row, 0.25)[::-1]]


def _with_island(table: Table, row: int) -> Rings:
    """A second part in the middle of the street."""
    ring = table.shapes.rings_of(row)[0]
    return [ring, np.round(_copy(table, row, 0.1) + _STREET_MIDDLE_FT * table.hidden["outward"][row], 3)]


def _copy(table: Table, row: int, scale: float) -> Floats:
    ring, middle = table.shapes.rings_of(row)[0], table.hidden["corners"][row].mean(axis=0)
    smaller: Floats = np.round(middle + scale * (ring - middle), 3)
    return smaller
