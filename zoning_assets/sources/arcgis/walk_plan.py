"""What a strategy of page_walks needs to know about the rows that it fetches."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from zoning_assets.errors import FeedRefused, PortalUnreachable
from zoning_assets.sources.arcgis.query_client import WHOLE_ROWS, Box, Ids, Params, QueryClient, QueryPage
from zoning_assets.sources.source import PageDraft

#: Errors of a query that may be too large.
TOO_LARGE = (PortalUnreachable, FeedRefused)


@dataclass(frozen=True)
class WalkPlan:
    """The rows to fetch, and what is known about them.

    Attributes:
        service: sends the queries.
        which: selects the rows: `where`, and optionally a geometry.
        ids: their ids, sorted; None: the server does not list them.
        count: their number; None: the server does not count.
        box: a box around them, in degrees; used by `area`, instead of the geometry in `which`.
        draft: stores the answers.
        fields: the parameters that select the columns.
        size: rows per page.
    """

    service: QueryClient
    which: Params
    ids: Ids | None
    count: int | None
    box: Box | None
    draft: PageDraft | None
    fields: Params
    size: int

    async def page(self, more: Params, *, few_tries: bool = False) -> QueryPage:
        """Fetch a page of these rows. `more`: further parameters; `few_tries`: see QueryClient.query."""
        return await self.service.page({**self.which, **self.fields, **more}, self.draft, few_tries=few_tries)

    @property
    def id(self) -> str:
        """The object id's column."""
        return self.service.about.id


Walk = Callable[[WalkPlan], AsyncIterator[QueryPage]]


def plan(service: QueryClient, which: Params, **known: Any) -> WalkPlan:
    """The plan for the rows that `which` selects. `known`: attributes of WalkPlan that are known."""
    defaults: dict[str, Any] = {"ids": None, "count": None, "box": None, "draft": None, "fields": WHOLE_ROWS}
    return WalkPlan(service, which, **{**defaults, "size": service.page_size(), **known})


def is_final(error: Exception) -> bool:
    """Whether a smaller query would not help: the portal refused, or its host gets no request for a while."""
    return bool(getattr(error, "final", False) or getattr(error, "wait_s", None))
