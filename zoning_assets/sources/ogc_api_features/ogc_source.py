"""OGC API Features: a collection, page by page, along the links that the server gives.

`next` is the only way through (docs/explanation/portals.md, row 43): servers have offsets, cursors or tokens, and some
ignore their own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FeedRefused
from zoning_assets.http import Response
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.ogc_api_features import collection_metadata
from zoning_assets.sources.ogc_api_features.collection_metadata import Address
from zoning_assets.sources.paging import hidden_rows
from zoning_assets.sources.paging.page_tracker import PAGE, PageTracker, first_page, incomplete, other_size
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.source import Request
from zoning_assets.transform.decode import axis_order, feature_batches, feature_collection, json_limits, row_identity
from zoning_assets.transform.decode.feature_collection import Collection
from zoning_assets.transform.decode.rows import Rows

_SAMPLE = 10
_MOST_PROBES = 3


async def open_source(request: Request) -> FullLayer:
    """Ask the collection what it is, and walk through it.

    Raises:
        NotALayer: the address is of no collection of features.
        JurisdictionInvalid: it has not the columns that the jurisdiction file names.
        CrsRefused: its rows do not lie where the jurisdiction is, however they are read.
        HarvestIncomplete: the rows are not proven to be all.
        PortalError: see errors.py.
    """
    return await assemble(request, await _layer(request))


async def probe(request: Request) -> dict[str, Any]:
    """What the collection says of itself now, without what it does not say: 3 requests at most, a row or two.

    Raises:
        PortalError: see errors.py.
    """
    signals = await _Server(request, collection_metadata.address(request.feed, request.where)).stamp()
    return {name: value for name, value in signals.items() if value is not None}


@dataclass
class _Server:
    """How the collection is asked: where, and by which word for JSON it gives documents and rows.

    `steady`: whether its ETag stays while nothing changes; None: not known yet.
    """

    request: Request
    at: Address
    forms: dict[str, Mapping[str, str]] = field(default_factory=dict)
    steady: bool | None = None
    asked: int = 0

    @property
    def form(self) -> Mapping[str, str]:
        """By which word it gives rows."""
        return self.forms.get("rows", {})

    async def ask(self, what: str, url: str, params: Mapping[str, str], read: Callable[[bytes], Any]) -> Response:
        """A JSON answer; the first request for documents, and that for rows, finds the word for it."""
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

    async def _ask(self, url: str, question: Mapping[str, str], read: Callable[[bytes], Any]) -> Response:
        self.asked += 1
        return await self.request.http.ask(
            self.request.jurisdiction.portal, url, {**self.at.kept, **question}, read=read
        )

    async def sample(self, rows: int, crs: str | None) -> tuple[Collection, Response]:
        """The first rows."""
        question = {"limit": str(rows), **_crs(crs)}
        answer = await self.ask("rows", self.at.items, question, feature_collection.of_geojson)
        return answer.value, answer

    async def stamp(self) -> dict[str, Any]:
        """The count; and the ETag, where it stays while nothing changes."""
        before = self.asked
        page, answer = await self.sample(1, None)
        tag = answer.headers.get("ETag", "")[:200]
        if self.steady is None:
            # An answer that carries the hour is new each time, and so is its tag.
            again = bool(tag) and b'"timeStamp"' not in answer.body and self.asked - before < _MOST_PROBES
            self.steady = again and (await self.sample(1, None))[1].headers.get("ETag", "")[:200] == tag
        return {"count": page.matched, "etag": tag if self.steady else None}


def _unless_other(read: Callable[[bytes], Any], body: bytes) -> Any:
    """What `read` makes of it; None where it is something else, as a page for people."""
    try:
        return read(body)
    except ValueError:
        return None


def _crs(wanted: str | None) -> dict[str, str]:
    return {"crs": wanted} if wanted else {}


async def _layer(request: Request) -> "_Layer":
    """Ask the collection what it is."""
    server = _Server(request, collection_metadata.address(request.feed, request.where))
    document = (await server.ask("documents", server.at.collection, {}, json_limits.decode)).value
    collection_metadata.check(document, f"{request.where} at {without_secrets(server.at.collection)}")
    crs = collection_metadata.wanted_crs(document)
    page, answer = await server.sample(_SAMPLE, crs)
    ways = collection_metadata.readings(request.feed.crs, crs, answer.headers.get("Content-Crs"))
    reading = axis_order.decide(page.rows.geometry, ways, request.jurisdiction.bounds, request.where)
    names = sorted({name for row in page.rows.attributes for name in row})
    wanted = {request.feed.key, *request.feed.fields.values()} - {None}
    if not wanted <= set(names):  # rows may leave out what they do not have
        names = sorted({*names, *await _queryables(server)})
    links = (*page.links, *_links(document))
    return _Layer(server, names, crs, reading, hides=collection_metadata.hides_rows(server.at.collection, links))


async def _queryables(server: _Server) -> list[str]:
    try:
        url = f"{server.at.collection}/queryables"
        answer = await server.ask("documents", url, {}, partial(_unless_other, json_limits.decode))
    except FeedRefused:
        return []
    return collection_metadata.names(answer.value)


def _links(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    links = document.get("links")
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


@dataclass
class _Layer:
    """A collection that was found. See assembled.Paged. `hides`: its server may have rows that it never shows."""

    server: _Server
    columns: Sequence[str]
    crs: str | None  # what is asked for
    reading: axis_order.Reading
    hides: bool

    @property
    def layer(self) -> Mapping[str, Any]:
        """What reading needs."""
        return {"crs": self.reading.crs}

    async def stamp(self) -> Mapping[str, Any]:
        """See assembled.Paged."""
        return await self.server.stamp()

    async def pages(self, ask: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See assembled.Paged."""
        request, walked = self.server.request, PageTracker(self.server.request.where)
        size = other_size(request.feed.page_size or PAGE, walk)
        page, size = await first_page(lambda rows: self._ask(ask, self.server.at.items, self._question(rows)), size)
        url = self.server.at.items
        while len(page.rows):
            batch = await asyncio.to_thread(self._batch, page)
            walked.add(batch.column("id").to_pylist(), "what its own `next` says")
            yield batch
            link = page.link("next")
            if link is None:
                break
            url = self.server.at.onward(link, url, self.server.form, request.where)
            walked.follow(url)
            page = await self._ask(ask, url, {})
        if self.hides:
            hidden_rows.check(request, walked.numbers, walked.rows, proof)
        proof.update({"way": f"next links, {size:,} rows asked for at a time", "axes": self.reading.why})

    def _question(self, size: int) -> dict[str, str]:
        return {**self.server.at.kept, **(self.server.form), "limit": str(size), **_crs(self.crs)}

    async def _ask(self, ask: Fetch, url: str, params: Mapping[str, str]) -> Collection:
        """A page whose rows are as many as it says."""
        body = await ask(url, params, _looked_at)
        page = await asyncio.to_thread(feature_collection.of_geojson, body)
        if page.returned not in (None, len(page.rows)):
            raise incomplete(self.server.request.where, f"a page of {len(page.rows):,} rows says {page.returned:,}")
        return page

    def _batch(self, page: Collection) -> pa.RecordBatch:
        rows = Rows(page.rows.attributes, self.reading.straight(page.rows.geometry), page.rows.flaws)
        return feature_batches.batch(row_identity.ids(page.own, rows, row_identity.column(self.columns)), rows)


def _looked_at(body: bytes) -> bytes:
    """The body of a page, if it is one."""
    feature_collection.check_geojson(body)
    return body
