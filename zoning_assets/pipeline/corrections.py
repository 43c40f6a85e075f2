"""Apply what people decided about rejected rows: a row is fixed, or known. No requests are sent to portals.

A fix applies as long as the portal sends exactly the same row and the row would be rejected without the fix, in
whatever page or tile the row is. The fixed row is validated like all rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pandas as pd

from zoning_assets.errors import Defect, FixRefused, SettingInvalid, TooManyRejections, ZoningError
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.model import VALIDATED, Counts, Jurisdiction, Place
from zoning_assets.pipeline.holds import hosts_of
from zoning_assets.pipeline.known_layer import newest_cover
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.pipeline.workers.worker_tasks import page_attributes, try_fixes
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import correction_records
from zoning_assets.storage.postgis.records.correction_records import Rejected, RowDecision
from zoning_assets.transform.geometry.validity import NO_GEOMETRY
from zoning_assets.transform.normalize import COLUMNS
from zoning_assets.transform.row_corrections import Fix

#: A place with more than this share of rejected rows is not published, if it has at least so many rows: then the cause
#: is the feed or the settings, not single rows.
_MAX_REJECTED, _ENOUGH_ROWS = 0.5, 20


def make_work_item(objects: Objects, jurisdiction: Jurisdiction, cover: Cover, harvest: Harvest) -> WorkItem:
    """The work item of a harvest, without fixes."""
    hosts = tuple(sorted(hosts_of(jurisdiction, harvest.feed)))
    feed = jurisdiction.feeds[harvest.feed]
    join = str(cover.join.get("table", "")) if feed.join else ""
    tiles = tuple(cover.tiles)
    return WorkItem(objects, jurisdiction, feed, harvest, tiles, cover.repeated, cover.harvest, hosts, join=join)


def with_fixes(database: str, item: WorkItem, rejections: pd.DataFrame) -> WorkItem:
    """The work item with the fixes that people gave for its rejected rows.

    A fix is not applied if another row of the place has its key. Exception: the key is a repeated one that the fix does
    not set; then the policy for repeated keys decides.
    """
    found = correction_records.fixes_of(database, item.place.jurisdiction, item.feed.name, rejections["raw"].tolist())
    if not found:
        return item
    keys = used_keys(item)
    by_page: dict[str, dict[int, Fix]] = {}
    for number, (fix, key) in sorted(found.items()):
        page, row = rejections["page"].iloc[number], int(rejections["row"].iloc[number])
        together = key in item.repeated and item.feed.key not in fix.columns
        if together or key not in keys:
            by_page.setdefault(page, {})[row] = fix
    return replace(item, fixes=by_page)


def used_keys(item: WorkItem) -> set[str | None]:
    """The keys that other rows of this place have, so that no fix may set them."""
    parts = item.table(VALIDATED).parts(item.objects)
    return {*item.repeated, *(key for part in parts for key in part["key"].to_pylist())}


def check_rejections(
    place: Place, counts: Counts, rejections: pd.DataFrame, known_among: Callable[[Sequence[str]], int]
) -> None:
    """Check that fetched = accepted + rejected, and that not too many rows are rejected.

    In a tile, rows without a geometry do not count: those of the whole layer are assigned to one tile. If a layer loses
    its geometries, feed_baselines.check_row_count finds it by the number of rows with a location. Known rows do not
    count either.

    Args:
        place: for messages; a tile or a jurisdiction.
        counts: of its rows.
        rejections: with the columns `reason` and `raw`.
        known_among: returns how many of some raw rows a person marked as known.

    Raises:
        Defect: the counts do not add up.
        TooManyRejections: publishing the other rows would retire published ones.
    """
    if counts.fetched != counts.accepted + counts.rejected:
        raise Defect(
            f"{counts.fetched} fetched, {counts.accepted} accepted, {counts.rejected} rejected: this does not add up",
            where=str(place),
            do="report this; nothing was published",
        )
    placed = rejections[rejections["reason"] != NO_GEOMETRY] if place.tile else rejections
    rejected, of = len(placed), counts.fetched - (len(rejections) - len(placed))
    if of < _ENOUGH_ROWS or rejected <= _MAX_REJECTED * of:
        return
    known = known_among(placed["raw"].tolist())
    if rejected - known > _MAX_REJECTED * (of - known):
        raise TooManyRejections(
            f"{rejected} of {of} rows were rejected",
            where=str(place),
            do=f"look at `zoning rejections {place.jurisdiction}`, then fix the file or `zoning fix` them",
        )


@dataclass(frozen=True)
class FixRequest:
    """A fix as a person states it.

    Attributes:
        columns: new value by column, with the portal's or our column names; `@NAME`: the value of another column.
        shape: the new geometry, WKB in EPSG:4326, longitude first; None: unchanged.
    """

    columns: Mapping[str, str]
    shape: bytes | None = None


def fix(  # noqa: PLR0913 - where, which rows, what, who and why
    url: str,
    objects: Objects,
    jurisdiction: Jurisdiction,
    rows: Sequence[Rejected],
    request: FixRequest | None,
    *,
    actor: str,
    reason: str,
) -> dict[str, ZoningError]:
    """Store fixes for rejected rows, or (`request` None) that the rows are known. Each fixed row is validated first.

    Returns:
        The error of each row whose fix was not stored, by row id.

    Raises:
        SettingInvalid: the rows have no such column.
        HarvestMissing: the harvest was not validated under the current rules.
    """
    decisions = [RowDecision(row, None) for row in rows]
    refused: dict[str, ZoningError] = {}
    if request is not None:
        decisions = list(_validated_fixes(url, objects, jurisdiction, rows, request, refused))
    for late in correction_records.store(url, decisions, actor, reason):
        do = f"`zoning fix {late.row.row_id} --withdraw --reason ...` first, or use another key"
        what = "it has a decision already, or another fix has its key"
        refused[late.row.row_id] = _refused(late.row, what, do)
    return refused


def _refused(row: Rejected, what: str, do: str = "change the fix") -> FixRefused:
    return FixRefused(what, where=f"{row.place} row {row.row_id}", do=do)


def _validated_fixes(  # noqa: PLR0913 - as fix, and a dict for the errors
    url: str,
    objects: Objects,
    jurisdiction: Jurisdiction,
    rows: Sequence[Rejected],
    request: FixRequest,
    refused: dict[str, ZoningError],
) -> Iterator[RowDecision]:
    """The fixes of rows that validation accepts with them, place by place."""
    by_place = sorted(rows, key=lambda row: (row.feed, row.tile or ""))
    for (feed, _), group in groupby(by_place, key=lambda row: (row.feed, row.tile)):
        here = list(group)
        cover = newest_cover(objects, jurisdiction, feed)
        item = make_work_item(objects, jurisdiction, cover, raw_harvests.latest(objects, here[0].place, feed))
        by_page = _located(url, item, here, refused)
        for page in item.harvest.pages:
            if rows_of_page := by_page.get(page.name):
                yield from _validated_fixes_of_page(url, item, page, rows_of_page, request, refused)


def _located(
    url: str, item: WorkItem, rows: Sequence[Rejected], refused: dict[str, ZoningError]
) -> dict[str, dict[int, Rejected]]:
    """Find rejected rows in the harvest, without fixes: page name -> index of the row -> row."""
    rejections = item.table(VALIDATED).rejections(item.objects)
    numbers: dict[str, list[int]] = {}
    ids = correction_records.row_ids(url, item.place.jurisdiction, item.feed.name, rejections["raw"].tolist())
    for number, row_id in enumerate(ids):
        numbers.setdefault(row_id, []).append(number)
    found: dict[str, dict[int, Rejected]] = {}
    for row in rows:
        same = numbers.get(row.row_id, [])
        if len(same) == 1:
            page, at = rejections["page"].iloc[same[0]], int(rejections["row"].iloc[same[0]])
            found.setdefault(page, {})[at] = row
        else:
            what = "several rows are exactly the same" if same else "the newest harvest does not have it"
            do = "mark them as --known, or run `zoning replay` and list the rejections again"
            refused[row.row_id] = _refused(row, what, do)
    return found


def _validated_fixes_of_page(  # noqa: PLR0913 - as above, for one page
    url: str,
    item: WorkItem,
    page: Page,
    rows: Mapping[int, Rejected],
    request: FixRequest,
    refused: dict[str, ZoningError],
) -> Iterator[RowDecision]:
    """The fixes of a page's rows that validation accepts with them, if no other row has their key."""
    now = page_attributes(item, page)
    fixes = {at: Fix(row.row_id, _columns(item, now[at], request, row), request.shape) for at, row in rows.items()}
    results = try_fixes(replace(item, fixes={page.name: fixes}), page)
    keys = [key for _, key in results.values() if key]
    others = used_keys(item) | correction_records.keys_in_use(url, item.place.jurisdiction, item.feed.name, keys)
    for at, (reason, key) in results.items():
        together = key in item.repeated and item.feed.key not in fixes[at].columns
        if reason:
            refused[rows[at].row_id] = _refused(rows[at], f"it would still be rejected: {reason}")
        elif key and key in others and not together:
            do = "give it a key of its own, or mark it as --known"
            refused[rows[at].row_id] = _refused(rows[at], f"another row has the key {key!r}", do)
        else:
            yield RowDecision(rows[at], fixes[at], key)


def _columns(item: WorkItem, now: Mapping[str, object], request: FixRequest, row: Rejected) -> dict[str, str | None]:
    """The new values by the portal's column names. Our column names are translated by the jurisdiction file, unless the
    portal has a column of that name."""
    feed = item.feed
    ours = {"key": feed.key, **{name: feed.fields.get(name) for name in COLUMNS[feed.name]}}
    known = {*now, *filter(None, ours.values())}

    def portal_name(name: str) -> str:
        found = name if name in known else ours.get(name)
        if found is None:
            raise SettingInvalid(
                f"the portal has no column {name!r}",
                where=f"{row.place} {row.feed}",
                do=f"choose one of: {_names(known)}",
            )
        return found

    columns: dict[str, str | None] = {}
    for name, value in request.columns.items():
        new = now.get(portal_name(value[1:])) if value.startswith("@") else value
        columns[portal_name(name)] = None if new is None or new == "" else str(new)
    return columns


def _names(known: set[str]) -> str:
    return ", ".join(sorted(known))[:500]
