"""Feed types: one package each, one line here.

What belongs here: asking one kind of portal for pages, and proving that they are all. What does not: what a page's
bytes mean (transform), where they are kept (storage). No feed type knows another, but for `ckan`,
which hands files over to `download`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from zoning_assets.sources.source import FeedType, Request, Source

#: Feed type -> module of this package. A module is imported when a feed of its type is opened: together they import
#: GDAL, lxml and pyarrow, which neither a look at the files nor another feed type needs.
FEED_TYPES: Mapping[str, str] = {
    "arcgis": "arcgis.arcgis_source",
    "ckan": "ckan.ckan_source",
    "download": "download.download_source",
    "ogc-features": "ogc_api_features.ogc_source",
    "opendatasoft": "opendatasoft.opendatasoft_source",
    "socrata": "socrata.socrata_source",
    "wfs": "wfs.wfs_source",
}

#: Those whose opened layer states its signals itself, so that no probe need be made for them.
STATE_SIGNALS = frozenset({"arcgis"})


def feed_type(name: str) -> FeedType:
    """The feed type of a name, a key of FEED_TYPES."""
    return cast("FeedType", import_module(f"zoning_assets.sources.{FEED_TYPES[name]}"))


__all__ = ["FEED_TYPES", "STATE_SIGNALS", "FeedType", "Request", "Source", "feed_type"]
