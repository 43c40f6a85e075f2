"""What every feed type offers: a layer that was found and understood, and all of its pages with the proof of that."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zoning_assets.errors import CrsRefused, HarvestIncomplete, JurisdictionInvalid, NotALayer
from zoning_assets.http import Client
from zoning_assets.model import Feed, Jurisdiction, Page

if TYPE_CHECKING:  # Dagster's definitions import this file, and need no numpy
    import numpy as np
    import numpy.typing as npt


class Draft(Protocol):
    """A harvest that is being fetched: its pages, and what was asked for them. See harvest_drafts.Draft."""

    pages: list[Page]

    def begin(self, state: Mapping[str, Any]) -> str:
        """Go on with pages that an earlier try left, while the layer says of itself what it said then; says which."""
        ...

    def find(self, question: Mapping[str, str]) -> bytes | None:
        """The answer to a question that was asked before."""
        ...

    def add(self, body: bytes, *, rows: int, question: Mapping[str, str] | None = None) -> Page:
        """Keep a page of the harvest; with its question it need not be asked again after a crash."""
        ...

    def abandon(self) -> None:
        """Forget all pages and questions: they are proven wrong."""
        ...


@dataclass(frozen=True)
class Request:
    """Which feed to open, with what, and where large files may lie for a while.

    `draft` keeps the pages as they come.
    """

    jurisdiction: Jurisdiction
    feed: Feed
    http: Client
    scratch: Path
    draft: Draft

    @property
    def where(self) -> str:
        """The feed's name for messages."""
        return f"{self.jurisdiction.id} {self.feed.name}"

    @property
    def folder(self) -> Path:
        """This feed's folder for large files that may be deleted at any time."""
        return self.scratch / self.jurisdiction.id / self.feed.name


@dataclass(frozen=True)
class Earlier:
    """A harvest of the same layer that is stored.

    Attributes:
        stamp: what the layer stated then.
        began: when.
        ids: the portal's own number of each row, in the order of the harvest.
    """

    stamp: Mapping[str, Any]
    began: datetime
    ids: "npt.NDArray[np.int64]"


@dataclass(frozen=True)
class Update:
    """What makes an earlier harvest the present one.

    Attributes:
        source: gives the pages of the rows that are new or changed.
        kept: whether each row of the earlier harvest is still there as it was.
        ids: of all rows of the layer now, sorted.
    """

    source: "Source"
    kept: "npt.NDArray[np.bool_]"
    ids: "npt.NDArray[np.int64]"


class Source(Protocol):
    """An opened layer.

    Attributes:
        form, layer: how its pages are read, see model.Harvest.
        stamp: changes when the layer does.
        tells: whether the same stamp means the same rows, as far as the portal can be believed.
        rows: how many rows it has; None where that is known only when they are read.
        signals: what `probe` would state now; None: that was not asked for.
    """

    form: str
    layer: dict[str, Any]
    stamp: dict[str, Any]
    tells: bool
    rows: int | None
    signals: Mapping[str, Any] | None

    def pages(self, draft: Draft, proof: dict[str, Any]) -> AsyncGenerator[Page]:
        """All pages of the layer, put into the draft as they come, and the proof that they are all.

        Where one way through the layer fails another is taken: pages that the draft has no more at the end are none.

        Args:
            draft: keeps the pages.
            proof: receives the evidence.

        Raises:
            HarvestIncomplete: they are not all.
            PortalError: see errors.py; the draft keeps what came.
        """
        ...

    async def rows_since(self, earlier: Earlier) -> Update | None:
        """Only the rows that changed since a harvest; None where the layer cannot tell them all.

        Raises:
            PortalError: see errors.py.
        """
        ...

    def explained(self, error: CrsRefused) -> CrsRefused:
        """The refusal of coordinates, with what the layer itself suggests to do."""
        ...


class FeedType(Protocol):
    """A feed type is a module with these two functions."""

    async def open_source(self, request: Request) -> Source:
        """Find the layer and understand it.

        Raises:
            ZoningError: see errors.py.
        """
        ...

    async def probe(self, request: Request) -> dict[str, Any]:
        """What the portal says of the layer for three requests at most; no row is asked for.

        Raises:
            ZoningError: see errors.py.
        """
        ...


def check_columns(request: Request, columns: list[str]) -> None:
    """Whether the layer has the columns that the jurisdiction file names.

    Raises:
        JurisdictionInvalid: it has not; the message names those it has.
    """
    feed = request.feed
    wanted = {"key": feed.key, **{f"fields.{ours}": theirs for ours, theirs in feed.fields.items()}}
    for ours, theirs in wanted.items():
        if theirs is not None and theirs not in columns:
            raise JurisdictionInvalid(
                f"feeds.{feed.name}.{ours}: the layer has no column {theirs!r}, but: {', '.join(columns[:40])}",
                where=request.jurisdiction.file,
                do="mend the file",
            )


def prove(where: str, evidence: Mapping[str, tuple[Any, Any]], proof: dict[str, Any]) -> None:
    """Compare what is with what should be; keep it as the proof.

    Args:
        where: for the message.
        evidence: name -> (what was received, what the portal says).
        proof: receives the evidence.

    Raises:
        HarvestIncomplete: something differs.
    """
    proof.update({name: should for name, (_, should) in evidence.items()})
    for name, (is_, should) in evidence.items():
        if is_ != should:
            raise HarvestIncomplete(
                f"{name}: received {is_}, the portal says {should}", where=where, do="run again; nothing was published"
            )


def no_shapes(rows: int, where: str) -> NotALayer:
    """The error of a layer of which no row has a shape that can be read."""
    do = "name another `layer`, or the column of shapes as `geometry`; what was published before stays"
    return NotALayer(f"none of {rows:,} rows has a shape", where=where, do=do)
