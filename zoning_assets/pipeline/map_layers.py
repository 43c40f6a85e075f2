"""Open the layer of a feed. A zoning map with overlay layers (`[feeds.overlays.NAME]`) is one source of all their rows.

Each layer is harvested with the proof of its own feed type, and is stored as a harvest of its own. Their rows together
are the harvest of the zoning map, so that the map is complete or not published, and so that districts of overlays have
the history, the rollback and the changes of all districts. The code of an overlay's row says its layer, see
zoning_codes.layer_code.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from zoning_assets.errors import CrsRefused, FeedRefused, HarvestIncomplete
from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import Feed, Place
from zoning_assets.pipeline import feed_signals
from zoning_assets.pipeline.separate_harvest import fetch_separately
from zoning_assets.sources import Request, Source, feed_type
from zoning_assets.sources.full_layer import page_of
from zoning_assets.sources.source import Earlier, PageDraft, Update
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform import normalize, overlay_rows
from zoning_assets.transform.column_names import with_column_names
from zoning_assets.transform.decode import feature_batches, page_readers
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import content_hash, crs, datum_shifts

#: The name of the map's own layer, for its harvests.
_BASE = "zoning-base"


@dataclass(frozen=True)
class _Layer:
    """A layer of the map. `name`: of the overlay; None: the map's own layer."""

    name: str | None
    request: Request
    source: Source


async def open_layer(
    request: Request, signals: Mapping[str, Any] | None, objects: Objects
) -> tuple[Source, Mapping[str, Any]]:
    """Open the layer of a feed, with its overlays if it has some; return it with its signals of change.

    Args:
        request: the feed.
        signals: those of the probe before the fetch; None: the layer states them.
        objects: the store of harvests.

    Raises:
        ZoningError: see errors.py.
    """
    source: Source
    if request.feed.overlays:
        source = await open_map(request, objects)
    else:
        source = await feed_type(request.feed.type).open_source(request)
    shift = datum_shifts.check(source.layer.get("crs"), request.feed, request.jurisdiction.bounds, request.where)
    source.layer |= {"shift": shift} if shift else {}
    return source, feed_signals.of_source(source, request.feed, signals)


async def open_map(request: Request, objects: Objects) -> "MapWithOverlays":
    """Open the map's own layer and its overlays.

    Raises:
        FeedRefused: an overlay has no rows.
        ZoningError: see errors.py.
    """
    place = Place(request.jurisdiction.id)
    feed = replace(request.feed, overlays={})
    base = replace(request, feed=feed, draft=HarvestDraft(objects, place, _BASE))
    layers = [_Layer(None, base, await feed_type(feed.type).open_source(base))]
    for name, overlay in request.feed.overlays.items():
        mine = replace(request, feed=overlay, draft=HarvestDraft(objects, place, overlay.name))
        source = await feed_type(overlay.type).open_source(mine)
        datum_shifts.check(source.layer.get("crs"), overlay, request.jurisdiction.bounds, mine.where)
        if source.rows == 0:
            raise _no_rows(mine)
        layers.append(_Layer(name, mine, source))
    return MapWithOverlays(request, objects, layers)


