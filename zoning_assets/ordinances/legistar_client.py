"""Ask a Legistar site's Web API which matters and meetings were edited since a time.

The API (https://webapi.legistar.com/Help, OData 3 queries) answers at most 1,000 objects at a time, in JSON. Pages are
asked by id (`MatterId gt N`), not by offset, so that an edit meanwhile moves no object to another page. A matter whose
own text is not about zoning costs no further request.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from zoning_assets.errors import DocumentRefused, FeedRefused, HarvestIncomplete
from zoning_assets.http import Client
from zoning_assets.model import Portal
from zoning_assets.ordinances import legistar

Object = Mapping[str, Any]

_PAGE_SIZE = 1_000
#: Requests of one poll; a site with more edits is asked for a shorter time.
_MOST_REQUESTS = 5_000


@dataclass(frozen=True)
class FoundMatter:
    """A matter that may amend the zoning, with its histories, and its address without a token."""

    matter: Object
    histories: list[Object]
    source: str


@dataclass
class LegistarSite:
    """One poll of a site.

    Attributes:
        client: counts the requests.
        portal: the limits of the host.
        url: the address of the client in the API; may have a query with a token.
        matters: number of edited matters that were read.
        events: number of edited meetings that were read.
        refused: why some matters could not be read.
    """

    client: Client
    portal: Portal
    url: str
    matters: int = 0
    events: int = 0
    refused: list[str] = field(default_factory=list)

    async def amendments(self, since: datetime) -> AsyncIterator[FoundMatter]:
        """Yield the matters about zoning that were edited since a time, or that an edited meeting acted on.

        Raises:
            HarvestIncomplete: more was edited than one poll reads.
            PortalError: see Client.query; what was yielded before is sound.
        """
        seen = set[int]()
        async for matter in self._edited("matters", "Matter", since):
            self.matters += 1
            seen.add(matter["MatterId"])
            if self._is_about_zoning(matter):
                yield await self._with_histories(matter)
        async for event in self._edited("events", "Event", since):
            self.events += 1
            for item in await self._ask(f"events/{event['EventId']}/eventitems", _objects("EventItemId")):
                number = item.get("EventItemMatterId")
                if isinstance(number, int) and number not in seen and self._is_about_zoning(_matter_of(item)):
                    seen.add(number)
                    if found := await self._acted_on(number):
                        yield found

    async def _edited(self, kind: str, prefix: str, since: datetime) -> AsyncIterator[Object]:
        """Yield the objects of a kind that were edited since a time, by id."""
        key, last = f"{prefix}Id", -1
        edited = f"{prefix}LastModifiedUtc ge datetime'{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}'"
        while True:
            filter_ = f"{edited} and {key} gt {last}"
            params = {"$filter": filter_, "$orderby": key, "$top": str(_PAGE_SIZE)}
            page = await self._ask(kind, _objects(key), params)
            if not page:  # a site may answer fewer than it was asked for, so only an empty page is the end
                return
            for each in page:
                if each[key] <= last:
                    what = f"{kind} came in another order than was asked for"
                    raise HarvestIncomplete(what, where=self._where, do="run again; the next poll starts at this time")
                last = each[key]
                yield each

    async def _acted_on(self, number: int) -> FoundMatter | None:
        """A matter that a meeting acted on; None: the site has no page of it (HTTP 404), as of one that is not public.
        Such a matter must not stop each poll."""
        try:
            return await self._with_histories(await self._ask(f"matters/{number}", _object("MatterId")))
        except FeedRefused as error:
            if error.final:
                raise
            self.refused.append(str(error))
            return None

    async def _with_histories(self, matter: Object) -> FoundMatter:
        path = f"matters/{matter['MatterId']}"
        histories = await self._ask(f"{path}/histories", _objects("MatterHistoryId"))
        return FoundMatter(matter, histories, f"{self._where}/{path}")

    async def _ask(self, path: str, read: Callable[[bytes], Any], params: Mapping[str, str] | None = None) -> Any:
        if self.client.tally.requests >= _MOST_REQUESTS:
            what = f"more was edited than {_MOST_REQUESTS:,} requests can read"
            do = "give a later --since; what was edited before is not read then"
            raise HarvestIncomplete(what, where=self._where, do=do)
        parts = urlsplit(self.url)
        query = {**dict(parse_qsl(parts.query)), **(params or {})}
        url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/{path}"
        return (await self.client.query(self.portal, url, query, read=read, method="get")).value

    def _is_about_zoning(self, matter: Object) -> bool:
        try:
            return legistar.find_amendment(matter) is not None
        except DocumentRefused as error:
            self.refused.append(str(error))
            return False

    @property
    def _where(self) -> str:
        """The address without a query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _matter_of(item: Object) -> Object:
    """What an item of an agenda states about its matter, in the names of a matter."""
    names = {"MatterFile": "EventItemMatterFile", "MatterName": "EventItemMatterName", "MatterTitle": "EventItemTitle"}
    return {name: item.get(theirs) for name, theirs in names.items() if item.get(theirs)} or {"MatterTitle": "-"}


def _objects(key: str) -> Callable[[bytes], list[Object]]:
    """Read a list of objects with an integer id. A ValueError is retried as a broken answer."""

    def read(body: bytes) -> list[Object]:
        found = orjson.loads(body)
        if not isinstance(found, list) or not all(_has_id(each, key) for each in found):
            raise ValueError(f"not a list of objects with {key}")
        return found

    return read


def _object(key: str) -> Callable[[bytes], Object]:
    def read(body: bytes) -> Object:
        found: Object = orjson.loads(body)
        if not _has_id(found, key):
            raise ValueError(f"not an object with {key}")
        return found

    return read


def _has_id(found: Any, key: str) -> bool:
    return isinstance(found, dict) and type(found.get(key)) is int
