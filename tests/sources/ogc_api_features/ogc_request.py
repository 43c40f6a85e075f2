"""For tests of ogc-features and wfs: a request to a portal on loopback, and lots, one of them without a shape."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import shapely

from tests.sources import portals
from tests.support.http_desk import Answers
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.source import Request

Lot = tuple[int, str, shapely.Polygon | None]


def asking(kind: str, answers: Answers, path: str, folder: Path, **feed: Any) -> AbstractAsyncContextManager[Request]:
    """A request for the feed at a path of a portal that answers so."""
    return portals.asking(answers, path, folder, type=kind, **{"key": "pin", **feed})


def lots(number: int, *, shapeless: int | None = None) -> list[Lot]:
    """So many numbered squares with keys; `shapeless`: the number of one without a shape."""
    made = enumerate(portals.lots(number), 1)
    return [(i, key, None if i == shapeless else box) for i, (key, box) in made]


def same(whole: FullLayer, served_lots: list[Lot]) -> bool:
    """Whether the rows of an opened feed are just the lots that were served."""
    found = portals.rows_of(whole)
    there = {key: shape for _, key, shape in served_lots}
    return found.keys() == there.keys() and all(_same_shape(found[key], there[key]) for key in found)


def _same_shape(one: shapely.Geometry | None, other: shapely.Polygon | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(shapely.equals_exact(one.geoms[0], other, 1e-9, normalize=True))
