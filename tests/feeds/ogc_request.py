"""For tests of ogc-features and wfs: a request to a portal on loopback, without waiting; and lots to serve."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import shapely

from tests.http_desk import Answers, Clock, served
from zoning_assets.feeds.source import Request
from zoning_assets.feeds.whole import Whole
from zoning_assets.http import TALLY, Http, Tally
from zoning_assets.model import PARCELS, Feed, Jurisdiction, Place, Portal
from zoning_assets.stores.drafts import Draft
from zoning_assets.stores.objects import Objects

BOUNDS = (-71.17, 42.35, -71.06, 42.41)
PORTAL = Portal(requests_per_minute=600_000, connections=8)

Lot = tuple[int, str, shapely.Polygon | None]


@asynccontextmanager
async def asking(kind: str, answers: Answers, path: str, folder: Path, **feed: Any) -> AsyncIterator[Request]:
    """A request for the feed at a path of a portal that answers so."""
    clock = Clock()
    TALLY.set(Tally())
    async with served(answers) as url, Http(sleep=clock.sleep, jitter=lambda: 1.0, clock=clock) as http:
        described = Feed(PARCELS, kind, url.removesuffix("/layer") + path, **{"key": "pin", **feed})
        jurisdiction = Jurisdiction("us-ma-cambridge", "Cambridge", BOUNDS, {PARCELS: described}, portal=PORTAL)
        draft = Draft(Objects(str(folder / "store")), Place(jurisdiction.id), PARCELS)
        yield Request(jurisdiction, described, http, folder / "scratch", draft)


def lots(number: int, *, shapeless: int | None = None) -> list[Lot]:
    """So many numbered squares of some 8 m in Cambridge, degrees, with keys; `shapeless`: the number of one without."""
    corners = ((-71.15 + (i % 200) * 2e-4, 42.36 + (i // 200) * 2e-4) for i in range(number))
    boxes = [shapely.box(x, y, x + 1e-4, y + 1e-4) for x, y in corners]
    return [(i, f"pin-{i:06d}", None if i == shapeless else box) for i, box in enumerate(boxes, 1)]


def rows_of(whole: Whole) -> dict[str, shapely.Geometry]:
    """Each row of an opened feed: its key and shape, x first."""
    found = {}
    for batch in whole.here.batches():
        shapes = shapely.from_wkb(batch.column("geometry").to_numpy(zero_copy_only=False))
        for key, shape in zip(whole.here.keys(batch), shapes, strict=True):
            assert key not in found
            found[key] = shape
    return found


def same(whole: Whole, served_lots: list[Lot]) -> bool:
    """Whether the rows of an opened feed are just the lots that were served."""
    found = rows_of(whole)
    there = {key: shape for _, key, shape in served_lots}
    return found.keys() == there.keys() and all(_same_shape(found[key], there[key]) for key in found)


def _same_shape(one: shapely.Geometry | None, other: shapely.Polygon | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(shapely.equals_exact(one.geoms[0], other, 1e-9, normalize=True))
