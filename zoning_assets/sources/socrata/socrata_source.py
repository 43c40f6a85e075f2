"""Socrata (Tyler Data & Insights) datasets: metadata from /api/views, rows from /resource (SODA).

Rows are requested as JSON. GeoJSON is not used: older views lack it, and it contains only one of several columns of
shapes. Without `$order=:id` about a tenth of the rows comes twice, and others never come. Source: dev.socrata.com/docs
(paging, system fields, response codes); docs/explanation/portals.md.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FeedRefused, NotALayer, PortalUnreachable
from zoning_assets.redaction import without_secrets
from zoning_assets.sources import row_filter
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging import by_offset, json_fields, polling
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.paging.tabular_rows import TabularLayer
from zoning_assets.sources.socrata import view_metadata
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode.json_pages import decode
from zoning_assets.transform.geometry import crs

_ROW_ID = ":id"
_PAGE_ROWS = 2000


async def open_source(request: Request) -> FullLayer:
    """Find the dataset, fetch its rows, and prove that they are complete.

    Raises:
        NotALayer: the address names no dataset, or one without polygons.
        HarvestIncomplete, JurisdictionInvalid, PortalError: see errors.py.
    """
    return await assemble(request, await _find(request))


async def probe(request: Request) -> dict[str, Any]:
    """Return the dataset's signals, equal to the stamp of a harvest, with two requests (three for a map of layers).

    Raises:
        NotALayer, PortalError: see errors.py.
    """
    return await (await _find(request)).stamp()


async def _find(request: Request) -> "SocrataDataset":
    """The view at the address. If it is a map of one layer, the view that has the layer's rows."""
    where = f"{request.where} at {without_secrets(request.feed.url)}"
    portal, view = view_metadata.address(request.feed.url, where)
    document = await _metadata(request, portal, view, where)
    children = view_metadata.children(document)
    if len(children) > 1:
        addresses = ", ".join(f"{without_secrets(portal)}/d/{child}" for child in children[:12])
        raise NotALayer("this is a map of several layers", where=where, do=f"use one of them: {addresses}")
    if children:
        [view] = children
        document = await _metadata(request, portal, view, where)
    about = view_metadata.describe(document, view, request.feed.geometry, where, is_table=request.is_table)
    return SocrataDataset(request, portal, about)


async def _metadata(request: Request, portal: str, view: str, where: str) -> Mapping[str, Any]:
    def read(body: bytes) -> Mapping[str, Any]:
        return json_fields.object_of(view_metadata.no_error(decode(body), where))

    answer = await polling.query(request, f"{portal}/api/views/{view}.json", {}, read)
    found: Mapping[str, Any] = answer.value
    return found


class SocrataDataset:
    """A view with rows. See paged_layer.Paged."""

    def __init__(self, request: Request, portal: str, view: view_metadata.View) -> None:
        self.request, self.portal, self.view = request, portal, view
        self.rows = TabularLayer(identity=_ROW_ID, geometry=view.geometry)
        managed = sorted({_ROW_ID, *view.managed})
        self.layer: Mapping[str, Any] = {"crs": crs.DEGREES, "geometry": view.geometry, "managed": managed}
        self.columns = view.columns
        self._signals: Mapping[str, Any] | None = view.signals  # used by the first `stamp`
        self._names_id = True

    async def stamp(self) -> dict[str, Any]:
        """See paged_layer.Paged. The first call uses the metadata that were read before."""
        signals, self._signals = self._signals, None
        if signals is None:
            document = await _metadata(self.request, self.portal, self.view.id, self.request.where)
            found = view_metadata.describe(
                document, self.view.id, self.view.geometry or None, self.request.where, is_table=self.request.is_table
            )
            signals = found.signals
        return {"count": await self._count(), **signals}

    async def _count(self) -> int | None:
        """The portal's count; None: it does not count, as for a map."""
        params = {"$select": "count(*)", **self._selected}
        try:
            answer = await polling.query(self.request, self._url, params, self._read)
        except (FeedRefused, PortalUnreachable) as refusal:
            raise row_filter.refused(self.request, refusal) from refusal
        values = list(answer.value[0].values()) if answer.value else []
        return json_fields.count(values[0]) if len(values) == 1 else None

    async def pages(self, fetch: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See paged_layer.Paged."""
        size = self.request.feed.page_size or _PAGE_ROWS
        size = max(1, size * 2 // 3) if walk else size
        async for batch in by_offset.walk(partial(self._page, fetch), size, self.request.where, proof):
            yield batch
        proof["rows are identified by"] = _ROW_ID if self._names_id else "all their values"

    async def _page(self, fetch: Fetch, offset: int, limit: int, tries: int) -> pa.RecordBatch:
        """Fetch rows with their ids, if the portal supports it; `*` alone does not include them."""
        params = {"$order": _ROW_ID, "$limit": str(limit), "$offset": str(offset), **self._selected}
        if self._names_id:
            try:
                rows = await fetch(self._url, {"$select": f"{_ROW_ID},*", **params}, self._read, tries)
            except FeedRefused as refusal:
                if offset or refusal.final:
                    raise
                self._names_id = False
        if not self._names_id:
            rows = await fetch(self._url, params, self._read, tries)
        self._names_id &= all(_ROW_ID in row for row in rows)
        return await asyncio.to_thread(self.rows.batch, rows, self.request.where)

    def _read(self, body: bytes) -> list[dict[str, Any]]:
        return json_fields.rows_of(view_metadata.no_error(decode(body), self.request.where))

    @property
    def _selected(self) -> dict[str, str]:
        """The parameter that selects the rows of the feed."""
        return {"$where": self.request.feed.where} if self.request.feed.where else {}

    @property
    def _url(self) -> str:
        return f"{self.portal}/resource/{self.view.id}.json"
