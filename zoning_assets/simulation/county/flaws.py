"""The flaws of a real county's parcels, added on purpose and counted."""

import numpy as np
import numpy.typing as npt

from zoning_assets.simulation.county.county_table import CountyTable, texts
from zoning_assets.simulation.county.plat import ALONG
from zoning_assets.simulation.portal.polygon_arrays import Floats, Ints, Rings

FEWEST = 200  # parcels that are enough for all flaws
_STREET_MIDDLE_FT = 82.0  # from a lot's middle to the middle of its street


class _FlawlessRows:
    """Rows without a flaw, in random order. Each row is given out once."""

    def __init__(self, table: CountyTable, rng: np.random.Generator) -> None:
        self.table, self.rng = table, rng
        self.free: npt.NDArray[np.bool_] = ~table.hidden["crossed"]

    def some(self, rows: int, among: npt.NDArray[np.bool_] | None = None) -> Ints:
        """Take some rows."""
        candidates = np.flatnonzero(self.free if among is None else self.free & among)
        taken = np.sort(self.rng.choice(candidates, rows, replace=False))
        self.free[taken] = False
        return taken

    def neighbours(self, groups: int) -> Ints:
        """Take groups of three adjacent lots; return the first row of each group."""
        along, free = self.table.hidden["along"], self.free
        first = np.isin(along, (0, ALONG - 3))
        full = np.zeros(len(free), dtype=bool)
        full[:-2] = first[:-2] & free[:-2] & free[1:-1] & free[2:] & (along[2:] == along[:-2] + 2)
        taken = self.some(groups, full)
        self.free[[taken + 1, taken + 2]] = False
        return taken


def with_flaws(table: CountyTable, rng: np.random.Generator) -> tuple[CountyTable, dict[str, int]]:
    """The parcels with flaws, and how many rows have each.

    Names of the flaws: `bow_ties`, `self_touching`, `spikes` (together `invalid`), `empty_rings`, `null_geometry`,
    `null_keys` (a third of them blank), `repeated_keys` (the number of keys) and `repeated_rows` (their rows;
    `far_keys` of the keys have rows in two towns), `holes`, `multipolygons`, `split_zoned`. No row has two flaws.
    """
    rows, pool = len(table), _FlawlessRows(table, rng)
    table, repeats = _with_repeats(table, pool)
    table, shapes = _with_shapes(table, pool)
    null_keys = pool.some(max(3, rows // 1000))
    pins = table.columns["PIN"].copy()
    pins[null_keys] = texts([" " if i % 3 == 2 else None for i in range(len(null_keys))])
    counts = {**shapes, **repeats, "null_keys": len(null_keys), "split_zoned": int(table.hidden["crossed"].sum())}
    return table.with_columns(PIN=pins).with_hidden(plain=pool.free), counts


def _with_repeats(table: CountyTable, pool: _FlawlessRows) -> tuple[CountyTable, dict[str, int]]:
    """Repeated keys: of two or three neighbours, and of a row in the first town and one in the last."""
    rows, town, pins = len(table), table.hidden["town"], table.columns["PIN"].copy()
    near, far = max(4, rows // 400), max(2, rows // 1000)
    first = pool.neighbours(near)
    thrice = first[::2]
    pins[first + 1], pins[thrice + 2] = pins[first], pins[thrice]
    here, there = pool.some(far, town == 0), pool.some(far, town == town.max())
    pins[there] = pins[here]
    counts = {"repeated_keys": near + far, "repeated_rows": 2 * near + len(thrice) + 2 * far, "far_keys": far}
    far_rows = np.isin(np.arange(rows), [here, there])
    return table.with_columns(PIN=pins).with_hidden(far=far_rows), counts


def _with_shapes(table: CountyTable, pool: _FlawlessRows) -> tuple[CountyTable, dict[str, int]]:
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
    return table.with_shapes(table.shapes.replaced(touched, shapes)).with_acres(touched), counts


def _bow_tie(table: CountyTable, row: int) -> Rings:
    """Two of the four corners are swapped."""
    return [table.hidden["corners"][row][[0, 2, 1, 3, 0]]]


def _self_touching(table: CountyTable, row: int) -> Rings:
    """A hole that touches the shell in one corner, drawn as one ring."""
    a, b, c, d = table.hidden["corners"][row]
    inner = np.round([(a + c + d) / 3, (a + b + c) / 3], 3)
    return [np.concatenate([[a, b, c, d, a], inner, [a]])]


def _spike(table: CountyTable, row: int) -> Rings:
    """The ring has a spike to a point in the street."""
    ring = table.shapes.rings_of(row)[0]
    tip = np.round(ring[1] + 20.0 * table.hidden["outward"][row], 3)
    return [np.concatenate([ring[:2], [tip], ring[1:]])]


def _empty(_table: CountyTable, _row: int) -> Rings:
    return []


def _null(_table: CountyTable, _row: int) -> None:
    return None


def _with_hole(table: CountyTable, row: int) -> Rings:
    """A hole in the middle, which is a smaller copy of the lot."""
    ring = table.shapes.rings_of(row)[0]
    return [ring, _copy(table, row, 0.25)[::-1]]


def _with_island(table: CountyTable, row: int) -> Rings:
    """A second part in the middle of the street."""
    ring = table.shapes.rings_of(row)[0]
    return [ring, np.round(_copy(table, row, 0.1) + _STREET_MIDDLE_FT * table.hidden["outward"][row], 3)]


def _copy(table: CountyTable, row: int, scale: float) -> Floats:
    ring, middle = table.shapes.rings_of(row)[0], table.hidden["corners"][row].mean(axis=0)
    smaller: Floats = np.round(middle + scale * (ring - middle), 3)
    return smaller
