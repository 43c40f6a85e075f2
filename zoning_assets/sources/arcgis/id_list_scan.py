"""An ArcGIS layer that lists its object ids: its pages are ranges of that list, so that each page proves itself.

`update_since` gives the source of only the changed rows, which edit_tracking.py chooses.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from zoning_assets.errors import CrsRefused, FeedRefused, HarvestIncomplete, PortalUnreachable, ZoningError
from zoning_assets.harvest import Page
from zoning_assets.sources.arcgis import edit_tracking, full_scan
from zoning_assets.sources.arcgis.edit_tracking import EditedRows
from zoning_assets.sources.arcgis.page_walks import WALKS, checked_pages
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, WHOLE_ROWS, Ids, QueryClient, QueryPage
from zoning_assets.sources.arcgis.walk_plan import WalkPlan, is_final, plan
from zoning_assets.sources.completeness import prove
from zoning_assets.sources.source import Earlier, PageDraft, Update

#: Strategies for the list, in order of preference. With those of _BY_PARTS a page is a part of the list.
_BY_PARTS = ("ranges", "ids")
_WAYS = ("ranges", "offset", "ids")
#: Parts of the list that are fetched concurrently; the host's rate limit decides how many requests that are.
_AT_ONCE = 8


class IdListSource:
    """A layer with a reliable list of ids. See source.Source. `edited`: fetch only these rows."""

    def __init__(
        self,
        service: QueryClient,
        ids: Ids,
        signals: Mapping[str, Any],
        *,
        tells: bool,
        edited: EditedRows | None = None,
    ) -> None:
        self.service, self.request, self.ids, self.edited = service, service.request, ids, edited
        self.signals: Mapping[str, Any] | None = signals
        self.form, self.layer, self.tells = service.form, full_scan.reading(service), tells
        self.rows: int | None = len(ids)
        columns = hashlib.sha256("\n".join(sorted(service.about.columns)).encode()).hexdigest()[:16]
        self.stamp: dict[str, Any] = {**signals, "count": len(ids), "ids": _hash(ids), "columns": columns}

    def explained(self, error: CrsRefused) -> CrsRefused:
        """See source.Source; the layer has no better advice."""
        return error

    async def pages(self, draft: PageDraft, proof: dict[str, Any]) -> AsyncGenerator[Page]:
        """See source.Source: uses the first strategy that can be proven complete.

        Raises:
            HarvestIncomplete: no strategy can be proven; the message has the reason of each.
            PortalError: see errors.py.
        """
        state = {**self.request.selection, **self.stamp}
        state |= {"edited since": self.edited.condition} if self.edited else {}
        if resumed := await asyncio.to_thread(draft.begin, state):
            proof["resumed"] = resumed
        failed: dict[str, ZoningError] = {}
        ways = self.edited.ways if self.edited else _WAYS
        for name in [each for each in ways if self.request.feed.strategy in ("auto", each)]:
            try:
                async for page in self._walked(name, draft):
                    yield page
                await self._prove(name, proof)
            except (HarvestIncomplete, FeedRefused, PortalUnreachable) as error:
                if is_final(error):
                    raise
                failed[name] = error
                await asyncio.to_thread(self._again, draft, state, error)
            else:
                proof |= {"tried before": {each: why.what for each, why in failed.items()}} if failed else {}
                return
        raise full_scan.no_way(self.service, failed)

    async def _walked(self, name: str, draft: PageDraft) -> AsyncGenerator[Page]:
        """Fetch the rows of the list with one strategy, and check that exactly these came."""
        ids, which = (self.edited.ids, self.edited.which(name)) if self.edited else (self.ids, EVERY_ROW)
        whole = plan(self.service, which, ids=ids, count=len(ids), draft=draft, fields=WHOLE_ROWS)
        parts = list(_parts(whole)) if name in _BY_PARTS else [whole]
        walks = [checked_pages(part, WALKS[name]) for part in (parts[:1] if self.request.first_page else parts)]
        received = [np.empty(0, np.int64)]
        async for answer in at_once(walks, _AT_ONCE):
            received.append(answer.ids)
            keep = partial(draft.add, answer.body, rows=len(answer), question=answer.question)
            yield await asyncio.to_thread(keep)
        mine = np.sort(np.concatenate(received))
        prove(self.request.where, {"rows by the server's list": (len(mine), len(ids))}, {})
        if not np.array_equal(mine, ids):
            raise self.service.incomplete("the received rows are not those that the server lists")

    def _again(self, draft: PageDraft, state: Mapping[str, Any], error: ZoningError) -> None:
        """Prepare the draft for the next strategy. Pages that are proven wrong are deleted. Pages of a portal that
        stopped answering are kept, so that they need not be fetched again."""
        if isinstance(error, HarvestIncomplete):
            draft.abandon()
            draft.begin(state)
        draft.pages.clear()

    async def _prove(self, name: str, proof: dict[str, Any]) -> None:
        """Check that the list of ids and the last edit did not change during the harvest. For an update of a layer that
        states its last edit, only that is compared.

        Raises:
            HarvestIncomplete: the layer changed during the harvest.
        """
        proof["strategy"] = name
        evidence: dict[str, tuple[Any, Any]] = {"rows by the server's list": (len(self.ids), len(self.ids))}
        after, before = self.ids, self.service.about.edited
        if self.edited is None or before is None:
            listed = await self.service.ids()
            after = np.empty(0, np.int64) if listed is None else listed
            evidence["rows listed after"] = (len(after), len(self.ids))
        if before is not None:
            evidence["last edit after"] = (await self.service.edited(), before)
        if self.edited:
            proof |= {"rows fetched": len(self.edited.ids), "edited since": self.edited.condition}
        prove(self.request.where, evidence, proof)
        if not np.array_equal(after, self.ids):
            raise self.service.incomplete("the list of ids changed: the layer changed during the harvest")

    async def update_since(self, earlier: Earlier) -> Update | None:
        """See source.Source: added and deleted rows are found by the list of ids, edited rows by editor tracking."""
        condition = edit_tracking.condition(self.service.about, self.stamp, earlier)
        if condition is None or self.request.feed.strategy != "auto":
            return None
        if not await asyncio.to_thread(_is_list, earlier.ids, earlier.stamp):
            return None
        newer = await self.service.ids({"where": condition})
        return await asyncio.to_thread(self._update, earlier, newer, condition)

    def _update(self, earlier: Earlier, newer: Ids | None, condition: str) -> Update | None:
        edited = edit_tracking.edited(self.ids, newer, earlier, condition, most_rows=self.service.about.most_rows)
        if edited is None:
            return None
        kept = np.isin(earlier.ids, self.ids) & ~np.isin(earlier.ids, edited.ids)
        source = IdListSource(self.service, self.ids, self.signals or {}, tells=self.tells, edited=edited)
        return Update(source, kept, self.ids)


def _hash(ids: Ids) -> str:
    return hashlib.sha256(ids.tobytes()).hexdigest()[:16]


def _is_list(ids: Ids, stamp: Mapping[str, Any]) -> bool:
    """Whether the rows of a harvest have exactly the ids that the layer listed for it."""
    return _hash(np.sort(ids)) == stamp.get("ids")


def _parts(whole: WalkPlan) -> Iterator[WalkPlan]:
    """Split the list into parts of one page each."""
    ids = whole.ids if whole.ids is not None else np.empty(0, np.int64)
    for start in range(0, len(ids), whole.size):
        part = ids[start : start + whole.size]
        yield replace(whole, ids=part, count=len(part))


async def at_once(walks: Sequence[AsyncIterator[QueryPage]], most: int) -> AsyncIterator[QueryPage]:
    """The pages of several walks as they arrive, of at most `most` walks at a time. If one fails, all end."""
    left, found = iter(walks), asyncio.Queue[QueryPage | Exception | None](most)

    async def work() -> None:
        try:
            for walk in left:
                async for answer in walk:
                    await found.put(answer)
        except Exception as error:  # noqa: BLE001 - raised by the reader of the queue
            await found.put(error)
        else:
            await found.put(None)

    working = [asyncio.create_task(work()) for _ in range(min(most, len(walks)))]
    try:
        ended = 0
        while ended < len(working):
            answer = await found.get()
            if isinstance(answer, Exception):
                raise answer
            if answer is None:
                ended += 1
            else:
                yield answer
    finally:
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)


def distinct(ids: Ids) -> Ids:
    """Sorted ids without repeats. np.unique would hash them, which takes ten times as long."""
    once: Ids = ids[np.concatenate([np.ones(min(1, len(ids)), dtype=bool), ids[1:] != ids[:-1]])]
    return once
