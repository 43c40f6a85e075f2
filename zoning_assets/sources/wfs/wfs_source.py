"""WFS 2.0 and 1.1: a layer, page by page by `startIndex`, in the order of a column where the server can sort.

Before the walk it is found out how rows can be had: in GeoJSON where that tells rows apart, else in GML; sorted by a
column, or not; and whether `startIndex` does what it says, which some servers only say.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from zoning_assets.errors import CrsRefused, FeedRefused
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging import hidden_rows
from zoning_assets.sources.paging.page_tracker import PAGE, PageTracker, first_page, incomplete, other_size
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.sources.source import Request
from zoning_assets.sources.wfs import wfs_capabilities
from zoning_assets.sources.wfs.wfs_client import Service, Way
from zoning_assets.transform.decode import axis_order, feature_batches, row_identity
from zoning_assets.transform.decode.feature_collection import Collection
from zoning_assets.transform.decode.rows import Rows

_SAMPLE = 10


async def open_source(request: Request) -> FullLayer:
    """Ask the service what it has, find out how its rows can be had, and walk through them.

    Raises:
        NotALayer: it is no WFS 2.0 or 1.1, has no such layer, or one of points or lines.
        JurisdictionInvalid: the layer has not the columns that the jurisdiction file names.
        CrsRefused: its rows do not lie where the jurisdiction is, however they are read.
        HarvestIncomplete: the rows are not proven to be all.
        PortalError: see errors.py.
    """
    return await assemble(request, await _layer(request))


async def probe(request: Request) -> dict[str, Any]:
    """What the service says of the layer now, without what it does not say: 3 requests at most, no row.

    Raises:
        NotALayer: it has no such layer.
        PortalError: see errors.py.
    """
    server = Service(request, wfs_capabilities.address(request.feed))
    about = await server.capabilities()
    server.type = wfs_capabilities.choose(about.types, server.at.layer, request.where)
    signals = {"count": await server.hits(), "sequence": about.sequence}
    return {name: value for name, value in signals.items() if value is not None}


async def _layer(request: Request) -> "_Layer":
    """Find the layer, and the way to have its rows."""
    server = Service(request, wfs_capabilities.address(request.feed))
    about = await server.capabilities()
    server.type = wfs_capabilities.choose(about.types, server.at.layer, request.where)
    schema = await server.schema()
    server.kinds, server.numbered = schema.columns, row_identity.column(schema.columns)
    way, page = await _way(server)
    reading = axis_order.decide(
        page.rows.geometry, _readings(server, way, page), request.jurisdiction.bounds, request.where
    )
    names = sorted({*schema.columns, *(name for row in page.rows.attributes for name in row)})
    hides = schema.hides or "/mapserv" in urlsplit(server.at.url).path
    return _Layer(server, names, way, reading, page.crs, about.most_rows or PAGE, hides=hides)


def _readings(server: Service, way: Way, page: Collection) -> list[axis_order.Reading]:
    """What the rows' numbers may be. GeoJSON has x first, whatever CRS a server puts into it."""
    default = axis_order.named(server.type.crs)
    names = [("the page's srsName", axis_order.named(page.crs))] if page.crs else [("the capabilities", default)]
    if way.geojson:
        degrees = [] if page.crs else [("the standard", axis_order.Name(axis_order.CRS84, plain=True))]
        plain = [(where, name and axis_order.Name(name.crs, plain=True)) for where, name in names]
        names = [*degrees, *plain]
    return axis_order.readings(names, server.request.feed.crs)


async def _way(server: Service) -> tuple[Way, Collection]:
    """How rows can be had, and the first of them: the first way whose pages follow one another.

    Raises:
        FeedRefused: in none.
    """
    unpaged: tuple[Way, Collection] | None = None
    refusal: FeedRefused | None = None
    for way in _ways(server):
        try:
            page = await server.sample(way, 0, _SAMPLE)
            if len(set(server.ids(page))) < len(page.rows):
                server.numbered = None  # a column that is called so, and numbers something else
            if way.geojson and not _told_apart(server, page):
                continue
            unpaged = unpaged or (Way(way.geojson, way.order, paging=False), page)
            if len(page.rows) < 2 or _follows(server, page, await server.sample(way, 1, len(page.rows) - 1)):
                return way, page
        except FeedRefused as error:  # of any kind: MapServer refuses to sort with HTTP 403
            refusal = error
    if unpaged:
        return unpaged
    raise refusal or FeedRefused("it gives no rows", where=server.request.where, do="use another feed of this portal")


