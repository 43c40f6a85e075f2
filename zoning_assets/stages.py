"""What the worker processes do, from the store to the store: a page of a layer is normalized, a part of a tile is
validated (dealing.py stands between them); and publishing, which has a thread, as it waits for PostgreSQL most of the
time.

Only names, counts and indexes cross the border between processes, never a shape.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import shapely

from zoning_assets.model import (
    LON_LAT,
    NORMALIZED,
    PARCELS,
    VALIDATED,
    Counts,
    Feed,
    Harvest,
    Jurisdiction,
    Page,
    Place,
)
from zoning_assets.stores import harvests, publish, surveys
from zoning_assets.stores.objects import Objects
from zoning_assets.stores.tables import PageTables, Table, index_of
from zoning_assets.transform import canonical, columns, crs, judge, ownership, pages, picture, survey, tiles
from zoning_assets.transform.fixes import Fix
from zoning_assets.transform.ownership import LayerRows
from zoning_assets.transform.rows import Rows
from zoning_assets.transform.spelling import respelled

#: Goes up when the rules of transform/ change, so that stored tables are made anew from the raw pages.
RULES_VERSION = 4

#: Rows of a page that are looked at for the layer's columns.
_FEW = 20
#: What is kept of a row that is held back: why, and all of it as the portal gave it (JSON).
HELD_COLUMNS = (*judge.REJECTION_COLUMNS, "raw")
NONE_HELD = pd.DataFrame({name: [] for name in HELD_COLUMNS}, dtype=object).astype({"row": "int64"})


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

    def table(self, stage: str) -> Table:
        """The stage's table of this harvest."""
        name = self.harvest
        return Table(stage, name.jurisdiction, name.feed, name.tile, name.id, self.rules)

    @property
    def pages(self) -> PageTables:
        """The normalized pages of the harvest's layer, without a person's fixes."""
        rules = _hash([*self._rules, self.harvest.form, self.harvest.layer])
        return PageTables(self.harvest.jurisdiction, self.harvest.feed, rules)


def _hash(document: Any) -> str:
    return hashlib.sha256(canonical.json_bytes(document)).hexdigest()[:16]


# A layer's page


@dataclass(frozen=True)
class PageRead:
    """What came of one page of a layer: the index of its rows, and names of the layer's columns."""

    rows: LayerRows
    fields: frozenset[str]


def normalize_page(work: Work, page: Page) -> PageRead:
    """One raw page to the normalized table of its layer, unless that was done before.

    Raises:
        CrsRefused: the rows do not lie where the jurisdiction is.
    """
    table = work.pages.find(work.objects, page.name)
    if table is not None:
        names = orjson.loads((table.schema.metadata or {})[b"fields"])
        return PageRead(index_of(table), frozenset(names))
    rows = _read(work, page)
    frame = _normalized(work, page, rows)
    points = np.nan_to_num(frame[["lon", "lat"]].to_numpy(), nan=tiles.OFF_GLOBE)
    index = LayerRows(
        page=np.zeros(len(frame), dtype=np.uint64),
        row=np.arange(len(frame), dtype=np.uint64),
        cell=tiles.finest_cells(points),
        key=ownership.key_hashes(frame["key"].tolist()),
        content=_contents(work, frame),
    )
    fields = frozenset(name for row in rows.attributes[:_FEW] for name in row)
    work.pages.write(work.objects, page.name, frame, index, work.jurisdiction.target_crs, fields)
    return PageRead(index, fields)


def _contents(work: Work, frame: pd.DataFrame) -> ownership.Numbers:
    """A hash of all that each normalized row says."""
    texts = [frame[name].tolist() for name in ("key", *columns.COLUMNS[work.feed.name], "attributes", "flaw")]
    hashes = canonical.content_hashes(texts, frame["geometry"].to_numpy())
    return np.array([int(each[:16], 16) for each in hashes], dtype=np.uint64)


def keys_at(work: Work, page: Page, rows: Sequence[int]) -> list[str | None]:
    """The natural keys of some rows of a normalized page."""
    table = work.pages.find(work.objects, page.name)
    found: list[str | None] = [] if table is None else table.column("key").take(pa.array(rows)).to_pylist()
    return found


def _normalized(work: Work, page: Page, rows: Rows) -> pd.DataFrame:
    frame = columns.normalize(
        rows,
        jurisdiction=work.jurisdiction,
        feed=work.feed,
        layer=work.harvest.layer,
        fixes=work.fixes.get(page.name, {}),
    )
    return frame.assign(page=pd.Series([page.name] * len(frame), dtype=object))


def _read(work: Work, page: Page) -> Rows:
    rows = pages.READERS[work.harvest.form](_body(work, page), work.harvest.layer)
    return respelled(rows, [name for name in (work.feed.key, *work.feed.fields.values()) if name])


def _body(work: Work, page: Page) -> bytes:
    return harvests.read_page(work.objects, work.harvest, page)


# A tile's normalized table


def fix_rows(work: Work, base: Table) -> None:
    """The normalized table of a tile with a person's fixes, made of the one without (`base`)."""
    summary, table = base.summary(work.objects), work.table(NORMALIZED)
    fixed = pd.concat([_fixed(work, page) for page in work.harvest.pages if page.name in work.fixes])
    for part in range(int(summary["parts"])):
        rows = base.read(work.objects, part)
        at = rows.set_index(["page", "row"]).index
        mine = fixed[fixed.set_index(["page", "row"]).index.isin(at)]
        kept = rows[~at.isin(mine.set_index(["page", "row"]).index)]
        table.write(work.objects, part, pd.concat([kept, mine], ignore_index=True), work.jurisdiction.target_crs)
    table.commit(work.objects, int(summary["parts"]), summary)


