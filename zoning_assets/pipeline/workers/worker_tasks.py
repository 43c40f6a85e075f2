"""The tasks for a tile or a zoning map: apply fixes, validate parts, compare with what is published, publish.

They run in worker processes, except publishing: it runs in a thread, as it waits for PostgreSQL most of the time. Only
names, counts and small tables are sent between processes, never geometries.
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
from zoning_assets.pipeline.workers import join_rows
from zoning_assets.pipeline.workers.work_item import WorkItem, decode_rows, normalize_rows, page_bytes
from zoning_assets.storage.object_store.geoparquet_tables import StageTable
from zoning_assets.storage.postgis import publish
from zoning_assets.storage.postgis.records import release_profiles
from zoning_assets.transform import validate
from zoning_assets.transform.decode import page_readers
from zoning_assets.transform.geometry import content_hash, crs, preview_image
from zoning_assets.transform.quality import release_profile

#: The columns of stored rejections: those of validation, and the raw row as JSON.
RAW_REJECTION_COLUMNS = (*validate.REJECTION_COLUMNS, "raw")
NO_REJECTIONS = pd.DataFrame({name: [] for name in RAW_REJECTION_COLUMNS}, dtype=object).astype({"row": "int64"})


# The normalized table of a place


def fix_rows(item: WorkItem, base: StageTable) -> None:
    """Write the normalized table with the fixes of the work item. `base`: the normalized table without fixes."""
    summary, table = base.summary(item.objects), item.table(NORMALIZED)
    fixed = pd.concat([_fixed_rows(item, page) for page in item.harvest.pages if page.name in item.fixes])
    for part in summary["numbers"]:
        rows = base.read(item.objects, part)
        at = rows.set_index(["page", "row"]).index
        mine = fixed[fixed.set_index(["page", "row"]).index.isin(at)]
        kept = rows[~at.isin(mine.set_index(["page", "row"]).index)]
        table.write(item.objects, part, pd.concat([kept, mine], ignore_index=True), item.jurisdiction.target_crs)
    table.commit(item.objects, int(summary["parts"]), summary)


def _fixed_rows(item: WorkItem, page: Page) -> pd.DataFrame:
    """The rows of a page that have a fix, normalized."""
    frame = normalize_rows(item, page, decode_rows(item, page))
    return join_rows.with_joined_frame(item, frame[frame["row"].isin(list(item.fixes[page.name]))])


def try_fixes(item: WorkItem, page: Page) -> dict[int, tuple[str | None, str | None]]:
    """Validate the rows of a page that have a fix: index of the row -> (reason of its rejection or None, key)."""
    fixed = _fixed_rows(item, page).reset_index(drop=True)
    judged = validate.validate_rows(fixed, jurisdiction=item.jurisdiction, feed=item.feed)
    why = dict(zip(judged.rejections["row"].tolist(), judged.rejections["reason"].tolist(), strict=True))
    return {row: (why.get(row), key) for row, key in zip(fixed["row"].tolist(), fixed["key"].tolist(), strict=True)}


def page_attributes(item: WorkItem, page: Page) -> Sequence[Mapping[str, Any]]:
    """The attributes of a page's rows as the portal sent them, without geometries."""
    return decode_rows(item, page).attributes


# A part of the validated table


@dataclass(frozen=True)
class ValidatedPart:
    """The result of one part of a validated table.

    Attributes:
        counts: of its rows.
        hashes: the content hashes of its accepted rows.
        rejections: RAW_REJECTION_COLUMNS.
        sketch: its part of the preview image.
        profile: its release profile.
    """

    counts: Counts
    hashes: list[str]
    rejections: pd.DataFrame
    sketch: preview_image.Sketch
    profile: release_profile.ReleaseProfile


