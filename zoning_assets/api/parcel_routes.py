"""`/api/parcels`: the life of one parcel; `/api/search`: find parcels."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from zoning_assets.api.json_response import json_response
from zoning_assets.api.request_checks import JurisdictionId, OptionalJurisdiction, settings_of, time_of
from zoning_assets.storage.postgis.records import change_records, map_queries, status_queries

router = APIRouter(prefix="/api", tags=["Parcels"])

_ParcelId = Annotated[str, Path(min_length=1, max_length=200, description="The parcel id, current or former.")]


@router.get("/parcels/{jurisdiction}/{parcel_id:path}")
def parcel(
    request: Request,
    jurisdiction: JurisdictionId,
    parcel_id: _ParcelId,
    as_of: Annotated[str | None, Query(max_length=40, description="The zoning of this day, ISO 8601.")] = None,
) -> Response:
    """Show the history of one parcel, as `zoning parcel --json` does, with its shape and its lineage."""
    url, day = settings_of(request).read_url, time_of(as_of, "as_of")
    life = change_records.parcel_life(url, jurisdiction, parcel_id, day.date().isoformat() if day else None)
    document = {
        "jurisdiction": jurisdiction,
        "parcel_id": parcel_id,
        **life,
        **map_queries.parcel_shape(url, jurisdiction, parcel_id),
        "lineage": _lineage(life["changes"]),
    }
    return json_response(request, document)


def _lineage(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The splits, mergers and renumberings of the parcel: what it came from and what it became, oldest first."""
    return [
        {
            "change": each["id"],
            "kind": each["kind"],
            "detected": each["detected"],
            "parents": each["evidence"].get("parents", []),
            "children": each["evidence"].get("children", []),
        }
        for each in reversed(changes)
        if each["facet"] == "parcel" and (each["evidence"].get("parents") or each["evidence"].get("children"))
    ]


@router.get("/search")
def search(
    request: Request,
    q: Annotated[str, Query(min_length=1, max_length=100, description="The beginning of an id, or an address.")],
    jurisdiction: OptionalJurisdiction = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """Find parcels by the beginning of their id, or by their address."""
    url = settings_of(request).read_url
    places = [jurisdiction] if jurisdiction else status_queries.known(url)
    if not q.strip():
        raise HTTPException(400, "q is empty")
    return json_response(request, {"results": map_queries.search(url, q.strip(), places, limit)})
