"""What every feed type offers: a layer that was found and understood, and that can be asked for a place's pages."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zoning_assets.errors import HarvestIncomplete, JurisdictionInvalid
from zoning_assets.http import Http
from zoning_assets.model import Cover, Feed, Jurisdiction, Place

#: A tile with more rows than this is split (`tile_resolution = "auto"`): some pages, some seconds, little memory.
MOST_ROWS_A_TILE = 10_000


@dataclass(frozen=True)
class Request:
    """Which feed to open, with what, and where large files may lie for a while."""

    jurisdiction: Jurisdiction
    feed: Feed
    http: Http
    scratch: Path

    @property
    def where(self) -> str:
        """The feed's name for messages."""
        return f"{self.jurisdiction.id} {self.feed.name}"


@dataclass(frozen=True)
class Sheet:
    """A page on its way to the store. kind: see model.Page."""

    body: bytes
    rows: int
    kind: str = "area"


class Source(Protocol):
    """An opened layer. `form` and `layer` say how its pages are read; `stamp` changes when the layer does."""

    form: str
    layer: dict[str, Any]
    stamp: dict[str, Any]

    async def cover(self, *, exact: bool) -> Cover:
        """Find the tiles, and what is owned in an unusual way. `exact`: trust no summary of the portal's."""
        ...

    def pages(self, place: Place, cover: Cover, proof: dict[str, Any]) -> AsyncIterator[Sheet]:
        """The pages of a place; fills `proof`, and raises HarvestIncomplete at the end if they are not all."""
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
