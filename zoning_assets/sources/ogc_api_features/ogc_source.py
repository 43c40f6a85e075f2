"""OGC API Features: a collection, page by page along the links that the server gives.

Only `next` links are followed (docs/explanation/portals.md): servers have offsets, cursors or tokens, and some of them
ignore their own parameters.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FeedRefused, PortalUnreachable
from zoning_assets.http import Response
from zoning_assets.redaction import without_secrets
from zoning_assets.sources import row_filter
from zoning_assets.sources.completeness import check_page_rows
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.ogc_api_features import collection_metadata
from zoning_assets.sources.ogc_api_features.collection_metadata import CollectionAddress
from zoning_assets.sources.paging import hidden_rows
from zoning_assets.sources.paging.page_size import PAGE, first_page, other_size
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.paging.repeated_pages import RepeatedPageCheck
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode import axis_order, feature_batches, feature_collection, json_pages, row_identity
from zoning_assets.transform.decode.feature_collection import FeaturePage
from zoning_assets.transform.decode.rows import Rows

_SAMPLE = 10
_MOST_PROBES = 3


async def open_source(request: Request) -> FullLayer:
    """Read the collection's metadata, fetch its rows, and prove that they are complete.

    Raises:
        NotALayer: the address is not that of a collection of features.
        JurisdictionInvalid: it lacks a column that the jurisdiction file names.
        CrsRefused: in no axis order the rows are in the jurisdiction.
        HarvestIncomplete: the rows are not proven complete.
        PortalError: see errors.py.
    """
    return await assemble(request, await _layer(request))


async def probe(request: Request) -> dict[str, Any]:
    """Return the collection's signals, as far as it has any: at most 3 requests, one row each.

    Raises:
        PortalError: see errors.py.
    """
    signals = await _OgcServer(request, collection_metadata.address(request.feed, request.where)).stamp()
    return {name: value for name, value in signals.items() if value is not None}


@dataclass
class _OgcServer:
    """Sends the requests to a collection, with the parameters with which the server returns JSON.

    `steady`: whether its ETag stays the same while nothing changes; None: not known yet.
    """

    request: Request
    at: CollectionAddress
    forms: dict[str, Mapping[str, str]] = field(default_factory=dict)
    steady: bool | None = None
    requests: int = 0

    @property
    def form(self) -> Mapping[str, str]:
        """The parameters with which it returns rows."""
        return self.forms.get("rows", {})

    async def query(self, what: str, url: str, params: Mapping[str, str], read: Callable[[bytes], Any]) -> Response:
        """Fetch JSON. The first request for documents, and that for rows, finds the parameters that return it."""
        if what in self.forms:
            return await self._ask(url, {**self.forms[what], **params}, read)
        for form in collection_metadata.FORMS[:-1]:
            try:
                answer = await self._ask(url, {**form, **params}, partial(_unless_other, read))
            except FeedRefused as error:
                if error.final:
                    raise
                continue
            if answer.value is not None:
                self.forms[what] = form
                return answer
        self.forms[what] = collection_metadata.FORMS[-1]
        return await self._ask(url, {**self.forms[what], **params}, read)

    async def _ask(self, url: str, params: Mapping[str, str], read: Callable[[bytes], Any]) -> Response:
        self.requests += 1
        portal, params = self.request.jurisdiction.portal, {**self.at.kept, **params}
        return await self.request.http.query(portal, url, params, read=read, method="get")

    async def sample(self, rows: int, crs: str | None) -> tuple[FeaturePage, Response]:
        """Fetch the first rows."""
        return await self._rows({"limit": str(rows), **_crs(crs), **self.at.filter})

    async def _rows(self, params: Mapping[str, str]) -> tuple[FeaturePage, Response]:
        try:
            answer = await self.query("rows", self.at.items, params, feature_collection.read_geojson)
        except (FeedRefused, PortalUnreachable) as refusal:
            raise row_filter.refused(self.request, refusal) from refusal
        return answer.value, answer

    async def check_filter(self) -> None:
        """Check that the server obeys the clause of the feed. Many servers ignore parameters that they do not know.

        Raises:
            FeedRefused: it returns rows for a filter that no row meets.
        """
        if self.request.feed.where:
            nothing = {**self.at.filter, "filter": row_filter.contradiction(self.request.feed.where)}
            page, _ = await self._rows({"limit": "1", **nothing})
            if len(page.rows):
                raise row_filter.ignored(self.request)

    async def stamp(self) -> dict[str, Any]:
        """The count, and the ETag if it stays the same while nothing changes."""
        before = self.requests
        page, answer = await self.sample(1, None)
        tag = answer.headers.get("ETag", "")[:200]
        if self.steady is None:
            # A body with the current time has a new ETag each time.
            again = bool(tag) and b'"timeStamp"' not in answer.body and self.requests - before < _MOST_PROBES
            self.steady = again and (await self.sample(1, None))[1].headers.get("ETag", "")[:200] == tag
        return {"count": page.matched, "etag": tag if self.steady else None}


def _unless_other(read: Callable[[bytes], Any], body: bytes) -> Any:
    """The parsed body; None: it is something else, for example an HTML page."""
    try:
        return read(body)
    except ValueError:
        return None


def _crs(wanted: str | None) -> dict[str, str]:
    return {"crs": wanted} if wanted else {}


async def _layer(request: Request) -> "_OgcLayer":
    """Read the collection's metadata, and decide how its rows are read."""
    server = _OgcServer(request, collection_metadata.address(request.feed, request.where))
    document = (await server.query("documents", server.at.collection, {}, json_pages.decode)).value
    collection_metadata.check(document, f"{request.where} at {without_secrets(server.at.collection)}")
    crs = collection_metadata.wanted_crs(document)
    await server.check_filter()
    page, answer = await server.sample(_SAMPLE, crs)
    ways = collection_metadata.readings(request.feed.crs, crs, answer.headers.get("Content-Crs"))
    reading = axis_order.choose_reading(page.rows.geometry, ways, request.jurisdiction.bounds, request.where)
    names = sorted({name for row in page.rows.attributes for name in row})
    wanted = {request.feed.key, *request.feed.fields.values()} - {None}
    if not wanted <= set(names):  # rows may omit columns without a value
        names = sorted({*names, *await _queryables(server)})
    links = (*page.links, *_links(document))
    return _OgcLayer(server, names, crs, reading, hides=collection_metadata.hides_rows(server.at.collection, links))


