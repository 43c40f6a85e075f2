"""ArcGIS layers that are fetched as a whole, with the first strategy that can be proven complete.

Used if the server's answers contradict each other, or if it does not list ids, or does not count. The proof is then the
count, or the list of ids, or (if it offers neither) that each box returns exactly the rows of its four quarters.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalError, PortalUnreachable, ZoningError
from zoning_assets.sources.arcgis import statistics_probe
from zoning_assets.sources.arcgis.page_walks import WALKS, checked_pages
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Box, Ids, QueryClient, QueryPage
from zoning_assets.sources.arcgis.walk_plan import WalkPlan, plan
from zoning_assets.sources.full_layer import FullLayer
from zoning_assets.sources.paging.paged_layer import Fetch, assemble
from zoning_assets.transform.decode import feature_batches, page_readers
from zoning_assets.transform.geometry import crs

#: A second walk uses another page size, so that rows lost at the edges of pages are others.
_OTHER_SIZE = 0.7


def reading(service: QueryClient) -> dict[str, Any]:
    """What decoding a page needs. GeoJSON is in degrees, whatever the layer's CRS is."""
    about = service.about
    source = crs.DEGREES if service.form == "geojson" else about.crs
    found = {"crs": source, "id": about.id, "dates": about.dates, "managed": about.managed}
    return {**found, **named(service)}


def named(service: QueryClient) -> dict[str, Any]:
    """The names of coded values in columns that the jurisdiction file names; {} if the layer has none."""
    ours = set(service.request.feed.fields.values())
    names = service.about.names
    by_kind = {
        kind: {name: values for name, values in each.items() if name in ours}
        for kind, each in names.get("subtypes", {}).items()
    }
    by_kind = {kind: each for kind, each in by_kind.items() if each}
    columns = {name: values for name, values in names.get("columns", {}).items() if name in ours}
    found = {"columns": columns} if columns else {}
    found |= {"subtype": names["subtype"], "subtypes": by_kind} if by_kind else {}
    return {"names": found} if found else {}


def reach(service: QueryClient) -> Box:
    """A box around the layer's extent and the jurisdiction's bounds, in degrees."""
    bounds = crs.padded(service.request.jurisdiction.bounds)
    own = service.about.extent_degrees(crs.declared(service.about.crs, service.request.feed.crs))
    if own is None:
        return bounds
    return min(own[0], bounds[0]), min(own[1], bounds[1]), max(own[2], bounds[2]), max(own[3], bounds[3])


async def harvest(service: QueryClient, count: int | None, ids: Ids | None) -> FullLayer:
    """Fetch the layer with the first strategy that can be proven complete.

    Args:
        service: the layer.
        count: the server's count; None: it does not count.
        ids: the server's list of ids; None: it does not list them.

    Raises:
        HarvestIncomplete: no strategy can be proven; the message has the reason of each.
        PortalError: see errors.py.
    """
    failed: dict[str, ZoningError] = {}
    for name in [each for each in WALKS if service.request.feed.strategy in ("auto", each)]:
        try:
            return await assemble(service.request, _Walked(service, name, count, ids, failed))
        except (HarvestIncomplete, FeedRefused, PortalUnreachable) as error:
            if isinstance(error, FeedRefused) and error.final:
                raise
            failed[name] = error
    raise no_way(service, failed)


def no_way(service: QueryClient, failed: Mapping[str, ZoningError]) -> ZoningError:
    """The error after all strategies failed: the portal's own if it refused all, else the reasons of each."""
    reasons = "; ".join(f"by {name}: {error.what}" for name, error in failed.items())
    refused = [error for error in failed.values() if isinstance(error, PortalError)]
    if len(refused) == len(failed) and refused:
        return refused[-1]
    return service.incomplete(reasons)


class _Walked:
    """One strategy for the layer. See paged_layer.Paged."""

    def __init__(
        self, service: QueryClient, name: str, count: int | None, ids: Ids | None, failed: Mapping[str, ZoningError]
    ) -> None:
        self.service, self.name, self.count, self.ids, self.failed = service, name, count, ids, failed
        self.layer, self.columns = reading(service), list(service.about.columns)
        self._agrees = ids is None or count is None or count == len(ids)

    async def stamp(self) -> Mapping[str, Any]:
        """See paged_layer.Paged. A count that contradicts the list of ids is not used."""
        count = await self.service.count(EVERY_ROW)
        stated = {"edited": await self.service.edited(), "count": count if self._agrees else None}
        if self._agrees:
            return stated
        return {**stated, "counted": count, "listed": None if self.ids is None else len(self.ids)}

    async def pages(self, _: Fetch, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See paged_layer.Paged. The service sends the queries, and reads the draft itself."""
        size = max(1, int(self.service.page_size() * (_OTHER_SIZE if walk else 1)))
        draft = self.service.request.draft
        if self.name == "ids" and not self._agrees:
            raise self.service.incomplete("the number of ids that it lists differs from its count")
        path = plan(
            self.service,
            EVERY_ROW,
            count=self.count if self._agrees else None,
            ids=self.ids if self.name == "ids" else None,  # an incomplete list would end another strategy too early
            box=reach(self.service),
            draft=draft,
            size=size,
        )
        seen: set[int] = set()
        async for page in self._walk(path, seen):
            fresh = np.array([each not in seen for each in page.ids.tolist()], dtype=bool)
            seen.update(page.ids.tolist())
            await asyncio.to_thread(draft.add, page.body, rows=len(page), question=page.question)
            if fresh.any():
                yield self._batch(page, fresh)
        await self._settle(seen)
        proof["strategy"] = self.name
        if self.failed:
            proof["tried before"] = {name: error.what for name, error in self.failed.items()}

    async def _walk(self, path: WalkPlan, seen: set[int]) -> AsyncIterator[QueryPage]:
        """Walk through the layer. By area, rows without a place are added if the server lists their ids."""
        if self.name != "area":
            async for page in checked_pages(path, WALKS[self.name]):
                yield page
            return
        async for page in WALKS["area"](path):
            yield page
        left = np.array([each for each in (() if self.ids is None else self.ids) if each not in seen], dtype=np.int64)
        if len(left):
            async for page in checked_pages(replace(path, which={}, ids=left), WALKS["ids"]):
                yield page

    async def _settle(self, seen: set[int]) -> None:
        """Check the number of rows if count and list of ids differ: it must reach both.

        Raises:
            HarvestIncomplete: the server states more rows, or states nothing about rows without a shape.
        """
        listed = set() if self.ids is None else set(self.ids.tolist())
        if self.name == "area" and len(seen) not in (self.count, None if self.ids is None else len(listed)):
            # A search by area never returns rows without a shape, and neither would a second one. A count and a list
            # with fewer rows than came may lack them, too.
            groups = await statistics_probe.groups(self.service)
            if groups is None or groups["count"] != len(seen):
                of = "does not count its rows" if groups is None else f"counts {groups['count']:,} in its statistics"
                raise self.service.incomplete(f"{len(seen):,} rows were found by area, and the server {of}")
        if not (listed <= seen and len(seen) >= (self.count or 0)):
            raise self.service.incomplete(
                f"the portal contradicts itself: {len(seen):,} rows came, it lists {len(listed):,}, counts {self.count}"
            )

    def _batch(self, page: QueryPage, fresh: Any) -> pa.RecordBatch:
        rows = page_readers.READERS[self.service.form](page.body, self.layer)
        return feature_batches.to_batch(page.ids.tolist(), rows).filter(pa.array(fresh))
