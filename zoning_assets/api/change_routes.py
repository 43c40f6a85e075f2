"""`/api/changes`: the change feed in pages, and one change with the numbers of `zoning explain`."""

from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response

from zoning_assets.api.json_response import json_response
from zoning_assets.api.request_checks import (
    ChangeId,
    Limit,
    OptionalJurisdiction,
    cursor,
    position,
    settings_of,
    time_of,
)
from zoning_assets.api.server_settings import ServerSettings
from zoning_assets.model import CHANGE_KINDS, PARCELS, ZONING
from zoning_assets.storage.postgis.records import change_feed_queries, change_records, map_queries
from zoning_assets.transform.changes import explanation

router = APIRouter(prefix="/api/changes", tags=["Changes"])

_Kind = Annotated[Literal[CHANGE_KINDS] | None, Query(description="Only of this kind.")]  # type: ignore[valid-type]
_State = Annotated[Literal["event", "review", "retracted"], Query(description="Only in this state.")]


@router.get("")
def changes(  # noqa: PLR0913 - one argument a parameter
    request: Request,
    jurisdiction: OptionalJurisdiction = None,
    since: Annotated[str | None, Query(max_length=40, description="Detected at or after this time, ISO 8601.")] = None,
    until: Annotated[str | None, Query(max_length=40, description="Detected before this time, ISO 8601.")] = None,
    kind: _Kind = None,
    parcel: Annotated[str | None, Query(max_length=200, description="Only this parcel.")] = None,
    min_area: Annotated[float | None, Query(ge=0, le=1e12, description="Only of at least this area, m2.")] = None,
    state: _State = "event",
    limit: Limit = 100,
    after: Annotated[
        str | None, Query(alias="cursor", max_length=400, description="`next` of the page before.")
    ] = None,
) -> Response:
    """List the changes, newest first, as `zoning changes --json` does."""
    wanted = change_feed_queries.ChangeFilter(
        jurisdiction=jurisdiction,
        since=time_of(since, "since"),
        kind=kind,
        parcel=parcel,
        min_area=min_area,
        state=state,
        until=time_of(until, "until"),
    )
    with change_feed_queries.opened(settings_of(request).read_url, wanted) as feed:
        total, found = feed.total(), list(islice(feed.rows(limit + 1, position(after)), limit + 1))
    page = found[:limit]
    is_last = len(found) <= limit
    following = None if is_last else cursor(change_feed_queries.FeedPosition.of(page[-1]))
    return json_response(request, {"total": total, "shown": len(page), "changes": page, "next": following})


@router.get("/{change_id}")
def change(request: Request, change_id: ChangeId) -> Response:
    """Show one change: what it is, the numbers of `zoning explain`, its shape, and links."""
    settings = settings_of(request)
    found = change_records.find(settings.read_url, id_=change_id, limit=2)
    exact = [each for each in found if each["id"] == change_id] or found
    if len(exact) != 1:
        raise HTTPException(404, "no change has this id, or several ids begin with it")
    return json_response(request, described(settings, exact[0]))


def described(settings: ServerSettings, found: dict[str, Any]) -> dict[str, Any]:
    """A change with its explanation, shape and links."""
    place = found["jurisdiction"]
    feed = PARCELS if found["facet"] == "parcel" else ZONING
    asset = "/".join(filter(None, (settings.locations.find(place).identifier, "changes")))
    dagster = f"{settings.dagster}/assets/{asset}?partition={place}" if settings.dagster else None
    return {
        **found,
        "explain": {"lines": explanation.lines(found), **found["evidence"]},
        "geometry": map_queries.change_shape(settings.read_url, found["id"]),
        "portal": settings.portals.get(f"{place}/{feed}"),
        "dagster": dagster,
    }
