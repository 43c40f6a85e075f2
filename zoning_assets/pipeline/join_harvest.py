"""Harvest the table that is joined to a layer (`[feeds.parcels.join]`): fetch it, prove it complete, sort it by key.

It is harvested before its layer, with the same checks as a layer, and is a harvest of its own. Its columns are added to
the rows when they are distributed to tiles (workers/join_rows.py). So a changed table alone neither fetches nor decodes
the layer, and changes only the parcels whose values changed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zoning_assets.errors import AcceptanceNeeded, HarvestIncomplete, JurisdictionInvalid
from zoning_assets.harvest import Cover, JoinedTable
from zoning_assets.http import Client
from zoning_assets.model import Feed, Jurisdiction, Place
from zoning_assets.pipeline import feed_signals
from zoning_assets.pipeline.separate_harvest import fetch_separately
from zoning_assets.pipeline.workers.join_rows import read_page
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.sources import Request, Source, feed_type
from zoning_assets.storage.object_store import joined_tables, raw_harvests
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform import joined_columns
from zoning_assets.transform.joined_columns import KeyedTable


@dataclass(frozen=True)
class TableHarvester:
    """Harvests the table that is joined to a feed.

    Attributes:
        objects: the store of harvests.
        scratch: a directory for large temporary files.
        pool: the worker processes, which read pages.
    """

    objects: Objects
    scratch: Path
    pool: Pool

    async def harvest(
        self, jurisdiction: Jurisdiction, feed: Feed, http: Client, now: datetime, *, force: bool = False
    ) -> JoinedTable | None:
        """Return the newest harvest of the feed's table; None: the feed has none. The stored one is returned if the
        portal states the same as then and it is not older than `full_refresh_days`.

        Raises:
            JurisdictionInvalid: several rows have the same key and different values, and the file does not allow it.
            HarvestIncomplete: the rows are not proven to be complete.
            PortalError: see errors.py; the pages received so far are kept.
        """
        if feed.join is None:
            return None
        request = self._request(jurisdiction, feed.join, http)
        before = await feed_signals.before_fetch(request)
        source = await feed_type(feed.join.type).open_source(request)
        signals = feed_signals.of_source(source, feed.join, before)
        known = None if force else await asyncio.to_thread(self._find_trusted, request, now)
        if known and source.tells and known.stamp == _stamp(source, request):
            return replace(known, signals=signals)
        table = await self._fetch(request, source, now)
        table = replace(table, signals=signals)
        await asyncio.to_thread(joined_tables.put, self.objects, jurisdiction.id, feed.join.name, table)
        return table

    async def find_current(
        self, jurisdiction: Jurisdiction, feed: Feed, http: Client, now: datetime
    ) -> JoinedTable | None:
        """Return the newest harvest of the feed's table if it is what the portal has now; None: it is not, or the feed
        has no table.

        Raises:
            ZoningError: as `harvest`.
        """
        if feed.join is None:
            return None
        request = self._request(jurisdiction, feed.join, http)
        known = await asyncio.to_thread(self._find_trusted, request, now)
        if known is None:
            return None
        before = await feed_signals.before_fetch(request)
        if before is not None and (not before or before != known.signals):
            return None
        source = await feed_type(feed.join.type).open_source(request)
        same = source.tells and known.stamp == _stamp(source, request)
        return replace(known, signals=feed_signals.of_source(source, feed.join, before)) if same else None

    async def probe(self, jurisdiction: Jurisdiction, feed: Feed, http: Client) -> dict[str, Any] | None:
        """Return the signals of the feed's table; None: the feed has none.

        Raises:
            ZoningError: see errors.py.
        """
        return None if feed.join is None else await feed_signals.probed(self._request(jurisdiction, feed.join, http))

    def with_table(self, cover: Cover, feed: Feed, table: JoinedTable | None, jurisdiction: Jurisdiction) -> Cover:
        """The tile index of a layer with its table and the counts of what matched.

        Raises:
            JurisdictionInvalid: no row of the layer has a row of the table.
            AcceptanceNeeded: far fewer rows of the layer have one than before.
        """
        if table is None or feed.join is None:
            return replace(cover, join={})
        counts = {**table.counts, **self._match(cover, feed.join, table)}
        known = raw_harvests.find_cover(self.objects, jurisdiction.id, feed.name)
        _check_match(jurisdiction, feed.join, counts, known.join if known else {})
        return replace(cover, join={"table": table.table, "harvest": table.harvest, **counts})

    def _match(self, cover: Cover, join: Feed, table: JoinedTable) -> dict[str, int]:
        """Count on both sides the rows that match and those that do not."""
        index = raw_harvests.get_index(self.objects, cover)
        keyed = joined_tables.get_keyed(self.objects, cover.jurisdiction, join.name, table.table)
        theirs = keyed.column("hash").to_numpy()
        ours = np.empty(0, np.uint64) if index is None else index.key
        matched = int(np.count_nonzero(np.isin(ours, theirs)))
        unused = int(np.count_nonzero(~np.isin(theirs, ours)))
        return {"matched_rows": matched, "unmatched_rows": len(ours) - matched, "unused_keys": unused}

    async def _fetch(self, request: Request, source: Source, now: datetime) -> JoinedTable:
        harvest = await fetch_separately(self.objects, request, source, request.feed.name, {})
        read = (self.pool.run(read_page, self.objects, harvest, request.feed, page) for page in harvest.pages)
        pages: Sequence[pa.Table] = await asyncio.gather(*read)
        for page, rows in zip(harvest.pages, pages, strict=True):
            if len(rows) != page.rows:
                what = f"a page of {page.rows} rows was read as {len(rows)}"
                raise HarvestIncomplete(what, where=request.where, do="run again; nothing was published")
        keyed = await asyncio.to_thread(joined_columns.keyed, pages)
        _check_keys(request, keyed)
        id_ = await asyncio.to_thread(joined_columns.content_id, keyed.table)
        folder = (request.jurisdiction.id, request.feed.name)
        await asyncio.to_thread(joined_tables.put_keyed, self.objects, *folder, id_, keyed.table)
        counts = {
            "rows": sum(map(len, pages)),
            "keys": len(keyed.table),
            "without_key": keyed.without_key,
            "same_rows": keyed.same,
            "repeated_rows": keyed.repeated,
        }
        return JoinedTable(_stamp(source, request), id_, harvest.id, counts, {}, now.isoformat())

    def _find_trusted(self, request: Request, now: datetime) -> JoinedTable | None:
        """The stored harvest, if it may be used without a fetch."""
        jurisdiction, join = request.jurisdiction.id, request.feed
        known = joined_tables.find(self.objects, jurisdiction, join.name)
        if known is None or now - datetime.fromisoformat(known.fetched) >= timedelta(days=join.full_refresh_days):
            return None
        return known if joined_tables.has_keyed(self.objects, jurisdiction, join.name, known.table) else None

    def _request(self, jurisdiction: Jurisdiction, join: Feed, http: Client) -> Request:
        draft = HarvestDraft(self.objects, Place(jurisdiction.id), join.name)
        return Request(jurisdiction, join, http, self.scratch, draft, is_table=True)


def _stamp(source: Source, request: Request) -> dict[str, Any]:
    """What the table and the jurisdiction file state now. Another table may state the same, so its address is part."""
    join = request.feed
    settings = {"key": join.key, "columns": dict(join.fields), "on_repeated_key": join.on_repeated_key}
    return {**source.stamp, **settings, **request.selection}


def _check_keys(request: Request, keyed: KeyedTable) -> None:
    """Check that the table has keys, and that no key has several values unless the file allows it."""
    at = "feeds.parcels.join"
    if not len(keyed.table):
        what, do = f"{at}.key: no row has a value in {request.feed.key!r}", "name the column with the keys of parcels"
        raise JurisdictionInvalid(what, where=request.jurisdiction.file, do=f"{do}; what was published before is kept")
    if keyed.repeated and request.feed.on_repeated_key == "reject":
        what = f"{at}.key: {keyed.repeated:,} rows repeat a key with other values, such as {keyed.example!r}"
        do = 'name another column, or set `on_repeated_key = "first"`; what was published before is kept'
        raise JurisdictionInvalid(what, where=request.jurisdiction.file, do=do)


def _check_match(jurisdiction: Jurisdiction, join: Feed, counts: Mapping[str, int], before: Mapping[str, Any]) -> None:
    """Check that rows match, and that the share of rows that match did not fall by more than `may_shrink`."""
    share, known = _share(counts), _share(before)
    if share == 0:
        what = f"feeds.parcels.join.key: no parcel has one of the {counts['keys']:,} keys of the table"
        do = f"look at the values of {join.key!r}; what was published before is kept"
        raise JurisdictionInvalid(what, where=jurisdiction.file, do=do)
    if share is not None and known is not None and known - share > join.may_shrink:
        what = f"the table of the join has a row for {share:.0%} of the parcels, before for {known:.0%}"
        do = "look at the table; to accept it, set `may_shrink = 1` in [feeds.parcels.join] for one run"
        raise AcceptanceNeeded(what, where=f"{jurisdiction.id} parcels", do=do)


def _share(counts: Mapping[str, Any]) -> float | None:
    """The share of the layer's rows that have a row of the table; None: there are no rows, or nothing was counted."""
    rows = int(counts.get("matched_rows", 0)) + int(counts.get("unmatched_rows", 0))
    return int(counts["matched_rows"]) / rows if rows else None
