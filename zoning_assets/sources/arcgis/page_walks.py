"""Ways through an ArcGIS layer: each gives pages, none proves that they are all rows (arcgis_source.py does).

    offset   pages in the order of the object ids; the offset advances by the rows received
    ranges   WHERE id BETWEEN, over the ids that the server lists, else over what its statistics say
    ids      lists of object ids, by POST
    area     boxes, quartered until each is known to be whole; for servers that neither count nor list ids

A question that a server cannot bear (a timeout, an error 500 over a large page) is asked again in smaller pieces.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, WHOLE_ROWS, Box, Ids, Page, Params, Service, in_box
from zoning_assets.sources.source import Draft

#: Ids in one request.
_IDS_A_REQUEST = 500
#: Of an id range at most this many parts may be empty, else asking for ranges costs too much.
_SPARSEST = 20
#: A box is quartered at most so often (a city's width down to centimetres).
_DEEPEST = 26
_MOST_BOXES = 50_000
#: Boxes in a row that the server could not give, however small they became: it is not their size.
_MOST_FAILED = 12
_TOO_MUCH = (PortalUnreachable, FeedRefused)


@dataclass(frozen=True)
class Way:
    """What is walked through, and what is known of it before.

    Attributes:
        service: asks.
        which: the rows meant: `where`, perhaps a geometry.
        ids: their ids, where the server lists them.
        count: how many they are, where the server counts.
        box: holds them all; for `area`, which leaves the geometry of `which` aside.
        draft: keeps the answers.
        fields: what is asked for of each row.
        size: rows asked for at a time.
    """

    service: Service
    which: Params
    ids: Ids | None
    count: int | None
    box: Box | None
    draft: Draft | None
    fields: Params
    size: int

    async def page(self, more: Params, *, few_tries: bool = False) -> Page:
        """A page of these rows."""
        return await self.service.page({**self.which, **self.fields, **more}, self.draft, few_tries=few_tries)

    @property
    def id(self) -> str:
        """The object id's column."""
        return self.service.about.id


Walk = Callable[[Way], AsyncIterator[Page]]


async def by_offset(way: Way) -> AsyncIterator[Page]:
    """Ordered pages, until as many rows came as are known to be there, or until a page is empty."""
    received, size, known = 0, way.size, None if way.ids is None else len(way.ids)
    while True:
        asked = {"orderByFields": f"{way.id} ASC", "resultRecordCount": str(size), "resultOffset": str(received)}
        try:
            page = await way.page(asked, few_tries=size > 1)
        except _TOO_MUCH as error:
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
        size = min(way.size, size * 2)


