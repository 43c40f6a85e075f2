"""Feed types: one module each, one line here.

What belongs here: asking one kind of portal for pages, and proving that they are all. What does not: what a page's
bytes mean (transform/), where they are kept (stores/). No feed type knows another, but for `ckan`,
which hands files over to `download`.
"""

from collections.abc import Mapping

from zoning_assets.feeds import arcgis, ckan, download, ogc_features, opendatasoft, socrata, wfs
from zoning_assets.feeds.source import FeedType, Request, Source

FEED_TYPES: Mapping[str, FeedType] = {
    "arcgis": arcgis,
    "ckan": ckan,
    "download": download,
    "ogc-features": ogc_features,
    "opendatasoft": opendatasoft,
    "socrata": socrata,
    "wfs": wfs,
}

#: Those whose opened layer states its signals itself, so that no probe need be made for them.
STATE_SIGNALS = frozenset({"arcgis"})

__all__ = ["FEED_TYPES", "STATE_SIGNALS", "FeedType", "Request", "Source"]
