"""`/api/reviews`: changes that wait for a person, and the decision about one. Nothing else of the API writes."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from zoning_assets.api.json_response import json_response
from zoning_assets.api.request_checks import ChangeId, OptionalJurisdiction, settings_of
from zoning_assets.api.tokens import REVIEW
from zoning_assets.storage.postgis.records import amendment_records, review_records

router = APIRouter(prefix="/api/reviews", tags=["Reviews"])


class Decision(BaseModel):
    """What a person decides about a change."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    action: Literal["accept", "dismiss"]
    person: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")] = "decided on the map"


@router.get("")
def reviews(
    request: Request,
    jurisdiction: OptionalJurisdiction = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """List the changes that wait for a decision, and the amendments with open questions."""
    settings = settings_of(request)
    url = settings.primary_url or settings.read_url  # a replica would still show what was decided a moment ago
    document = {
        "reviews": review_records.waiting(url, jurisdiction, limit),
        "questions": amendment_records.queue(url, "questions", jurisdiction)[:limit],
    }
    return json_response(request, document)


@router.post("/{change_id}")
def decide(request: Request, change_id: ChangeId, decision: Decision) -> Response:
    """Accept or dismiss a change. It needs a token of the scope review; the person's name goes into the audit."""
    settings = settings_of(request)
    scopes = settings.tokens.scopes(request.headers.get("authorization", ""))
    if scopes and REVIEW not in scopes:
        raise HTTPException(403, "the token has not the scope review")
    if REVIEW not in scopes:
        raise HTTPException(401, "a token of the scope review is needed", {"WWW-Authenticate": "Bearer"})
    done = review_records.decide(
        settings.write_url, change_id, decision.action, decision.person, decision.reason or "decided on the map"
    )
    return json_response(request, done)
