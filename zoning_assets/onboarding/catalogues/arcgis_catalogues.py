"""Answers of ArcGIS Hub (search API and version 3) and of ArcGIS Online (`sharing/rest/search`).

They state the address, the extent and the licence of a layer, never which column is its key.
Source: hub.arcgis.com/api/search/v1 (OGC API Records, GeoJSON), hub.arcgis.com/api/v3/datasets (JSON:API), and ArcGIS
REST API, "Search" and "Item".
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from zoning_assets.model import Bounds
from zoning_assets.onboarding import location, portal_detection
from zoning_assets.onboarding.catalogues import entry_address
from zoning_assets.onboarding.catalogues.catalogue_entry import (
    CatalogueEntry,
    CatalogueReading,
    EntryPassedOver,
    EntryRefused,
    bounds_of,
    bounds_of_geometry,
    read_each,
    slug,
    text,
)
from zoning_assets.onboarding.catalogues.entry_address import CheckAddress
from zoning_assets.sources.paging.json_fields import member

HUB, HUB_V3, ONLINE = "ArcGIS Hub", "ArcGIS Hub, version 3", "ArcGIS Online"
#: Types of items with layers of polygons.
_TYPES = ("feature service", "map service", "feature layer")


def form_of(document: Any) -> str | None:
    """The form of an answer; None: it is of none of these catalogues."""
    if not isinstance(document, dict):
        return None
    if document.get("type") == "FeatureCollection" and isinstance(document.get("features"), list):
        return HUB
    if isinstance(document.get("data"), list) and _is_json_api(document["data"]):
        return HUB_V3
    is_search = isinstance(document.get("results"), list) and ("nextStart" in document or "total" in document)
    return ONLINE if is_search else None


def _is_json_api(data: list[Any]) -> bool:
    return all(isinstance(each, dict) and isinstance(each.get("attributes"), dict) for each in data[:5])


def read(document: Mapping[str, Any], where: str, check: CheckAddress) -> CatalogueReading:
    """Read an answer; `form_of` has recognised it.

    Args:
        document: the answer; any values.
        where: the file or address, for messages.
        check: see entry_address.checked.
    """
    form = form_of(document) or ONLINE
    name = {HUB: "features", HUB_V3: "data", ONLINE: "results"}[form]
    elements = document[name]
    total = next((n for each in _totals(document) if type(n := each) is int), len(elements))
    more = (
        f"the answer has {len(elements):,} of {total:,} entries; ask for the others too"
        if total > len(elements)
        else ""
    )
    return read_each(form, elements, partial(_entry, form, check), where, more)


def _totals(document: Mapping[str, Any]) -> Iterator[Any]:
    yield document.get("numberMatched")
    yield member(document, "meta", "stats", "totalCount")
    yield document.get("total")


def _entry(form: str, check: CheckAddress, element: Any, at: str) -> CatalogueEntry:
    inner = {HUB: "properties", HUB_V3: "attributes"}.get(form)
    item = member(element, inner) if inner else element
    if not isinstance(item, dict):
        raise EntryRefused("it is not an object", "look at the catalogue")
    title, kind = text(item.get("title") or item.get("name")), text(item.get("type")).lower()
    feed = portal_detection.feed_of(title)
    if feed is None:
        raise EntryPassedOver("neither parcels nor zoning by its title")
    if kind not in _TYPES:
        raise EntryPassedOver(f"of the type {kind[:40] or 'that is not stated'}")
    if text(item.get("geometryType")) not in ("", "esriGeometryPolygon"):
        raise EntryPassedOver("no polygons")
    url, is_layer = entry_address.layer_of(entry_address.checked(item.get("url"), check))
    bounds = _bounds(element, item)
    owner = text(item.get("orgName") or item.get("source") or item.get("owner"))
    return CatalogueEntry(
        where=at,
        id=id_of(owner, title, bounds),
        name=f"{title} ({owner})" if owner else title,
        feed=feed,
        type="arcgis",
        url=url,
        bounds=bounds,
        bounds_of="of the catalogue" if bounds else "",
        missing=() if is_layer else ("the layer",),
        remarks=tuple(_remarks(form, item, title)),
    )


def id_of(owner: str, title: str, bounds: Bounds | None) -> str:
    """An id from what a catalogue says of an entry; a person should replace it. `xx`: the state is not known."""
    country = "us" if bounds is None or location.in_united_states(bounds) else "xx"
    words = [each for each in f"{slug(owner)}-{slug(title)}".split("-") if each]
    return "-".join([country, "xx", *(list(dict.fromkeys(words))[:5] or ["new"])])


def _bounds(element: Any, item: Mapping[str, Any]) -> Bounds | None:
    """The extent in degrees: two corners (a list, or `coordinates` of an envelope), or a polygon."""
    extent = item.get("extent")
    corners = extent.get("coordinates") if isinstance(extent, dict) else extent
    flat = (
        [value for each in corners[:2] if isinstance(each, list) for value in each] if isinstance(corners, list) else []
    )
    return bounds_of(flat) or bounds_of_geometry(member(element, "geometry"))


def _remarks(form: str, item: Mapping[str, Any], title: str) -> Iterator[str]:
    yield f"From the catalogue {form}: {title}"
    structured = item.get("structuredLicense")
    licences = [item.get("licenseInfo"), item.get("license"), member(structured, "text"), member(structured, "url")]
    if stated := next(filter(None, map(text, licences)), ""):
        yield f"Licence as the catalogue states it: {stated}"
    if credit := text(item.get("accessInformation")):
        yield f"Credit as the catalogue states it: {credit}"
