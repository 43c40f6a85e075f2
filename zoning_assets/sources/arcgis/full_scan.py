"""ArcGIS layers that cannot be believed tile by tile: walked through as a whole, in the first way that can be proven.

The server contradicts itself, or does not list its ids, or does not even count: then what proves a walk is the count,
or the list of ids, or (where it offers neither) that each box holds just the rows of its four quarters.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalError, PortalUnreachable, ZoningError
from zoning_assets.sources.arcgis import statistics_probe
from zoning_assets.sources.arcgis.page_walks import WALKS, Way, checked, way
from zoning_assets.sources.arcgis.query_client import EVERY_ROW, Box, Ids, Page, Service
from zoning_assets.sources.full_layer import Whole
from zoning_assets.sources.paging.paged_layer import Ask, assemble
from zoning_assets.transform.decode import feature_batches, page_readers
from zoning_assets.transform.geometry import crs

#: A second walk asks in pages of another size, so that what is lost at a page's edge is lost elsewhere.
_OTHER_SIZE = 0.7


def reading(service: Service) -> dict[str, Any]:
    """What reading a page needs. GeoJSON comes in degrees, whatever the layer's own CRS is."""
    about = service.about
    source = crs.DEGREES if service.form == "geojson" else about.crs
    found = {"crs": source, "id": about.id, "dates": about.dates, "managed": about.managed}
    return {**found, **named(service)}


def named(service: Service) -> dict[str, Any]:
    """What the layer calls the values of columns that the jurisdiction file names; nothing where it has no names."""
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


def reach(service: Service) -> Box:
    """The layer's own extent and the jurisdiction's bounds, as one box; degrees."""
    bounds = crs.padded(service.request.jurisdiction.bounds)
    own = service.about.extent_degrees(crs.declared(service.about.crs, service.request.feed.crs))
    if own is None:
        return bounds
    return min(own[0], bounds[0]), min(own[1], bounds[1]), max(own[2], bounds[2]), max(own[3], bounds[3])


async def harvest(service: Service, count: int | None, ids: Ids | None) -> Whole:
    """The layer, by the first way that can be proven.

    Raises:
        HarvestIncomplete: none can; names them all.
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


def no_way(service: Service, failed: Mapping[str, ZoningError]) -> ZoningError:
    """The error of a layer that was walked through in vain: the portal's own where it said no, else what was found."""
    said = "; ".join(f"by {name}: {error.what}" for name, error in failed.items())
    refused = [error for error in failed.values() if isinstance(error, PortalError)]
    if len(refused) == len(failed) and refused:
        return refused[-1]
    return service.incomplete(said)


class _Walked:
    """One way through the layer. See assembled.Paged."""

    def __init__(
        self, service: Service, name: str, count: int | None, ids: Ids | None, failed: Mapping[str, ZoningError]
    ) -> None:
        self.service, self.name, self.count, self.ids, self.failed = service, name, count, ids, failed
        self.layer, self.columns = reading(service), list(service.about.columns)
        self._agrees = ids is None or count is None or count == len(ids)

    async def stamp(self) -> Mapping[str, Any]:
        """See assembled.Paged. A count that the list of ids contradicts is none."""
        count = await self.service.count(EVERY_ROW)
        said = {"edited": await self.service.edited(), "count": count if self._agrees else None}
        return (
            said if self._agrees else {**said, "counted": count, "listed": None if self.ids is None else len(self.ids)}
        )

    async def pages(self, _: Ask, proof: dict[str, Any], walk: int) -> AsyncIterator[pa.RecordBatch]:
        """See assembled.Paged. The questions are asked by the service, which looks into the draft itself."""
        size = max(1, int(self.service.page_size() * (_OTHER_SIZE if walk else 1)))
        draft = self.service.request.draft
        if self.name == "ids" and not self._agrees:
            raise self.service.incomplete("its list of ids is not as long as its count")
        path = way(
            self.service,
            EVERY_ROW,
            count=self.count if self._agrees else None,
            ids=self.ids if self.name == "ids" else None,  # an incomplete list would end another walk too early
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

    async def _walk(self, path: Way, seen: set[int]) -> AsyncIterator[Page]:
        """The walk; by area also the rows that have no place, where the server lists their ids."""
        if self.name != "area":
            async for page in checked(path, WALKS[self.name]):
                yield page
            return
        async for page in WALKS["area"](path):
            yield page
        left = np.array([each for each in (() if self.ids is None else self.ids) if each not in seen], dtype=np.int64)
        if len(left):
            async for page in checked(replace(path, which={}, ids=left), WALKS["ids"]):
                yield page

    async def _settle(self, seen: set[int]) -> None:
        """Where count and list of ids contradict each other, the rows must be no fewer than either of them.

        Raises:
            HarvestIncomplete: the server says that there are more, or nothing of rows that have no place.
        """
        listed = set() if self.ids is None else set(self.ids.tolist())
        if self.name == "area" and self.count is None and self.ids is None:
            # No area meets a row without a place, and no second walk by area would miss it.
            told = await statistics_probe.groups(self.service)
            if told is None or told["count"] != len(seen):
                of = "does not count its rows" if told is None else f"counts {told['count']:,} in its statistics"
                raise self.service.incomplete(f"{len(seen):,} rows lie in its area, and the server {of}")
        if not (listed <= seen and len(seen) >= (self.count or 0)):
            raise self.service.incomplete(
                f"the portal contradicts itself: {len(seen):,} rows came, it lists {len(listed):,}, counts {self.count}"
            )

    def _batch(self, page: Page, fresh: Any) -> pa.RecordBatch:
        rows = page_readers.READERS[self.service.form](page.body, self.layer)
        return feature_batches.batch(page.ids.tolist(), rows).filter(pa.array(fresh))
