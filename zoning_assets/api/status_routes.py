"""`/api/status`, `/api/holds`, `/api/rejections`: the state of everything, as the commands show it."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from zoning_assets.api.json_response import json_response
from zoning_assets.api.request_checks import OptionalJurisdiction, settings_of
from zoning_assets.storage.postgis.records import correction_records

router = APIRouter(prefix="/api", tags=["Status"])

#: So many seconds one reading of the state is used: it counts the parcels of all jurisdictions.
_FRESH_S = 2.0


def current_status(request: Request) -> Mapping[str, Any]:
    """The document of `zoning status --json`, at most two seconds old."""
    state = request.app.state
    found: tuple[float, Mapping[str, Any]] | None = getattr(state, "status", None)
    if found is None or found[0] < time.monotonic():
        found = (time.monotonic() + _FRESH_S, settings_of(request).status())
        state.status = found
    return found[1]


@router.get("/status")
def status(request: Request) -> Response:
    """Show the state of everything, as `zoning status --json` does."""
    return json_response(request, current_status(request))


@router.get("/holds")
def holds(request: Request) -> Response:
    """List the pauses, and the releases that wait for a decision."""
    return json_response(request, {"holds": current_status(request)["holds"]})


@router.get("/rejections")
def rejections(
    request: Request,
    jurisdiction: OptionalJurisdiction = None,
    limit: Annotated[int, Query(ge=0, le=100, description="Number of samples per reason.")] = 3,
) -> Response:
    """Count the rejected rows by reason, with samples, as `zoning rejections --json` does."""
    which = {"jurisdiction": jurisdiction, "feed": None, "reason": None, "tile": None}
    found = correction_records.groups(settings_of(request).read_url, limit, states=("open", "known"), **which)
    return json_response(request, {"rejections": found})
