"""CKAN resources: a file, which the package `download` fetches, or a table of the datastore, which is fetched here.

An edit of the datastore changes none of the dates of a resource (docs/explanation/portals.md), so the stamp contains
the table's count and its newest row id. An edit of existing rows changes neither; only the next full refresh finds it.
Source: docs.ckan.org, "API guide" and "DataStore extension".
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyproj

from zoning_assets.redaction import without_secrets
from zoning_assets.sources import row_filter
from zoning_assets.sources.ckan import package_metadata
from zoning_assets.sources.ckan.package_metadata import CkanAddress, Resource
from zoning_assets.sources.download import download_source
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging import by_offset, json_fields, polling
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.paging.tabular_rows import TabularLayer, find_geometry
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode import wkt_columns
from zoning_assets.transform.decode.json_pages import decode

_ROW_ID = "_id"
_PAGE_ROWS, _SAMPLE_ROWS = 2000, 20  # CKAN's limit is 32,000 by default (ckan.datastore.search.rows_max)


async def open_source(request: Request) -> FullLayer:
    """Find the resource, fetch its file or its rows, and prove that they are complete.

    Raises:
        NotALayer: the address names no resource, several, or a table without polygons.
        FileRefused, HarvestIncomplete, JurisdictionInvalid, PortalError: see errors.py.
    """
    catalogue = _catalogue(request)
    resource = await catalogue.resource()
    if resource.is_table:
        if request.feed.where:
            raise row_filter.unsupported(request, "CKAN's datastore has no clauses")
        return await assemble(request, await _describe(catalogue, resource))
    whole = await download_source.open_source(_file(catalogue, resource))
    whole.stamp |= resource.signals
    return whole


async def probe(request: Request) -> dict[str, Any]:
    """Return the resource's signals: one request for a file in CKAN, two for a table or a file elsewhere.

    CKAN does not know when a file elsewhere changes, so that file is probed too.

    Raises:
        NotALayer, PortalError: see errors.py.
    """
    catalogue = _catalogue(request)
    resource = await catalogue.resource()
    if resource.is_table:
        return await catalogue.stamp(resource)
    linked = {} if resource.uploaded else await download_source.probe(_file(catalogue, resource))
    return {**linked, **resource.signals}


def _file(catalogue: "Catalogue", resource: Resource) -> Request:
    """The request for the resource's file, as `download` takes it."""
    request = catalogue.request
    url = package_metadata.file_address(resource, catalogue.address.root, catalogue.where)
    return replace(request, feed=replace(request.feed, url=url))


def _catalogue(request: Request) -> "Catalogue":
    where = f"{request.where} at {without_secrets(request.feed.url)}"
    return Catalogue(request, package_metadata.address(request.feed.url, where), where)


@dataclass(frozen=True)
class Catalogue:
    """The client of one CKAN portal."""

    request: Request
    address: CkanAddress
    where: str

    async def resource(self) -> Resource:
        """Fetch the resource's metadata."""
        if not self.address.package:
            document = await self.act("resource_show", {"id": self.address.resource})
            return package_metadata.resource_of(document, {}, self.address.root)
        package = await self.act("package_show", {"id": self.address.package})
        return package_metadata.choose(package, self.address, self.where)

    async def stamp(self, resource: Resource) -> dict[str, Any]:
        """The count of the datastore's rows (None: only estimated), the newest row id, and the resource's signals.

        `include_total` is not sent: it is CKAN's default, and older versions refuse the parameter.
        """
        params = {"resource_id": resource.id, "fields": _ROW_ID, "sort": f"{_ROW_ID} desc", "limit": "1"}
        found = await self.act("datastore_search", params)
        count = None if found.get("total_was_estimated") else json_fields.count(found.get("total"))
        newest = [json_fields.signal(row.get(_ROW_ID)) for row in json_fields.objects(found.get("records"))]
        return {"count": count, "newest": newest[0] if newest else None, **resource.signals}

    async def act(self, action: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Send an action and return its result."""
        answer = await polling.query(self.request, self.url(action), params, self.read)
        found: dict[str, Any] = answer.value
        return found

    def url(self, action: str) -> str:
        """The address of an action."""
        return f"{self.address.root}/api/3/action/{action}"

    def read(self, body: bytes) -> dict[str, Any]:
        """Parse the answer of an action."""
        return package_metadata.result_of(decode(body), self.where)


async def _describe(catalogue: Catalogue, resource: Resource) -> "Datastore":
    """Read the table's columns, and some rows to find the column of shapes."""
    params = {"resource_id": resource.id, "sort": _ROW_ID, "limit": str(_SAMPLE_ROWS)}
    sample = await catalogue.act("datastore_search", params)
    columns = [name for each in json_fields.objects(sample.get("fields")) if (name := json_fields.text(each.get("id")))]
    rows = json_fields.objects(sample.get("records"))[:_SAMPLE_ROWS]
    is_table = catalogue.request.is_table
    geometry = "" if is_table else find_geometry(columns, rows, catalogue.request.feed.geometry, catalogue.where)
    srid = wkt_columns.srid_of([row.get(geometry) for row in rows])
    return Datastore(catalogue, resource, columns, TabularLayer(_ROW_ID, geometry, srid))


class Datastore:
    """A table of the datastore. See paged_layer.Paged."""

    def __init__(self, catalogue: Catalogue, resource: Resource, columns: Sequence[str], table: TabularLayer) -> None:
        self.catalogue, self.resource, self.table = catalogue, resource, table
        self.columns = columns
        geometry = {"crs": _known(table.srid), "geometry": table.geometry}
        self.layer: Mapping[str, Any] = {**geometry, "managed": [_ROW_ID]}
        self._fresh = True

    async def stamp(self) -> dict[str, Any]:
        """See paged_layer.Paged. The first call uses the metadata that were read before."""
        resource = self.resource if self._fresh else await self.catalogue.resource()
        self._fresh = False
        return await self.catalogue.stamp(resource)

    async def pages(self, fetch: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See paged_layer.Paged."""
        size = self.catalogue.request.feed.page_size or _PAGE_ROWS
        size = max(1, size * 2 // 3) if walk else size
        async for batch in by_offset.walk(partial(self._page, fetch), size, self.catalogue.where, proof):
            yield batch

    async def _page(self, fetch: Fetch, offset: int, limit: int, tries: int) -> pa.RecordBatch:
        place = {"sort": _ROW_ID, "limit": str(limit), "offset": str(offset)}
        params = {"resource_id": self.resource.id, **place}
        rows = await fetch(self.catalogue.url("datastore_search"), params, self._rows, tries)
        return await asyncio.to_thread(self.table.batch, rows, self.catalogue.where)

    def _rows(self, body: bytes) -> list[dict[str, Any]]:
        return json_fields.rows_of(self.catalogue.read(body).get("records"))


def _known(srid: int | None) -> str | None:
    """The name of the CRS with this SRID; None: PROJ does not know it."""
    name = f"EPSG:{srid}"
    try:
        pyproj.CRS(name)
    except pyproj.exceptions.CRSError:
        return None
    return name
