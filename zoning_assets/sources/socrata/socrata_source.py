"""Socrata (Tyler Data & Insights) datasets, through SODA: the metadata of /api/views, the rows of /resource.

Rows are asked for as JSON, not GeoJSON, which older views do not have and which takes any of several columns of shapes.
Without `$order=:id` about a tenth of the rows comes twice and others never. Source: dev.socrata.com/docs (paging,
system fields, response codes); docs/explanation/portals.md, row 40.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging import by_offset, json_fields, polling
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.paging.tabular_rows import TabularLayer
from zoning_assets.sources.socrata import view_metadata
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode.json_limits import decode
from zoning_assets.transform.geometry import crs

_ROW_ID = ":id"
_PAGE_ROWS = 2000


async def open_source(request: Request) -> FullLayer:
    """Find the dataset, fetch its rows and prove them.

    Raises:
        NotALayer: the address is no dataset, or one without polygons.
        HarvestIncomplete, JurisdictionInvalid, PortalError: see errors.py.
    """
    return await assemble(request, await _find(request))


async def probe(request: Request) -> dict[str, Any]:
    """What the dataset says of itself now: as the stamp of a harvest, by two requests (three for a map of layers)."""
    return await (await _find(request)).stamp()


async def _find(request: Request) -> "Dataset":
    """The view at the address, or where that is a map of one layer, the view that has the layer's rows."""
    where = f"{request.where} at {without_secrets(request.feed.url)}"
    portal, view = view_metadata.address(request.feed.url, where)
    document = await _metadata(request, portal, view, where)
    children = view_metadata.children(document)
    if len(children) > 1:
        addresses = ", ".join(f"{without_secrets(portal)}/d/{child}" for child in children[:12])
        raise NotALayer("this is a map of several layers", where=where, do=f"take one of them: {addresses}")
    if children:
        [view] = children
        document = await _metadata(request, portal, view, where)
    return Dataset(request, portal, view_metadata.describe(document, view, request.feed.geometry, where))


async def _metadata(request: Request, portal: str, view: str, where: str) -> Mapping[str, Any]:
    def read(body: bytes) -> Mapping[str, Any]:
        return json_fields.object_of(view_metadata.no_error(decode(body), where))

    answer = await polling.ask(request, f"{portal}/api/views/{view}.json", {}, read)
    found: Mapping[str, Any] = answer.value
    return found


class Dataset:
    """A view with rows. See assembled.Paged."""

    def __init__(self, request: Request, portal: str, view: view_metadata.View) -> None:
        self.request, self.portal, self.view = request, portal, view
        self.rows = TabularLayer(identity=_ROW_ID, geometry=view.geometry)
        managed = sorted({_ROW_ID, *view.managed})
        self.layer: Mapping[str, Any] = {"crs": crs.DEGREES, "geometry": view.geometry, "managed": managed}
        self.columns = view.columns
        self._signals: Mapping[str, Any] | None = view.signals  # still fresh
        self._names_id = True

    async def stamp(self) -> dict[str, Any]:
        """See assembled.Paged. The first one need not ask for the metadata again."""
        signals, self._signals = self._signals, None
        if signals is None:
            document = await _metadata(self.request, self.portal, self.view.id, self.request.where)
            signals = view_metadata.describe(document, self.view.id, self.view.geometry, self.request.where).signals
        return {"count": await self._count(), **signals}

    async def _count(self) -> int | None:
        """The portal's own count; None where it gives none, as for a map."""
        answer = await polling.ask(self.request, self._url, {"$select": "count(*)"}, self._read)
        values = list(answer.value[0].values()) if answer.value else []
        return json_fields.count(values[0]) if len(values) == 1 else None

    async def pages(self, ask: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See assembled.Paged."""
        size = self.request.feed.page_size or _PAGE_ROWS
        size = max(1, size * 2 // 3) if walk else size
        async for batch in by_offset.walk(partial(self._page, ask), size, self.request.where, proof):
            yield batch
        proof["rows are told apart by"] = _ROW_ID if self._names_id else "all they say"

    async def _page(self, ask: Fetch, offset: int, limit: int, tries: int) -> pa.RecordBatch:
        """Rows with their ids, where the portal gives them; `*` alone leaves them out."""
        params = {"$order": _ROW_ID, "$limit": str(limit), "$offset": str(offset)}
        if self._names_id:
            try:
                rows = await ask(self._url, {"$select": f"{_ROW_ID},*", **params}, self._read, tries)
            except FeedRefused as refusal:
                if offset or refusal.final:
                    raise
                self._names_id = False
        if not self._names_id:
            rows = await ask(self._url, params, self._read, tries)
        self._names_id &= all(_ROW_ID in row for row in rows)
        return await asyncio.to_thread(self.rows.batch, rows, self.request.where)

    def _read(self, body: bytes) -> list[dict[str, Any]]:
        return json_fields.rows_of(view_metadata.no_error(decode(body), self.request.where))

    @property
    def _url(self) -> str:
        return f"{self.portal}/resource/{self.view.id}.json"
