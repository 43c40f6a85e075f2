"""What kind of portal an address is, and which of its layers may be parcels or zoning."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from zoning_assets.errors import NotALayer, PortalError
from zoning_assets.http import Client
from zoning_assets.model import PARCELS, ZONING, Portal
from zoning_assets.redaction import without_secrets

#: Folders and services of one ArcGIS server that are looked into, at most.
_MOST_SERVICES = 30

#: feed -> (what its layers' names say, what they do not say).
_LAYER_NAMES: Mapping[str, tuple[str, str]] = {
    PARCELS: (
        r"parcel|tax ?lots?\b|cadast|propert(y|ies)|\blots?\b",
        r"zon(e|ing)|point|address|line|label|anno|histor|owner|sale|census|split|park",
    ),
    ZONING: (
        r"zon(ing|es?)\b|zoning",
        r"flood|fire|school|snow|evac|time ?zone|enterprise|parking|noise|overlay|parcel|overlays|delivery|tow",
    ),
}
#: An address by itself tells its kind, for these; the others are asked.
_KINDS: Sequence[tuple[str, str]] = (
    ("arcgis", r"/(feature|map)server(/\d+)?/?$|/rest/services(/|$)"),
    ("socrata", r"/resource/\w{4}-\w{4}|/d/\w{4}-\w{4}|/\w{4}-\w{4}/?$|/api/views/\w{4}-\w{4}"),
    ("opendatasoft", r"/explore/dataset/|/api/(explore|v2|records)"),
    ("ckan", r"/dataset/|/api/3/action"),
    ("ogc-features", r"/collections(/|$)"),
    ("wfs", r"/wfs/?$|service=wfs"),
)


@dataclass(frozen=True)
class Layer:
    """A layer that was found. `url` as a jurisdiction file wants it."""

    type: str
    url: str
    name: str
    polygons: bool = True
    layer: str | None = None


def kind_of(url: str) -> str:
    """The feed type that an address looks like; `download` where it looks like none other."""
    text = url.lower()
    parts = urlsplit(text)
    return next(
        (kind for kind, pattern in _KINDS if re.search(pattern, f"{parts.path}?{parts.query}".rstrip("?"))), "download"
    )


def feed_of(name: str) -> str | None:
    """Whether a layer of this name may be parcels or zoning."""
    plain = re.sub(r"[_\-./]+", " ", name).lower()
    for feed, (says, does_not) in _LAYER_NAMES.items():
        if re.search(says, plain) and not re.search(does_not, plain):
            return feed
    return None


async def layers(http: Client, url: str) -> list[Layer]:
    """All layers at an address: one, those of a service, or those of a whole ArcGIS server (as far as it goes).

    Raises:
        NotALayer: there are none.
        PortalError: see errors.py.
    """
    kind = kind_of(url)
    if kind != "arcgis":
        return [Layer(kind, url, urlsplit(url).path.rstrip("/").rpartition("/")[2] or url)]
    found = await _arcgis(http, url.split("?", maxsplit=1)[0].rstrip("/"))
    if not found:
        raise NotALayer(
            "no layer is to be found there", where=without_secrets(url), do="give a service's or layer's address"
        )
    return found


async def _arcgis(http: Client, url: str) -> list[Layer]:
    if re.search(r"/(Feature|Map)Server/\d+$", url, re.IGNORECASE):
        said = await asked(http, url)
        return [Layer("arcgis", url, str(said.get("name")), said.get("geometryType") == "esriGeometryPolygon")]
    if re.search(r"/(Feature|Map)Server$", url, re.IGNORECASE):
        return await _service(http, url)
    return await _server(http, url)


async def _service(http: Client, url: str) -> list[Layer]:
    said = await asked(http, url)
    found = [each for each in said.get("layers") or () if isinstance(each, dict) and "id" in each]
    # MapServer roots seldom say what a layer holds; then it is not ruled out.
    return [
        Layer("arcgis", f"{url}/{int(each['id'])}", str(each.get("name")), each.get("geometryType") in (None, _POLYGON))
        for each in found
        if not each.get("subLayerIds")
    ]


async def _server(http: Client, url: str) -> list[Layer]:
    """Layers of the services whose own name, or whose folder's, speaks of parcels or zoning; else of the first few."""
    root = re.sub(r"(/rest/services).*", r"\1", url, flags=re.IGNORECASE)
    said = await asked(http, url)
    services = _services(said)
    for folder in [str(each) for each in said.get("folders") or ()][:_MOST_SERVICES]:
        services += _services(await asked(http, f"{root}/{folder}"))
    promising = [each for each in services if feed_of(each[0])] or services
    found: list[Layer] = []
    for name, kind in promising[:_MOST_SERVICES]:
        try:
            found += [
                replace(each, name=f"{name.rpartition('/')[2]} {each.name}")
                for each in await _service(http, f"{root}/{name}/{kind}")
            ]
        except PortalError:
            continue
    return found


def _services(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    every = [each for each in said.get("services") or () if isinstance(each, dict)]
    found = [(str(each.get("name")), str(each.get("type"))) for each in every]
    return [(name, kind) for name, kind in found if kind in ("FeatureServer", "MapServer") and ".." not in name]


async def asked(http: Client, url: str) -> dict[str, Any]:
    """An ArcGIS description.

    Raises:
        NotALayer: it answers something else.
        PortalError: see errors.py.
    """
    answer = await http.ask(Portal(), url, {"f": "json"}, read=_document)
    if answer.value.get("error"):
        said = answer.value["error"]
        why = said.get("message") if isinstance(said, dict) else said
        raise NotALayer(f"the server says: {why}", where=without_secrets(url), do="check the address")
    return dict(answer.value)


def _document(body: bytes) -> dict[str, Any]:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        message = "no JSON object"
        raise ValueError(message)  # noqa: TRY004 - the client asks again on ValueError
    return found


_POLYGON = "esriGeometryPolygon"
