"""What the worker processes do: one page through one stage, from the store to the store; and publishing, which has a
thread, as it waits for PostgreSQL most of the time.

Only names and counts cross the border between processes, never a shape.
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
from zoning_assets.stores.tables import Table
from zoning_assets.transform import canonical, columns, crs, judge, pages, picture, survey
from zoning_assets.transform.fixes import Fix
from zoning_assets.transform.rows import Rows
from zoning_assets.transform.spelling import respelled

#: Goes up when the rules of transform/ change, so that stored tables are made anew from the raw pages.
RULES_VERSION = 3


#: Rows of a page that are looked at for the layer's columns.
_FEW = 20
#: What is kept of a row that is held back: why, and all of it as the portal gave it (JSON).
HELD_COLUMNS = (*judge.REJECTION_COLUMNS, "raw")
NONE_HELD = pd.DataFrame({name: [] for name in HELD_COLUMNS}, dtype=object).astype({"row": "int64"})


@dataclass(frozen=True)
class Work:
    """One harvest on its way, and everything that decides what becomes of it."""

    objects: Objects
    jurisdiction: Jurisdiction
    feed: Feed
    harvest: Harvest
    scope: columns.Scope
    hosts: Sequence[str] = ()  # which the feed is asked from
    fixes: Mapping[str, Mapping[int, Fix]] = field(default_factory=dict)  # page -> row -> a person's fix

    @property
    def place(self) -> Place:
        """Where the harvest belongs."""
        return Place(self.harvest.jurisdiction, self.harvest.tile)

    @cached_property
    def rules(self) -> str:
        """The hash of everything but the harvest that decides the result."""
        feed = [self.feed.crs, self.feed.key, self.feed.on_null_key, self.feed.on_repeated_key, dict(self.feed.fields)]
        feed += [self.feed.axes] if self.feed.axes != LON_LAT else []
        here = [self.jurisdiction.bounds, self.jurisdiction.target_crs]
        scope = [self.scope.tile, sorted(self.scope.tiles)[:1], dict(self.scope.repeated or {})]
        said = [RULES_VERSION, feed, here, scope]
        if self.fixes:
            said.append([[f.row_id, dict(f.columns), (f.shape or b"").hex()] for f in self.fixes_sorted])
        document = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(document).hexdigest()[:16]

    @property
    def fixes_sorted(self) -> list[Fix]:
        """The fixes, wherever their rows stand."""
        return sorted((fix for page in self.fixes.values() for fix in page.values()), key=lambda fix: fix.row_id)

    @property
    def edition(self) -> publish.Edition:
        """What it is published as."""
        tiles = sorted(self.scope.tiles)
        fixes = [fix.row_id for fix in self.fixes_sorted]
        layer = self.scope.layer
        return publish.Edition(self.place, self.feed.name, self.harvest.id, self.rules, tiles, layer, self.hosts, fixes)

    def table(self, stage: str) -> Table:
        """The stage's table of this harvest."""
        name = self.harvest
        return Table(stage, name.jurisdiction, name.feed, name.tile, name.id, self.rules)


@dataclass(frozen=True)
class PartJudged:
    """What came of one part: counts, hashes, rejections (few), and a sketch for the picture."""

    counts: Counts
    hashes: list[str]
    rejections: pd.DataFrame  # HELD_COLUMNS
    sketch: picture.Sketch
    survey: survey.Survey


def parts_of(harvest: Harvest) -> list[tuple[list[int], bool]]:
    """The parts of the validated table: which pages each is made of, and whether whole keys stand in it together.

    Rows of whole keys are judged together; a place without tiles is small, and is judged as a whole.
    """
    listed = [page.kind == "listed" or harvest.tile is None for page in harvest.pages]
    together = [number for number, each in enumerate(listed) if each]
    alone = [([number], False) for number, each in enumerate(listed) if not each]
    return alone + ([(together, True)] if together else [])


@dataclass(frozen=True)
class PageNormalized:
    """What came of one page: rows that the place owns, the layer's columns, and its part where it was judged."""

    fetched: int
    fields: set[str]
    judged: PartJudged | None


