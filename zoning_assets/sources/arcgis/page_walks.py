"""Strategies to fetch the rows of an ArcGIS layer, and the checks of their pages.

The callers prove that the layer is complete; sources/completeness.py lists all checks.

    offset   pages in the order of the object ids; the offset advances by the rows received
    ranges   WHERE id BETWEEN, over the ids that the server lists, else over the range in its statistics
    ids      lists of object ids, by POST
    area     boxes, split into quarters until each is complete; for servers that neither count nor list ids

A query that fails because it is too large (a timeout, an error 500) is repeated in smaller parts.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import numpy as np
import orjson

from zoning_assets.errors import HarvestIncomplete, PortalUnreachable
from zoning_assets.sources.arcgis.query_client import (
    EVERY_ROW,
    Box,
    Ids,
    QueryPage,
    in_box,
)
from zoning_assets.sources.arcgis.walk_plan import TOO_LARGE, Walk, WalkPlan, is_final
from zoning_assets.sources.completeness import ids_not_received

#: Object ids in one request.
_IDS_A_REQUEST = 500
#: The most ids of a range per row; in a sparser range too many requests would return nothing.
_SPARSEST = 20
#: How often a box is split at most (from the width of a city to centimetres).
_DEEPEST = 26
_MOST_BOXES = 50_000
#: Consecutive boxes that may fail, however small; then their size is not the cause.
_MOST_FAILED = 12


async def by_offset(plan: WalkPlan) -> AsyncIterator[QueryPage]:
    """Fetch ordered pages, until all known rows came, or a page is empty."""
    received, size, known = 0, plan.size, None if plan.ids is None else len(plan.ids)
    while True:
        query = {"orderByFields": f"{plan.id} ASC", "resultRecordCount": str(size), "resultOffset": str(received)}
        try:
            page = await plan.page(query, few_tries=size > 1)
        except TOO_LARGE as error:
            if size == 1 or is_final(error):
                raise
            size = max(1, size // 4)
            continue
        if not len(page):
            return
        yield page
        received += len(page)
        if received == known and not page.more:
            return
        size = min(plan.size, size * 2)


async def by_ranges(plan: WalkPlan) -> AsyncIterator[QueryPage]:
    """Fetch ranges of ids. If a range returns only a part of its rows, the rest is requested.

    Raises:
        HarvestIncomplete: the server states neither ids nor their range, or a range returns nothing.
    """
    if plan.ids is None:
        async for page in _by_stated_range(plan):
            yield page
        return
    left, size = plan.ids, plan.size
    while len(left):
        try:
            page = await plan.page(_between(plan, int(left[0]), int(left[:size][-1])), few_tries=size > 1)
        except TOO_LARGE as error:
            if size == 1 or is_final(error):
                raise
            size = max(1, size // 4)
            continue
        yield page
        left = _left(plan, left, left[:size], page)
        size = min(plan.size, size * 2)


async def _by_stated_range(plan: WalkPlan) -> AsyncIterator[QueryPage]:
    """Fetch ranges between the least and the largest id of the statistics, which may be wrong; the count proves it."""
    first, last = await _stated_range(plan)
    if plan.count is None or (last - first + 1) > max(plan.count, 1) * _SPARSEST:
        raise plan.service.incomplete(
            "its ids are too sparse to be fetched in ranges, or the server does not count its rows"
        )
    spans = [(start, min(start + plan.size - 1, last)) for start in range(first, last + 1, plan.size)][::-1]
    while spans:
        start, stop = spans.pop()
        page = await plan.page(_between(plan, start, stop))
        if page.more and start < stop:
            middle = (start + stop) // 2
            spans += [(middle + 1, stop), (start, middle)]
        elif len(page):
            yield page


async def _stated_range(plan: WalkPlan) -> tuple[int, int]:
    wanted = [
        {"statisticType": kind, "onStatisticField": plan.id, "outStatisticFieldName": f"{kind}_id"}
        for kind in ("min", "max")
    ]
    params = {**plan.which, "outStatistics": orjson.dumps(wanted).decode(), "returnGeometry": "false"}
    value, _ = await plan.service.query(params)
    try:
        [feature] = value["features"]
        # By value: some servers name the columns by the SQL expression instead of outStatisticFieldName.
        numbers = sorted(int(each) for each in feature["attributes"].values() if each is not None)
        return numbers[0], numbers[-1]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise plan.service.incomplete("its statistics do not state the range of its ids") from error


def _between(plan: WalkPlan, first: int, last: int) -> dict[str, str]:
    also = "" if plan.which["where"] == EVERY_ROW["where"] else f" AND {plan.which['where']}"
    return {"where": f"{plan.id} >= {first} AND {plan.id} <= {last}{also}"}


async def by_ids(plan: WalkPlan) -> AsyncIterator[QueryPage]:
    """Fetch lists of ids. If a list returns only a part of its rows, the rest is requested.

    Raises:
        HarvestIncomplete: the server does not list its ids, or fails on a row.
    """
    if plan.ids is None:
        raise plan.service.incomplete("the server does not list its ids")
    left, most = plan.ids, min(_IDS_A_REQUEST, plan.size)
    size = most
    while len(left):
        wanted = left[:size]
        try:
            page = await plan.page({"objectIds": ",".join(map(str, wanted.tolist()))}, few_tries=size > 1)
        except TOO_LARGE as error:
            if is_final(error):
                raise
            if size == 1:
                raise _poison(plan, wanted, error) from error
            size = max(1, size // 4)
            continue
        yield page
        left = _left(plan, left, wanted, page)
        size = min(most, size * 2)


def _poison(plan: WalkPlan, wanted: Ids, error: Exception) -> Exception:
    """The error for a row that the server fails on, with its id."""
    if len(wanted) > 1:
        return error
    return plan.service.incomplete(
        f"the server fails on the row {plan.id} {wanted[0]}: {getattr(error, 'what', error)}",
        "ask the portal's owner to fix this row",
    )


def _left(plan: WalkPlan, left: Ids, wanted: Ids, page: QueryPage) -> Ids:
    """The ids that are still to be fetched after a page of the wanted ones."""
    missing = ids_not_received(wanted, page.ids, plan.service.request.where, plan.id)
    return np.concatenate([missing, left[len(wanted) :]])


async def by_area(plan: WalkPlan) -> AsyncIterator[QueryPage]:
    """Fetch boxes, split into quarters until each is complete: it returns as many rows as the server counts in it, or
    (if the server does not count) exactly the rows of its four quarters. Rows on a border come with each box.

    Raises:
        HarvestIncomplete: at one place there are more rows than the server returns.
    """
    if plan.box is None:
        raise plan.service.incomplete("the area of the layer is not known")
    boxes: list[tuple[Box, int, QueryPage | None]] = [(plan.box, 0, None)]
    requested, failed, why = 0, 0, ""
    while boxes:
        box, depth, page = boxes.pop()
        page = page if page is not None else await _in(plan, box)
        requested, failed = requested + 1, failed + 1 if page is None else 0
        why = f" ({plan.service.refusal})" if page is None else why
        if depth > _DEEPEST or requested > _MOST_BOXES or failed > _MOST_FAILED:
            where = f"{box[0]:.6f}, {box[1]:.6f}"
            raise plan.service.incomplete(
                f"there are more rows at about {where} than the server returns in one response{why}"
            )
        quarters: list[tuple[Box, int, QueryPage | None]] = [(each, depth + 1, None) for each in _quarters(box)]
        if page is not None and not page.more and len(page) < plan.size:
            if plan.count is not None:
                whole = await plan.service.count({**plan.which, **in_box(box)}) == len(page)
            else:
                quarters = [(each, depth + 1, await _in(plan, each)) for each in _quarters(box)]
                whole = _same(page, [each for _, _, each in quarters])
            if whole:
                yield page
                continue
        boxes += quarters


async def _in(plan: WalkPlan, box: Box) -> QueryPage | None:
    """Fetch the rows of a box; None: the server fails, because they are too many."""
    try:
        return await plan.page(in_box(box), few_tries=True)
    except PortalUnreachable as error:
        plan.service.refusal = error.what
        return None


def _same(page: QueryPage, quarters: Iterable[QueryPage | None]) -> bool:
    known = [quarter.ids for quarter in quarters if quarter is not None and not quarter.more]
    return len(known) == 4 and set(np.concatenate(known).tolist()) == set(page.ids.tolist())


def _quarters(box: Box) -> Sequence[Box]:
    west, south, east, north = box
    x, y = (west + east) / 2, (south + north) / 2
    return (west, south, x, y), (x, south, east, y), (west, y, x, north), (x, y, east, north)


#: The strategies, in order of preference.
WALKS: Mapping[str, Walk] = {"offset": by_offset, "ranges": by_ranges, "ids": by_ids, "area": by_area}


async def checked_pages(walk_plan: WalkPlan, walk: Walk) -> AsyncIterator[QueryPage]:
    """The pages of a walk; a row that comes twice raises an error.

    Raises:
        HarvestIncomplete: a row came twice, or more rows came than the server lists.
    """
    seen: set[int] = set()
    before: Ids | None = None
    most = None if walk_plan.ids is None else len(walk_plan.ids)
    async for page in walk(walk_plan):
        fresh = set(page.ids.tolist()) - seen
        if len(fresh) < len(page):
            again = before is not None and np.array_equal(before, page.ids)
            what = "a page repeats: the server ignores the offset" if again else "rows came twice"
            raise HarvestIncomplete(
                f"{what} ({len(page) - len(fresh)} of {len(page)})",
                where=walk_plan.service.request.where,
                do="run again",
            )
        seen |= fresh
        before = page.ids
        if most is not None and len(seen) > most:
            raise walk_plan.service.incomplete(f"more rows came than the server lists: {len(seen)} of {most}")
        yield page
