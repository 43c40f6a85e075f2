"""WFS 2.0 and 1.1: a layer, page by page with `startIndex`, sorted by a column if the server can sort.

First it is tested how rows can be fetched: as GeoJSON if its rows can be identified, else as GML; sorted by a column or
not; and whether the server obeys `startIndex`, which some servers ignore.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from zoning_assets.errors import CrsRefused, FeedRefused
from zoning_assets.sources.completeness import incomplete
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging import hidden_rows
from zoning_assets.sources.paging.page_size import PAGE, first_page, other_size
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.paging.repeated_pages import RepeatedPageCheck
from zoning_assets.sources.source import Request
from zoning_assets.sources.wfs import wfs_capabilities
from zoning_assets.sources.wfs.wfs_client import RowQuery, WfsClient
from zoning_assets.transform.decode import axis_order, feature_batches, row_identity
from zoning_assets.transform.decode.feature_collection import FeaturePage
from zoning_assets.transform.decode.rows import Rows

_SAMPLE = 10


async def open_source(request: Request) -> FullLayer:
    """Find the layer, test how its rows can be fetched, fetch them, and prove that they are complete.

    Raises:
        NotALayer: it is not a WFS 2.0 or 1.1, has no such layer, or it is a layer of points or lines.
        JurisdictionInvalid: the layer lacks a column that the jurisdiction file names.
        CrsRefused: in no axis order the rows are in the jurisdiction.
        HarvestIncomplete: the rows are not proven complete.
        PortalError: see errors.py.
    """
    return await assemble(request, await _layer(request))


async def probe(request: Request) -> dict[str, Any]:
    """Return the layer's signals, as far as it has any: at most 3 requests, and no row.

    Raises:
        NotALayer: there is no such layer.
        PortalError: see errors.py.
    """
    server = WfsClient(request, wfs_capabilities.address(request.feed))
    about = await server.capabilities()
    server.type = wfs_capabilities.choose(about.types, server.at.layer, request.where)
    signals = {"count": await server.hits(), "sequence": about.sequence}
    return {name: value for name, value in signals.items() if value is not None}


async def _layer(request: Request) -> "_WfsLayer":
    """Find the layer, and how its rows can be fetched."""
    server = WfsClient(request, wfs_capabilities.address(request.feed))
    about = await server.capabilities()
    server.type = wfs_capabilities.choose(about.types, server.at.layer, request.where)
    await server.check_filter()
    schema = await server.schema()
    server.kinds, server.numbered = schema.columns, row_identity.id_column(schema.columns)
    way, page = await _way(server)
    reading = axis_order.choose_reading(
        page.rows.geometry, _readings(server, way, page), request.jurisdiction.bounds, request.where
    )
    names = sorted({*schema.columns, *(name for row in page.rows.attributes for name in row)})
    hides = schema.hides or "/mapserv" in urlsplit(server.at.url).path
    return _WfsLayer(server, names, way, reading, page.crs, about.most_rows or PAGE, hides=hides)


def _readings(server: WfsClient, way: RowQuery, page: FeaturePage) -> list[axis_order.CrsReading]:
    """The possible interpretations of coordinates. GeoJSON has x first, whatever CRS a server states in it."""
    default = axis_order.parse_crs_name(server.type.crs)
    names = (
        [("the page's srsName", axis_order.parse_crs_name(page.crs))] if page.crs else [("the capabilities", default)]
    )
    if way.geojson:
        degrees = [] if page.crs else [("the standard", axis_order.CrsName(axis_order.CRS84, x_first=True))]
        plain = [(where, name and axis_order.CrsName(name.crs, x_first=True)) for where, name in names]
        names = [*degrees, *plain]
    return axis_order.candidate_readings(names, server.request.feed.crs)


async def _way(server: WfsClient) -> tuple[RowQuery, FeaturePage]:
    """The first way to fetch rows whose pages follow one another, and the first rows.

    Raises:
        FeedRefused: there is none.
    """
    unpaged: tuple[RowQuery, FeaturePage] | None = None
    refusal: FeedRefused | None = None
    for way in _ways(server):
        try:
            page = await server.sample(way, 0, _SAMPLE)
            if len(set(server.ids(page))) < len(page.rows):
                server.numbered = None  # the column numbers something else than rows
            if way.geojson and not _identified(server, page):
                continue
            unpaged = unpaged or (RowQuery(way.geojson, way.order, paging=False), page)
            if len(page.rows) < 2 or _follows(server, page, await server.sample(way, 1, len(page.rows) - 1)):
                return way, page
        except FeedRefused as error:  # any refusal: MapServer refuses to sort with HTTP 403
            refusal = error
    if unpaged:
        return unpaged
    raise refusal or FeedRefused("it returns no rows", where=server.request.where, do="use another feed of this portal")


def _follows(server: WfsClient, page: FeaturePage, behind: FeaturePage) -> bool:
    """Whether a page requested from the second row on continues the first; decides whether the rows' own ids are used.

    GeoServer makes new ids for each answer if a table has no key.
    """
    for server.own in (True, False):
        if server.ids(behind) == server.ids(page)[1:]:
            return True
    server.own = True
    return False


def _ways(server: WfsClient) -> Iterator[RowQuery]:
    """In order of preference: sorted by the column that numbers rows, by the key, by any column, not sorted."""
    names = [server.numbered, server.request.feed.key, next(iter(server.kinds), None)]
    orders = [name for name in dict.fromkeys(names) if name in server.kinds]
    for form in dict.fromkeys((server.type.geojson, None)):
        yield from (RowQuery(form, order) for order in (*orders, None))


def _identified(server: WfsClient, page: FeaturePage) -> bool:
    """Whether rows in GeoJSON have ids, or a column that numbers them; MapServer's have no ids."""
    return all(each is not None for each in page.ids) or server.numbered is not None


