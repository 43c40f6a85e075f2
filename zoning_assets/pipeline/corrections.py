"""What a person says of rows that were held back: they are fixed, or known. Nothing here asks a portal.

A fix applies to a row that would be rejected without it, wherever it stands, while the portal sends the very same row;
the fixed row goes the way of all rows and is judged as they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pandas as pd

from zoning_assets.errors import Defect, FixRefused, SettingInvalid, TooManyRejections, ZoningError
from zoning_assets.harvest import Cover, Harvest, Page
from zoning_assets.model import VALIDATED, Counts, Jurisdiction, Place
from zoning_assets.pipeline.holds import hosts_of
from zoning_assets.pipeline.known_layer import known_cover
from zoning_assets.pipeline.workers.work_item import Work
from zoning_assets.pipeline.workers.worker_tasks import columns_of, try_fixes
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import correction_records
from zoning_assets.storage.postgis.records.correction_records import Rejected, RowDecision
from zoning_assets.transform.geometry.validity import NO_GEOMETRY
from zoning_assets.transform.normalize import COLUMNS
from zoning_assets.transform.row_corrections import Fix

#: More than this share rejected, and it is not the rows that are wrong (where there are rows enough to tell).
_MOST_REJECTED, _ENOUGH_ROWS = 0.5, 20


def work_of(objects: Objects, jurisdiction: Jurisdiction, cover: Cover, harvest: Harvest) -> Work:
    """A harvest, and everything that decides what becomes of it but a person's fixes."""
    hosts = tuple(sorted(hosts_of(jurisdiction, harvest.feed)))
    feed = jurisdiction.feeds[harvest.feed]
    return Work(objects, jurisdiction, feed, harvest, tuple(cover.tiles), cover.repeated, cover.harvest, hosts)


def fixed_by(database: str, work: Work, rejections: pd.DataFrame) -> Work:
    """The work with the fixes that people gave to rows which would be rejected without.

    A fix gives way where another row of the place has its key: of those that stand together by their key the policy for
    repeated keys takes care.
    """
    found = correction_records.fixes_of(database, work.place.jurisdiction, work.feed.name, rejections["raw"].tolist())
    if not found:
        return work
    keys = taken(work)
    by_page: dict[str, dict[int, Fix]] = {}
    for number, (fix, key) in sorted(found.items()):
        page, row = rejections["page"].iloc[number], int(rejections["row"].iloc[number])
        together = key in work.repeated and work.feed.key not in fix.columns
        if together or key not in keys:
            by_page.setdefault(page, {})[row] = fix
    return replace(work, fixes=by_page)


def taken(work: Work) -> set[str | None]:
    """The keys that no fix may give to a row of this place."""
    parts = work.table(VALIDATED).parts(work.objects)
    return {*work.repeated, *(key for part in parts for key in part["key"].to_pylist())}


def check(place: Place, counts: Counts, rejections: pd.DataFrame, known_among: Callable[[Sequence[str]], int]) -> None:
    """Fetched = accepted + rejected, and not too many rejected.

    Rows without a shape say nothing of the tile that they are kept at: all of a layer are kept at one. That a layer
    lost its shapes is seen by the number of rows that have a place (baselines.guard). What a person knows of does not
    count either.

    Raises:
        TooManyRejections: publishing the rest would retire what stands.
    """
    if counts.fetched != counts.accepted + counts.rejected:
        raise Defect(
            f"{counts.fetched} fetched, {counts.accepted} accepted, {counts.rejected} rejected: this does not add up",
            where=str(place),
            do="report this; nothing was published",
        )
    placed = rejections[rejections["reason"] != NO_GEOMETRY] if place.tile else rejections
    rejected, of = len(placed), counts.fetched - (len(rejections) - len(placed))
    if of < _ENOUGH_ROWS or rejected <= _MOST_REJECTED * of:
        return
    known = known_among(placed["raw"].tolist())
    if rejected - known > _MOST_REJECTED * (of - known):
        raise TooManyRejections(
            f"{rejected} of {of} rows were rejected",
            where=str(place),
            do=f"look at `zoning rejections {place.jurisdiction}`, then fix the file or `zoning fix` them",
        )


@dataclass(frozen=True)
class Wish:
    """What a person wants to be other: the portal's columns (or ours), `@NAME` for the value of another, and the shape
    (WKB, EPSG:4326)."""

    columns: Mapping[str, str]
    shape: bytes | None = None


