"""Value classes of a harvest: pages, harvests, and the tile index of a layer.

Standard library only; every other module may import this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Page:
    """One response of a portal, stored unchanged.

    Attributes:
        name: SHA-256 of its bytes.
        rows: number of its rows that belong to the harvest.
        size: bytes, before compression.
        kind: not used; kept because it is part of the ids of stored harvests.
    """

    name: str
    rows: int
    size: int
    kind: str = "owned"


@dataclass(frozen=True)
class Harvest:
    """A complete fetch of a layer, or the rows of one tile of it: its pages and the proof of completeness. Immutable.

    Attributes:
        form: the format of the pages, a key of page_readers.READERS.
        layer: what is needed to read the pages: `crs`, id column, types of columns.
        pages: the pages that have rows of it.
        proof: the evidence of completeness, by name; see sources/.
        id: SHA-256; of a layer over the received bytes, of a tile over the content of its rows.
        of: id of the layer's harvest that the tile was cut from; empty: this is a layer's harvest.
        cut: version of the algorithm that cut the layer's harvest into tiles.
        picked: hash of the selection of rows from the pages; empty: all rows.
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
    """The tile index of a layer: its newest harvest, and the tile of each row. Stored as `cover.json`.

    Attributes:
        stamp: what the layer states about itself: count, last edit, ETag.
        tiles: tile -> number of rows; empty for zoning, because districts cross tiles.
        repeated: repeated key -> the tile that all its rows belong to.
        rows: number of rows of the layer that belong to a tile.
        doubted: publishing found a repeated key that is not in `repeated`; the layer must be fetched again.
        harvest: id of the layer's harvest.
        cut: version of the algorithm that cut it into tiles; see raw_harvests.put_rows.
        rules: version of the rules that its rows were read with.
        signals: result of the probe when the harvest started; None: not probed.
        fetched: when the harvest started; ISO 8601.
        whole: when the last harvest started that fetched every row; ISO 8601.
        seen: when the portal was last confirmed to have this version; ISO 8601.
        cost: requests, bytes and seconds of the harvest.
        join: the table whose columns are joined to the rows: the id of its keyed `table`, its `harvest`, and the counts
            of what matched and what did not; empty: none. See pipeline/join_harvest.py.
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
    join: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The id of the rows that are published from it: of its harvest, and of the joined table."""
        return "/".join(filter(None, (self.harvest, self.join.get("table"))))

    @property
    def refreshed(self) -> datetime:
        """When every row of the layer was last fetched. Older index files have no `whole`: their harvests fetched every
        row."""
        return datetime.fromisoformat(self.whole or self.fetched)


@dataclass(frozen=True)
class JoinedTable:
    """The newest harvest of a table that is joined to a layer. Stored as `table.json`.

    Attributes:
        stamp: what the table and the jurisdiction file state: count, last edit, columns.
        table: id of the keyed table, see transform/joined_columns.py. Equal rows have the same id.
        harvest: id of the harvest.
        counts: `rows` of the table, `keys` (distinct), rows `without_key`, `same_rows` (repeated with equal values) and
            `repeated_rows` (repeated with other values).
        signals: result of the probe when the harvest started.
        fetched: when the harvest started; ISO 8601.
    """

    stamp: Mapping[str, Any]
    table: str
    harvest: str
    counts: Mapping[str, int]
    signals: Mapping[str, Any]
    fetched: str