def validate_part(item: WorkItem, part: int, numbers: Sequence[int], together: bool) -> ValidatedPart:
    """Validate normalized rows and write them as one part of the validated table.

    Args:
        item: the work item.
        part: the number of the part to write.
        numbers: the numbers of the normalized parts to read.
        together: whether these have all rows of each of their keys.
    """
    normalized = item.table(NORMALIZED)
    frames = [normalized.read(item.objects, number) for number in numbers]
    rows = pd.concat(frames, ignore_index=True)
    judged = validate.validate_rows(rows, jurisdiction=item.jurisdiction, feed=item.feed, listed=together)
    item.table(VALIDATED).write(item.objects, part, judged.table, item.jurisdiction.target_crs)
    counts = Counts(
        fetched=len(rows),
        accepted=judged.accepted,
        repaired=judged.repaired,
        rejected=len(judged.rejections),
        dissolved=judged.accepted - len(judged.table),
    )
    sketch = preview_image.sketch(judged.table, rows, judged.rejections)
    rejections = judged.rejections.assign(raw=pd.Series(_raws(item, judged.rejections), dtype=object))
    profile = release_profile.profile_rows(judged.table, item.feed.name, counts, rejections["reason"])
    return ValidatedPart(counts, judged.table["content_hash"].tolist(), rejections, sketch, profile)


def _raws(item: WorkItem, rejections: pd.DataFrame) -> list[str]:
    """The raw row of each rejection as JSON, read from its page."""
    raws = [""] * len(rejections)
    by_name = {page.name: page for page in item.harvest.pages}
    for name in rejections["page"].unique().tolist():
        positions = np.flatnonzero(rejections["page"] == name).tolist()
        body, rows = page_bytes(item, by_name[name]), rejections["row"].iloc[positions].tolist()
        found = page_readers.raw_rows_at(item.harvest.form, body, item.harvest.layer, rows)
        for position, raw in zip(positions, found, strict=True):
            raws[position] = content_hash.dumps(raw)
    return raws


def publish_place(item: WorkItem, url: str, newest_rollback: int) -> publish.PublishResult:
    """Write the validated table to PostGIS in one transaction.

    Args:
        item: the work item.
        url: of the database.
        newest_rollback: of the feed when the run began; nothing is published after a later one.

    Raises:
        UndoneMeanwhile: there is a later rollback.
    """
    table = item.table(VALIDATED)
    rejections = rejection_rows(table.rejections(item.objects))
    return publish.publish(url, item.edition, table.parts(item.objects), rejections, newest_rollback)


def compare_place(item: WorkItem, url: str) -> release_profile.ReleaseProfile:
    """Compare the validated table with what is published. Only rows that differ are read."""
    profile = release_profile.ReleaseProfile()
    if item.feed.name == PARCELS:
        for part in item.table(VALIDATED).parts(item.objects):
            profile += _compare_part(item, url, part)
    return profile


def _compare_part(item: WorkItem, url: str, part: pa.Table) -> release_profile.ReleaseProfile:
    keys, hashes = (part.column(name).to_pylist() for name in ("key", "content_hash"))
    kept, old = release_profiles.differing(url, item.jurisdiction.id, keys, hashes)
    position = {key: row for row, key in enumerate(keys)}
    now = part.take(pa.array([position[key] for key in old["key"]], pa.int64()))
    new = pd.DataFrame(
        {name: now.column(name).to_pylist() for name in (*release_profile.COMPARED, "content_hash")}, dtype=object
    )
    shapes = np.full(len(old), None, dtype=object)
    there = np.flatnonzero(old["geometry"].notna().to_numpy())
    shapes[there] = shapely.from_wkb(now.column("geometry").take(pa.array(there)).to_pylist())
    frame = crs.metric_frame(item.jurisdiction.bounds)
    target = item.jurisdiction.target_crs
    return release_profile.compare_with_published(
        old, new.assign(geometry=pd.Series(shapes, dtype=object)), kept, target, frame
    )


def rejection_rows(rejections: pd.DataFrame) -> Iterator[publish.Rejection]:
    """The rows of the table `rejection`, sorted by page and row."""
    ordered = rejections.sort_values(["page", "row"])
    for reason, detail, raw in zip(ordered["reason"], ordered["detail"], ordered["raw"], strict=True):
        yield publish.Rejection(reason, None if pd.isna(detail) else detail, orjson.loads(raw))