def _follows(server: Service, page: Collection, behind: Collection) -> bool:
    """Whether a page that was asked for from the second row on is that; decides whether the rows' own ids are used.

    GeoServer makes up new ids for each answer where a table has no key.
    """
    for server.own in (True, False):
        if server.ids(behind) == server.ids(page)[1:]:
            return True
    server.own = True
    return False


def _ways(server: Service) -> Iterator[Way]:
    """In order of preference. Sorted by what numbers rows, else by the key, else by any column, else not."""
    names = [server.numbered, server.request.feed.key, next(iter(server.kinds), None)]
    orders = [name for name in dict.fromkeys(names) if name in server.kinds]
    for form in dict.fromkeys((server.type.geojson, None)):
        yield from (Way(form, order) for order in (*orders, None))


def _told_apart(server: Service, page: Collection) -> bool:
    """Whether GeoJSON's rows have ids, or a column that numbers them; MapServer's have no ids."""
    return all(each is not None for each in page.own) or server.numbered is not None


@dataclass
class _Layer:
    """A layer that was found. See assembled.Paged.

    Attributes:
        crs_name: the name that its pages give their CRS.
        most_rows: what the server gives at a time, as far as is known.
        hides: its server may have rows that it never shows.
        counted: whether the server's count is that of its rows; None: not known yet.
        count: what it counted last.
    """

    server: Service
    columns: Sequence[str]
    way: Way
    reading: axis_order.Reading
    crs_name: str
    most_rows: int
    hides: bool
    counted: bool | None = None
    count: int | None = None

    @property
    def layer(self) -> Mapping[str, Any]:
        """What reading needs."""
        return {"crs": self.reading.crs}

    async def stamp(self) -> Mapping[str, Any]:
        """The count, where no row stands behind the last that it counts: some servers count no further than a page."""
        about, self.count = await self.server.capabilities(), await self.server.hits()
        if self.counted is None and self.count is not None:
            self.counted = not self.way.paging or not await self._more(self.count)
        return {"count": self.count if self.counted else None, "sequence": about.sequence}

    async def _more(self, count: int) -> bool:
        """Whether the server gives a row behind its last."""
        try:
            return len((await self.server.sample(self.way, count, 1)).rows) > 0
        except FeedRefused:
            return False

    async def pages(self, ask: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See assembled.Paged."""
        walked = PageTracker(self.server.request.where)
        size = other_size(self.server.request.feed.page_size or min(self.most_rows, PAGE), walk)
        if not self.way.paging:
            size = self._all_at_once()
        page, size = await first_page(lambda rows: self._page(ask, 0, rows), size)
        while len(page.rows):
            batch = await asyncio.to_thread(self._batch, page)
            walked.add(batch.column("id").to_pylist(), "`startIndex`")
            yield batch
            if not self.way.paging:
                break
            try:
                page = await self._page(ask, walked.rows, size)
            except FeedRefused:  # some refuse what lies behind the last row
                if walked.rows != self.count:
                    raise
                break
        if self.hides:
            hidden_rows.check(self.server.request, walked.numbers, walked.rows, proof)
        proof.update({"way": f"{self.way}, {size:,} rows asked for at a time", "axes": self.reading.why})
        if self.counted is False:
            proof["count"] = "not believed: the server gives rows behind the last that it counts"

    def _all_at_once(self) -> int:
        """How many rows to ask for where there are no pages.

        Raises:
            HarvestIncomplete: nobody says how many there are, and nothing could be proven.
        """
        if self.count is None:
            raise incomplete(self.server.request.where, "the server ignores `startIndex` and does not count its rows")
        return max(self.count, 1)

    async def _page(self, ask: Fetch, start: int, size: int) -> Collection:
        """A page.

        Raises:
            CrsRefused: its shapes are in another CRS than those before.
        """
        body = await ask(
            self.server.at.url, self.server.rows(self.way, start, size), partial(self.server.looked_at, way=self.way)
        )
        page = await asyncio.to_thread(self.server.understood, body, self.way)
        self.crs_name = self.crs_name or page.crs
        if page.crs not in ("", self.crs_name):
            raise CrsRefused(
                f"some rows are in {page.crs[:80]}, others in {self.crs_name[:80]}",
                where=self.server.request.where,
                do="use another feed of this portal; nothing was published",
            )
        return page

    def _batch(self, page: Collection) -> pa.RecordBatch:
        rows = Rows(page.rows.attributes, self.reading.straight(page.rows.geometry), page.rows.flaws)
        return feature_batches.batch(self.server.ids(page), rows)
