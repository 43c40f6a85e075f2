"""`/api/jurisdictions`, `/api/releases`, `/api/legend`, `/api/settings`: what the page needs to draw the map."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from zoning_assets.api.json_response import json_response
from zoning_assets.api.program_version import program_version
from zoning_assets.api.published_places import places
from zoning_assets.api.request_checks import JurisdictionId, settings_of
from zoning_assets.api.status_routes import current_status
from zoning_assets.model import ZONE_TYPES
from zoning_assets.storage.postgis.records import map_queries
from zoning_assets.transform.map_colors import code_color, type_color

router = APIRouter(prefix="/api", tags=["Map"])


@router.get("/jurisdictions")
def jurisdictions(request: Request) -> Response:
    """List the published jurisdictions: place, freshness, rejections, holds, changes."""
    settings, status = settings_of(request), current_status(request)
    states = {each["id"]: each for each in status["jurisdictions"]}
    found = [
        {**place, "name": settings.names.get(place["id"], place["id"]), **_state(place["id"], states, status["holds"])}
        for place in places(request)
    ]
    return json_response(request, {"jurisdictions": found})


def _state(id_: str, states: Mapping[str, Any], holds: list[dict[str, Any]]) -> dict[str, Any]:
    """Parcels, freshness, rejected rows, and what holds a jurisdiction back."""
    known = states.get(id_, {})
    paused = [each["reason"] for each in holds if each["id"] is not None and each["jurisdiction"] in (None, id_)]
    held = [each["reason"] for each in holds if each["id"] is None and each["jurisdiction"] == id_]
    return {
        "parcels": known.get("parcels", 0),
        "last_harvest": known.get("last_batch"),
        "freshness": {
            "fresh": known.get("fresh"),
            "current": known.get("current"),
            "hours": known.get("freshness_hours"),
        },
        "rejected": known.get("rejections", {}).get("open", 0),
        "held": [*held, *known.get("alarms", ())],
        "paused": paused[0] if paused else None,
    }


@router.get("/releases/{jurisdiction}")
def releases(request: Request, jurisdiction: JurisdictionId) -> Response:
    """List the releases, newest first; `time` is a `system_time` of the collections of the past."""
    found = map_queries.releases(settings_of(request).read_url, jurisdiction)
    labeled = [{**each, "label": each["time"].strftime("%Y-%m-%d %H:%M UTC")} for each in found]
    return json_response(request, {"releases": labeled})


@router.get("/legend/{jurisdiction}")
def legend(request: Request, jurisdiction: JurisdictionId) -> Response:
    """List the zone types and the codes of a jurisdiction with the number of parcels and a color."""
    codes = map_queries.codes(settings_of(request).read_url, jurisdiction)
    # By the order of the codes, so that a code keeps its color when counts change.
    numbers = {code: number for number, code in enumerate(sorted(each["code"] for each in codes))}
    counts: dict[str | None, int] = {}
    for each in codes:
        counts[each["zone_type"]] = counts.get(each["zone_type"], 0) + each["parcels"]
    types = [name for name in (*ZONE_TYPES, None) if name in counts]
    document = {
        "zone_types": [{"zone_type": name, "parcels": counts[name], "color": type_color(name)} for name in types],
        "codes": [{**each, "color": code_color(numbers[each["code"]])} for each in codes],
    }
    return json_response(request, document)


@router.get("/settings")
def settings(request: Request) -> Response:
    """Show what the page must know of this server."""
    known = settings_of(request)
    document = {
        "tiles": known.tiles,
        "attribution": known.attribution,
        "dagster": known.dagster,
        "version": program_version(),
        "needs_token": not known.is_loopback,
    }
    return json_response(request, document)
