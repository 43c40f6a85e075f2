"""The rows of a decoded page, before validation."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rows:
    """Rows as the portal sent them, in its order: attributes and shapes in the layer's CRS (x, y).

    flaws: row index -> what was removed from the shape or could not be decoded (a curve, a ring of two points).
    raw: returns a row as JSON in the portal's own form; None if the format is not JSON.
    """

    attributes: list[dict[str, Any]]
    geometry: npt.NDArray[np.object_]  # None if the row has no shape
    flaws: Mapping[int, str]
    raw: Callable[[int], Mapping[str, Any]] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.attributes)


@dataclass(frozen=True)
class Peek:
    """What is needed to prove a page complete: the number of rows, their object ids, whether the server reports that
    more rows follow, and the columns of the first row."""

    rows: int
    ids: list[int]
    more: bool
    columns: Collection[str] = field(default=(), compare=False)
