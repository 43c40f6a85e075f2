"""Parse the metadata of a CKAN package and its resources, and choose the resource that a feed means."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.http.response_checks import redirect_target
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.paging import json_fields

_PAGE = re.compile(r"(?P<root>.*?)/dataset/(?P<package>[^/]+)(?:/resource/(?P<resource>[^/]+))?(?:/.*)?")
_API = re.compile(r"(?P<root>.*?)/api/(?:\d/)?action/(?P<action>\w+)/?")
_DUMP = re.compile(r"(?P<root>.*?)/datastore/dump/(?P<resource>[^/]+)/?")

#: Formats, or file name extensions, of files that `download` reads.
_FILES = frozenset(
    {
        *("geojson", "topojson", "shp", "shapefile", "zip", "gpkg", "geopackage", "fgb", "flatgeobuf"),
        *("gdb", "filegdb", "geodatabase", "parquet", "geoparquet", "kml", "kmz"),
    }
)
#: Formats of services -> the feed type for them.
_SERVICES: Mapping[str, str] = {"arcgis": "arcgis", "esri": "arcgis", "wfs": "wfs"}


@dataclass(frozen=True)
class CkanAddress:
    """The parts of an address: the root of the portal, and a package or a resource."""

    root: str
    package: str = ""
    resource: str = ""


@dataclass(frozen=True)
class Resource:
    """The parsed metadata of one resource."""

    id: str
    name: str
    words: frozenset[str]  # of its format, and the extension of its address
    url: str
    datastore: bool
    uploaded: bool  # its file is in CKAN, which states its changes; a file elsewhere may change unnoticed
    signals: Mapping[str, Any]

    @property
    def is_file(self) -> bool:
        """Whether it states a format of files that `download` reads."""
        return bool(self.words & _FILES)

    @property
    def is_table(self) -> bool:
        """Whether its rows are fetched from the datastore, because it has no file that `download` reads."""
        return self.datastore and not self.is_file

    @property
    def service(self) -> str:
        """The feed type for it if it is another service, else empty."""
        return next((kind for word, kind in _SERVICES.items() if word in self.words and not self.is_file), "")


def address(url: str, where: str) -> CkanAddress:
    """Parse an address, in any of the forms that CKAN shows.

    Raises:
        NotALayer: it names neither a package nor a resource.
    """
    parts = urlsplit(url)
    found: dict[str, str] = {}
    for form in (_API, _DUMP, _PAGE):
        if match := form.fullmatch(parts.path):
            found = {name: text or "" for name, text in match.groupdict().items()}
            break
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if "action" in found:
        of_package = found.pop("action") == "package_show"
        found["package" if of_package else "resource"] = query.get("resource_id") or query.get("id") or ""
    if parts.scheme not in ("http", "https") or not (found.get("package") or found.get("resource")):
        do = "use an address like https://data.example.org/dataset/NAME/resource/ID"
        raise NotALayer("the address names no dataset of CKAN", where=where, do=do)
    return CkanAddress(f"{parts.scheme}://{parts.netloc}{found.pop('root')}", **found)


def result_of(document: Any, where: str) -> dict[str, Any]:
    """Return the result of an action.

    Raises:
        ValueError: it is not the answer of an action; the client retries.
        FeedRefused: the action failed.
    """
    answer = json_fields.object_of(document)
    if answer.get("success") is False:
        error = answer.get("error")
        message = json_fields.text(json_fields.member(error, "message")) or str(error)[:200]
        raise FeedRefused(f"CKAN reports: {message}", where=where, do="check the address")
    return json_fields.object_of(answer.get("result"))


def resource_of(document: Mapping[str, Any], package: Mapping[str, Any], root: str) -> Resource:
    """Parse the metadata of a resource. `package`: its package; {} if it was not requested."""
    url = _joined(root, json_fields.text(document.get("url"), 2000))
    ending = urlsplit(url).path.rpartition(".")[2].lower()
    words = re.findall(r"[a-z]+", json_fields.text(document.get("format")).lower())
    names = ("metadata_modified", "last_modified", "hash")
    signals = {name: json_fields.signal(document.get(name)) for name in names}
    owner = json_fields.signal(package.get("metadata_modified"))
    return Resource(
        id=json_fields.text(document.get("id")),
        name=json_fields.text(document.get("name")),
        words=frozenset((*words, ending)),
        url=url,
        datastore=document.get("datastore_active") is True,
        uploaded=document.get("url_type") == "upload",
        signals={"resource": json_fields.text(document.get("id")), "package_modified": owner, **signals},
    )


def _joined(root: str, url: str) -> str:
    """The absolute address of a resource, which may be relative to the portal; "" if it is invalid."""
    try:
        return urljoin(f"{root}/", url) if url else ""
    except ValueError:
        return ""


def choose(package: Mapping[str, Any], address: CkanAddress, where: str) -> Resource:
    """The resource that the address names, or the only one of the package that may be a layer.

    Raises:
        NotALayer: there is none, or there are several; the first one is never simply taken.
    """
    found = [resource_of(each, package, address.root) for each in json_fields.objects(package.get("resources"))]
    named = [each for each in found if each.id == address.resource]
    fitting = named if address.resource else [each for each in found if each.is_file or each.datastore]
    if len(fitting) == 1:
        return fitting[0]
    what = f"the package has no single resource {address.resource!r}" if address.resource else _ambiguous(len(fitting))
    listed = "; ".join(f"{each.name!r} is /resource/{each.id}" for each in (fitting or found)[:12]) or "none"
    raise NotALayer(what, where=where, do=f"add one to the address: {listed}")


def _ambiguous(number: int) -> str:
    return f"{number} resources of the package may be layers" if number else "no resource of the package may be a layer"


def file_address(resource: Resource, root: str, where: str) -> str:
    """The address of the resource's file, checked like a redirect, so that it cannot point into our own network.

    Raises:
        NotALayer: it is a service.
        FeedRefused: it points where no redirect is followed.
    """
    if resource.service:
        do = f'use type = "{resource.service}" and url = "{without_secrets(resource.url)}"'
        raise NotALayer(f"the resource {resource.name!r} is a service", where=where, do=do)
    try:
        return redirect_target(root, resource.url or "nowhere:", anywhere=True)
    except FeedRefused as refusal:
        what = f"the resource {resource.name!r} has an address that is not followed: {refusal.what}"
        raise FeedRefused(what, where=where, do="use another resource") from refusal
