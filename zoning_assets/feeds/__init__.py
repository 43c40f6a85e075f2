"""Feed types: one module each, one line here.

What belongs here: asking one kind of portal for pages, and proving that they are all. What does not: what a page's
bytes mean (transform/), where they are kept (stores/). No feed type knows another.
"""

from collections.abc import Mapping

from zoning_assets.feeds import arcgis, download, ogc_features, wfs
from zoning_assets.feeds.source import FeedType, Request, Source

FEED_TYPES: Mapping[str, FeedType] = {
    "arcgis": arcgis,
    "download": download,
    "ogc-features": ogc_features,
    "wfs": wfs,
}

__all__ = ["FEED_TYPES", "FeedType", "Request", "Source"]
