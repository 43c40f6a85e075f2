"""Source files of OpenAddresses: `layers.parcels` becomes proposals.

Source: github.com/openaddresses/openaddresses, `schema/source_schema_v2.json` and `schema/layers/parcel_conform.json`.
`conform.pid` is the key. Files of the first schema have no layers; they describe addresses only.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from zoning_assets.model import PARCELS, Bounds
from zoning_assets.onboarding.catalogues import entry_address
from zoning_assets.onboarding.catalogues.catalogue_entry import (
    CatalogueEntry,
    CatalogueReading,
    EntryPassedOver,
    EntryProblem,
    EntryRefused,
    address_in,
    bounds_of_geometry,
    column,
    slug,
    text,
)
from zoning_assets.onboarding.catalogues.entry_address import CheckAddress
from zoning_assets.onboarding.us_states import STATES, bounds_of_state

FORM = "OpenAddresses"
#: Formats that the feed type `download` reads, and packings of them.
_FORMATS = ("geojson", "shapefile", "shapefile-polygon", "gdb")
_COMPRESSIONS = (None, "", "zip")
_SUFFIX = re.compile(r"\s+(county|parish|borough|census area|municipality)$", re.IGNORECASE)
_CRS = re.compile(r"EPSG:\d{4,6}")
_BY_HAND = "`zoning onboard URL` reads the layer and proposes a key"


def matches(document: Any) -> bool:
    """Whether a document is a source file."""
    known = isinstance(document, dict) and isinstance(document.get("coverage"), dict)
    return known and ("layers" in document or "data" in document)


def read(document: Mapping[str, Any], where: str, check: CheckAddress) -> CatalogueReading:
    """Read a source file.

    Args:
        document: the file; any values.
        where: the file, for messages.
        check: see entry_address.checked.
    """
    found = CatalogueReading(FORM)
    layers = document.get("layers")
    if not isinstance(layers, dict):
        found.passed_over["a source of schema 1 (addresses, no parcels)"] += 1
        return found
    for kind in layers.keys() - {PARCELS}:
        found.passed_over[f"a layer of {slug(str(kind)) or 'another kind'}"] += 1
    for at, number, source in _sources(layers.get(PARCELS), where):
        try:
            found.entries.append(_entry(source, document["coverage"], at, number, check))
        except EntryPassedOver as why:
            found.passed_over[str(why)] += 1
        except EntryRefused as error:
            found.problems.append(EntryProblem(at, address_in(source), str(error), error.do))
    return found


def _sources(layers: Any, where: str) -> Iterator[tuple[str, int, Any]]:
    for number, source in enumerate(layers if isinstance(layers, list) else [], 1):
        yield f"{where} parcels {number}" if number > 1 else where, number, source


def _entry(source: Any, coverage: Mapping[str, Any], at: str, number: int, check: CheckAddress) -> CatalogueEntry:
    if not isinstance(source, dict):
        raise EntryRefused("it is not an object", "look at the catalogue")
    if source.get("skip") is True:
        raise EntryPassedOver("a source that OpenAddresses skips")
    conform = _object(source.get("conform"))
    kind, url, missing = _address(source, conform, check)
    key, remark = _key(conform.get("pid"))
    bounds, origin = _bounds(coverage)
    id_, name = _place(coverage)
    srs = text(conform.get("srs"))
    layer = column(conform.get("layer")) or _stem(conform.get("file"))
    return CatalogueEntry(
        where=at,
        id=f"{id_}-{slug(text(source.get('name'))) or number}" if number > 1 else id_,
        name=name,
        feed=PARCELS,
        type=kind,
        url=url,
        key=key,
        layer=layer if kind == "download" else None,
        crs=srs if _CRS.fullmatch(srs) else None,
        bounds=bounds,
        bounds_of=origin,
        missing=missing,
        remarks=(f"From the catalogue OpenAddresses: {PurePath(at).name}", *remark, *_remarks(source)),
    )


def _address(
    source: Mapping[str, Any], conform: Mapping[str, Any], check: CheckAddress
) -> tuple[str, str, tuple[str, ...]]:
    """The feed type, the address, and what the address lacks."""
    url, protocol = entry_address.checked(source.get("data"), check), source.get("protocol")
    if protocol == "ESRI":
        layer, is_layer = entry_address.layer_of(url)
        return "arcgis", layer, () if is_layer else ("the layer",)
    if protocol not in ("http", "ftp"):
        raise EntryRefused(f"the protocol {text(protocol, 40)!r} is not known", _BY_HAND)
    if source.get("compression") not in _COMPRESSIONS:
        raise EntryRefused(f"files packed as {text(source.get('compression'), 40)!r} are not read", _BY_HAND)
    if conform.get("format") not in _FORMATS:
        raise EntryRefused(f"the format {text(conform.get('format'), 40)!r} has no polygons", _BY_HAND)
    return "download", url, ()


def _key(pid: Any) -> tuple[str | None, tuple[str, ...]]:
    """The column of the key, and a remark if the catalogue computes the id: a key is one column, unchanged."""
    if isinstance(pid, list) and len(pid) == 1:
        return _key(pid[0])
    if isinstance(pid, dict) and (of := column(pid.get("field"))):
        how = slug(text(pid.get("function"), 40)) or "a function"
        return of, (f"The catalogue computes the id from {of} by {how}; check that {of} itself is unique",)
    several = pid.get("fields") if isinstance(pid, dict) else pid
    if isinstance(several, list):
        names = ", ".join(name for each in several[:5] if (name := column(each)))
        return None, (f"The catalogue composes the id from several columns ({names}); a key is one column",)
    return column(pid), ()


def _place(coverage: Mapping[str, Any]) -> tuple[str, str]:
    """The id and the name of a place. A city has `-city` after its name, as a county may have the same name.

    Raises:
        EntryRefused: the coverage names no place.
    """
    census = _object(coverage.get("US Census"))
    region = text(coverage.get("state") or coverage.get("province"))
    city, county = (_one(coverage.get(each)) for each in ("city", "county"))
    city = city or _one(coverage.get("place"))
    stated = text(census.get("name"))
    if not city and not county and len(text(census.get("geoid"))) == 5:  # a county: two digits of the state, three more
        county = stated
    plain = re.sub(r"^(city|town|village) of ", "", city, flags=re.IGNORECASE)
    place = f"{plain} city" if city else _SUFFIX.sub("", county) if county else "statewide"
    words = [slug(each) for each in (text(coverage.get("country")), region, place)]
    if not words[0] or not words[-1]:
        raise EntryRefused("its coverage names no place", "look at the catalogue")
    state = text(census.get("state")) or STATES.get(region.lower(), region.upper())
    shown = stated or city or county
    return "-".join(filter(None, words)), ", ".join(filter(None, (shown, state))) or words[0]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _one(value: Any) -> str:
    """A name, or the names of a list."""
    if isinstance(value, list):
        return " and ".join(filter(None, (text(each) for each in value[:5])))
    return text(value)


def _bounds(coverage: Mapping[str, Any]) -> tuple[Bounds | None, str]:
    """The bounds of a place, and where they are from: the geometry of the coverage, else the state."""
    if found := bounds_of_geometry(coverage.get("geometry")):
        return found, "of the catalogue"
    state = text(coverage.get("state")).lower()
    found = bounds_of_state(state) if text(coverage.get("country")).lower() == "us" else None
    return found, f"of {STATES[state]} (EPSG areas of use), not of the place itself" if found else ""


def _stem(value: Any) -> str | None:
    """The name of the layer in a file that the catalogue names: `a/parcels.shp` is `parcels`."""
    name = column(value)
    return PurePath(name).stem or None if name else None


def _remarks(source: Mapping[str, Any]) -> Iterator[str]:
    """What else the catalogue states: the licence, the credit, the year, the site."""
    licence = source.get("license")
    stated = licence if isinstance(licence, dict) else {"text": licence}
    words = [text(stated.get(name)) for name in ("text", "url")]
    if any(words):
        yield f"Licence as the catalogue states it: {' '.join(filter(None, words))}"
    if credit := text(stated.get("attribution name")) or text(source.get("attribution")):
        yield f"Credit as the catalogue states it: {credit}"
    for name, label in (("year", "Year"), ("website", "Site"), ("note", "Note")):
        if value := text(source.get(name)):
            yield f"{label}: {value}"