async def by_ranges(way: Way) -> AsyncIterator[Page]:
    """Ranges of ids; a range that comes short is asked again from where it ended.

    Raises:
        HarvestIncomplete: the server tells neither ids nor the range they lie in, or a range gives nothing.
    """
    if way.ids is None:
        async for page in _by_told_range(way):
            yield page
        return
    left, size = way.ids, way.size
    while len(left):
        try:
            page = await way.page(_between(way, int(left[0]), int(left[:size][-1])), few_tries=size > 1)
        except _TOO_MUCH as error:
            if size == 1 or is_final(error):
                raise
            size = max(1, size // 4)
            continue
        yield page
        left = _without(way, left, left[:size], page)
        size = min(way.size, size * 2)


async def _by_told_range(way: Way) -> AsyncIterator[Page]:
    """Ranges between the ids that the statistics call least and largest; they may lie, the count must prove it."""
    first, last = await _told_range(way)
    if way.count is None or (last - first + 1) > max(way.count, 1) * _SPARSEST:
        raise way.service.incomplete("its ids are too far apart, or not counted, to ask for ranges of them")
    spans = [(start, min(start + way.size - 1, last)) for start in range(first, last + 1, way.size)][::-1]
    while spans:
        start, stop = spans.pop()
        page = await way.page(_between(way, start, stop))
        if page.more and start < stop:
            middle = (start + stop) // 2
            spans += [(middle + 1, stop), (start, middle)]
        elif len(page):
            yield page


async def _told_range(way: Way) -> tuple[int, int]:
    wanted = [
        {"statisticType": kind, "onStatisticField": way.id, "outStatisticFieldName": f"{kind}_id"}
        for kind in ("min", "max")
    ]
    params = {**way.which, "outStatistics": orjson.dumps(wanted).decode(), "returnGeometry": "false"}
    value, _ = await way.service.query(params)
    try:
        [feature] = value["features"]
        # By value: some servers name the columns by the SQL expression (docs/explanation/portals.md, row 7).
        numbers = sorted(int(each) for each in feature["attributes"].values() if each is not None)
        return numbers[0], numbers[-1]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise way.service.incomplete("its statistics do not tell the range of its ids") from error


def _between(way: Way, first: int, last: int) -> dict[str, str]:
    also = "" if way.which["where"] == EVERY_ROW["where"] else f" AND {way.which['where']}"
    return {"where": f"{way.id} >= {first} AND {way.id} <= {last}{also}"}


async def by_ids(way: Way) -> AsyncIterator[Page]:
    """Lists of ids; a list that comes short is asked for the rest.

    Raises:
        HarvestIncomplete: the server does not list its ids, or gives nothing for some.
    """
    if way.ids is None:
        raise way.service.incomplete("the server does not list its ids")
    left, most = way.ids, min(_IDS_A_REQUEST, way.size)
    size = most
    while len(left):
        asked = left[:size]
        try:
            page = await way.page({"objectIds": ",".join(map(str, asked.tolist()))}, few_tries=size > 1)
        except _TOO_MUCH as error:
            if is_final(error):
                raise
            if size == 1:
                raise _poison(way, asked, error) from error
            size = max(1, size // 4)
            continue
        yield page
        left = _without(way, left, asked, page)
        size = min(most, size * 2)


def _poison(way: Way, asked: Ids, error: Exception) -> Exception:
    """The error of a row that the server cannot give, by its id."""
    if len(asked) > 1:
        return error
    return way.service.incomplete(
        f"the server cannot give the row {way.id} {asked[0]}: {getattr(error, 'what', error)}",
        "ask the portal's owner to mend this row",
    )


def _without(way: Way, left: Ids, asked: Ids, page: Page) -> Ids:
    """What is still to be asked for.

    Raises:
        HarvestIncomplete: nothing of what was asked for came, or something else did.
    """
    came = np.isin(asked, page.ids)
    if not came.any():
        raise way.service.incomplete(f"no row came for ids {asked[0]} to {asked[-1]}, which the server lists")
    strangers = np.setdiff1d(page.ids, asked)
    if len(strangers):
        raise way.service.incomplete(f"rows came that were not asked for, like {way.id} {strangers[0]}")
    return np.concatenate([asked[~came], left[len(asked) :]])


async def by_area(way: Way) -> AsyncIterator[Page]:
    """Boxes, quartered until each is whole: it holds as many rows as the server counts in it, or, where it does not
    count, exactly the rows of its four quarters. Rows on a border come with each of their boxes.

    Raises:
        HarvestIncomplete: more rows lie in one spot than the server gives.
    """
    if way.box is None:
        raise way.service.incomplete("there is no box to ask in")
    boxes: list[tuple[Box, int, Page | None]] = [(way.box, 0, None)]
    asked, failed, why = 0, 0, ""
    while boxes:
        box, depth, page = boxes.pop()
        page = page if page is not None else await _in(way, box)
        asked, failed = asked + 1, failed + 1 if page is None else 0
        why = f" ({way.service.refusal})" if page is None else why
        if depth > _DEEPEST or asked > _MOST_BOXES or failed > _MOST_FAILED:
            where = f"{box[0]:.6f}, {box[1]:.6f}"
            raise way.service.incomplete(f"more rows lie about {where} than the server gives at once{why}")
        quarters: list[tuple[Box, int, Page | None]] = [(each, depth + 1, None) for each in _quarters(box)]
        if page is not None and not page.more and len(page) < way.size:
            if way.count is not None:
                whole = await way.service.count({**way.which, **in_box(box)}) == len(page)
            else:
                quarters = [(each, depth + 1, await _in(way, each)) for each in _quarters(box)]
                whole = _same(page, [each for _, _, each in quarters])
            if whole:
                yield page
                continue
        boxes += quarters


async def _in(way: Way, box: Box) -> Page | None:
    """The rows of a box; None where they are too many for the server to give."""
    try:
        return await way.page(in_box(box), few_tries=True)
    except PortalUnreachable as error:
        way.service.refusal = error.what
        return None


def _same(page: Page, quarters: Iterable[Page | None]) -> bool:
    known = [quarter.ids for quarter in quarters if quarter is not None and not quarter.more]
    return len(known) == 4 and set(np.concatenate(known).tolist()) == set(page.ids.tolist())


def _quarters(box: Box) -> Sequence[Box]:
    west, south, east, north = box
    x, y = (west + east) / 2, (south + north) / 2
    return (west, south, x, y), (x, south, east, y), (west, y, x, north), (x, y, east, north)


def is_final(error: Exception) -> bool:
    """Whether a smaller question would be in vain: the portal said no, or its host is left alone for a while."""
    return bool(getattr(error, "final", False) or getattr(error, "wait_s", None))


#: In order of preference.
WALKS: Mapping[str, Walk] = {"offset": by_offset, "ranges": by_ranges, "ids": by_ids, "area": by_area}


def way(service: Service, which: Params, **known: Any) -> Way:
    """A way through the rows meant by `which`; see Way for what may be known."""
    defaults: dict[str, Any] = {"ids": None, "count": None, "box": None, "draft": None, "fields": WHOLE_ROWS}
    return Way(service, which, **{**defaults, "size": service.page_size(), **known})


async def checked(way_: Way, walk: Walk) -> AsyncIterator[Page]:
    """The pages of a walk on which no row comes twice.

    Raises:
        HarvestIncomplete: one did, or more came than there are.
    """
    seen: set[int] = set()
    before: Ids | None = None
    most = None if way_.ids is None else len(way_.ids)
    async for page in walk(way_):
        fresh = set(page.ids.tolist()) - seen
        if len(fresh) < len(page):
            again = before is not None and np.array_equal(before, page.ids)
            what = "the same page came again: the server ignores the offset" if again else "rows came twice"
            raise HarvestIncomplete(
                f"{what} ({len(page) - len(fresh)} of {len(page)})", where=way_.service.request.where, do="run again"
            )
        seen |= fresh
        before = page.ids
        if most is not None and len(seen) > most:
            raise way_.service.incomplete(f"more rows came than the server lists: {len(seen)} of {most}")
        yield page
