"""Complete the metadata of an ArcGIS layer from one of its rows.

Some metadata lack the object id's column, the columns, or the extent with its spatial reference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.sources.arcgis.layer_metadata import LayerMetadata, crs_of
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, WHOLE_ROWS, QueryClient
from zoning_assets.sources.source import Request
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.decode.json_pages import decode

#: Usual names of object ids, the most frequent first.
_IDS = ("OBJECTID", "FID", "OID", "ESRI_OID", "OBJECTID_1", "OBJECTID_12", "FID_1")


async def complete_metadata(service: QueryClient) -> LayerMetadata:
    """Return the layer's metadata, with missing parts taken from a row.

    Raises:
        NotALayer: the object id's column is unknown.
        PortalError: see errors.py.
    """
    about = service.about
    placed = about.crs or service.request.feed.crs or service.request.is_table
    if about.id in about.columns and placed and not _absent(service.request, about.columns):
        return about
    document = await _sample(service)
    columns = _columns(document, about.columns)
    name = about.id or _named(document) or await _listed(service) or _usual(columns)
    if name is None:
        do = "ask the portal's owner for a layer with object ids"
        raise NotALayer("neither the layer nor its rows name an object id", where=service.request.where, do=do)
    found = crs_of(document.get("spatialReference"))
    own = find_column(name, columns) or name
    managed = sorted({*about.managed, own})
    return replace(about, id=own, columns=columns, crs=about.crs or found, managed=managed)


def wanted(request: Request) -> list[str]:
    """The columns that the jurisdiction file names."""
    return [name for name in (request.feed.key, *request.feed.fields.values()) if name]


def _absent(request: Request, columns: Sequence[str]) -> bool:
    return any(find_column(name, columns) is None for name in wanted(request))


async def _sample(service: QueryClient) -> Mapping[str, Any]:
    """Fetch one row. Servers without paging refuse a limit; they return a page."""
    query = {**EVERY_ROW, **WHOLE_ROWS}
    try:
        _, body = await service.query({**query, "resultRecordCount": "1"}, few_tries=True)
    except FeedRefused as refusal:
        if refusal.final:
            raise
        _, body = await service.query(query)
    document: Mapping[str, Any] = decode(body)
    return document


def _columns(document: Mapping[str, Any], described: Sequence[str]) -> list[str]:
    """The columns as the first row spells them, then those that only the metadata name."""
    features = document.get("features")
    first = features[0] if isinstance(features, list) and features else None
    row = first.get("attributes") if isinstance(first, dict) else None
    own = list(row) if isinstance(row, dict) else []
    return [*own, *(name for name in described if find_column(name, own) is None)]


def _named(document: Mapping[str, Any]) -> str | None:
    name = document.get("objectIdFieldName")
    return name if isinstance(name, str) and name else None


async def _listed(service: QueryClient) -> str | None:
    """The object id's column according to the list of ids."""
    try:
        value, _ = await service.query({**EVERY_ROW, "returnIdsOnly": "true"})
    except FeedRefused as refusal:
        if refusal.final:
            raise
        return None
    return _named(value)


def _usual(columns: Iterable[str]) -> str | None:
    known = list(columns)
    return next((found for name in _IDS if (found := find_column(name, known))), None)