async def _queryables(server: _OgcServer) -> list[str]:
    try:
        url = f"{server.at.collection}/queryables"
        answer = await server.query("documents", url, {}, partial(_unless_other, json_pages.decode))
    except FeedRefused:
        return []
    return collection_metadata.names(answer.value)


def _links(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    links = document.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


@dataclass
class _OgcLayer:
    """A collection. See paged_layer.Paged. `hides`: its server may have rows that it never returns."""

    server: _OgcServer
    columns: Sequence[str]
    crs: str | None  # the CRS to request
    reading: axis_order.CrsReading
    hides: bool

    @property
    def layer(self) -> Mapping[str, Any]:
        """See paged_layer.Paged."""
        return {"crs": self.reading.crs}

    async def stamp(self) -> Mapping[str, Any]:
        """See paged_layer.Paged."""
        return await self.server.stamp()

    async def pages(self, fetch: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See paged_layer.Paged."""
        request, received = self.server.request, RepeatedPageCheck(self.server.request.where)
        size = other_size(request.feed.page_size or PAGE, walk)
        page, size = await first_page(lambda rows: self._ask(fetch, self.server.at.items, self._params(rows)), size)
        url = self.server.at.items
        while len(page.rows):
            batch = await asyncio.to_thread(self._batch, page)
            received.add(batch.column("id").to_pylist(), "its own `next` link")
            yield batch
            link = page.link("next")
            if link is None:
                break
            url = self.server.at.next_address(link, url, self.server.form, request.where)
            received.follow(url)
            page = await self._ask(fetch, url, {})
        if self.hides:
            hidden_rows.check(request, received.numbers, received.rows, proof)
        proof.update({"way": f"next links, {size:,} rows per request", "axes": self.reading.reason})

    def _params(self, size: int) -> dict[str, str]:
        at = self.server.at
        return {**at.kept, **self.server.form, "limit": str(size), **_crs(self.crs), **at.filter}

    async def _ask(self, fetch: Fetch, url: str, params: Mapping[str, str]) -> FeaturePage:
        """Fetch a page, and check that it has as many rows as it states."""
        body = await fetch(url, params, _checked)
        page = await asyncio.to_thread(feature_collection.read_geojson, body)
        check_page_rows(page.returned, len(page.rows), self.server.request.where)
        return page

    def _batch(self, page: FeaturePage) -> pa.RecordBatch:
        rows = Rows(page.rows.attributes, self.reading.with_x_first(page.rows.geometry), page.rows.flaws)
        return feature_batches.to_batch(
            row_identity.row_ids(page.ids, rows, row_identity.id_column(self.columns)), rows
        )


def _checked(body: bytes) -> bytes:
    """The body, if it is a page."""
    feature_collection.check_geojson(body)
    return body
