"""Feed types: one module each, one function each, one line here.

What belongs here: asking one kind of portal for pages, and proving that they are all. What does not: what a page's
bytes mean (transform/), where they are kept (stores/). No feed type knows another.
"""

from collections.abc import Awaitable, Callable, Mapping

from zoning_assets.feeds import arcgis, download
from zoning_assets.feeds.source import Request, Source

FEED_TYPES: Mapping[str, Callable[[Request], Awaitable[Source]]] = {
    "arcgis": arcgis.open_source,
    "download": download.open_source,
}

__all__ = ["FEED_TYPES", "Request", "Source"]
