"""The interface of a feed type: open a layer, and give all of its pages with a proof that they are complete.

The checks of the proof are in completeness.py.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoning_assets.errors import CrsRefused, JurisdictionInvalid, NotALayer
from zoning_assets.harvest import Page
from zoning_assets.http import Client
from zoning_assets.model import Feed, Jurisdiction
from zoning_assets.redaction import without_secrets

if TYPE_CHECKING:  # Dagster's definitions import this file, and need no numpy
    import numpy as np
    import numpy.typing as npt


class PageDraft(Protocol):
    """The pages of a harvest that is being fetched, with their queries. Implemented by harvest_drafts.HarvestDraft."""

    pages: list[Page]

    def begin(self, state: Mapping[str, Any]) -> str:
        """Resume the pages of an earlier try if the layer's state is unchanged, else start anew.

        Returns a remark about what was resumed or deleted; "" if there was no earlier try.
        """
        ...

    def find(self, question: Mapping[str, str]) -> bytes | None:
        """The stored response body of a query; None: it was not sent before."""
        ...

    def add(self, body: bytes, *, rows: int, question: Mapping[str, str] | None = None) -> Page:
        """Store a page. With its query, it is found again after a crash."""
        ...

    def abandon(self) -> None:
        """Delete all pages and queries, because they are proven wrong."""
        ...


def selection_of(feed: Feed) -> dict[str, str]:
    """The rows of a feed: the address, the name of the layer in a service or a file with several, and the clause."""
    named = {"layer_name": feed.layer, "where": feed.where}
    return {"url": without_secrets(feed.url), **{name: value for name, value in named.items() if value}}


@dataclass(frozen=True)
class Request:
    """The feed to open, and what is needed to fetch it.

    Attributes:
        jurisdiction: its jurisdiction.
        feed: the feed.
        http: the client.
        scratch: a folder for large temporary files.
        draft: stores the pages as they arrive.
        is_table: whether rows without shapes are meant: a table to join. A layer with shapes is read too.
        first_page: whether only the first page is wanted, so that no other page is requested at the same time.
    """

    jurisdiction: Jurisdiction
    feed: Feed
    http: Client
    scratch: Path
    draft: PageDraft
    is_table: bool = False
    first_page: bool = False

    @property
    def where(self) -> str:
        """The jurisdiction and the feed, for messages."""
        return f"{self.jurisdiction.id} {self.feed.name}"

    @property
    def selection(self) -> dict[str, str]:
        """The rows that are requested; part of the state of a draft."""
        return selection_of(self.feed)

    @property
    def folder(self) -> Path:
        """This feed's folder for large files, which may be deleted at any time."""
        return self.scratch / self.jurisdiction.id / self.feed.name


@dataclass(frozen=True)
class Earlier:
    """A stored harvest of the same layer.

    Attributes:
        stamp: the layer's stamp at that time.
        began: when the harvest began.
        ids: the portal's number of each row, in the order of the harvest.
    """

    stamp: Mapping[str, Any]
    began: datetime
    ids: "npt.NDArray[np.int64]"


@dataclass(frozen=True)
class Update:
    """What turns an earlier harvest into the current one.

    Attributes:
        source: gives the pages of the new and changed rows.
        kept: for each row of the earlier harvest, whether it is unchanged.
        ids: the ids of all rows of the layer now, sorted.
    """

    source: "Source"
    kept: "npt.NDArray[np.bool_]"
    ids: "npt.NDArray[np.int64]"


class Source(Protocol):
    """An opened layer.

    Attributes:
        form, layer: how its pages are decoded, see harvest.Harvest.
        stamp: changes when the layer changes.
        tells: whether an equal stamp means equal rows, as far as the portal is reliable.
        rows: the number of rows; None: known only after all pages were read.
        signals: what `probe` would return now; None: not requested.
    """

    form: str
    layer: dict[str, Any]
    stamp: dict[str, Any]
    tells: bool
    rows: int | None
    signals: Mapping[str, Any] | None

    def pages(self, draft: PageDraft, proof: dict[str, Any]) -> AsyncGenerator[Page]:
        """Fetch all pages of the layer, add them to the draft, and prove that they are complete.

        If one strategy fails, the next is tried. Only the pages in the draft at the end count.

        Args:
            draft: stores the pages.
            proof: receives the evidence.

        Raises:
            HarvestIncomplete: the pages are not proven complete.
            PortalError: see errors.py; the draft keeps the pages that arrived.
        """
        ...

    async def update_since(self, earlier: Earlier) -> Update | None:
        """Find the rows that changed since a harvest, to fetch only these; None: the layer cannot state all of them.

        Raises:
            PortalError: see errors.py.
        """
        ...

    def explained(self, error: CrsRefused) -> CrsRefused:
        """Return a refusal of coordinates with a better advice, if the layer suggests one."""
        ...


class FeedTypeModule(Protocol):
    """The two functions that the module of a feed type has."""

    async def open_source(self, request: Request) -> Source:
        """Find the layer, read its metadata, and check the jurisdiction file against it.

        Raises:
            ZoningError: see errors.py.
        """
        ...

    async def probe(self, request: Request) -> dict[str, Any]:
        """Return the portal's signals of change of the layer, with at most three requests and without fetching rows.

        Raises:
            ZoningError: see errors.py.
        """
        ...


def check_columns(request: Request, columns: list[str]) -> None:
    """Check that the layer has the columns that the jurisdiction file names.

    Raises:
        JurisdictionInvalid: a column is missing; the message lists those that exist.
    """
    feed = request.feed
    existing = list(dict.fromkeys(columns))
    wanted = {"key": feed.key, **{f"fields.{ours}": theirs for ours, theirs in feed.fields.items()}}
    for ours, theirs in wanted.items():
        if theirs is not None and theirs not in existing:
            raise JurisdictionInvalid(
                f"feeds.{feed.name}.{ours}: the layer has no column {theirs!r}; it has: {', '.join(existing[:40])}",
                where=request.jurisdiction.file,
                do="fix the file",
            )


def no_shapes(rows: int, where: str) -> NotALayer:
    """The error for a layer without any readable shape."""
    do = "name another `layer`, or the column of shapes as `geometry`; what was published before is kept"
    return NotALayer(f"none of {rows:,} rows has a shape", where=where, do=do)
