"""What messages say: their published JSON Schema, and judging what strangers sent against it."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
import shapely
from msgspec import Meta

from zoning_assets.errors import MessageRefused
from zoning_assets.model import Amendment, Jurisdiction
from zoning_assets.transform.changes.amendment_matching import says_something
from zoning_assets.transform.geometry import crs

#: Bytes of a message; with what goes beside it, within SQS's 256 KB.
LARGEST = 250_000

_Id = Annotated[str, Meta(pattern=r"^[a-z0-9-]+$", max_length=100)]
_Word = Annotated[str, Meta(min_length=1, max_length=200)]
_Words = Annotated[tuple[_Word, ...], Meta(max_length=200)]
_Status = Literal[
    "unknown", "filed", "hearing", "recommended", "tabled", "withdrawn", "denied", "adopted", "enacted", "effective",
    "annulled", "repealed", "reinstated",
]  # fmt: skip
_Position = Annotated[tuple[float, ...], Meta(min_length=2, max_length=4, description="Longitude, latitude; degrees.")]
_Ring = tuple[_Position, ...]
_Kind = TypeVar("_Kind", "AmendmentMessage", "TileMessage")


class Polygon(msgspec.Struct, tag_field="type", tag="Polygon", forbid_unknown_fields=True, frozen=True):
    """A GeoJSON polygon in degrees."""

    coordinates: tuple[_Ring, ...]


class MultiPolygon(msgspec.Struct, tag_field="type", tag="MultiPolygon", forbid_unknown_fields=True, frozen=True):
    """A GeoJSON multipolygon in degrees."""

    coordinates: tuple[tuple[_Ring, ...], ...]


class AmendmentMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """That an ordinance or a case exists. Only `jurisdiction` must be there, and something that tells which."""

    jurisdiction: _Id
    case_numbers: _Words = ()
    ordinance_numbers: _Words = ()
    kind: Annotated[str, Meta(max_length=40, description="rezoning, conditional, overlay, text, ...")] = "unknown"
    status: _Status = "unknown"
    dates: Annotated[dict[_Status, _Word], Meta(description="A status, and its day in ISO 8601.")] = {}
    parcel_ids: Annotated[tuple[_Word, ...], Meta(max_length=5000)] = ()
    old_codes: _Words = ()
    new_codes: _Words = ()
    place: Annotated[str, Meta(max_length=1000, description="Where, in words.")] = ""
    ground: Polygon | MultiPolygon | None = None
    source: Annotated[str, Meta(max_length=2000, description="Address of the document.")] = ""
    confidence: Annotated[float, Meta(ge=0, le=1, description="Below 0.7 it waits for a person.")] = 1.0
    told_by: Annotated[str, Meta(max_length=200, description="Which pipeline says so.")] = ""


class TileMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """That a feed is to be harvested, and why; without tiles, all of it."""

    jurisdiction: _Id
    feed: Literal["parcels", "zoning"]
    why: Annotated[str, Meta(max_length=500)]
    tiles: Annotated[tuple[Annotated[str, Meta(pattern="^[0-9a-f]{15}$")], ...], Meta(max_length=2000)] = ()


#: Queue -> what its messages are.
KINDS: dict[str, type[AmendmentMessage | TileMessage]] = {"amendments": AmendmentMessage, "tiles": TileMessage}


def schema(queue: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a queue's messages."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(KINDS[queue])}


def read_amendment(body: str) -> AmendmentMessage:
    """A message of the queue `amendments`.

    Raises:
        MessageRefused: it is none.
    """
    told = _read(body, AmendmentMessage)
    amendment = _amendment(told, None)
    if not says_something(amendment) and told.ground is None:
        raise _refused("nothing is told: no case, ordinance, parcel, new code or ground")
    return told


def read_tiles(body: str) -> TileMessage:
    """A message of the queue `tiles`.

    Raises:
        MessageRefused: it is none.
    """
    return _read(body, TileMessage)


def write(message: AmendmentMessage | TileMessage) -> str:
    """A message as it is sent: in ASCII, which every broker carries."""
    return json.dumps(msgspec.to_builtins(message), separators=(",", ":"))


def amendment_of(told: AmendmentMessage, jurisdiction: Jurisdiction) -> Amendment:
    """What a message tells, as it is stored.

    Raises:
        MessageRefused: its ground is none.
    """
    ground = None if told.ground is None else ground_of(msgspec.json.encode(told.ground), jurisdiction.target_crs)
    return _amendment(told, ground)


def ground_of(geojson: bytes, target_crs: str) -> bytes:
    """The ground of a GeoJSON geometry in degrees, in the target CRS, as WKB.

    Raises:
        MessageRefused: it is no valid Polygon or MultiPolygon in degrees.
    """
    try:
        shape = shapely.from_geojson(geojson)
    except shapely.errors.GEOSException:
        raise _refused("ground: it is not a GeoJSON geometry") from None
    if shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty or not shape.is_valid:
        raise _refused(f"ground: no valid Polygon or MultiPolygon, but {shape.geom_type}")
    west, south, east, north = shape.bounds
    if west < -180 or south < -90 or east > 180 or north > 90:
        raise _refused("ground: not in degrees, longitude first")
    (moved,) = crs.reproject(np.array([shapely.force_2d(shape)], dtype=object), crs.DEGREES, target_crs)
    return bytes(shapely.to_wkb(moved))


def _read(body: str, kind: type[_Kind]) -> _Kind:
    size = len(body.encode(errors="replace"))
    if size > LARGEST:
        raise _refused(f"{size:,} bytes, and {LARGEST:,} are allowed")
    if "\\u0000" in body:
        raise _refused("it holds a NUL character, which no database takes as text")
    try:
        return msgspec.json.decode(body.encode(errors="replace"), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _refused(str(error)) from None


def _amendment(told: AmendmentMessage, ground: bytes | None) -> Amendment:
    same: Sequence[str] = ("case_numbers", "ordinance_numbers", "parcel_ids", "old_codes", "new_codes", "place", "kind")
    said = {name: getattr(told, name) for name in (*same, "jurisdiction", "status", "dates", "source", "confidence")}
    evidence = {"told_by": told.told_by} if told.told_by else {}
    return Amendment(**said, geometry=ground, evidence=evidence)


def _refused(what: str) -> MessageRefused:
    return MessageRefused(what, where="message", do="mend it by `zoning queue schema`, then publish it again")
