"""Answers of CKAN (`package_search`, `package_show`) and `data.json` files (DCAT-US 1.1): data sets with distributions.

One distribution of each data set is proposed: a layer of ArcGIS if there is one, else a file with polygons.
Source: docs.ckan.org, "API guide"; resources.data.gov, "DCAT-US Schema v1.1".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from zoning_assets.model import Bounds
from zoning_assets.onboarding import portal_detection
from zoning_assets.onboarding.catalogues import entry_address
from zoning_assets.onboarding.catalogues.arcgis_catalogues import id_of
from zoning_assets.onboarding.catalogues.catalogue_entry import (
    CatalogueEntry,
    CatalogueReading,
    EntryPassedOver,
    EntryRefused,
    bounds_of,
    bounds_of_geometry,
    read_each,
    text,
)
from zoning_assets.onboarding.catalogues.entry_address import CheckAddress
from zoning_assets.sources.paging.json_fields import member, objects

CKAN, DCAT = "CKAN", "data.json (DCAT-US)"
#: Words of a format, or of the ending of an address, best first; each with the feed type.
_FORMATS: Sequence[tuple[str, str]] = (
    ("featureserver", "arcgis"), ("mapserver", "arcgis"), ("gpkg", "download"), ("geopackage", "download"),
    ("geojson", "download"), ("shp", "download"), ("shapefile", "download"), ("gdb", "download"),
    ("filegdb", "download"), ("geodatabase", "download"), ("fgb", "download"), ("geoparquet", "download"),
    ("kml", "download"), ("kmz", "download"),
)  # fmt: skip
_LONGEST_SPATIAL = 100_000
_BOX = re.compile(r"\s*[,;\s]\s*")


def form_of(document: Any) -> str | None:
    """The form of a document; None: it is neither."""
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("dataset"), list):
        return DCAT
    result = document.get("result")
    if "success" not in document or not isinstance(result, dict):
        return None
    return CKAN if "results" in result or "resources" in result else None


def read(document: Mapping[str, Any], where: str, check: CheckAddress) -> CatalogueReading:
    """Read a document; `form_of` has recognised it.

    Args:
        document: the document; any values.
        where: the file or address, for messages.
        check: see entry_address.checked.
    """
    if form_of(document) == DCAT:
        return read_each(DCAT, document["dataset"], partial(_entry, DCAT, check), where)
    result = document["result"]
    packages = result.get("results") if isinstance(result.get("results"), list) else [result]
    count = result.get("count")
    is_part = type(count) is int and count > len(packages)
    more = f"the answer has {len(packages):,} of {count:,} entries; ask for the others too" if is_part else ""
    return read_each(CKAN, packages, partial(_entry, CKAN, check), where, more)


def _entry(form: str, check: CheckAddress, element: Any, at: str) -> CatalogueEntry:
    if not isinstance(element, dict):
        raise EntryRefused("it is not an object", "look at the catalogue")
    title = text(element.get("title") or element.get("name"))
    found = objects(element.get("resources" if form == CKAN else "distribution"))
    named = [(portal_detection.feed_of(text(each.get("name") or each.get("title"))), each) for each in found]
    feed = portal_detection.feed_of(title) or next((of for of, _ in named if of), None)
    if feed is None:
        raise EntryPassedOver("neither parcels nor zoning by its title")
    fitting = [each for of, each in named if of == feed] or [each for of, each in named if of is None]
    usable = sorted(filter(None, map(_ranked, fitting)), key=lambda each: each[0])
    if not usable:
        raise EntryPassedOver("no layer or file with polygons")
    _, kind, given = usable[0]
    url, missing = entry_address.checked(given, check), tuple[str, ...]()
    if kind == "arcgis":
        url, is_layer = entry_address.layer_of(url)
        missing = () if is_layer else ("the layer",)
    bounds = _bounds(element)
    owner = text(member(element, "organization", "title") or member(element, "publisher", "name"))
    return CatalogueEntry(
        where=at,
        id=id_of(owner, title, bounds),
        name=f"{title} ({owner})" if owner else title,
        feed=feed,
        type=kind,
        url=url,
        bounds=bounds,
        bounds_of="of the catalogue" if bounds else "",
        missing=missing,
        remarks=tuple(_remarks(form, element, title, len(usable))),
    )


def _ranked(distribution: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """The rank of a distribution (lower is better), its feed type and its address; None: it has no polygons."""
    urls = [distribution.get(name) for name in ("url", "downloadURL", "accessURL")]
    url = next((each for each in urls if isinstance(each, str) and each), "")
    names = ("format", "mediaType", "mimetype", "title", "name")
    stated = " ".join([*(text(distribution.get(each)) for each in names), url.rpartition(".")[2][:20]])
    services = re.findall(r"/(FeatureServer|MapServer)(?:/\d+)?/?(?:\?|$)", url, re.IGNORECASE)
    words = {
        *re.findall(r"[a-z]+", stated.lower().replace("geo+json", "geojson")),
        *(each.lower() for each in services),
    }
    words -= set() if services else {"featureserver", "mapserver"}
    return next(((rank, kind, url) for rank, (word, kind) in enumerate(_FORMATS) if word in words), None)


def _bounds(element: Mapping[str, Any]) -> Bounds | None:
    """The bounds that a data set states: `spatial` as four numbers, an envelope or a GeoJSON polygon."""
    extras = {text(each.get("key")): each.get("value") for each in objects(element.get("extras"))}
    stated = element.get("spatial") or extras.get("spatial")
    if isinstance(stated, str) and len(stated) <= _LONGEST_SPATIAL:
        if numbers := bounds_of(_BOX.split(stated.strip())):
            return numbers
        try:
            stated = orjson.loads(stated)
        except orjson.JSONDecodeError:
            return None
    if member(stated, "type") == "envelope" and isinstance(corners := member(stated, "coordinates"), list):
        flat = [value for each in corners[:2] if isinstance(each, list) for value in each]
        return bounds_of([flat[0], flat[3], flat[2], flat[1]] if len(flat) == 4 else None) or bounds_of(flat)
    return bounds_of_geometry(stated)


def _remarks(form: str, element: Mapping[str, Any], title: str, usable: int) -> Iterator[str]:
    yield f"From the catalogue {form}: {title}"
    licences = [element.get(name) for name in ("license_title", "license_url", "license", "license_id")]
    if stated := next(filter(None, map(text, licences)), ""):
        yield f"Licence as the catalogue states it: {stated}"
    if usable > 1:
        yield f"The catalogue has {usable - 1} more distributions of it"
