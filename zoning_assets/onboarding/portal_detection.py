"""Detect the type of a portal from its address, and list layers that may be parcels or zoning."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from zoning_assets.errors import NotALayer, PortalError
from zoning_assets.http import Client
from zoning_assets.http.request import TRIES
from zoning_assets.model import PARCELS, ZONING, Portal
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.paging import json_fields

#: The most folders, and the most services, of one ArcGIS server that are read.
_MOST_SERVICES = 30

#: Feed -> (regular expression that a layer's name matches, and one that it does not match).
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
#: Feed type -> regular expression of the address. An address that matches none is a download.
_KINDS: Sequence[tuple[str, str]] = (
    ("arcgis", r"/(feature|map)server(/\d+)?/?$|/rest/services(/|$)"),
    ("socrata", r"/resource/\w{4}-\w{4}|/d/\w{4}-\w{4}|/\w{4}-\w{4}/?$|/api/views/\w{4}-\w{4}"),
    ("opendatasoft", r"/explore/dataset/|/api/(explore|v2|records)"),
    ("ckan", r"/dataset/|/api/3/action"),
    ("ogc-features", r"/collections(/|$)"),
    ("wfs", r"/wfs/?$|service=wfs"),
)


@dataclass(frozen=True)
class FoundLayer:
    """A layer that was found. `url`: as in a jurisdiction file."""

    type: str  # the feed type
    url: str
    name: str
    polygons: bool = True
    layer: str | None = None  # the name within a file or service of several layers


def kind_of(url: str) -> str:
    """The feed type that an address looks like; `download` if it looks like no other."""
    text = url.lower()
    parts = urlsplit(text)
    return next(
        (kind for kind, pattern in _KINDS if re.search(pattern, f"{parts.path}?{parts.query}".rstrip("?"))), "download"
    )


def feed_of(name: str) -> str | None:
    """The feed that a layer of this name may be, `parcels` or `zoning`; None: neither."""
    plain = re.sub(r"[_\-./]+", " ", name).lower()
    for feed, (says, does_not) in _LAYER_NAMES.items():
        if re.search(says, plain) and not re.search(does_not, plain):
            return feed
    return None


async def layers(http: Client, url: str, tries: int = TRIES) -> list[FoundLayer]:
    """List the layers at an address: of one layer, of a service, or of an ArcGIS server (of at most 30 services).

    Args:
        http: the client.
        url: the address.
        tries: the most times that the first request is sent.

    Raises:
        NotALayer: there are none.
        PortalError: the portal does not answer, or refuses; see errors.py.
    """
    kind = kind_of(url)
    if kind != "arcgis":
        return [FoundLayer(kind, url, urlsplit(url).path.rstrip("/").rpartition("/")[2] or url)]
    found = await _arcgis(http, url.split("?", maxsplit=1)[0].rstrip("/"), tries)
    if not found:
        raise NotALayer("there is no layer", where=without_secrets(url), do="give the address of a service or layer")
    return found


async def _arcgis(http: Client, url: str, tries: int) -> list[FoundLayer]:
    about = await fetch_document(http, url, tries)
    if re.search(r"/(Feature|Map)Server/\d+$", url, re.IGNORECASE):
        return [FoundLayer("arcgis", url, str(about.get("name")), about.get("geometryType") == "esriGeometryPolygon")]
    if re.search(r"/(Feature|Map)Server$", url, re.IGNORECASE):
        return _service(about, url)
    return await _server(http, url, about)


def _service(about: Mapping[str, Any], url: str) -> list[FoundLayer]:
    found = [each for each in json_fields.objects(about.get("layers")) if type(each.get("id")) is int]
    # The root of a MapServer rarely states the geometry type of its layers; such layers are kept.
    return [
        FoundLayer("arcgis", f"{url}/{each['id']}", str(each.get("name")), each.get("geometryType") in (None, _POLYGON))
        for each in found
        if not each.get("subLayerIds")
    ]


async def _server(http: Client, url: str, about: Mapping[str, Any]) -> list[FoundLayer]:
    """The layers of services whose name or folder suggests parcels or zoning; else of the first services."""
    root = re.sub(r"(/rest/services).*", r"\1", url, flags=re.IGNORECASE)
    services = _services(about)
    folders = about.get("folders")
    for folder in folders[:_MOST_SERVICES] if isinstance(folders, list) else ():
        services += _services(await fetch_document(http, f"{root}/{folder}"))
    promising = [each for each in services if feed_of(each[0])] or services
    found: list[FoundLayer] = []
    for name, kind in promising[:_MOST_SERVICES]:
        at = f"{root}/{name}/{kind}"
        try:
            layers_ = _service(await fetch_document(http, at), at)
        except PortalError:
            continue
        found += [replace(each, name=f"{name.rpartition('/')[2]} {each.name}") for each in layers_]
    return found


def _services(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    every = json_fields.objects(about.get("services"))
    found = [(str(each.get("name")), str(each.get("type"))) for each in every]
    # In the address of a jurisdiction file ${NAME} is a variable of the environment: a portal must not name one.
    safe = [(name, kind) for name, kind in found if ".." not in name and "$" not in name]
    return [(name, kind) for name, kind in safe if kind in ("FeatureServer", "MapServer")]


async def fetch_document(http: Client, url: str, tries: int = TRIES) -> dict[str, Any]:
    """Fetch the JSON description of an ArcGIS server, service or layer.

    Raises:
        NotALayer: the server answers with an error.
        PortalError: the portal does not answer, or refuses; see errors.py.
    """
    answer = await http.query(Portal(), url, {"f": "json"}, read=_document, tries=tries)
    if answer.value.get("error"):
        error = answer.value["error"]
        why = error.get("message") if isinstance(error, dict) else error
        raise NotALayer(f"the server reports: {why}", where=without_secrets(url), do="check the address")
    return dict(answer.value)


def _document(body: bytes) -> dict[str, Any]:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        message = "no JSON object"
        raise ValueError(message)  # noqa: TRY004 - the client retries on ValueError
    return found


_POLYGON = "esriGeometryPolygon"
