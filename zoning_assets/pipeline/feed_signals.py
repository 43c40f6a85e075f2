"""The state of a feed: the signals of change of its layer and of the table that is joined to it, and its settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoning_assets.model import LON_LAT, Feed, Jurisdiction
from zoning_assets.sources import STATE_SIGNALS, Request, Source, feed_type
from zoning_assets.sources.source import selection_of


def clause_of(feed: Feed) -> dict[str, str]:
    """The clause of a feed, for its state; {}: it has none."""
    return {"where": feed.where} if feed.where else {}


async def probed(request: Request) -> dict[str, Any]:
    """The signals of the feed type's probe with the clause; {}: the portal gives none, or gives none for one layer of
    the feed, which must be fetched then to detect a change.

    Raises:
        ZoningError: see errors.py.
    """
    signals = _with_clause(request.feed, await feed_type(request.feed.type).probe(request))
    for name, overlay in request.feed.overlays.items() if signals else ():
        of_layer = await probed(replace(request, feed=overlay))
        if not of_layer:
            return {}
        signals = {**signals, **{f"overlay {name} {key}": value for key, value in of_layer.items()}}
    return signals


async def before_fetch(request: Request) -> dict[str, Any] | None:
    """The signals of the probe; None: the opened layer states them. The probe comes before the fetch, so that a change
    during the fetch is seen the next time.

    Raises:
        ZoningError: see errors.py.
    """
    states = request.feed.type in STATE_SIGNALS and not request.feed.overlays
    return None if states else await probed(request)


def of_source(source: Source, feed: Feed, before: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The signals of an opened layer; if it states none, those from before the fetch."""
    return _with_clause(feed, source.signals) if source.signals else before or {}


def together(layer: Mapping[str, Any], table: Mapping[str, Any] | None) -> dict[str, Any]:
    """The signals of a layer and of the table that is joined to it (None: no table). If one of them gives none, there
    are none: the feed must be fetched to detect a change."""
    if table is None:
        return dict(layer)
    return {**layer, **{f"join {name}": value for name, value in table.items()}} if layer and table else {}


def _with_clause(feed: Feed, signals: Mapping[str, Any]) -> dict[str, Any]:
    """A change of the clause is a change of the feed. No signals stay none."""
    return {**signals, **(clause_of(feed) if signals else {})}


def settings_of(jurisdiction: Jurisdiction, feed: Feed) -> dict[str, Any]:
    """The settings of the jurisdiction file that decide the tiles."""
    settings: dict[str, Any] = {"tile_resolution": jurisdiction.tile_resolution, "key": feed.key, "crs": feed.crs}
    settings |= {"bounds": list(jurisdiction.bounds), **selection_of(feed)}
    return {**settings, **({"axes": feed.axes} if feed.axes != LON_LAT else {})}
