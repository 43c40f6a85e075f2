"""Files of what changed: for each delivery one GeoParquet 1.1 file and one GeoJSONSeq file (RFC 8142).

The names contain the first and the last position of the delivery. A repeated delivery writes the same files again.
"""

import io
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from zoning_assets.errors import DeliveryFailed, SettingInvalid, StoreError
from zoning_assets.settings import Settings
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records.delivery_records import (
    DeliverySession,
    DeliveryState,
    DeliveryWindow,
    SubscriptionEvent,
)
from zoning_assets.subscriptions import cloud_event

_RECORD_SEPARATOR = b"\x1e"
_TIME = pa.timestamp("us", tz="UTC")
#: GeoParquet 1.1 metadata. Without `crs` the coordinates are OGC:CRS84: longitude, latitude.
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}},
}
SCHEMA = pa.schema(
    [
        ("event", pa.string()),
        ("position", pa.int64()),
        ("action", pa.string()),
        ("recorded", _TIME),
        ("change", pa.string()),
        ("jurisdiction", pa.string()),
        ("kind", pa.string()),
        ("facet", pa.string()),
        ("parcel_ids", pa.list_(pa.string())),
        ("old", pa.string()),
        ("new", pa.string()),
        ("area_m2", pa.float64()),
        ("share", pa.float64()),
        ("confidence", pa.float64()),
        ("effective", pa.date32()),
        ("detected", _TIME),
        ("ordinances", pa.list_(pa.string())),
        ("geometry", pa.binary()),
    ],
    metadata={"geo": orjson.dumps(_GEO)},
)


def table_of(events: Sequence[SubscriptionEvent]) -> pa.Table:
    """The events as a table with SCHEMA, in the order of delivery."""
    return pa.Table.from_pylist([_row(event) for event in events], schema=SCHEMA)


def geojson_sequence(events: Sequence[SubscriptionEvent]) -> bytes:
    """The events as GeoJSON features, each between a record separator and a line feed."""
    return b"".join(_RECORD_SEPARATOR + cloud_event.feature_of(event) + b"\n" for event in events)


def send(session: DeliverySession, state: DeliveryState, window: DeliveryWindow, _settings: Settings) -> None:
    """Write both files of a window.

    Raises:
        DeliveryFailed: a file cannot be written.
    """
    parquet = io.BytesIO()
    pq.write_table(table_of(window.events), parquet, compression="zstd")
    name = f"{session.subscription.name}-{window.after + 1:012d}-{window.to:012d}"
    try:
        objects = Objects(state.target)
        objects.put(f"{name}.parquet", parquet.getvalue())
        objects.put(f"{name}.geojsons", geojson_sequence(window.events))
    except (SettingInvalid, StoreError) as error:
        raise DeliveryFailed(error.what, where=error.where, do="check the target; it is written again") from None


def _row(event: SubscriptionEvent) -> dict[str, Any]:
    values = {field.name: getattr(event, field.name, None) for field in SCHEMA}
    return {**values, "event": event.id, "change": event.change_id, "recorded": event.at, "geometry": event.wkb}
