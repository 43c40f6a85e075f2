"""Fetch a part of a feed as a harvest of its own: the table of a join, or one layer of a map with overlays."""

import asyncio
from contextlib import aclosing
from typing import Any

from zoning_assets.errors import HarvestIncomplete
from zoning_assets.harvest import Harvest
from zoning_assets.model import Place
from zoning_assets.pipeline import feed_signals
from zoning_assets.sources import Request, Source
from zoning_assets.storage.object_store.harvest_drafts import HarvestDraft
from zoning_assets.storage.object_store.object_store import Objects


async def fetch_separately(
    objects: Objects, request: Request, source: Source, name: str, proof: dict[str, Any]
) -> Harvest:
    """Fetch all pages of a source, prove that they are complete, and commit them as a harvest.

    Args:
        objects: the store of harvests.
        request: of the source.
        source: the opened table or layer.
        name: of the harvest's feed.
        proof: receives the clause, and what proves that the pages are complete.

    Raises:
        HarvestIncomplete: the rows are not proven to be complete; they are deleted.
        PortalError: see errors.py; the pages received so far are kept.
    """
    draft = HarvestDraft(objects, Place(request.jurisdiction.id), name)
    proof |= feed_signals.clause_of(request.feed)
    try:
        async with aclosing(source.pages(draft, proof)) as pages:
            async for _ in pages:
                pass  # the pages at the end are those of the draft
    except HarvestIncomplete:
        await asyncio.to_thread(draft.abandon)
        raise
    draft.pages.sort(key=lambda page: page.name)
    return await asyncio.to_thread(draft.commit, form=source.form, layer=dict(source.layer), proof=proof)