@dataclass
class _WfsLayer:
    """A layer. See paged_layer.Paged.

    Attributes:
        crs_name: the name of the CRS in its pages.
        most_rows: rows per page, as far as is known.
        hides: its server may have rows that it never returns.
        counted: whether the server's count is correct; None: not known yet.
        count: the last count.
    """

    server: WfsClient
    columns: Sequence[str]
    way: RowQuery
    reading: axis_order.CrsReading
    crs_name: str
    most_rows: int
    hides: bool
    counted: bool | None = None
    count: int | None = None

    @property
    def layer(self) -> Mapping[str, Any]:
        """See paged_layer.Paged."""
        return {"crs": self.reading.crs}

    async def stamp(self) -> Mapping[str, Any]:
        """See paged_layer.Paged. The count is used if no row follows it: some servers count only up to a page."""
        about, self.count = await self.server.capabilities(), await self.server.hits()
        if self.counted is None and self.count is not None:
            self.counted = not self.way.paging or not await self._more(self.count)
        return {"count": self.count if self.counted else None, "sequence": about.sequence}

    async def _more(self, count: int) -> bool:
        """Whether the server returns a row after the last one that it counts."""
        try:
            return len((await self.server.sample(self.way, count, 1)).rows) > 0
        except FeedRefused:
            return False

    async def pages(self, fetch: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See paged_layer.Paged."""
        received = RepeatedPageCheck(self.server.request.where)
        size = other_size(self.server.request.feed.page_size or min(self.most_rows, PAGE), walk)
        if not self.way.paging:
            size = self._all_at_once()
        page, size = await first_page(lambda rows: self._page(fetch, 0, rows), size)
        while len(page.rows):
            batch = await asyncio.to_thread(self._batch, page)
            received.add(batch.column("id").to_pylist(), "`startIndex`")
            yield batch
            if not self.way.paging:
                break
            try:
                page = await self._page(fetch, received.rows, size)
            except FeedRefused:  # some servers refuse a start behind the last row
                if received.rows != self.count:
                    raise
                break
        if self.hides:
            hidden_rows.check(self.server.request, received.numbers, received.rows, proof)
        proof.update({"way": f"{self.way}, {size:,} rows per request", "axes": self.reading.reason})
        if self.counted is False:
            proof["count"] = "not used: the server returns rows after the last one that it counts"

    def _all_at_once(self) -> int:
        """The number of rows to request if there are no pages.

        Raises:
            HarvestIncomplete: the server does not count its rows, so that nothing could be proven.
        """
        if self.count is None:
            raise incomplete(self.server.request.where, "the server ignores `startIndex` and does not count its rows")
        return max(self.count, 1)

    async def _page(self, fetch: Fetch, start: int, size: int) -> FeaturePage:
        """Fetch a page.

        Raises:
            CrsRefused: its shapes are in another CRS than those before.
        """
        body = await fetch(
            self.server.at.url, self.server.rows(self.way, start, size), partial(self.server.checked, way=self.way)
        )
        page = await asyncio.to_thread(self.server.parsed, body, self.way)
        self.crs_name = self.crs_name or page.crs
        if page.crs not in ("", self.crs_name):
            raise CrsRefused(
                f"some rows are in {page.crs[:80]}, others in {self.crs_name[:80]}",
                where=self.server.request.where,
                do="use another feed of this portal; nothing was published",
            )
        return page

    def _batch(self, page: FeaturePage) -> pa.RecordBatch:
        rows = Rows(page.rows.attributes, self.reading.with_x_first(page.rows.geometry), page.rows.flaws)
        return feature_batches.to_batch(self.server.ids(page), rows)
