"""Feed types: one package each, and one line in FEED_TYPES.

What belongs here: fetching all pages of a layer from one kind of portal, and proving that they are complete
(completeness.py). What does not: decoding the bytes of a page (transform/), storing it (storage/). No feed type imports
another, except that `ckan` passes files to `download`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from zoning_assets.sources.source import FeedTypeModule, Request, Source

#: Feed type -> module of this package. A module is imported when a feed of its type is opened, because together they
#: import GDAL, lxml and pyarrow, which neither reading jurisdiction files nor other feed types need.
FEED_TYPES: Mapping[str, str] = {
    "arcgis": "arcgis.arcgis_source",
    "ckan": "ckan.ckan_source",
    "download": "download.download_source",
    "ogc-features": "ogc_api_features.ogc_source",
    "opendatasoft": "opendatasoft.opendatasoft_source",
    "socrata": "socrata.socrata_source",
    "wfs": "wfs.wfs_source",
}

#: Feed types whose opened source has the signals of `probe` already, so that no probe is sent for them.
STATE_SIGNALS = frozenset({"arcgis"})


def feed_type(name: str) -> FeedTypeModule:
    """Import the module of a feed type. `name`: a key of FEED_TYPES."""
    return cast("FeedTypeModule", import_module(f"zoning_assets.sources.{FEED_TYPES[name]}"))


__all__ = ["FEED_TYPES", "STATE_SIGNALS", "FeedTypeModule", "Request", "Source", "feed_type"]
