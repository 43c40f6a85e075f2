"""One harvest on its way, everything that decides what becomes of it, and how its pages are read."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import LON_LAT, Feed, Jurisdiction, Place
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.geoparquet_tables import PageTables, StageTable
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import publish
from zoning_assets.transform import normalize
from zoning_assets.transform.column_names import with_column_names
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.row_corrections import Fix

#: Goes up when the rules of transform/ change, so that stored tables are made anew from the raw pages.
RULES_VERSION = 4
#: Goes up when what is kept of a normalized page changes.
_PAGES_VERSION = 2


@dataclass(frozen=True)
class Work:
    """One harvest on its way, and everything that decides what becomes of it.

    Attributes:
        harvest: of a layer or of a tile.
        tiles: all tiles of the layer.
        repeated: repeated key -> the tile that owns its rows.
        state: the id of the layer's harvest that the tiles are of.
        hosts: which the feed is fetched from.
        fixes: page -> row -> what a person changed.
    """

    objects: Objects
    jurisdiction: Jurisdiction
    feed: Feed
    harvest: Harvest
    tiles: Sequence[str] = ()
    repeated: Mapping[str, str] = field(default_factory=dict)
    state: str = ""
    hosts: Sequence[str] = ()
    fixes: Mapping[str, Mapping[int, Fix]] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where the harvest belongs."""
        return Place(self.harvest.jurisdiction, self.harvest.tile)

    @cached_property
    def rules(self) -> str:
        """The hash of everything but the harvest that decides the result."""
        if not self.fixes:
            return _hash(self._rules)
        return _hash([*self._rules, [[f.row_id, dict(f.columns), (f.shape or b"").hex()] for f in self.fixes_sorted]])

    @property
    def _rules(self) -> list[Any]:
        feed = [self.feed.crs, self.feed.key, self.feed.on_null_key, self.feed.on_repeated_key, dict(self.feed.fields)]
        feed += [self.feed.axes] if self.feed.axes != LON_LAT else []
        return [RULES_VERSION, feed, [self.jurisdiction.bounds, self.jurisdiction.target_crs]]

    @property
    def fixes_sorted(self) -> list[Fix]:
        """The fixes, wherever their rows stand."""
        return sorted((fix for page in self.fixes.values() for fix in page.values()), key=lambda fix: fix.row_id)

    @property
    def edition(self) -> publish.Edition:
        """What it is published as."""
        fixes = [fix.row_id for fix in self.fixes_sorted]
        tiles = sorted(self.tiles)
        return publish.Edition(
            self.place, self.feed.name, self.harvest.id, self.rules, tiles, self.state, self.hosts, fixes
        )

    def table(self, stage: str) -> StageTable:
        """The stage's table of this harvest."""
        name = self.harvest
        return StageTable(stage, name.jurisdiction, name.feed, name.tile, name.id, self.rules)

    @property
    def pages(self) -> PageTables:
        """The normalized pages of the harvest's layer, without a person's fixes."""
        rules = _hash([*self._rules, _PAGES_VERSION, self.harvest.form, self.harvest.layer])
        return PageTables(self.harvest.jurisdiction, self.harvest.feed, rules)


def _hash(document: Any) -> str:
    return hashlib.sha256(content_hash.json_bytes(document)).hexdigest()[:16]


def normalized(work: Work, page: Page, rows: Rows, *, enough: int = 0) -> pd.DataFrame:
    """Rows of a page in our columns, with the page's name and a person's fixes; see columns.normalize."""
    frame = normalize.normalize(
        rows,
        jurisdiction=work.jurisdiction,
        feed=work.feed,
        layer=work.harvest.layer,
        fixes=work.fixes.get(page.name, {}),
        fewest_points=enough,
    )
    return frame.assign(page=pd.Series([page.name] * len(frame), dtype=object))


def read(work: Work, page: Page) -> Rows:
    """The rows of a page as the portal gave them, their columns under the names that the jurisdiction file has."""
    rows = page_readers.READERS[work.harvest.form](body_of(work, page), work.harvest.layer)
    return with_column_names(rows, [name for name in (work.feed.key, *work.feed.fields.values()) if name])


def body_of(work: Work, page: Page) -> bytes:
    """A page's bytes, as the portal sent them."""
    return raw_harvests.read_page(work.objects, work.harvest, page)
