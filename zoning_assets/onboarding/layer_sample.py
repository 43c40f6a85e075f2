"""Some rows of a layer, and what it says of itself: enough to propose, never to publish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from zoning_assets.errors import CrsRefused, FeedRefused, PortalUnreachable
from zoning_assets.http import Client
from zoning_assets.model import LON_LAT, PARCELS, Bounds, Feed, Jurisdiction, Place
from zoning_assets.onboarding import location
from zoning_assets.onboarding.portal_detection import Layer
from zoning_assets.sources import Request, feed_type
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Service
from zoning_assets.sources.arcgis.sample_row import completed
from zoning_assets.sources.full_layer import Whole, page_of
from zoning_assets.storage.object_store.harvest_drafts import Draft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.decode import page_readers, wkt_columns
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import crs, datum_shifts

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
    axes: str = LON_LAT
    geometry: str | None = None  # which of several columns of shapes, where it is not the first
    remark: str = ""  # on the axes
    shift: str = ""  # on the datum
    names: Mapping[str, Any] = field(default_factory=dict)  # what the portal calls its values


async def taken(http: Client, layer: Layer, folder: Path, name: str | None = None) -> Sample:
    """Look at a layer.

    Args:
        http: asks.
        layer: which.
        folder: for what is downloaded.
        name: the jurisdiction's id, where a person gave one.

    Raises:
        CrsRefused: its rows lie where the jurisdiction cannot be.
        NotALayer, FileRefused, PortalError: see errors.py.
    """
    feed = Feed(PARCELS, layer.type, layer.url, layer=layer.layer)
    known = name or "us-xx-new"
    whole_world = Jurisdiction(known, known, _WORLD, {PARCELS: feed}, file=str(folder / f"{known}.toml"))
    draft = Draft(Objects(str(folder / "store")), Place(known), PARCELS)
    request = Request(whole_world, feed, http, folder / "scratch", draft)
    if layer.type == "arcgis":
        return _with_shift(await _of_arcgis(request, layer, name))
    source = await feed_type(layer.type).open_source(request)
    if not isinstance(source, Whole):
        raise TypeError(layer.type)
    return _with_shift(_of_whole(source, layer, name))


def _with_shift(seen: Sample) -> Sample:
    """With a remark where the way from its datum is not exact."""
    if seen.bounds is None:
        return seen
    anyhow = Feed(PARCELS, seen.layer.type, seen.layer.url, shift_accuracy_m=np.inf)
    return replace(seen, shift=datum_shifts.check(seen.crs, anyhow, seen.bounds, seen.layer.name) or "")


async def _of_arcgis(request: Request, layer: Layer, name: str | None) -> Sample:
    service = await Service.of(request)
    service.about = await completed(service)
    count = await service.count(EVERY_ROW)
    size = str(min(service.page_size(), MOST_ROWS))
    page = await service.page({**EVERY_ROW, "outFields": "*", "returnGeometry": "false", "resultRecordCount": size})
    rows = esri_json.read(page.body, {}).attributes
    about = service.about
    found = location.settle(name, await _extent(service), None, rows)
    managed = [about.id, *about.managed]
    return Sample(layer, rows, count, about.crs, found.bounds, managed, about.most_rows, names=about.names)


async def _extent(service: Service) -> Bounds | None:
    """The layer's box: the rows' own, as the server knows it; else the description's, where it can be a county's; else
    that of the first rows, as an extent that is never brought up to date says nothing."""
    about = service.about
    if about.crs is None:
        return None
    try:
        value, _ = await service.query({**EVERY_ROW, "returnExtentOnly": "true"}, few_tries=True)
        told = value.get("extent")
    except (FeedRefused, PortalUnreachable):
        told = None
    measured, told = (replace(about, extent=each or {}).extent_degrees(about.crs) for each in (told, about.extent))
    if measured and (location.is_possible(measured) or location.in_united_states(measured)):
        return measured
    return told if location.is_possible(told) else await _box_of_rows(service) or measured or told


async def _box_of_rows(service: Service) -> Bounds | None:
    size = str(min(service.page_size(), MOST_ROWS))
    asked = {"outFields": service.about.id, "returnGeometry": "true", "resultRecordCount": size}
    page = await service.page({**EVERY_ROW, **asked})
    return _degrees(np.array([shapely.total_bounds(esri_json.read(page.body, {}).geometry)]), service.about.crs)


def _of_whole(source: Whole, layer: Layer, name: str | None) -> Sample:
    batches = list(islice(source.here.batches(), _BATCHES))
    read = [page_readers.READERS[source.form](page_of(batch), source.layer) for batch in batches]
    rows = list(islice((row for each in read for row in each.attributes), MOST_ROWS))
    declared = source.layer.get("crs")
    managed = list(source.layer.get("managed", ()))
    tried: list[tuple[str | None, list[Any]]] = [(None, [each.geometry for each in read])]
    tried += [
        (other, [wkt_columns.shapes_of(batch.column(other).to_pylist())[0] for batch in batches])
        for other in source.here.shapes
    ]
    which, found = _settled(name, tried, declared, rows)
    seen = Sample(layer, rows, source.rows, declared, found.bounds, managed)
    return replace(seen, axes=found.axes, geometry=which, remark=found.remark)


def _settled(
    name: str | None, tried: Sequence[tuple[str | None, list[Any]]], declared: str | None, rows: Sequence[Any]
) -> tuple[str | None, location.Ground]:
    """Which column of shapes, and where they lie: the first that needs no turning, else the first that lies right.

    Raises:
        CrsRefused: none lies where the jurisdiction can be.
    """
    found, refused = list[tuple[str | None, location.Ground]](), list[CrsRefused]()
    for which, shapes in tried:
        boxes = np.array([shapely.total_bounds(each) for each in shapes])
        turned = boxes[:, [1, 0, 3, 2]] if len(boxes) else boxes
        try:
            ways = _degrees(boxes, declared), _degrees(turned, declared)
            found.append((which, location.settle(name, *ways, rows)))
        except CrsRefused as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return next((each for each in found if each[1].axes == LON_LAT and each[1].bounds), found[0])


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
