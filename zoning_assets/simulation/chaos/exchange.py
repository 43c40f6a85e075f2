"""Requests and replies of the simulated portal, and the changes that faults make to them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any, Self

import orjson

from zoning_assets.simulation.portal.served_layer import ServedLayer

HTML, JSON = "text/html", "application/json"
QUERY = "query"


def seeded_random(*seed: object) -> Random:
    """A generator that gives the same numbers for the same seed."""
    return Random(" ".join(map(str, seed)))  # noqa: S311 - it must repeat, not be secret


def unedited(layer: ServedLayer) -> ServedLayer:
    """Return the layer itself."""
    return layer


@dataclass(frozen=True)
class ServiceRequest:
    """A request to the services of the portal.

    Attributes:
        path: below /arcgis/rest/services.
        params: of the query or the form.
        url_length: characters of the URL with its query; 0: sent by POST.
        tries: how often the same request was sent before.
        edit: changes the parcel layer before the request is handled.
    """

    path: str
    params: Mapping[str, str]
    url_length: int = 0
    tries: int = 0
    edit: Callable[[ServedLayer], ServedLayer] = unedited

    @property
    def kind(self) -> str:
        """The kind of data it requests: about (metadata), count, ids, extent, statistics, distinct or features."""
        if self.path.rpartition("/")[2] != QUERY:
            return "about"
        flags = {"returnExtentOnly": "extent", "returnCountOnly": "count", "returnIdsOnly": "ids"}
        flagged = [kind for name, kind in flags.items() if self.params.get(name, "").lower() == "true"]
        if flagged:
            return flagged[0]
        if self.params.get("outStatistics"):
            return "statistics"
        return "distinct" if self.params.get("returnDistinctValues", "").lower() == "true" else "features"

    @property
    def is_harvest_page(self) -> bool:
        """Whether it requests all columns and the geometries, as for a page of a harvest."""
        with_geometry = self.params.get("returnGeometry", "true").lower() == "true"
        return self.kind == "features" and with_geometry and self.params.get("outFields", "").strip() == "*"

    def number(self, name: str, default: int) -> int:
        """The value of a parameter; the default if it is not an integer."""
        text = self.params.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() else default

    def with_params(self, **params: str) -> Self:
        """The request with other values of parameters."""
        return replace(self, params={**self.params, **params})

    def without_params(self, *names: str) -> Self:
        """The request without some parameters."""
        return replace(self, params={name: text for name, text in self.params.items() if name not in names})

    def random(self, seed: object) -> Random:
        """A generator that gives the same numbers each time the same request is sent."""
        return seeded_random(seed, self.path, sorted(self.params.items()))


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        body: before compression.
        status: of HTTP.
        content_type: without parameters.
        headers: other headers.
        wait_s: seconds before it is sent.
        broken: half of the body is sent, then the connection is reset.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    broken: bool = False

    @cached_property
    def value(self) -> dict[str, Any]:
        """The JSON object of the body; empty if the body is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def features(self) -> list[dict[str, Any]] | None:
        """The rows; None if the response is not a page of rows."""
        return self.value.get("features")

    def with_values(self, **values: Any) -> Self:
        """The response with other values in its JSON object; None removes a value. NaN is written as some servers write
        it."""
        removed = {name for name, value in values.items() if value is None}
        merged = {name: value for name, value in {**self.value, **values}.items() if name not in removed}
        return replace(self, body=json.dumps(merged, separators=(",", ":")).encode())


#: Handles a request: the portal, or the next fault.
Handler = Callable[[ServiceRequest], Reply]
#: A fault that was started; it may call the handler below it.
FaultyHandler = Callable[[ServiceRequest, Handler], Reply]
#: Starts a fault with its own random numbers.
FaultFactory = Callable[[Random], FaultyHandler]


def error_reply(code: int, message: str, *details: str) -> Reply:
    """An error with HTTP status 200, as ArcGIS sends it."""
    return Reply(orjson.dumps({"error": {"code": code, "message": message, "details": list(details)}}))


def html_reply(status: int, title: str, **headers: str) -> Reply:
    """A page of HTML, as a proxy or a web server sends it instead of the portal."""
    text = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(text.encode(), status, HTML, headers)


def object_id(feature: Mapping[str, Any]) -> Any:
    """The object id of a row; None if it has none."""
    return (feature.get("attributes") or {}).get("OBJECTID")