def fix(  # noqa: PLR0913 - where, which rows, what, who and why
    url: str,
    objects: Objects,
    jurisdiction: Jurisdiction,
    rows: Sequence[Rejected],
    wish: Wish | None,
    *,
    actor: str,
    reason: str,
) -> dict[str, ZoningError]:
    """Keep a person's word on rows (`wish` None: they are known); each fix is tried first, as the judge would have it.

    Returns:
        Why a word was not kept, by row.

    Raises:
        SettingInvalid: the rows have no such column.
        HarvestMissing: the harvest was not judged under today's rules.
    """
    words = [RowDecision(row, None) for row in rows]
    refused: dict[str, ZoningError] = {}
    if wish is not None:
        words = list(_tried(url, objects, jurisdiction, rows, wish, refused))
    for late in correction_records.store(url, words, actor, reason):
        do = f"`zoning fix {late.row.row_id} --withdraw --reason ...` first, or another key"
        refused[late.row.row_id] = _refused(late.row, "something is said of it, or its key is given to another", do)
    return refused


def _refused(row: Rejected, what: str, do: str = "fix it otherwise") -> FixRefused:
    return FixRefused(what, where=f"{row.place} row {row.row_id}", do=do)


def _tried(  # noqa: PLR0913 - as fix, and where to say what is refused
    url: str,
    objects: Objects,
    jurisdiction: Jurisdiction,
    rows: Sequence[Rejected],
    wish: Wish,
    refused: dict[str, ZoningError],
) -> Iterator[RowDecision]:
    """Those that the judge would take, place by place."""
    by_place = sorted(rows, key=lambda row: (row.feed, row.tile or ""))
    for (feed, _), group in groupby(by_place, key=lambda row: (row.feed, row.tile)):
        here = list(group)
        cover = known_cover(objects, jurisdiction, feed)
        work = work_of(objects, jurisdiction, cover, raw_harvests.latest(objects, here[0].place, feed))
        found = _standing(url, work, here, refused)
        for page in work.harvest.pages:
            if standing := found.get(page.name):
                yield from _tried_on(url, work, page, standing, wish, refused)


def _standing(
    url: str, work: Work, rows: Sequence[Rejected], refused: dict[str, ZoningError]
) -> dict[str, dict[int, Rejected]]:
    """Page -> index -> row: where the rows stand in the harvest, under its rules without fixes."""
    rejections = work.table(VALIDATED).rejections(work.objects)
    numbers: dict[str, list[int]] = {}
    ids = correction_records.row_ids(url, work.place.jurisdiction, work.feed.name, rejections["raw"].tolist())
    for number, row_id in enumerate(ids):
        numbers.setdefault(row_id, []).append(number)
    found: dict[str, dict[int, Rejected]] = {}
    for row in rows:
        stands = numbers.get(row.row_id, [])
        if len(stands) == 1:
            page, at = rejections["page"].iloc[stands[0]], int(rejections["row"].iloc[stands[0]])
            found.setdefault(page, {})[at] = row
        else:
            what = "several rows are the very same" if stands else "the newest harvest has it no more"
            do = "say that they are --known, or `zoning replay` and look again"
            refused[row.row_id] = _refused(row, what, do)
    return found


def _tried_on(  # noqa: PLR0913 - as above, for one page
    url: str,
    work: Work,
    page: Page,
    rows: Mapping[int, Rejected],
    wish: Wish,
    refused: dict[str, ZoningError],
) -> Iterator[RowDecision]:
    """A page's rows with their fixes, where the judge would accept them and no other row has their key."""
    said = columns_of(work, page)
    tried = {at: Fix(row.row_id, _columns(work, said[at], wish, row), wish.shape) for at, row in rows.items()}
    judged = try_fixes(replace(work, fixes={page.name: tried}), page)
    keys = [key for _, key in judged.values() if key]
    others = taken(work) | correction_records.keys_in_use(url, work.place.jurisdiction, work.feed.name, keys)
    for at, (reason, key) in judged.items():
        together = key in work.repeated and work.feed.key not in tried[at].columns
        if reason:
            refused[rows[at].row_id] = _refused(rows[at], f"it would still be rejected: {reason}")
        elif key and key in others and not together:
            do = "give it a key of its own, or say that it is --known"
            refused[rows[at].row_id] = _refused(rows[at], f"another row has the key {key!r}", do)
        else:
            yield RowDecision(rows[at], tried[at], key)


def _columns(work: Work, now: Mapping[str, object], wish: Wish, row: Rejected) -> dict[str, str | None]:
    """The wish in the portal's columns; ours are called as the jurisdiction file says, where the portal has none so."""
    feed = work.feed
    ours = {"key": feed.key, **{name: feed.fields.get(name) for name in COLUMNS[feed.name]}}
    known = {*now, *filter(None, ours.values())}

    def theirs(name: str) -> str:
        found = name if name in known else ours.get(name)
        if found is None:
            raise SettingInvalid(
                f"the portal has no column {name!r}", where=f"{row.place} {row.feed}", do=f"choose of: {_names(known)}"
            )
        return found

    columns: dict[str, str | None] = {}
    for name, value in wish.columns.items():
        said = now.get(theirs(value[1:])) if value.startswith("@") else value
        columns[theirs(name)] = None if said is None or said == "" else str(said)
    return columns


def _names(known: set[str]) -> str:
    return ", ".join(sorted(known))[:500]
