"""The published states before and after a change, for its certificate."""

from collections.abc import Mapping
from typing import Any

from zoning_assets.model import PARCELS, ZONING
from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

Rows = list[dict[str, Any]]


def published_states(url: str, change: Mapping[str, Any], parcels_batch: int, zoning_batch: int) -> dict[str, Rows]:
    """The parcels of a change and the districts on its ground, as published with two batches, by feed.

    Each row has `batch`, `tile`, `harvest`, `rules` and `published` (time) of the batch that it comes from; None: it is
    not known any more.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    values = {"jurisdiction": change["jurisdiction"], "parcel_ids": change["parcel_ids"], "change": change["id"]}
    query = named("certificate")
    with session(url) as connection:
        return {
            PARCELS: dicts(connection, query["parcels"], {**values, "batch": parcels_batch}),
            ZONING: dicts(connection, query["districts"], {**values, "batch": zoning_batch}),
        }
