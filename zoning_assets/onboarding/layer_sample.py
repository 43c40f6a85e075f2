"""Read some rows of a layer and its metadata: enough to propose a jurisdiction file, never published."""

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
from zoning_assets.onboarding.portal_detection import FoundLayer
from zoning_assets.sources import Request, feed_type
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, QueryClient
from zoning_assets.sources.arcgis.sample_row import complete_metadata
from zoning_assets.sources.full_layer import FullLayer, page_of
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.decode import page_readers, wkt_columns
from zoning_assets.transform.decode.esri import esri_json
from zoning_assets.transform.geometry import crs, datum_shifts

#: The most rows in a sample.
MOST_ROWS = 2000
_BATCHES = 10
_WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class Sample:
    """A sample of a layer. `bounds`: (west, south, east, north) in degrees; None: the CRS is unknown."""

    layer: FoundLayer
    rows: Sequence[Mapping[str, Any]]
    count: int | None  # rows of the layer, as the portal states
    crs: str | None
    bounds: Bounds | None
    managed: Sequence[str]  # columns that the portal maintains itself
    page_size: int | None = None
    axes: str = LON_LAT
    geometry: str | None = None  # the column of shapes, if there are several and it is not the first
    remark: str = ""  # about the axes
    shift: str = ""  # about the datum
    names: Mapping[str, Any] = field(default_factory=dict)  # the portal's names of coded values


async def take_sample(http: Client, layer: FoundLayer, folder: Path, name: str | None = None) -> Sample:
    """Read a sample of a layer.

    Args:
        http: the client.
        layer: the layer.
        folder: a folder for downloads.
        name: the jurisdiction's id, if a person gave one.

    Raises:
        CrsRefused: the rows are where the jurisdiction cannot be.
        NotALayer, FileRefused, PortalError: see errors.py.
    """
    feed = Feed(PARCELS, layer.type, layer.url, layer=layer.layer)
    known = name or "us-xx-new"
    world = Jurisdiction(known, known, _WORLD, {PARCELS: feed}, file=str(folder / f"{known}.toml"))
    draft = HarvestDraft(Objects(str(folder / "store")), Place(known), PARCELS)
    request = Request(world, feed, http, folder / "scratch", draft)
    if layer.type == "arcgis":
        return _with_shift_remark(await _of_arcgis(request, layer, name))
    source = await feed_type(layer.type).open_source(request)
    if not isinstance(source, FullLayer):
        raise TypeError(layer.type)
    return _with_shift_remark(_of_full_layer(source, layer, name))


def _with_shift_remark(seen: Sample) -> Sample:
    """The sample, with a remark if the transformation from its datum is not exact."""
    if seen.bounds is None:
        return seen
    tolerant = Feed(PARCELS, seen.layer.type, seen.layer.url, shift_accuracy_m=np.inf)
    return replace(seen, shift=datum_shifts.check(seen.crs, tolerant, seen.bounds, seen.layer.name) or "")


async def _of_arcgis(request: Request, layer: FoundLayer, name: str | None) -> Sample:
    service = await QueryClient.open(request)
    service.about = await complete_metadata(service)
    count = await service.count(EVERY_ROW)
    size = str(min(service.page_size(), MOST_ROWS))
    page = await service.page({**EVERY_ROW, "outFields": "*", "returnGeometry": "false", "resultRecordCount": size})
    rows = esri_json.read(page.body, {}).attributes
    about = service.about
    found = location.locate(name, await _extent(service), None, rows)
    managed = [about.id, *about.managed]
    return Sample(layer, rows, count, about.crs, found.bounds, managed, about.most_rows, names=about.names)


async def _extent(service: QueryClient) -> Bounds | None:
    """The layer's box in degrees: as the server computes it from the rows; else as described, if a county can have it;
    else of the first rows, because described extents are often outdated."""
    about = service.about
    if about.crs is None:
        return None
    try:
        value, _ = await service.query({**EVERY_ROW, "returnExtentOnly": "true"}, few_tries=True)
        computed = value.get("extent")
    except (FeedRefused, PortalUnreachable):
        computed = None
    extents = (computed, about.extent)
    measured, stated = (replace(about, extent=each or {}).extent_degrees(about.crs) for each in extents)
    if measured and (location.is_possible(measured) or location.in_united_states(measured)):
        return measured
    return stated if location.is_possible(stated) else await _box_of_rows(service) or measured or stated


async def _box_of_rows(service: QueryClient) -> Bounds | None:
    size = str(min(service.page_size(), MOST_ROWS))
    query = {"outFields": service.about.id, "returnGeometry": "true", "resultRecordCount": size}
    page = await service.page({**EVERY_ROW, **query})
    return _degrees(np.array([shapely.total_bounds(esri_json.read(page.body, {}).geometry)]), service.about.crs)


def _of_full_layer(source: FullLayer, layer: FoundLayer, name: str | None) -> Sample:
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
    which, found = _choose_shapes(name, tried, declared, rows)
    seen = Sample(layer, rows, source.rows, declared, found.bounds, managed)
    return replace(seen, axes=found.axes, geometry=which, remark=found.remark)


def _choose_shapes(
    name: str | None, tried: Sequence[tuple[str | None, list[Any]]], declared: str | None, rows: Sequence[Any]
) -> tuple[str | None, location.Location]:
    """Choose the column of shapes: the first whose axis order is x, y, else the first that is where it can be.

    Raises:
        CrsRefused: none of them is where the jurisdiction can be.
    """
    found, refused = list[tuple[str | None, location.Location]](), list[CrsRefused]()
    for which, shapes in tried:
        boxes = np.array([shapely.total_bounds(each) for each in shapes])
        turned = boxes[:, [1, 0, 3, 2]] if len(boxes) else boxes
        try:
            ways = _degrees(boxes, declared), _degrees(turned, declared)
            found.append((which, location.locate(name, *ways, rows)))
        except CrsRefused as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return next((each for each in found if each[1].axes == LON_LAT and each[1].bounds), found[0])


def _degrees(boxes: Any, declared: str | None) -> Bounds | None:
    """The box around all boxes, in degrees; None: their CRS is unknown and they cannot be degrees."""
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
