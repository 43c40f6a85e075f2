"""Parameters of the JSON API: their types, limits and messages."""

import base64
import binascii
from datetime import datetime
from typing import Annotated

import orjson
from fastapi import HTTPException, Path, Query, Request

from zoning_assets.api.server_settings import ServerSettings
from zoning_assets.storage.postgis.records.change_feed_queries import FeedPosition

#: An id of a jurisdiction, as files.py allows it.
JurisdictionId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$", description="The jurisdiction's id.")]
OptionalJurisdiction = Annotated[
    str | None, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,99}$", description="Only this jurisdiction.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of rows.")]
ChangeId = Annotated[str, Path(pattern=r"^[0-9A-Za-z-]{1,64}$", description="The id of a change.")]
_LONGEST_CURSOR = 400


def settings_of(request: Request) -> ServerSettings:
    """The settings of the server."""
    found: ServerSettings = request.app.state.settings
    return found


def time_of(text: str | None, name: str) -> datetime | None:
    """A time of a parameter, ISO 8601; UTC if it has no zone.

    Raises:
        HTTPException: 400, it is not a time.
    """
    from zoning_assets.errors import SettingInvalid  # noqa: PLC0415
    from zoning_assets.settings import parse_time  # noqa: PLC0415

    try:
        return parse_time(text, name) if text else None
    except (SettingInvalid, OverflowError):
        raise HTTPException(400, f"{name} is not a time of ISO 8601") from None


def cursor(position: FeedPosition) -> str:
    """The position as text for a URL."""
    values = [position.detected.isoformat(), position.kind, position.id]
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def position(text: str | None) -> FeedPosition | None:
    """The position of a cursor.

    Raises:
        HTTPException: 400, it is not a cursor of this server.
    """
    if text is None:
        return None
    try:
        padded = text[:_LONGEST_CURSOR] + "=" * (-len(text) % 4)
        detected, kind, id_ = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        found = FeedPosition(datetime.fromisoformat(detected), str(kind), str(id_))
    except (ValueError, TypeError, binascii.Error):
        raise HTTPException(400, "cursor is not one that this server gave") from None
    if found.detected.tzinfo is None:
        raise HTTPException(400, "cursor is not one that this server gave")
    return found
