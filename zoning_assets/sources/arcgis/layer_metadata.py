"""Parse the metadata of an ArcGIS layer.

Source: ArcGIS REST API, "Layer (Feature Service)" and "Layer/Table (Map Service)".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyproj

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.http.response_checks import Unreadable
from zoning_assets.model import Bounds
from zoning_assets.sources.arcgis.value_domains import names_of
from zoning_assets.transform.geometry import crs

#: Error codes in the body of an HTTP 200 after which the request is retried.
_PASSING = frozenset({429, 500, 502, 503, 504})
#: Form of a page -> the value of `f`, best first. JSON is preferred: if it has more digits than the layer's resolution,
#: coordinates in protocol buffers differ by up to 0.05 mm, and a layer whose form changes would look changed (1,533 of
#: Cambridge's 13,034 parcels, at a resolution of 1e-4 feet). Protocol buffers are for servers that fail on JSON.
FORMS: Mapping[str, str] = {"esrijson": "json", "pbf": "pbf", "geojson": "geojson"}
#: Rows per page if a layer states no maxRecordCount: the default of older servers.
_MODEST_PAGE = 1000
_MOST_A_PAGE = 1_000_000
#: The types of members of the metadata; a server may send anything.
_KINDS: Mapping[str, type[Any]] = {
    **dict.fromkeys(("fields", "layers"), list),
    **dict.fromkeys(("extent", "advancedQueryCapabilities", "geometryProperties"), dict),
    **dict.fromkeys(("editFieldsInfo", "editingInfo"), dict),
}


@dataclass(frozen=True)
class LayerMetadata:
    """The parsed metadata of a layer."""

    id: str  # the object id's column; "": the metadata name none (sample_row finds it)
    columns: Sequence[str]
    dates: Sequence[str]  # columns of epoch milliseconds
    managed: Sequence[str]  # columns that the server maintains itself
    crs: str | None
    extent: Mapping[str, Any]
    most_rows: int  # rows per page
    paging: bool
    statistics: bool
    forms: Sequence[str]  # forms of pages that the layer supports, best first; keys of page_readers.PEEKERS
    area: str | None  # the column with the area of each shape
    edited: int | None  # the last edit in epoch milliseconds; None: not stated
    edits: str | None = None  # the column with the last edit of each row
    edits_in_utc: bool = True
    names: Mapping[str, Any] = field(default_factory=dict)  # names of coded values, see value_domains

    def extent_degrees(self, layer_crs: str) -> Bounds | None:
        """The layer's extent (west, south, east, north) in degrees; None: it is missing or impossible."""
        return degrees_of(self.extent, layer_crs)


