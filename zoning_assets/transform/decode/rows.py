"""What a page holds, before anything is judged."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rows:
    """Rows as the portal gave them, in its order: attributes, shapes in the layer's CRS (x, y), and what was odd.

    `flaws` maps a row's index to what its shape lost or cannot say (a curve, a ring of two points). `raw` gives a
    row as it was written, where the form is JSON.
    """

    attributes: list[dict[str, Any]]
    geometry: npt.NDArray[np.object_]  # None where the portal gave none
    flaws: Mapping[int, str]
    raw: Callable[[int], Mapping[str, Any]] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.attributes)


@dataclass(frozen=True)
class Peek:
    """What proves a page complete, without its shapes: how many rows, their object ids, whether the server says that
    more would follow, and the columns of the first row."""

    rows: int
    ids: list[int]
    more: bool
    columns: Collection[str] = field(default=(), compare=False)
