"""Feed types: one module each, one function each, one line here.

What belongs here: asking one kind of portal for pages, and proving that they are all. What does not: what a page's
bytes mean (transform/), where they are kept (stores/). No feed type knows another, but for `ckan`,
which hands files over to `download`.
"""

from collections.abc import Awaitable, Callable, Mapping

from zoning_assets.feeds import arcgis, ckan, download, opendatasoft, socrata
from zoning_assets.feeds.source import Request, Source

FEED_TYPES: Mapping[str, Callable[[Request], Awaitable[Source]]] = {
    "arcgis": arcgis.open_source,
    "ckan": ckan.open_source,
    "download": download.open_source,
    "opendatasoft": opendatasoft.open_source,
    "socrata": socrata.open_source,
}

__all__ = ["FEED_TYPES", "Request", "Source"]
