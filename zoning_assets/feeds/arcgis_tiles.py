"""Which tiles the rows of an ArcGIS layer lie in, for a bounded number of requests.

Tiles are searched by area, from coarse to fine. Where that would take more requests than reading where each row lies
(wide bounds, a stale extent, rows scattered over the globe), the tiles are cut from the rows' own places instead. Both
ways each tile's area is asked for once, so that it is known which rows the server finds by area.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.feeds import arcgis_whole
from zoning_assets.feeds.arcgis_layer import crs_of, degrees_of
from zoning_assets.feeds.arcgis_listed import by_ids, listed_ids, walk
from zoning_assets.feeds.arcgis_query import EVERY_ROW, Box, Ids, Page, Service, in_box, inside
from zoning_assets.feeds.source import MOST_ROWS_A_TILE
from zoning_assets.transform import columns, crs, esri, tiles

T = TypeVar("T")

#: Rows that no area meets are looked at one by one, up to so many.
MOST_MISSED = 20_000
#: The search may ask so often for each page of the layer, and so often in any case: a county's first two levels.
_REQUESTS_A_PAGE, _FEWEST_REQUESTS = 2, 60
#: From areas coarser than this (more than 140 km across) the search does not start without asking where the rows lie.
_COARSE = 4
#: A box in the Gulf of Guinea, where no county lies; west, south, east, north; degrees.
_NOWHERE = (0.0, 0.0, 0.001, 0.001)


@dataclass(frozen=True)
class Found:
    """The tiles with the number of rows that each one's area meets; the ids of all those rows, sorted; and the box
    (degrees) in which each row with a place should be one of them."""

    rows: dict[str, int]
    met: Ids
    box: Box


async def find_tiles(service: Service, ids: Ids) -> Found:
    """The tiles of a layer whose ids the server lists.

    Raises:
        HarvestIncomplete: what the server lists by area contradicts the list of all ids.
        PortalError: see errors.py.
    """
    if len(ids) and len(await listed_ids(service, in_box(_NOWHERE))):
        raise service.incomplete("the server ignores the area that it is asked for")
    box = await _box(service)
    start = tiles.start_tiles(box)
    if not len(ids):
        return Found({start[0]: 0}, ids, box)  # an empty layer has a tile too, in which what it had is retired
    found = await _searched(service, len(ids), start, box)
    if found is None or len(ids) - len(found.met) > MOST_MISSED:
        found = await _cut(service, box)
    return found if found.rows else Found({start[0]: 0}, found.met, found.box)


async def check_missed(service: Service, found: Found, missed: Ids) -> int:
    """Rows that no tile's area met must have no place there; the number of them that have a shape.

    Raises:
        HarvestIncomplete: one has: what the server says of areas is not to be believed.
    """
    if len(missed) > MOST_MISSED:
        raise service.incomplete(
            f"of {len(missed) + len(found.met):,} rows that the server lists it does not find {len(missed):,} by area"
        )
    asked, seen = {"outFields": service.about.id, "returnGeometry": "true"}, 0
    async for page in by_ids(service, missed.tolist(), asked):
        points = places(service, esri.read(page.body, {}).geometry)
        seen += int(np.isfinite(points[:, 0]).sum())
        within = _within(points, found.box)
        if within.any():
            raise service.incomplete(
                f"a query by area lacks rows that lie there, for example {service.about.id} {page.ids[within][0]}"
            )
    return seen


def places(service: Service, shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Representative points in degrees (n, 2); NaN where there is no place."""
    source = crs.declared(service.about.crs, service.request.feed.crs)
    return columns.representative_points(crs.reproject(shapes, source, crs.DEGREES), crs.DEGREES)


async def _box(service: Service) -> Box:
    """Where to search. Bounds and extent as described are wide where one of them is stale; then the server is asked
    for the extent of the rows, where it offers that.
    """
    told = arcgis_whole.reach(service)
    if tiles.resolution_of(tiles.start_tiles(told)[0]) >= _COARSE:
        return told
    asked = {**EVERY_ROW, "returnExtentOnly": "true", "returnGeometry": "false", "outSR": "4326"}
    try:
        value, _ = await service.query(asked, few_tries=True)
    except (FeedRefused, PortalUnreachable):
        return told
    extent = value.get("extent")
    if not isinstance(extent, dict):
        return told
    own = crs_of(extent.get("spatialReference")) or crs.declared(service.about.crs, service.request.feed.crs)
    found = degrees_of(extent, own)
    return told if found is None else crs.padded(found, 0.01)


