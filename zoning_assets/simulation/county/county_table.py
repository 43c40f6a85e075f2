"""The rows of a layer: served columns, hidden columns of the simulation, and shapes; all in the same order."""

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
class CountyTable:
    """The rows of one layer. Methods return a new table.

    Attributes:
        columns: those that the portal serves.
        hidden: those that only the simulation knows; the first axis is the row.
        shapes: of the rows.
    """

    columns: Columns
    hidden: Columns  # never served; the first axis is the row
    shapes: Shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def taken(self, rows: npt.NDArray[np.integer]) -> "CountyTable":
        """These rows, in this order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return CountyTable(
            columns, {name: values[rows] for name, values in self.hidden.items()}, self.shapes.taken(rows)
        )

    def joined(self, other: "CountyTable") -> "CountyTable":
        """These rows, followed by those of another table."""
        columns = {name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()}
        hidden = {name: np.concatenate([values, other.hidden[name]]) for name, values in self.hidden.items()}
        return CountyTable(columns, hidden, self.shapes.joined(other.shapes))

    def with_columns(self, **columns: Column) -> "CountyTable":
        """With other served columns."""
        return CountyTable({**self.columns, **columns}, self.hidden, self.shapes)

    def with_shapes(self, shapes: Shapes) -> "CountyTable":
        """With other shapes."""
        return CountyTable(self.columns, self.hidden, shapes)

    def with_hidden(self, **hidden: Column) -> "CountyTable":
        """With other hidden columns."""
        return CountyTable(self.columns, {**self.hidden, **hidden}, self.shapes)

    def with_server_columns(self, rng: np.random.Generator) -> "CountyTable":
        """With the columns that a server computes: OBJECTID by order, a new GlobalID, area and length of the shape."""
        return self.with_columns(
            OBJECTID=np.arange(1, len(self) + 1, dtype=np.int64),
            GlobalID=global_ids(len(self), rng),
            Shape_Area=self.shapes.areas(),
            Shape_Length=self.shapes.lengths(),
        )

    def with_acres(self, rows: Ints) -> "CountyTable":
        """With ACRES of these rows computed from the shapes."""
        acres = self.columns["ACRES"].copy()
        acres[rows] = np.round(self.shapes.areas()[rows] / SQUARE_FEET_PER_ACRE, 4)
        return self.with_columns(ACRES=acres)


def global_ids(rows: int, rng: np.random.Generator) -> Column:
    """Random ids in the format of Esri: {8-4-4-4-12}."""
    text = rng.bytes(16 * rows).hex().upper()
    cut = (text[start : start + 32] for start in range(0, len(text), 32))
    return texts([f"{{{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}}}" for t in cut])


def texts(values: list[Any]) -> Column:
    """A column of texts; None is null."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
