"""An event as a CloudEvents 1.0 document in JSON (https://github.com/cloudevents/spec), and as a GeoJSON feature.

Texts of portals are values of JSON strings and nothing else: they are passed on as they are stored.
"""

from typing import Any
from urllib.parse import quote

import orjson
import shapely

from zoning_assets.storage.postgis.records.delivery_records import SubscriptionEvent

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def data_of(event: SubscriptionEvent) -> dict[str, Any]:
    """The event as plain values, for JSON. `change` names the same change in each of its events."""
    return {
        "event": event.id,
        "action": event.action,
        "change": event.change_id,
        "jurisdiction": event.jurisdiction,
        "kind": event.kind,
        "facet": event.facet,
        "parcel_ids": list(event.parcel_ids),
        "old": event.old,
        "new": event.new,
        "area_m2": event.area_m2,
        "share": event.share,
        "confidence": event.confidence,
        "effective": event.effective,
        "detected": event.detected,
        "ordinances": list(event.ordinances),
        "bbox": None if event.bbox is None else list(event.bbox),
    }


def body_of(event: SubscriptionEvent) -> bytes:
    """The event in the structured mode of CloudEvents."""
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/jurisdictions/{quote(event.jurisdiction)}",
        "type": f"zoning.change.{event.action}",
        "subject": event.change_id,
        "time": event.at,
        "datacontenttype": "application/json",
        "data": data_of(event),
    }
    return orjson.dumps(document)


def feature_of(event: SubscriptionEvent) -> bytes:
    """The event as a GeoJSON feature (RFC 7946); the geometry is the changed area, or null."""
    geometry = None if event.wkb is None else orjson.Fragment(shapely.to_geojson(shapely.from_wkb(event.wkb)))
    data = {"recorded": event.at, **data_of(event)}
    return orjson.dumps({"type": "Feature", "id": event.id, "properties": data, "geometry": geometry})
