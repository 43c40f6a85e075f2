"""Rows: columns that are served, columns that only the simulation knows, and shapes; all in the same order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoning_assets.simulation.portal.polygon_arrays import Ints, Shapes

Column = npt.NDArray[Any]  # object (text, None where null), int64, float64, datetime64[ms]
Columns = Mapping[str, Column]

SQUARE_FEET_PER_ACRE = 43_560.0


@dataclass(frozen=True)
class Table:
    """One layer's rows. No method changes what it was called on."""

    columns: Columns
    hidden: Columns  # never served; the first axis is the row
    shapes: Shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def taken(self, rows: npt.NDArray[np.integer]) -> "Table":
        """These rows, in this order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Table(columns, {name: values[rows] for name, values in self.hidden.items()}, self.shapes.taken(rows))

    def joined(self, other: "Table") -> "Table":
        """These rows, then the others."""
        columns = {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}
        hidden = {name: np.concatenate([values, other.hidden[name]]) for name, values in self.hidden.items()}
        return Table(columns, hidden, self.shapes.joined(other.shapes))

    def having(self, **columns: Column) -> "Table":
        """With other served columns."""
        return Table({**self.columns, **columns}, self.hidden, self.shapes)

    def shaped(self, shapes: Shapes) -> "Table":
        """With other shapes."""
        return Table(self.columns, self.hidden, shapes)

    def knowing(self, **hidden: Column) -> "Table":
        """With other hidden columns."""
        return Table(self.columns, {**self.hidden, **hidden}, self.shapes)

    def published(self, rng: np.random.Generator) -> "Table":
        """With what a server computes for itself: OBJECTID by order, GlobalID anew, area and length from the shape."""
        return self.having(
            OBJECTID=np.arange(1, len(self) + 1, dtype=np.int64),
            GlobalID=global_ids(len(self), rng),
            Shape_Area=self.shapes.areas(),
            Shape_Length=self.shapes.lengths(),
        )

    def measured(self, rows: Ints) -> "Table":
        """With ACRES from the shape, in these rows."""
        acres = self.columns["ACRES"].copy()
        acres[rows] = np.round(self.shapes.areas()[rows] / SQUARE_FEET_PER_ACRE, 4)
        return self.having(ACRES=acres)


def global_ids(rows: int, rng: np.random.Generator) -> Column:
    """Ids as Esri writes them: {8-4-4-4-12}."""
    text = rng.bytes(16 * rows).hex().upper()
    cut = (text[start : start + 32] for start in range(0, len(text), 32))
    return texts([f"{{{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}}}" for t in cut])


def texts(values: list[Any]) -> Column:
    """A column of text."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
