"""What is asked and what is said: values that pass from fault to fault, and the small changes faults make of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any, Self

import orjson

from zoning_assets.simulation.portal.served_layer import Layer

HTML, JSON = "text/html", "application/json"
QUERY = "query"


def randomness(*seed: object) -> Random:
    """The same for the same seed."""
    return Random(" ".join(map(str, seed)))  # noqa: S311 - it must repeat, not be secret


def as_it_is(layer: Layer) -> Layer:
    """No edit."""
    return layer


@dataclass(frozen=True)
class Asked:
    """A request to the portal's services, understood."""

    path: str  # below /arcgis/rest/services
    params: Mapping[str, str]
    address: int = 0  # characters of the address with its query; 0 where it went by POST
    tries: int = 0  # how often exactly this was asked before
    edit: Callable[[Layer], Layer] = as_it_is  # how the parcels differ by now

    @property
    def kind(self) -> str:
        """What it wants: about (metadata), count, ids, extent, statistics, distinct or features."""
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
    def whole_rows(self) -> bool:
        """Whether it wants every column and the shapes: a page of a harvest."""
        with_corrected_shapes = self.params.get("returnGeometry", "true").lower() == "true"
        return self.kind == "features" and with_corrected_shapes and self.params.get("outFields", "").strip() == "*"

    def number(self, name: str, default: int) -> int:
        """A parameter that is a whole number; the default where it is not."""
        text = self.params.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() else default

    def having(self, **params: str) -> Self:
        """With other parameters."""
        return replace(self, params={**self.params, **params})

    def without(self, *names: str) -> Self:
        """Without some of its parameters."""
        return replace(self, params={name: text for name, text in self.params.items() if name not in names})

    def chance(self, seed: object) -> Random:
        """Randomness of this very question: the same each time it is asked, whatever was asked in between."""
        return randomness(seed, self.path, sorted(self.params.items()))


@dataclass(frozen=True)
class Reply:
    """What is sent."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0  # before anything is sent
    broken: bool = False  # half of the body, then the connection is reset

    @cached_property
    def value(self) -> dict[str, Any]:
        """The JSON object of the body; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def features(self) -> list[dict[str, Any]] | None:
        """The rows; None where the reply is no page of rows."""
        return self.value.get("features")

    def saying(self, **values: Any) -> Self:
        """With other values in its JSON; a value of None is left out. NaN is written bare, as some servers do."""
        left_out = {name for name, value in values.items() if value is None}
        merged = {name: value for name, value in {**self.value, **values}.items() if name not in left_out}
        return replace(self, body=json.dumps(merged, separators=(",", ":")).encode())


#: Answers a question: the portal, or the next fault on the way to it.
Inner = Callable[[Asked], Reply]
#: One fault at work.
Spoil = Callable[[Asked, Inner], Reply]
#: Starts a fault from randomness of its own.
Make = Callable[[Random], Spoil]


def refused(code: int, message: str, *details: str) -> Reply:
    """An error in an HTTP 200, as ArcGIS says no."""
    return Reply(orjson.dumps({"error": {"code": code, "message": message, "details": list(details)}}))


def page_of_html(status: int, title: str, **headers: str) -> Reply:
    """What a proxy or a web server says in a portal's place."""
    text = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(text.encode(), status, HTML, headers)


def id_of(feature: Mapping[str, Any]) -> Any:
    """A served row's object id; None where it has none."""
    return (feature.get("attributes") or {}).get("OBJECTID")
