"""JSON answers with an entity tag: the hash of the document."""

import hashlib
from typing import Any

import orjson
from fastapi import Request, Response

_OPTIONS = orjson.OPT_NON_STR_KEYS


def json_response(request: Request, document: Any, status: int = 200) -> Response:
    """The answer with a document; 304 without it if the client has it already (If-None-Match)."""
    return tagged(request, orjson.dumps(document, default=_plain, option=_OPTIONS), "application/json", status)


def tagged(request: Request, body: bytes, media_type: str, status: int = 200) -> Response:
    """The answer with a body and its entity tag; 304 without the body if the client has it already."""
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
    if request.method == "GET" and matches(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type)


def matches(header: str | None, tag: str) -> bool:
    """Whether If-None-Match names this tag. Weak tags are compared by their value (RFC 9110, 13.1.2)."""
    if not header:
        return False
    given = {each.strip().removeprefix("W/") for each in header.split(",")}
    return "*" in given or tag.removeprefix("W/") in given


def _plain(value: Any) -> Any:
    """What orjson does not know: numbers of PostgreSQL, sets."""
    return float(value) if hasattr(value, "as_tuple") else str(value)
