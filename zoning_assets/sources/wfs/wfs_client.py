"""How a WFS is asked: for its capabilities, a layer's columns, its count, and rows in one way or another."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from zoning_assets.errors import FeedRefused, NotALayer
from zoning_assets.http.response_checks import failure_reason
from zoning_assets.sources.paging.page_tracker import incomplete
from zoning_assets.sources.source import Request
from zoning_assets.sources.wfs import wfs_capabilities
from zoning_assets.sources.wfs.wfs_capabilities import Address, Capabilities, Schema, Type
from zoning_assets.transform.decode import feature_collection, row_identity, xml_limits
from zoning_assets.transform.decode.feature_collection import Collection
from zoning_assets.transform.decode.xml_limits import Element

#: Statuses with which servers send a refusal that says why.
_SAID = (400, 403, 404, 501)
#: How 1.1 spells what 2.0 spells otherwise.
_OLDER = {"typeNames": "typeName", "count": "maxFeatures"}


@dataclass(frozen=True)
class Way:
    """How rows are asked for: in GeoJSON by the server's name for it, or (None) GML; in which order; and by pages."""

    geojson: str | None
    order: str | None
    paging: bool = True

    def __str__(self) -> str:
        form = "GeoJSON" if self.geojson else "GML"
        pages = "pages by startIndex" if self.paging else "all rows at once, as the server ignores startIndex"
        return f"{form}, {pages}, " + (f"sorted by {self.order}" if self.order else "in the server's order")


@dataclass
class Service:
    """How the service is asked; and what was found out of the layer.

    `kinds`: its columns, see gml.py. `own`: its rows' own ids stay. `numbered`: the column that numbers its rows.
    """

    request: Request
    at: Address
    version: str = wfs_capabilities.VERSIONS[0]
    type: Type = field(default_factory=lambda: Type("", "", ()))
    kinds: Mapping[str, str] = field(default_factory=dict)
    own: bool = True
    numbered: str | None = None

    def question(self, operation: str, **more: str) -> dict[str, str]:
        """A request's key-value pairs, spelled as this version spells them."""
        pairs = {"service": "WFS", "version": self.version, "request": operation, **more}
        if self.version[:1] == "1":
            pairs = {_OLDER.get(name, name): value for name, value in pairs.items()}
        return {**self.at.kept, **pairs}

    async def ask(self, question: Mapping[str, str], read: Callable[[bytes], Any]) -> Any:
        """What `read` makes of the answer.

        Raises:
            FeedRefused: a refusal; the message says what the server says.
            PortalError: see errors.py.
        """
        portal, where = self.request.jurisdiction.portal, self.request.where
        answer = await self.request.http.ask(portal, self.at.url, question, read=read, also=_SAID)
        if answer.status == 200:
            return answer.value
        with suppress(ValueError):
            wfs_capabilities.read(answer.body, where)
        raise FeedRefused(f"HTTP {answer.status}", where=where, do="check the address and what the portal asks for")

    async def xml(self, question: Mapping[str, str]) -> Element:
        """An answer in XML that is no refusal."""
        root: Element = await self.ask(question, partial(wfs_capabilities.read, where=self.request.where))
        return root

    async def capabilities(self) -> Capabilities:
        """Agree on a version."""
        wanted = [self.at.version] if self.at.version in wfs_capabilities.VERSIONS else list(wfs_capabilities.VERSIONS)
        for version in wanted:
            question = {"service": "WFS", "request": "GetCapabilities", "version": version}
            try:
                root = await self.xml({**self.at.kept, **question, "AcceptVersions": ",".join(wanted)})
            except FeedRefused:
                if version == wanted[-1]:
                    raise
                continue
            about = wfs_capabilities.capabilities(root, self.request.where)
            if not about.version.startswith("1.0"):
                self.version = next(each for each in wfs_capabilities.VERSIONS if each[:3] == about.version[:3])
                return about
        raise NotALayer(
            "the service speaks WFS 1.0 alone, which has no pages", where=self.request.where, do="use another feed"
        )

    async def schema(self) -> Schema:
        """The layer's columns."""
        root = await self.xml(self.question("DescribeFeatureType", typeNames=self.type.name))
        return wfs_capabilities.schema(root, self.type.name, self.request.where)

    async def hits(self) -> int | None:
        """How many rows the server says there are; None where it does not."""
        root = await self.xml(self.question("GetFeature", typeNames=self.type.name, resultType="hits"))
        matched, returned = feature_collection.counts(root)
        return returned if self.version[:1] == "1" and matched is None else matched

    def rows(self, way: Way, start: int, count: int) -> dict[str, str]:
        """The question for some rows."""
        more = {"outputFormat": way.geojson} if way.geojson else {}
        more |= {"sortBy": way.order} if way.order else {}
        more |= {"startIndex": str(start)} if start else {}
        return self.question("GetFeature", typeNames=self.type.name, count=str(count), **more)

    def looked_at(self, body: bytes, way: Way) -> bytes:
        """The body of a page, if it is one.

        Raises:
            FeedRefused: it is a refusal.
            ValueError: it is something else.
        """
        if way.geojson and body.lstrip()[:1] != b"<":
            feature_collection.check_geojson(body)
            return body
        root = wfs_capabilities.read(body, self.request.where)
        if way.geojson or not xml_limits.name(root).endswith("FeatureCollection"):
            message = f"no features in {body[:80]!r}"
            raise ValueError(message)
        return body

    def understood(self, body: bytes, way: Way) -> Collection:
        """A page's rows.

        Raises:
            HarvestIncomplete: they cannot be read, or are not as many as the page says.
        """
        try:
            page = feature_collection.of_geojson(body) if way.geojson else feature_collection.of_gml(body, self.kinds)
        except ValueError as error:
            raise incomplete(self.request.where, f"a page cannot be read: {failure_reason(error)[:200]}") from error
        if page.returned not in (None, len(page.rows)):
            raise incomplete(self.request.where, f"a page of {len(page.rows):,} rows says {page.returned:,}")
        return page

    async def sample(self, way: Way, start: int, count: int) -> Collection:
        """Some rows, outside of a walk."""
        body = await self.ask(self.rows(way, start, count), partial(self.looked_at, way=way))
        return self.understood(body, way)

    def ids(self, page: Collection) -> list[str]:
        """What tells a page's rows apart."""
        return row_identity.ids(page.own if self.own else [], page.rows, self.numbered)