def layer_harvests(proof: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The harvests from which the harvest of a map with overlays was made: name of the feed and id, from its proof;
    empty: the map has no overlays."""
    overlays = [name for name in proof if name.startswith("overlay ")]
    own = [(_BASE, str(proof["harvest"]))] if overlays else []
    return own + [(name.replace(" ", "-", 1), str(proof[name]["harvest"])) for name in overlays]


class MapWithOverlays:
    """A source of the rows of several layers. See source.Source. Shapes are in the CRS of the map's own layer."""

    def __init__(self, request: Request, objects: Objects, layers: Sequence[_Layer]) -> None:
        self.request, self._objects, self._layers = request, objects, layers
        base = layers[0].source
        self.form, self.layer = "features", dict(base.layer)
        self.signals: Mapping[str, Any] | None = None  # those of all layers are probed before the fetch
        self.tells = all(each.source.tells for each in layers)
        rows = [each.source.rows for each in layers]
        self.rows = None if None in rows else sum(each or 0 for each in rows)
        overlays = {each.name: _state(each) for each in layers[1:]}
        self.stamp: dict[str, Any] = {**base.stamp, "form": base.form, "overlays": overlays}

    async def pages(self, draft: PageDraft, proof: dict[str, Any]) -> AsyncGenerator[Page]:
        """See source.Source: the pages of all layers, with the proof of each.

        Raises:
            FeedRefused: an overlay has no rows.
            CrsRefused: all rows of an overlay lie outside the bounds of the jurisdiction.
        """
        for each in self._layers:
            found: dict[str, Any] = {}
            own = _BASE if each.name is None else each.request.feed.name
            harvest = await fetch_separately(self._objects, each.request, each.source, own, found)
            stated = {**found, "harvest": harvest.id}
            proof |= stated if each.name is None else {f"overlay {each.name}": stated}
            inside = received = 0
            for page in harvest.pages:
                body, located = await asyncio.to_thread(self._read, each, harvest, page)
                inside, received = inside + located, received + page.rows
                yield await asyncio.to_thread(lambda rows, number: draft.add(rows, rows=number), body, page.rows)
            if each.name is not None and not received:
                raise _no_rows(each.request)
            if each.name is not None and not inside:
                what, do = (
                    f"all {received:,} rows lie outside the bounds of the jurisdiction",
                    "set `crs` of the overlay",
                )
                raise CrsRefused(what, where=each.request.where, do=do)

    async def update_since(self, earlier: Earlier) -> Update | None:  # noqa: ARG002 - the interface has it
        """See source.Source; the layers are fetched together."""
        return None

    def explained(self, error: CrsRefused) -> CrsRefused:
        """See source.Source."""
        return self._layers[0].source.explained(error)

    def _read(self, layer: _Layer, harvest: Harvest, page: Page) -> tuple[bytes, int]:
        """A page in the form of this source, and how many of its rows lie within the bounds."""
        feed, base = layer.request.feed, self._layers[0].request.feed
        rows = page_readers.READERS[harvest.form](raw_harvests.read_page(self._objects, harvest, page), harvest.layer)
        if len(rows) != page.rows:
            what = f"a page of {page.rows} rows was read as {len(rows)}"
            raise HarvestIncomplete(what, where=layer.request.where, do="run again; nothing was published")
        rows = with_column_names(rows, [name for name in (feed.key, *feed.fields.values()) if name])
        inside = len(rows)
        if layer.name is not None:
            target = crs.declared(self.layer.get("crs"), base.crs)
            rows, points = self._as_overlay(layer.name, feed, base, rows, harvest.layer, target)
            placed = points[~np.isnan(points).any(axis=1)]
            inside = int(np.count_nonzero(~crs.outside(placed, self.request.jurisdiction.bounds)))
        texts = [orjson.loads(content_hash.dumps(each)) for each in rows.attributes]
        ids = [f"{layer.name or ''}/{page.name[:16]}/{row}" for row in range(len(rows))]
        batch = feature_batches.to_batch(ids, Rows(texts, rows.geometry, rows.flaws))
        return page_of(batch), inside

    def _as_overlay(  # noqa: PLR0913 - a page of one layer in the terms of another
        self, name: str, feed: Feed, base: Feed, rows: Rows, layer: Mapping[str, Any], target: str
    ) -> tuple[Rows, Any]:
        source = crs.declared(layer.get("crs"), feed.crs)
        shapes = crs.reproject(crs.x_first(rows.geometry, feed.axes), source, target)
        points = normalize.representative_points(shapes, target)
        attributes = overlay_rows.as_base_rows(rows.attributes, name, feed, base, layer)
        return Rows(attributes, crs.x_first(shapes, base.axes), rows.flaws), points


def _state(layer: _Layer) -> dict[str, Any]:
    """What an overlay and the jurisdiction file state now."""
    feed = layer.request.feed
    settings = {"fields": dict(feed.fields), "key": feed.key, "crs": feed.crs, "axes": feed.axes}
    return {**layer.source.stamp, **layer.request.selection, **settings}


def _no_rows(request: Request) -> FeedRefused:
    do = "look at the portal; to do without the layer, remove it from the file"
    return FeedRefused("the overlay has no rows", where=request.where, do=f"{do}; nothing was published")
