"""What a harvest is, as values. Standard library only; everything else may import this."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Page:
    """One answer of a portal, kept as it came.

    Attributes:
        name: SHA-256 of its bytes.
        rows: how many rows of it belong to the harvest.
        size: bytes, before compression.
        kind: kept because it is part of the ids of stored harvests; it decides nothing.
    """

    name: str
    rows: int
    size: int
    kind: str = "owned"


@dataclass(frozen=True)
class Harvest:
    """A completed fetch of a layer, or a tile's rows of one: its pages and the proof that they are all. Immutable.

    Attributes:
        form: how the bytes of a page are read, a key of page_readers.READERS.
        layer: what reading needs: `crs`, id column, kinds of columns.
        pages: those that hold rows of it.
        proof: the evidence, by name; see sources/.
        id: of a layer, SHA-256 over what was received; of a tile, over what its rows say.
        of: the id of the layer's harvest that a tile was cut from; empty: this is a layer's harvest.
        cut: which of the ways to cut a layer's harvest into tiles.
        picked: hash of the rows that a layer's harvest takes of its pages; empty: all of them.
    """

    jurisdiction: str
    feed: str
    tile: str | None
    form: str
    layer: Mapping[str, Any]
    pages: tuple[Page, ...]
    proof: Mapping[str, Any]
    id: str = ""
    of: str = ""
    cut: str = ""
    picked: str = ""


@dataclass(frozen=True)
class Cover:
    """A layer's newest harvest and the tiles that own its rows.

    Attributes:
        stamp: what the layer stated of itself: count, last edit, ETag.
        tiles: tile -> its rows; empty for zoning, whose districts cross tiles.
        repeated: repeated key -> the tile that owns all of its rows.
        rows: rows of the layer that have a place.
        doubted: a publish met a repeated key that is not in `repeated`: the layer is fetched again.
        harvest: id of the layer's harvest.
        cut: by which it was cut into tiles, see raw_harvests.put_rows.
        rules: by which its rows were read.
        signals: what the probe of the feed type stated when the harvest began; None: not asked.
        fetched: when the harvest began; ISO 8601.
        whole: when the last harvest began for which every row was fetched; ISO 8601.
        seen: when the portal was last found to have just this; ISO 8601.
        cost: requests, bytes and seconds of the harvest.
    """

    jurisdiction: str
    feed: str
    stamp: Mapping[str, Any]
    tiles: Mapping[str, int]
    repeated: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    doubted: bool = False
    harvest: str = ""
    cut: str = ""
    rules: str = ""
    signals: Mapping[str, Any] | None = None
    fetched: str = ""
    whole: str = ""
    seen: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)

    @property
    def refreshed(self) -> datetime:
        """When every row of the layer was fetched last; of an earlier version every harvest did."""
        return datetime.fromisoformat(self.whole or self.fetched)
