"""Queries of a layer whose ids the server lists: the rows that come are just those, before and after."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalUnreachable, ZoningError
from zoning_assets.feeds import arcgis_whole
from zoning_assets.feeds.arcgis_query import Ids, Page, Params, Service
from zoning_assets.feeds.arcgis_walks import WALKS, checked, way
from zoning_assets.feeds.source import Draft, prove

#: Ways that give each row once, in order of preference.
_BY_TILE = ("offset", "ranges", "ids")


async def listed_ids(service: Service, which: Params) -> Ids:
    """The ids of some rows, sorted, as the server lists them.

    Raises:
        HarvestIncomplete: it does not.
        PortalError: see errors.py.
    """
    ids = await service.ids(which)
    if ids is None:
        said = f": {service.refusal}" if service.refusal else ""
        raise service.incomplete(f"the server lists its ids for the layer, but not of this part of it{said}")
    return ids


async def walk(
    service: Service,
    which: Params,
    proof: dict[str, Any],
    take: Callable[[Page], None],
    again: Callable[[], None],
    **known: Any,
) -> None:
    """All pages of a query in the first way that can be proven: the rows are those whose ids the server lists,
    before and after. `again` undoes what `take` was given when a way fails.

    Raises:
        HarvestIncomplete: no way can be proven; names them all.
        PortalError: see errors.py.
    """
    failed: dict[str, ZoningError] = {}
    for name in [each for each in WALKS if service.request.feed.strategy in ("auto", each) and each in _BY_TILE]:
        try:
            proof |= await _walked(service, name, which, take, known)
        except (HarvestIncomplete, FeedRefused, PortalUnreachable) as error:
            if isinstance(error, FeedRefused) and error.final:
                raise
            failed[name] = error
            await asyncio.to_thread(again)
        else:
            proof |= {"tried before": {each: why.what for each, why in failed.items()}} if failed else {}
            return
    raise arcgis_whole.no_way(service, failed)


async def _walked(
    service: Service, name: str, which: Params, take: Callable[[Page], None], known: Mapping[str, Any]
) -> dict[str, Any]:
    """One way through a query; its proof."""
    before = await listed_ids(service, which)
    received = [np.empty(0, np.int64)]
    async for page in checked(way(service, which, ids=before, count=len(before), **known), WALKS[name]):
        received.append(page.ids)
        await asyncio.to_thread(take, page)
    after, mine = await listed_ids(service, which), np.sort(np.concatenate(received))
    proof: dict[str, Any] = {"strategy": name}
    evidence = {
        "rows by the server's list": (len(mine), len(before)),
        "rows listed after": (len(after), len(before)),
    }
    prove(service.request.where, evidence, proof)
    if not (np.array_equal(mine, before) and np.array_equal(after, before)):
        raise service.incomplete("other rows came than the server lists: the layer changed meanwhile")
    return proof


def by_ids(service: Service, ids: Sequence[int], fields: Params, draft: Draft | None = None) -> AsyncIterator[Page]:
    """Rows by their ids, in lists as long as a server takes; each row once."""
    which = way(service, {}, ids=np.array(sorted(ids), dtype=np.int64), fields=fields, draft=draft)
    return checked(which, WALKS["ids"])
