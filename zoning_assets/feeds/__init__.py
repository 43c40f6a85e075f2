"""Feed types: one module each, one line here.

What belongs here: asking one kind of portal for pages, and proving that they are all. What does not: what a page's
bytes mean (transform/), where they are kept (stores/). No feed type knows another, but for `ckan`,
which hands files over to `download`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from zoning_assets.feeds.source import FeedType, Request, Source

#: Feed type -> module of this package. A module is imported when a feed of its type is opened: together they import
#: GDAL, lxml and pyarrow, which neither a look at the files nor another feed type needs.
FEED_TYPES: Mapping[str, str] = {
    "arcgis": "arcgis",
    "ckan": "ckan",
    "download": "download",
    "ogc-features": "ogc_features",
    "opendatasoft": "opendatasoft",
    "socrata": "socrata",
    "wfs": "wfs",
}

#: Those whose opened layer states its signals itself, so that no probe need be made for them.
STATE_SIGNALS = frozenset({"arcgis"})


def feed_type(name: str) -> FeedType:
    """The feed type of a name, a key of FEED_TYPES."""
    return cast("FeedType", import_module(f"zoning_assets.feeds.{FEED_TYPES[name]}"))


__all__ = ["FEED_TYPES", "STATE_SIGNALS", "FeedType", "Request", "Source", "feed_type"]