def normalize_page(work: Work, number: int, part: int | None = None, listed: bool = False) -> PageNormalized:
    """One raw page to one part of the normalized table.

    `part`: the page alone is that part of the validated table; it is judged while it is in memory. `listed`: as
    validate_part.
    """
    page = work.harvest.pages[number]
    rows = _read(work, page)
    frame = _normalized(work, page, rows)
    frame["page"] = pd.Series([page.name] * len(frame), dtype=object)
    work.table(NORMALIZED).write(work.objects, number, frame, work.jurisdiction.target_crs)
    judged = None if part is None else _judge(work, part, frame, {page.name: rows}, listed=listed)
    return PageNormalized(len(frame), {name for row in rows.attributes[:_FEW] for name in row}, judged)


def _normalized(work: Work, page: Page, rows: Rows) -> pd.DataFrame:
    return columns.normalize(
        rows,
        jurisdiction=work.jurisdiction,
        feed=work.feed,
        layer=work.harvest.layer,
        scope=work.scope,
        owned=page.kind != "area",
        fixes=work.fixes.get(page.name, {}),
    )


def try_fixes(work: Work, page: Page) -> dict[int, tuple[str | None, str | None]]:
    """What would become of the rows of a page that the work has fixes for: why each would be rejected, and its key."""
    frame = _normalized(work, page, _read(work, page))
    fixed = frame[frame["row"].isin(list(work.fixes[page.name]))].assign(page=page.name).reset_index(drop=True)
    judged = judge.judge(fixed, jurisdiction=work.jurisdiction, feed=work.feed)
    why = dict(zip(judged.rejections["row"].tolist(), judged.rejections["reason"].tolist(), strict=True))
    return {row: (why.get(row), key) for row, key in zip(fixed["row"].tolist(), fixed["key"].tolist(), strict=True)}


def columns_of(work: Work, page: Page) -> Sequence[Mapping[str, Any]]:
    """A page's rows as the portal gave them, without their shapes."""
    return _read(work, page).attributes


def validate_part(work: Work, part: int, numbers: Sequence[int], listed: bool) -> PartJudged:
    """Normalized parts to one part of the validated table. `listed`: whole keys stand together, see judge.judge."""
    normalized = work.table(NORMALIZED)
    frames = [normalized.read(work.objects, number) for number in numbers]
    return _judge(work, part, pd.concat(frames, ignore_index=True), {}, listed=listed)


def _read(work: Work, page: Page) -> Rows:
    body, feed = harvests.read_page(work.objects, work.harvest, page), work.feed
    rows = pages.READERS[work.harvest.form](body, work.harvest.layer)
    return respelled(rows, [name for name in (feed.key, *feed.fields.values()) if name])


def _judge(work: Work, part: int, rows: pd.DataFrame, read: Mapping[str, Rows], *, listed: bool) -> PartJudged:
    """`read`: the pages that are in memory, by name."""
    judged = judge.judge(rows, jurisdiction=work.jurisdiction, feed=work.feed, listed=listed)
    work.table(VALIDATED).write(work.objects, part, judged.table, work.jurisdiction.target_crs)
    counts = Counts(
        fetched=len(rows),
        accepted=judged.accepted,
        repaired=judged.repaired,
        rejected=len(judged.rejections),
        dissolved=judged.accepted - len(judged.table),
    )
    sketch = picture.sketch(judged.table, rows, judged.rejections)
    held = judged.rejections.assign(raw=pd.Series(_raws(work, judged.rejections, read), dtype=object))
    seen = survey.surveyed(judged.table, work.feed.name, counts, held["reason"])
    return PartJudged(counts, judged.table["content_hash"].tolist(), held, sketch, seen)


def _raws(work: Work, rejections: pd.DataFrame, read: Mapping[str, Rows]) -> list[str]:
    """The raw row of each rejection as JSON, read from the page it stood on."""
    raws = [""] * len(rejections)
    by_name = {page.name: page for page in work.harvest.pages}
    for name in rejections["page"].unique().tolist():
        places = np.flatnonzero(rejections["page"] == name).tolist()
        rows = read[name] if name in read else _read(work, by_name[name])
        found = pages.raw_rows(rows, rejections["row"].iloc[places].tolist())
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
