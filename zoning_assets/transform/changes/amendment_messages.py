"""The messages of the queues: their published JSON Schema, and the validation of messages from outside."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
import shapely
from msgspec import Meta

from zoning_assets.errors import MessageRefused
from zoning_assets.model import Amendment, Jurisdiction
from zoning_assets.transform.changes.amendment_matching import is_identified
from zoning_assets.transform.geometry import crs

#: The largest message in bytes. With its attributes it is smaller than 256 KiB, the limit of sqs_broker.py.
MAX_BYTES = 250_000

_Id = Annotated[str, Meta(pattern=r"^[a-z0-9-]+$", max_length=100)]
_Text = Annotated[str, Meta(min_length=1, max_length=200)]
_Texts = Annotated[tuple[_Text, ...], Meta(max_length=200)]
_Status = Literal[
    "unknown", "filed", "hearing", "recommended", "tabled", "withdrawn", "denied", "adopted", "enacted", "effective",
    "annulled", "repealed", "reinstated",
]  # fmt: skip
_Position = Annotated[tuple[float, ...], Meta(min_length=2, max_length=4, description="Longitude, latitude; degrees.")]
_Ring = tuple[_Position, ...]
_Message = TypeVar("_Message", "AmendmentMessage", "TileMessage")


class Polygon(msgspec.Struct, tag_field="type", tag="Polygon", forbid_unknown_fields=True, frozen=True):
    """A GeoJSON polygon; longitude, latitude in degrees, EPSG:4326."""

    coordinates: tuple[_Ring, ...]


class MultiPolygon(msgspec.Struct, tag_field="type", tag="MultiPolygon", forbid_unknown_fields=True, frozen=True):
    """A GeoJSON multipolygon; longitude, latitude in degrees, EPSG:4326."""

    coordinates: tuple[tuple[_Ring, ...], ...]


class AmendmentMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An ordinance or a case. `jurisdiction` is required, and at least one field that identifies the amendment."""

    jurisdiction: _Id
    case_numbers: _Texts = ()
    ordinance_numbers: _Texts = ()
    kind: Annotated[str, Meta(max_length=40, description="rezoning, conditional, overlay, text, ...")] = "unknown"
    status: _Status = "unknown"
    dates: Annotated[dict[_Status, _Text], Meta(description="Date (ISO 8601) by status.")] = {}
    parcel_ids: Annotated[tuple[_Text, ...], Meta(max_length=5000)] = ()
    old_codes: _Texts = ()
    new_codes: _Texts = ()
    place: Annotated[str, Meta(max_length=1000, description="A description of the place.")] = ""
    ground: Polygon | MultiPolygon | None = None
    source: Annotated[str, Meta(max_length=2000, description="Address of the document.")] = ""
    confidence: Annotated[float, Meta(ge=0, le=1, description="Below 0.7, the amendment waits for a person.")] = 1.0
    told_by: Annotated[str, Meta(max_length=200, description="The pipeline that sent the message.")] = ""


class TileMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A request to harvest a feed, with its reason. Without tiles: all tiles."""

    jurisdiction: _Id
    feed: Literal["parcels", "zoning"]
    why: Annotated[str, Meta(max_length=500)]
    tiles: Annotated[tuple[Annotated[str, Meta(pattern="^[0-9a-f]{15}$")], ...], Meta(max_length=2000)] = ()


class DeliveryMessage(msgspec.Struct, frozen=True):
    """An event that a subscription could not deliver; this program writes it (delivery_records.py)."""

    subscription: str
    event: str
    jurisdiction: str
    position: int
    order: tuple[str, ...]  # later events with one of these keys wait behind it


#: Queue -> the type of its messages.
MESSAGE_TYPES: dict[str, type[AmendmentMessage | TileMessage | DeliveryMessage]] = {
    "amendments": AmendmentMessage,
    "tiles": TileMessage,
    "deliveries": DeliveryMessage,
}


def schema(queue: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a queue's messages."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(MESSAGE_TYPES[queue])}


def read_amendment(body: str) -> AmendmentMessage:
    """Parse and validate a message of the queue `amendments`.

    Raises:
        MessageRefused: it does not match the schema, or does not identify an amendment.
    """
    message = _read(body, AmendmentMessage)
    amendment = _amendment(message, None)
    if not is_identified(amendment) and message.ground is None:
        raise _refused("it identifies no amendment: no case, ordinance, parcel, new code or ground")
    return message


def read_tiles(body: str) -> TileMessage:
    """Parse and validate a message of the queue `tiles`.

    Raises:
        MessageRefused: it does not match the schema.
    """
    return _read(body, TileMessage)


def write(message: AmendmentMessage | TileMessage) -> str:
    """Encode a message as JSON in ASCII, which every broker transports."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":"))


def amendment_of(message: AmendmentMessage, jurisdiction: Jurisdiction) -> Amendment:
    """Convert a message to the amendment that is stored.

    Raises:
        MessageRefused: its ground is no valid polygon.
    """
    ground = None if message.ground is None else ground_of(msgspec.json.encode(message.ground), jurisdiction.target_crs)
    return _amendment(message, ground)


def ground_of(geojson: bytes, target_crs: str) -> bytes:
    """Reproject the ground of an amendment.

    Args:
        geojson: a Polygon or MultiPolygon; longitude, latitude in degrees, EPSG:4326.
        target_crs: such as `EPSG:3857`.

    Returns:
        WKB in the target CRS.

    Raises:
        MessageRefused: it is no valid Polygon or MultiPolygon in degrees.
    """
    try:
        shape = shapely.from_geojson(geojson)
    except shapely.errors.GEOSException:
        raise _refused("ground: it is not a GeoJSON geometry") from None
    if shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty or not shape.is_valid:
        raise _refused(f"ground: expected a valid Polygon or MultiPolygon, got {shape.geom_type}")
    west, south, east, north = shape.bounds
    if west < -180 or south < -90 or east > 180 or north > 90:
        raise _refused("ground: not in degrees, longitude first")
    (moved,) = crs.reproject(np.array([shapely.force_2d(shape)], dtype=object), crs.DEGREES, target_crs)
    return bytes(shapely.to_wkb(moved))


def _read(body: str, kind: type[_Message]) -> _Message:
    size = len(body.encode(errors="replace"))
    if size > MAX_BYTES:
        raise _refused(f"{size:,} bytes; {MAX_BYTES:,} are allowed")
    if "\\u0000" in body:
        raise _refused("it has a NUL character, which PostgreSQL cannot store as text")
    try:
        return msgspec.json.decode(body.encode(errors="replace"), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _refused(str(error)) from None


def _amendment(message: AmendmentMessage, ground: bytes | None) -> Amendment:
    same: Sequence[str] = ("case_numbers", "ordinance_numbers", "parcel_ids", "old_codes", "new_codes", "place", "kind")
    values = {
        name: getattr(message, name) for name in (*same, "jurisdiction", "status", "dates", "source", "confidence")
    }
    evidence = {"told_by": message.told_by} if message.told_by else {}
    return Amendment(**values, geometry=ground, evidence=evidence)


def _refused(what: str) -> MessageRefused:
    return MessageRefused(
        what, where="message", do="correct it (`zoning queue schema` shows the schema), then publish it again"
    )