def _fixed(work: Work, page: Page) -> pd.DataFrame:
    """The rows of a page that a person fixed, normalized."""
    frame = _normalized(work, page, _read(work, page))
    return frame[frame["row"].isin(list(work.fixes[page.name]))]


def try_fixes(work: Work, page: Page) -> dict[int, tuple[str | None, str | None]]:
    """What would become of the rows of a page that the work has fixes for: why each would be rejected, and its key."""
    fixed = _fixed(work, page).reset_index(drop=True)
    judged = judge.judge(fixed, jurisdiction=work.jurisdiction, feed=work.feed)
    why = dict(zip(judged.rejections["row"].tolist(), judged.rejections["reason"].tolist(), strict=True))
    return {row: (why.get(row), key) for row, key in zip(fixed["row"].tolist(), fixed["key"].tolist(), strict=True)}


def columns_of(work: Work, page: Page) -> Sequence[Mapping[str, Any]]:
    """A page's rows as the portal gave them, without their shapes."""
    return _read(work, page).attributes


# A part of a tile


@dataclass(frozen=True)
class PartJudged:
    """What came of one part: counts, hashes, rejections (few), and a sketch for the picture."""

    counts: Counts
    hashes: list[str]
    rejections: pd.DataFrame  # HELD_COLUMNS
    sketch: picture.Sketch
    survey: survey.Survey


def validate_part(work: Work, part: int, numbers: Sequence[int], together: bool) -> PartJudged:
    """Normalized parts to one part of the validated table. `together`: all rows of a key stand in them."""
    normalized = work.table(NORMALIZED)
    frames = [normalized.read(work.objects, number) for number in numbers]
    rows = pd.concat(frames, ignore_index=True)
    judged = judge.judge(rows, jurisdiction=work.jurisdiction, feed=work.feed, listed=together)
    work.table(VALIDATED).write(work.objects, part, judged.table, work.jurisdiction.target_crs)
    counts = Counts(
        fetched=len(rows),
        accepted=judged.accepted,
        repaired=judged.repaired,
        rejected=len(judged.rejections),
        dissolved=judged.accepted - len(judged.table),
    )
    sketch = picture.sketch(judged.table, rows, judged.rejections)
    held = judged.rejections.assign(raw=pd.Series(_raws(work, judged.rejections), dtype=object))
    seen = survey.surveyed(judged.table, work.feed.name, counts, held["reason"])
    return PartJudged(counts, judged.table["content_hash"].tolist(), held, sketch, seen)


def _raws(work: Work, rejections: pd.DataFrame) -> list[str]:
    """The raw row of each rejection as JSON, read from the page it stood on."""
    raws = [""] * len(rejections)
    by_name = {page.name: page for page in work.harvest.pages}
    for name in rejections["page"].unique().tolist():
        places = np.flatnonzero(rejections["page"] == name).tolist()
        body, rows = _body(work, by_name[name]), rejections["row"].iloc[places].tolist()
        found = pages.raw_rows_at(work.harvest.form, body, work.harvest.layer, rows)
        for place, raw in zip(places, found, strict=True):
            raws[place] = canonical.dumps(raw)
    return raws


def publish_place(work: Work, url: str, undone: int) -> publish.Published:
    """The validated table into PostGIS, in one transaction; if it was not rolled back since (`undone`)."""
    table = work.table(VALIDATED)
    rejections = held(table.rejections(work.objects))
    return publish.publish(url, work.edition, table.parts(work.objects), rejections, undone)


def compare_place(work: Work, url: str) -> survey.Survey:
    """The validated table beside what stands published; only rows that differ are looked at."""
    found = survey.Survey()
    if work.feed.name == PARCELS:
        for part in work.table(VALIDATED).parts(work.objects):
            found += _compared(work, url, part)
    return found


def _compared(work: Work, url: str, part: pa.Table) -> survey.Survey:
    keys, hashes = (part.column(name).to_pylist() for name in ("key", "content_hash"))
    kept, old = surveys.differing(url, work.jurisdiction.id, keys, hashes)
    position = {key: row for row, key in enumerate(keys)}
    now = part.take(pa.array([position[key] for key in old["key"]], pa.int64()))
    new = pd.DataFrame(
        {name: now.column(name).to_pylist() for name in (*survey.COMPARED, "content_hash")}, dtype=object
    )
    shapes = np.full(len(old), None, dtype=object)
    there = np.flatnonzero(old["geometry"].notna().to_numpy())
    shapes[there] = shapely.from_wkb(now.column("geometry").take(pa.array(there)).to_pylist())
    frame = crs.metric_frame(work.jurisdiction.bounds)
    target = work.jurisdiction.target_crs
    return survey.compared(old, new.assign(geometry=pd.Series(shapes, dtype=object)), kept, target, frame)


def held(rejections: pd.DataFrame) -> Iterator[publish.Rejection]:
    """Rejections as publishing wants them, page by page."""
    ordered = rejections.sort_values(["page", "row"])
    for reason, detail, raw in zip(ordered["reason"], ordered["detail"], ordered["raw"], strict=True):
        yield publish.Rejection(reason, None if pd.isna(detail) else detail, orjson.loads(raw))
