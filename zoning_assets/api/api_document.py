"""The OpenAPI document: that of FastAPI, with what this server really offers in tipg's operations."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from zoning_assets.api import ogc_crs
from zoning_assets.api.ogc_parameters import ADDED

_NOT_SERVED = ("text/html", "text/csv", "application/x-ndjson", "application/ndjson", "application/geo+json-seq")
_PROBLEM = {"description": "A problem document.", "content": {"application/problem+json": {}}}
_REFUSALS, _OF_WRITES = ("400", "401", "404", "413", "414", "421", "503"), ("403", "409")


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document; it is made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
        )
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                _correct(path, operation, (*_REFUSALS, *(_OF_WRITES if method == "post" else ())))
        schemes = found.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        found["security"] = [{}, {"token": []}]
        app.openapi_schema = found
    return app.openapi_schema


def _correct(path: str, operation: dict[str, Any], refusals: tuple[str, ...]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    responses.update({status: dict(_PROBLEM) for status in refusals})
    left_out = () if path == "/" else _NOT_SERVED  # the map is the only page
    for response in responses.values():
        content = response.get("content", {})
        response["content"] = {name: each for name, each in content.items() if name not in left_out}
    parameters = operation.get("parameters", [])
    for each in parameters:
        if each["name"] == "f":
            each["schema"] = {"type": "string", "enum": _formats(path)}
    schema = {"type": "string", "enum": list(ogc_crs.SUPPORTED)}
    parameters += [{"name": name, "in": "query", "schema": schema} for name in _added(path, parameters)]


def _added(path: str, parameters: list[dict[str, Any]]) -> tuple[str, ...]:
    """The parameters about CRSs of an operation: a tile has a fixed one, a single feature has no filter."""
    if any(each["name"] == "filter" for each in parameters):
        return ADDED[1:] if "/tiles/" in path else ADDED
    return ADDED[:1] if path.endswith("/items/{itemId}") else ()


def _formats(path: str) -> list[str]:
    if path == "/":
        return ["json", "html"]
    if "/items" in path:
        return ["json", "geojson"]
    return ["json", "schemajson"] if path.endswith("/queryables") else ["json"]