def degrees_of(extent: Mapping[str, Any], extent_crs: str) -> Bounds | None:
    """Convert an Esri extent to (west, south, east, north) in degrees; None: it is incomplete or impossible."""
    try:
        west, south, east, north = (float(extent[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
        found = crs.transformer(extent_crs, crs.DEGREES).transform_bounds(west, south, east, north)
    except (KeyError, TypeError, ValueError, OverflowError, pyproj.exceptions.ProjError):
        return None
    west, south, east, north = found
    sound = bool(np.isfinite(found).all()) and -180 <= west < east <= 180 and -90 <= south < north <= 90
    return (west, south, east, north) if sound else None


def no_error(document: Any) -> Any:
    """Return the document, unless it is a temporary error.

    Raises:
        Unreadable: a temporary error. Its code counts as the HTTP status, so that a busy host is asked less often.
        ValueError: it is no JSON object; the client retries.
    """
    if not isinstance(document, dict):
        message = "the answer is JSON, but not an object"
        raise ValueError(message)  # noqa: TRY004 - the client retries on ValueError
    error = document.get("error")
    code = _number(error.get("code")) if isinstance(error, dict) else None
    if isinstance(error, dict) and code in _PASSING:
        what = f"error {code} in an HTTP 200: {error.get('message')}"
        raise Unreadable(what, code)
    return document


def describe(document: Mapping[str, Any], where: str, *, is_table: bool = False) -> LayerMetadata:
    """Parse a layer's metadata.

    Args:
        document: the JSON of the layer's address.
        where: for messages.
        is_table: whether a table is meant, so that shapes are not needed.

    Raises:
        NotALayer: it is a service, a folder, a table (unless one is meant), a layer of points or lines, or the metadata
            are damaged.
        FeedRefused: the server answers with an error, or requires a token.
    """
    error = document.get("error")
    if error:
        error = error if isinstance(error, dict) else {"message": error}
        wants_token = error.get("code") in (498, 499)
        do = "ask its owner for a layer without a token" if wants_token else "check the address"
        raise FeedRefused(f"error {_shown(error.get('code'))}: {_shown(error.get('message'))}", where=where, do=do)
    _check_kinds(document, where)
    if "layers" in document and "fields" not in document:
        layers = [each for each in document["layers"] or () if isinstance(each, dict)]
        names = ", ".join(f"{_shown(each.get('id'))} {_shown(each.get('name'))}" for each in layers[:12])
        raise NotALayer("this is a service, not a layer", where=where, do=f"add the number of a layer: {names}")
    if document.get("geometryType") != "esriGeometryPolygon" and not (is_table and document.get("fields")):
        kind = _shown(document.get("geometryType") or document.get("type") or "of an unknown type")
        raise NotALayer(f"this is {kind}, not a layer of polygons", where=where, do="check the address")
    fields = document.get("fields") or []
    can = document.get("advancedQueryCapabilities") or {}
    return LayerMetadata(
        id=_id_column(document, fields),
        columns=[field["name"] for field in fields],
        dates=[field["name"] for field in fields if field.get("type") == "esriFieldTypeDate"],
        managed=_managed(document),
        crs=crs_of((document.get("extent") or {}).get("spatialReference")),
        extent=document.get("extent") or {},
        most_rows=_most_rows(document),
        paging=bool(can.get("supportsPagination") or document.get("supportsPagination")),
        statistics=bool(can.get("supportsStatistics") or document.get("supportsStatistics")),
        forms=_forms(document),
        area=_area(document, fields),
        edited=_number((document.get("editingInfo") or {}).get("lastEditDate")),
        edits=_edits(document, fields),
        edits_in_utc=_edits_in_utc(document),
        names=names_of(document, [each["name"] for each in fields]),
    )


def _check_kinds(document: Mapping[str, Any], where: str) -> None:
    for name, kind in _KINDS.items():
        if not isinstance(document.get(name) or kind(), kind):
            raise _damaged(f"its {name} are not of type {kind.__name__}", where)
    if not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in document.get("fields") or ()):
        raise _damaged("a column has no name", where)


def _damaged(what: str, where: str) -> NotALayer:
    return NotALayer(f"the layer's metadata are damaged: {what}", where=where, do="check the address, or try later")


def _shown(value: Any) -> str:
    """A value from the server for messages: a text or number, shortened; else empty."""
    return str(value)[:160] if isinstance(value, str | int | float) else ""


def _number(value: Any) -> int | None:
    """A whole number; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _most_rows(document: Mapping[str, Any]) -> int:
    stated = _number(document.get("maxRecordCount")) or _MODEST_PAGE
    return stated if 0 < stated <= _MOST_A_PAGE else _MODEST_PAGE


def _id_column(document: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> str:
    named = document.get("objectIdField") if isinstance(document.get("objectIdField"), str) else None
    found = [field["name"] for field in fields if field.get("type") == "esriFieldTypeOID"]
    return str(named or next(iter(found), ""))


def _forms(document: Mapping[str, Any]) -> list[str]:
    """The supported forms. Every server supports JSON, although some do not list it."""
    stated = {each.strip().lower() for each in (_shown(document.get("supportedQueryFormats")) or "JSON").split(",")}
    return [form for form, name in FORMS.items() if name in stated] or ["esrijson"]


def _area(document: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> str | None:
    stated = (document.get("geometryProperties") or {}).get("shapeAreaFieldName")
    usual = ("shape_area", "shape__area", "shape.starea()", "shape.area", "st_area(shape)")
    return (
        stated
        if stated and isinstance(stated, str)
        else next((field["name"] for field in fields if str(field["name"]).lower() in usual), None)
    )


def _edits(document: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> str | None:
    name = (document.get("editFieldsInfo") or {}).get("editDateField")
    return name if isinstance(name, str) and any(field["name"] == name for field in fields) else None


def _edits_in_utc(document: Mapping[str, Any]) -> bool:
    """Whether the times of editor tracking are in UTC, which is the default. Source: ArcGIS REST API, "Layer (Feature
    Service)", dateFieldsTimeReference of editFieldsInfo."""
    reference = (document.get("editFieldsInfo") or {}).get("dateFieldsTimeReference")
    return not isinstance(reference, Mapping) or reference.get("timeZone") in (None, "UTC")


def _managed(document: Mapping[str, Any]) -> list[str]:
    """The columns that the server renumbers, regenerates or recomputes."""
    shape = document.get("geometryProperties") or {}
    edits = document.get("editFieldsInfo") or {}
    names = [document.get("objectIdField"), document.get("globalIdField"), *shape.values(), *edits.values()]
    return sorted({name for name in names if isinstance(name, str) and name})


def crs_of(reference: Any) -> str | None:
    """An Esri spatial reference as a name that PROJ knows; None: PROJ does not know it."""
    if not isinstance(reference, Mapping):
        return None
    for name in ("latestWkid", "wkid"):
        number = _number(reference.get(name))
        for authority in ("EPSG", "ESRI"):
            found = _known(f"{authority}:{number}") if number else None
            if found:
                return found
    wkt = reference.get("wkt")
    return _known(wkt) if isinstance(wkt, str) and "[" in wkt else None  # PROJ could read other texts as file names


def _known(text: str) -> str | None:
    try:
        pyproj.CRS(text)
    except pyproj.exceptions.CRSError:
        return None
    return text
