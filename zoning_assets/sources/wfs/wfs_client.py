"""The requests of a WFS: capabilities, the columns of a layer, its count, and its rows in several forms."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from zoning_assets.errors import FeedRefused, NotALayer, PortalUnreachable
from zoning_assets.http.response_checks import failure_reason
from zoning_assets.sources import row_filter
from zoning_assets.sources.completeness import check_page_rows, incomplete
from zoning_assets.sources.source import Request
from zoning_assets.sources.wfs import wfs_capabilities, wfs_filter
from zoning_assets.sources.wfs.wfs_capabilities import Capabilities, FeatureType, Schema, WfsAddress
from zoning_assets.transform.decode import feature_collection, row_identity, xml_limits
from zoning_assets.transform.decode.feature_collection import FeaturePage
from zoning_assets.transform.decode.xml_limits import Element

#: Statuses with which servers send exceptions.
_EXCEPTIONS = (400, 403, 404, 501)
#: Names of parameters of version 2.0 -> those of version 1.1.
_OLDER = {"typeNames": "typeName", "count": "maxFeatures"}


@dataclass(frozen=True)
class RowQuery:
    """How rows are requested: as GeoJSON (the server's name of that format) or GML (None), the column to sort by, and
    whether in pages."""

    geojson: str | None
    order: str | None
    paging: bool = True

    def __str__(self) -> str:
        form = "GeoJSON" if self.geojson else "GML"
        pages = "pages by startIndex" if self.paging else "all rows at once, as the server ignores startIndex"
        return f"{form}, {pages}, " + (f"sorted by {self.order}" if self.order else "in the server's order")


@dataclass
class WfsClient:
    """Sends the requests of one layer, and stores what is known about it.

    Attributes:
        kinds: its columns, see gml.py.
        own: whether the ids of its rows are stable.
        numbered: the column that numbers its rows.
    """

    request: Request
    at: WfsAddress
    version: str = wfs_capabilities.VERSIONS[0]
    type: FeatureType = field(default_factory=lambda: FeatureType("", "", ()))
    kinds: Mapping[str, str] = field(default_factory=dict)
    own: bool = True
    numbered: str | None = None

    def params(self, operation: str, **more: str) -> dict[str, str]:
        """The parameters of a request, spelled as in the agreed version."""
        pairs = {"service": "WFS", "version": self.version, "request": operation, **more}
        if self.version[:1] == "1":
            pairs = {_OLDER.get(name, name): value for name, value in pairs.items()}
        return {**self.at.kept, **pairs}

    async def query(self, params: Mapping[str, str], read: Callable[[bytes], Any]) -> Any:
        """Send a request, and return the answer parsed by `read`.

        Raises:
            FeedRefused: an exception; the message contains its text.
            PortalError: see errors.py.
        """
        portal, where = self.request.jurisdiction.portal, self.request.where
        answer = await self.request.http.query(portal, self.at.url, params, read=read, also=_EXCEPTIONS)
        if answer.status == 200:
            return answer.value
        with suppress(ValueError):
            wfs_capabilities.read(answer.body, where)
        raise FeedRefused(f"HTTP {answer.status}", where=where, do="check the address and the portal's terms of use")

    async def xml(self, params: Mapping[str, str]) -> Element:
        """Fetch and parse XML that is not an exception."""
        root: Element = await self.query(params, partial(wfs_capabilities.read, where=self.request.where))
        return root

    async def capabilities(self) -> Capabilities:
        """Fetch the capabilities, and agree on a version.

        Raises:
            NotALayer: the service has WFS 1.0 only.
            FeedRefused, PortalError: see errors.py.
        """
        wanted = [self.at.version] if self.at.version in wfs_capabilities.VERSIONS else list(wfs_capabilities.VERSIONS)
        for version in wanted:
            params = {"service": "WFS", "request": "GetCapabilities", "version": version}
            try:
                root = await self.xml({**self.at.kept, **params, "AcceptVersions": ",".join(wanted)})
            except FeedRefused:
                if version == wanted[-1]:
                    raise
                continue
            about = wfs_capabilities.capabilities(root, self.request.where)
            if not about.version.startswith("1.0"):
                self.version = next(each for each in wfs_capabilities.VERSIONS if each[:3] == about.version[:3])
                return about
        raise NotALayer(
            "the service supports only WFS 1.0, which has no pages", where=self.request.where, do="use another feed"
        )

    async def schema(self) -> Schema:
        """Fetch the layer's columns."""
        root = await self.xml(self.params("DescribeFeatureType", typeNames=self.type.name))
        return wfs_capabilities.schema(root, self.type.name, self.request.where)

    async def hits(self) -> int | None:
        """The server's count of rows; None: it does not count."""
        try:
            root = await self._hits(self._filter(self.request.feed.where))
        except (FeedRefused, PortalUnreachable) as refusal:
            raise row_filter.refused(self.request, refusal) from refusal
        return self._counted(root)

    def _counted(self, root: Element) -> int | None:
        matched, returned = feature_collection.row_counts(root)
        return returned if self.version[:1] == "1" and matched is None else matched

    async def _hits(self, selected: Mapping[str, str]) -> Element:
        return await self.xml(self.params("GetFeature", typeNames=self.type.name, resultType="hits", **selected))

    def _filter(self, clause: str | None) -> dict[str, str]:
        """The parameter that selects rows."""
        return {wfs_filter.parameter(clause): clause} if clause else {}

    async def check_filter(self) -> None:
        """Check that the server obeys the clause of the feed. Servers ignore parameters that they do not know.

        Raises:
            FeedRefused: it refuses the clause, does not count rows, or counts rows for a clause that no row meets.
            PortalError: see errors.py.
        """
        clause = self.request.feed.where
        if clause is None:
            return
        try:
            root = await self._hits(self._filter(wfs_filter.contradiction(clause)))
        except ValueError as error:
            raise row_filter.unsupported(self.request, str(error)) from error
        except (FeedRefused, PortalUnreachable) as refusal:
            raise row_filter.refused(self.request, refusal) from refusal
        count = self._counted(root)
        if count is None:
            why = "the service does not count rows, so it is not known whether it obeys the clause"
            raise row_filter.unsupported(self.request, why)
        if count:
            raise row_filter.ignored(self.request)

    def rows(self, way: RowQuery, start: int, count: int) -> dict[str, str]:
        """The parameters of a request for rows."""
        more = {"outputFormat": way.geojson} if way.geojson else {}
        more |= {"sortBy": way.order} if way.order else {}
        more |= {"startIndex": str(start)} if start else {}
        more |= self._filter(self.request.feed.where)
        return self.params("GetFeature", typeNames=self.type.name, count=str(count), **more)

    def checked(self, body: bytes, way: RowQuery) -> bytes:
        """The body, if it is a page.

        Raises:
            FeedRefused: it is an exception.
            ValueError: it is something else; the client retries.
        """
        if way.geojson and body.lstrip()[:1] != b"<":
            feature_collection.check_geojson(body)
            return body
        root = wfs_capabilities.read(body, self.request.where)
        if way.geojson or not xml_limits.name(root).endswith("FeatureCollection"):
            message = f"no features in {body[:80]!r}"
            raise ValueError(message)
        return body

    def parsed(self, body: bytes, way: RowQuery) -> FeaturePage:
        """Parse a page.

        Raises:
            HarvestIncomplete: it cannot be read, or does not have as many rows as it states.
        """
        try:
            page = (
                feature_collection.read_geojson(body) if way.geojson else feature_collection.read_gml(body, self.kinds)
            )
        except ValueError as error:
            raise incomplete(self.request.where, f"a page cannot be read: {failure_reason(error)[:200]}") from error
        check_page_rows(page.returned, len(page.rows), self.request.where)
        return page

    async def sample(self, way: RowQuery, start: int, count: int) -> FeaturePage:
        """Fetch some rows, outside of a walk."""
        body = await self.query(self.rows(way, start, count), partial(self.checked, way=way))
        return self.parsed(body, way)

    def ids(self, page: FeaturePage) -> list[str]:
        """The ids of a page's rows."""
        return row_identity.row_ids(page.ids if self.own else [], page.rows, self.numbered)
