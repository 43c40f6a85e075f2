"""CKAN: a resource is a file, which `download` fetches, or a table of the datastore, whose rows are asked for here.

An edit of the datastore moves none of the dates that a resource tells (docs/explanation/portals.md), so the table's
newest row id stands beside its count in the stamp; an edit in place, which moves neither, is seen only when everything
is fetched again.
Source: docs.ckan.org, "API guide" and "DataStore extension"; docs/explanation/portals.md, row 42.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyproj

from zoning_assets.redaction import without_secrets
from zoning_assets.sources.ckan import package_metadata
from zoning_assets.sources.ckan.package_metadata import Address, Resource
from zoning_assets.sources.download import download_source
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging import by_offset, json_fields, polling
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.paging.tabular_rows import TabularLayer, find_geometry
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode import wkt_columns
from zoning_assets.transform.decode.json_limits import decode

_ROW_ID = "_id"
_PAGE_ROWS, _SAMPLE_ROWS = 2000, 20  # CKAN gives 32,000 at most, whatever is asked for


async def open_source(request: Request) -> FullLayer:
    """Find the resource; fetch its file, or its rows, and prove them.

    Raises:
        NotALayer: the address names no resource, several, or a table without polygons.
        FileRefused, HarvestIncomplete, JurisdictionInvalid, PortalError: see errors.py.
    """
    catalogue = _catalogue(request)
    resource = await catalogue.resource()
    if resource.is_table:
        return await assemble(request, await _describe(catalogue, resource))
    whole = await download_source.open_source(_file(catalogue, resource))
    whole.stamp |= resource.signals
    return whole


async def probe(request: Request) -> dict[str, Any]:
    """What the resource says of itself now: one request for a file in CKAN, two for a table.

    For a file that lies elsewhere two as well: CKAN knows nothing of its edits, so it is fetched where it changed.
    """
    catalogue = _catalogue(request)
    resource = await catalogue.resource()
    if resource.is_table:
        return await catalogue.stamp(resource)
    linked = {} if resource.uploaded else await download_source.probe(_file(catalogue, resource))
    return {**linked, **resource.signals}


def _file(catalogue: "Catalogue", resource: Resource) -> Request:
    """The request as `download` takes it."""
    request = catalogue.request
    url = package_metadata.file_address(resource, catalogue.asked.root, catalogue.where)
    return replace(request, feed=replace(request.feed, url=url))


def _catalogue(request: Request) -> "Catalogue":
    where = f"{request.where} at {without_secrets(request.feed.url)}"
    return Catalogue(request, package_metadata.address(request.feed.url, where), where)


@dataclass(frozen=True)
class Catalogue:
    """A CKAN, and what is asked of it."""

    request: Request
    asked: Address
    where: str

    async def resource(self) -> Resource:
        """What the resource says of itself now."""
        if not self.asked.package:
            document = await self.act("resource_show", {"id": self.asked.resource})
            return package_metadata.resource_of(document, {}, self.asked.root)
        package = await self.act("package_show", {"id": self.asked.package})
        return package_metadata.choose(package, self.asked, self.where)

    async def stamp(self, resource: Resource) -> dict[str, Any]:
        """The datastore's count (None where it only estimates), its newest row, and what the resource says.

        `include_total` is CKAN's default, and older versions refuse its name.
        """
        params = {"resource_id": resource.id, "fields": _ROW_ID, "sort": f"{_ROW_ID} desc", "limit": "1"}
        found = await self.act("datastore_search", params)
        count = None if found.get("total_was_estimated") else json_fields.count(found.get("total"))
        newest = [json_fields.signal(row.get(_ROW_ID)) for row in json_fields.objects(found.get("records"))]
        return {"count": count, "newest": newest[0] if newest else None, **resource.signals}

    async def act(self, action: str, params: Mapping[str, str]) -> dict[str, Any]:
        """What an action gives."""
        answer = await polling.ask(self.request, self.url(action), params, self.read)
        found: dict[str, Any] = answer.value
        return found

    def url(self, action: str) -> str:
        """Where an action is asked for."""
        return f"{self.asked.root}/api/3/action/{action}"

    def read(self, body: bytes) -> dict[str, Any]:
        """What an action gave."""
        return package_metadata.result_of(decode(body), self.where)


async def _describe(catalogue: Catalogue, resource: Resource) -> "Datastore":
    """The table's columns; by some rows, which of them holds the shapes."""
    params = {"resource_id": resource.id, "sort": _ROW_ID, "limit": str(_SAMPLE_ROWS)}
    sample = await catalogue.act("datastore_search", params)
    columns = [name for each in json_fields.objects(sample.get("fields")) if (name := json_fields.text(each.get("id")))]
    rows = json_fields.objects(sample.get("records"))[:_SAMPLE_ROWS]
    geometry = find_geometry(columns, rows, catalogue.request.feed.geometry, catalogue.where)
    srid = wkt_columns.srid_of([row.get(geometry) for row in rows])
    return Datastore(catalogue, resource, columns, TabularLayer(_ROW_ID, geometry, srid))


class Datastore:
    """A table that was found. See assembled.Paged."""

    def __init__(self, catalogue: Catalogue, resource: Resource, columns: Sequence[str], table: TabularLayer) -> None:
        self.catalogue, self.resource, self.table = catalogue, resource, table
        self.columns = columns
        geometry = {"crs": _known(table.srid), "geometry": table.geometry}
        self.layer: Mapping[str, Any] = {**geometry, "managed": [_ROW_ID]}
        self._fresh = True

    async def stamp(self) -> dict[str, Any]:
        """See assembled.Paged. The first one need not ask for the resource again."""
        resource = self.resource if self._fresh else await self.catalogue.resource()
        self._fresh = False
        return await self.catalogue.stamp(resource)

    async def pages(self, ask: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See assembled.Paged."""
        size = self.catalogue.request.feed.page_size or _PAGE_ROWS
        size = max(1, size * 2 // 3) if walk else size
        async for batch in by_offset.walk(partial(self._page, ask), size, self.catalogue.where, proof):
            yield batch

    async def _page(self, ask: Fetch, offset: int, limit: int, tries: int) -> pa.RecordBatch:
        place = {"sort": _ROW_ID, "limit": str(limit), "offset": str(offset)}
        params = {"resource_id": self.resource.id, **place}
        rows = await ask(self.catalogue.url("datastore_search"), params, self._rows, tries)
        return await asyncio.to_thread(self.table.batch, rows, self.catalogue.where)

    def _rows(self, body: bytes) -> list[dict[str, Any]]:
        return json_fields.rows_of(self.catalogue.read(body).get("records"))


def _known(srid: int | None) -> str | None:
    """An SRID as the name of a CRS; None where it is none that PROJ knows."""
    name = f"EPSG:{srid}"
    try:
        pyproj.CRS(name)
    except pyproj.exceptions.CRSError:
        return None
    return name