async def _searched(service: Service, rows: int, start: Sequence[str], box: Box) -> Found | None:
    """From coarse to fine; empty tiles are left out, and full ones split. None where it would ask too often, or for
    areas that the server cannot bear: far from a layer's ground many have no place in its coordinate system.
    """
    fixed, cover, met = service.request.jurisdiction.tile_resolution, dict[str, int](), [np.empty(0, np.int64)]
    left, level = _FEWEST_REQUESTS + _REQUESTS_A_PAGE * -(-rows // service.page_size()), list(start)
    while level:
        left -= len(level)
        if left < 0:
            return None
        split: list[str] = []
        try:
            listed = await _met(service, level)
        except (HarvestIncomplete, PortalUnreachable):
            return None
        for tile, ids in listed.items():
            if tiles.wants_split(tile, len(ids), MOST_ROWS_A_TILE, fixed):
                split += tiles.children(tile)
            elif len(ids):
                cover[tile] = len(ids)
                met.append(ids)
        level = split
    return Found(dict(sorted(cover.items())), distinct(np.sort(np.concatenate(met))), box)


async def _cut(service: Service, box: Box) -> Found:
    """Tiles from the place of each row: one walk through the layer, then each tile's area once."""
    cells, box = await _cells(service, box)
    fixed = service.request.jurisdiction.tile_resolution
    cover = tiles.split(cells, tiles.start_tiles(box), MOST_ROWS_A_TILE, fixed)
    met = await _met(service, sorted(cover))
    every = np.concatenate([np.empty(0, np.int64), *met.values()])
    return Found({tile: len(ids) for tile, ids in met.items()}, distinct(np.sort(every)), box)


async def _cells(service: Service, box: Box) -> tuple[npt.NDArray[np.uint64], Box]:
    """The finest cells of the rows about the jurisdiction (of all, where most lie elsewhere), and the box that holds
    them."""
    found: list[npt.NDArray[np.float64]] = []

    def look(page: Page) -> None:
        found.append(places(service, esri.read(page.body, {}).geometry))

    asked = {"outFields": service.about.id, "returnGeometry": "true", "returnZ": "false"}
    await walk(service, EVERY_ROW, {}, look, found.clear, fields=asked)
    points = np.concatenate([np.empty((0, 2)), *found])
    points = points[_within(points, (-180.0, -90.0, 180.0, 90.0))]
    if not len(points):
        return tiles.finest_cells(points), box
    near = _within(points, crs.padded(service.request.jurisdiction.bounds))
    points = points[near] if near.mean() >= crs.MOST_OUTSIDE else points
    west, south = points.min(axis=0).tolist()
    east, north = points.max(axis=0).tolist()
    edge = 1e-6  # a box has a size
    around = max(west - edge, -180.0), max(south - edge, -90.0), min(east + edge, 180.0), min(north + edge, 90.0)
    return tiles.finest_cells(points), around


async def _met(service: Service, level: Sequence[str]) -> dict[str, Ids]:
    """The ids of the rows that each tile's area meets, as the server lists them."""
    asked = (listed_ids(service, inside(tiles.fetch_envelope(tile))) for tile in level)
    return dict(zip(level, await together(asked), strict=True))


def _within(points: npt.NDArray[np.float64], box: Box) -> npt.NDArray[np.bool_]:
    """Which points lie in a box; one that is NaN does not."""
    west, south, east, north = box
    low, high = np.array([west, south]), np.array([east, north])
    return np.array(np.logical_and(low <= points, points <= high).all(axis=1), dtype=bool)


def distinct(ids: Ids) -> Ids:
    """Sorted ids, each once. np.unique would hash them first, which takes ten times as long."""
    once: Ids = ids[np.concatenate([np.ones(min(1, len(ids)), dtype=bool), ids[1:] != ids[:-1]])]
    return once


async def together(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All answers; when one fails nobody asks on."""
    tasks = [asyncio.ensure_future(each) for each in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
