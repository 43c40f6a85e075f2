"""The published jurisdictions and their bounds, read again only when something was published."""

from typing import Any

from fastapi import Request

from zoning_assets.api.request_checks import settings_of
from zoning_assets.model import Bounds
from zoning_assets.storage.postgis.records import map_queries


def places(request: Request) -> list[dict[str, Any]]:
    """See map_queries.places. Bounds are read from all shapes, so the result is kept."""
    url, state = settings_of(request).read_url, request.app.state
    now = map_queries.published_state(url)
    known: tuple[str, list[dict[str, Any]]] | None = getattr(state, "places", None)
    if known is None or known[0] != now:
        known = now, map_queries.places(url)
        state.places = known
    return known[1]


def extent(request: Request) -> Bounds | None:
    """The bounds of everything that is published, EPSG:4326; None: nothing is."""
    boxes = [each["bounds"] for each in places(request) if each["bounds"]]
    if not boxes:
        return None
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)
