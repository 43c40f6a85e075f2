"""A work item: a harvest with everything that decides its result; and how its pages are read."""

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

#: Must be increased when the rules of transform/ change: then stored tables are made again from the raw pages.
RULES_VERSION = 4
#: Must be increased when the stored form of a normalized page changes.
_PAGES_VERSION = 2


@dataclass(frozen=True)
class WorkItem:
    """A harvest, and everything that decides its result.

    Attributes:
        objects: the store of harvests and tables.
        jurisdiction: the jurisdiction.
        feed: its feed.
        harvest: of a layer or of a tile.
        tiles: all tiles of the layer.
        repeated: the tile that owns the rows of each repeated key, by key.
        state: the id of the layer's harvest whose rows these are.
        hosts: the hosts of the feed.
        fixes: page name -> index of the row -> the fix that a person gave.
        join: id of the keyed table whose columns are added to the rows; "": none.
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
    join: str = ""

    @property
    def place(self) -> Place:
        """The place of the harvest."""
        return Place(self.harvest.jurisdiction, self.harvest.tile)

    @cached_property
    def rules(self) -> str:
        """The hash of everything except the harvest that decides the result."""
        rules = [*self._rules, *([{"join": self.join}] if self.join else [])]
        if not self.fixes:
            return _hash(rules)
        return _hash([*rules, [[f.row_id, dict(f.columns), (f.shape or b"").hex()] for f in self.fixes_sorted]])

    @property
    def _rules(self) -> list[Any]:
        feed = [self.feed.crs, self.feed.key, self.feed.on_null_key, self.feed.on_repeated_key, dict(self.feed.fields)]
        feed += [self.feed.axes] if self.feed.axes != LON_LAT else []
        return [RULES_VERSION, feed, [self.jurisdiction.bounds, self.jurisdiction.target_crs]]

    @property
    def fixes_sorted(self) -> list[Fix]:
        """The fixes, sorted by row id."""
        return sorted((fix for page in self.fixes.values() for fix in page.values()), key=lambda fix: fix.row_id)

    @property
    def edition(self) -> publish.Edition:
        """The edition under which the result is published."""
        fixes = [fix.row_id for fix in self.fixes_sorted]
        tiles = sorted(self.tiles)
        return publish.Edition(
            self.place, self.feed.name, self.harvest.id, self.rules, tiles, self.state, self.hosts, fixes
        )

    def table(self, stage: str) -> StageTable:
        """The table of a stage for this harvest."""
        harvest = self.harvest
        return StageTable(stage, harvest.jurisdiction, harvest.feed, harvest.tile, harvest.id, self.rules)

    @property
    def pages(self) -> PageTables:
        """The normalized pages of the harvest's layer, without fixes and joined columns."""
        rules = _hash([*self._rules, _PAGES_VERSION, self.harvest.form, self.harvest.layer])
        return PageTables(self.harvest.jurisdiction, self.harvest.feed, rules)


def _hash(document: Any) -> str:
    return hashlib.sha256(content_hash.json_bytes(document)).hexdigest()[:16]


def normalize_rows(item: WorkItem, page: Page, rows: Rows, *, fewest_points: int = 0) -> pd.DataFrame:
    """Normalize the rows of a page with the fixes of the work item. The result has the columns of normalize.normalize,
    and `page`: the name of the page."""
    frame = normalize.normalize(
        rows,
        jurisdiction=item.jurisdiction,
        feed=item.feed,
        layer=item.harvest.layer,
        fixes=item.fixes.get(page.name, {}),
        fewest_points=fewest_points,
    )
    return frame.assign(page=pd.Series([page.name] * len(frame), dtype=object))


def decode_rows(item: WorkItem, page: Page) -> Rows:
    """Decode the rows of a page. Columns that the jurisdiction file names get the spelling of that file."""
    rows = page_readers.READERS[item.harvest.form](page_bytes(item, page), item.harvest.layer)
    return with_column_names(rows, [name for name in (item.feed.key, *item.feed.fields.values()) if name])


def page_bytes(item: WorkItem, page: Page) -> bytes:
    """The bytes of a page, as the portal sent them."""
    return raw_harvests.read_page(item.objects, item.harvest, page)
