"""Some rows of a layer, and what it says of itself: enough to propose, never to publish."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from zoning_assets.errors import CrsRefused
from zoning_assets.feeds import FEED_TYPES, Request
from zoning_assets.feeds.arcgis_query import EVERY_ROW, Service
from zoning_assets.feeds.arcgis_sample import completed
from zoning_assets.feeds.whole import Whole
from zoning_assets.http import Http
from zoning_assets.model import PARCELS, Bounds, Feed, Jurisdiction, Place
from zoning_assets.onboarding.portals import Layer
from zoning_assets.stores.drafts import Draft
from zoning_assets.stores.objects import Objects
from zoning_assets.transform import crs, esri, pages
from zoning_assets.transform.rows import Rows

#: Rows looked at.
MOST_ROWS = 2000
_BATCHES = 10
_WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class Sample:
    """What was seen of a layer. bounds: west, south, east, north; degrees; None where the CRS is not known."""

    layer: Layer
    rows: Sequence[Mapping[str, Any]]
    count: int | None
    crs: str | None
    bounds: Bounds | None
    managed: Sequence[str]
    page_size: int | None = None


async def taken(http: Http, layer: Layer, folder: Path, name: str = "us-xx-new") -> Sample:
    """Look at a layer.

    Args:
        http: asks.
        layer: which.
        folder: for what is downloaded.
        name: the jurisdiction's id to be.

    Raises:
        NotALayer, FileRefused, PortalError: see errors.py.
    """
    feed = Feed(PARCELS, layer.type, layer.url, layer=layer.layer)
    whole_world = Jurisdiction(name, name, _WORLD, {PARCELS: feed}, file=str(folder / f"{name}.toml"))
    draft = Draft(Objects(str(folder / "store")), Place(name), PARCELS)
    request = Request(whole_world, feed, http, folder / "scratch", draft)
    if layer.type == "arcgis":
        return await _of_arcgis(request, layer)
    source = await FEED_TYPES[layer.type].open_source(request)
    if not isinstance(source, Whole):
        raise TypeError(layer.type)
    return _of_whole(source, layer)


async def _of_arcgis(request: Request, layer: Layer) -> Sample:
    service = await Service.of(request)
    service.about = await completed(service)
    count = await service.count(EVERY_ROW)
    size = str(min(service.page_size(), MOST_ROWS))
    page = await service.page({**EVERY_ROW, "outFields": "*", "returnGeometry": "false", "resultRecordCount": size})
    rows = esri.read(page.body, {}).attributes
    about = service.about
    bounds = about.extent_degrees(about.crs) if about.crs else None
    return Sample(layer, rows, count, about.crs, bounds, [about.id, *about.managed], about.most_rows)


def _of_whole(source: Whole, layer: Layer) -> Sample:
    rows: list[Mapping[str, Any]] = []
    boxes = []
    for read in islice(_read(source), _BATCHES):
        rows += read.attributes[: MOST_ROWS - len(rows)]
        boxes.append(shapely.total_bounds(read.geometry))
    declared = source.layer.get("crs")
    managed = list(source.layer.get("managed", ()))
    return Sample(layer, rows, source.rows, declared, _degrees(np.array(boxes), declared), managed)


def _read(source: Whole) -> Iterator[Rows]:
    from zoning_assets.feeds.slices import page_of  # noqa: PLC0415

    for batch in source.here.batches():
        yield pages.READERS[source.form](page_of([batch]), source.layer)


def _degrees(boxes: Any, declared: str | None) -> Bounds | None:
    """The box about all boxes in degrees; None where nothing says in what they are and they cannot be degrees."""
    if not len(boxes) or not np.isfinite(boxes).any():
        return None
    west, south = np.nanmin(boxes[:, 0]), np.nanmin(boxes[:, 1])
    east, north = np.nanmax(boxes[:, 2]), np.nanmax(boxes[:, 3])
    try:
        source = declared or crs.DEGREES
        found = crs.transformer(source, crs.DEGREES).transform_bounds(west, south, east, north)
    except (pyproj.exceptions.ProjError, CrsRefused):
        return None
    sound = bool(np.isfinite(found).all()) and -180 <= found[0] <= found[2] <= 180 and -90 <= found[1] <= found[3] <= 90
    return (float(found[0]), float(found[1]), float(found[2]), float(found[3])) if sound else None
