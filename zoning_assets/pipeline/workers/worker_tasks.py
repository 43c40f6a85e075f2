"""What the worker processes do with a tile, or with a whole map: rows are fixed, parts are validated; and publishing,
which has a thread, as it waits for PostgreSQL most of the time.

Only names and counts cross the border between processes, never a shape.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import shapely

from zoning_assets.harvest import Page
from zoning_assets.model import NORMALIZED, PARCELS, VALIDATED, Counts
from zoning_assets.pipeline.workers.work_item import Work, body_of, normalized, read
from zoning_assets.storage.object_store.geoparquet_tables import StageTable
from zoning_assets.storage.postgis import publish
from zoning_assets.storage.postgis.records import release_profiles
from zoning_assets.transform import validate
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.geometry import content_hash, crs, preview_image
from zoning_assets.transform.quality import release_profile

#: What is kept of a row that is held back: why, and all of it as the portal gave it (JSON).
HELD_COLUMNS = (*validate.REJECTION_COLUMNS, "raw")
NONE_HELD = pd.DataFrame({name: [] for name in HELD_COLUMNS}, dtype=object).astype({"row": "int64"})


# A tile's normalized table


def fix_rows(work: Work, base: StageTable) -> None:
    """The normalized table of a tile with a person's fixes, made of the one without (`base`)."""
    summary, table = base.summary(work.objects), work.table(NORMALIZED)
    fixed = pd.concat([_fixed(work, page) for page in work.harvest.pages if page.name in work.fixes])
    for part in summary["numbers"]:
        rows = base.read(work.objects, part)
        at = rows.set_index(["page", "row"]).index
        mine = fixed[fixed.set_index(["page", "row"]).index.isin(at)]
        kept = rows[~at.isin(mine.set_index(["page", "row"]).index)]
        table.write(work.objects, part, pd.concat([kept, mine], ignore_index=True), work.jurisdiction.target_crs)
    table.commit(work.objects, int(summary["parts"]), summary)


def _fixed(work: Work, page: Page) -> pd.DataFrame:
    """The rows of a page that a person fixed, normalized."""
    frame = normalized(work, page, read(work, page))
    return frame[frame["row"].isin(list(work.fixes[page.name]))]


def try_fixes(work: Work, page: Page) -> dict[int, tuple[str | None, str | None]]:
    """What would become of the rows of a page that the work has fixes for: why each would be rejected, and its key."""
    fixed = _fixed(work, page).reset_index(drop=True)
    judged = validate.judge(fixed, jurisdiction=work.jurisdiction, feed=work.feed)
    why = dict(zip(judged.rejections["row"].tolist(), judged.rejections["reason"].tolist(), strict=True))
    return {row: (why.get(row), key) for row, key in zip(fixed["row"].tolist(), fixed["key"].tolist(), strict=True)}


def columns_of(work: Work, page: Page) -> Sequence[Mapping[str, Any]]:
    """A page's rows as the portal gave them, without their shapes."""
    return read(work, page).attributes


# A part of a tile


@dataclass(frozen=True)
class PartJudged:
    """What came of one part: counts, hashes, rejections (few), and a sketch for the picture."""

    counts: Counts
    hashes: list[str]
    rejections: pd.DataFrame  # HELD_COLUMNS
    sketch: preview_image.Sketch
    survey: release_profile.ReleaseProfile


def validate_part(work: Work, part: int, numbers: Sequence[int], together: bool) -> PartJudged:
    """Normalized parts to one part of the validated table. `together`: all rows of a key stand in them."""
    normalized = work.table(NORMALIZED)
    frames = [normalized.read(work.objects, number) for number in numbers]
    rows = pd.concat(frames, ignore_index=True)
    judged = validate.judge(rows, jurisdiction=work.jurisdiction, feed=work.feed, listed=together)
    work.table(VALIDATED).write(work.objects, part, judged.table, work.jurisdiction.target_crs)
    counts = Counts(
        fetched=len(rows),
        accepted=judged.accepted,
        repaired=judged.repaired,
        rejected=len(judged.rejections),
        dissolved=judged.accepted - len(judged.table),
    )
    sketch = preview_image.sketch(judged.table, rows, judged.rejections)
    held = judged.rejections.assign(raw=pd.Series(_raws(work, judged.rejections), dtype=object))
    seen = release_profile.profile_rows(judged.table, work.feed.name, counts, held["reason"])
    return PartJudged(counts, judged.table["content_hash"].tolist(), held, sketch, seen)


def _raws(work: Work, rejections: pd.DataFrame) -> list[str]:
    """The raw row of each rejection as JSON, read from the page it stood on."""
    raws = [""] * len(rejections)
    by_name = {page.name: page for page in work.harvest.pages}
    for name in rejections["page"].unique().tolist():
        places = np.flatnonzero(rejections["page"] == name).tolist()
        body, rows = body_of(work, by_name[name]), rejections["row"].iloc[places].tolist()
        found = page_readers.raw_rows_at(work.harvest.form, body, work.harvest.layer, rows)
        for place, raw in zip(places, found, strict=True):
            raws[place] = content_hash.dumps(raw)
    return raws


def publish_place(work: Work, url: str, undone: int) -> publish.PublishResult:
    """The validated table into PostGIS, in one transaction; if it was not rolled back since (`undone`)."""
    table = work.table(VALIDATED)
    rejections = held(table.rejections(work.objects))
    return publish.publish(url, work.edition, table.parts(work.objects), rejections, undone)


def compare_place(work: Work, url: str) -> release_profile.ReleaseProfile:
    """The validated table beside what stands published; only rows that differ are looked at."""
    found = release_profile.ReleaseProfile()
    if work.feed.name == PARCELS:
        for part in work.table(VALIDATED).parts(work.objects):
            found += _compared(work, url, part)
    return found


def _compared(work: Work, url: str, part: pa.Table) -> release_profile.ReleaseProfile:
    keys, hashes = (part.column(name).to_pylist() for name in ("key", "content_hash"))
    kept, old = release_profiles.differing(url, work.jurisdiction.id, keys, hashes)
    position = {key: row for row, key in enumerate(keys)}
    now = part.take(pa.array([position[key] for key in old["key"]], pa.int64()))
    new = pd.DataFrame(
        {name: now.column(name).to_pylist() for name in (*release_profile.COMPARED, "content_hash")}, dtype=object
    )
    shapes = np.full(len(old), None, dtype=object)
    there = np.flatnonzero(old["geometry"].notna().to_numpy())
    shapes[there] = shapely.from_wkb(now.column("geometry").take(pa.array(there)).to_pylist())
    frame = crs.metric_frame(work.jurisdiction.bounds)
    target = work.jurisdiction.target_crs
    return release_profile.compare_with_published(
        old, new.assign(geometry=pd.Series(shapes, dtype=object)), kept, target, frame
    )


def held(rejections: pd.DataFrame) -> Iterator[publish.Rejection]:
    """Rejections as publishing wants them, page by page."""
    ordered = rejections.sort_values(["page", "row"])
    for reason, detail, raw in zip(ordered["reason"], ordered["detail"], ordered["raw"], strict=True):
        yield publish.Rejection(reason, None if pd.isna(detail) else detail, orjson.loads(raw))
