"""Fetch all rows by offset: ordered pages, and the offset advances by the rows received, until a page is empty.

Reaching the portal's count does not end the walk: the next page must be empty too. A page that repeats raises an error,
because a portal that ignores offsets returns the same page forever. If the portal fails on a large page, smaller pages
are requested.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FileRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.sources.paging.polling import TRIES

#: By which factor a page that the portal fails on shrinks, and how often.
_SHRINK, _RUNGS = 5, 2
#: Tries of a page that can still shrink: so few that the circuit breaker of the host does not open.
_FEW_TRIES = 2

#: Fetches a page: offset, limit and tries -> rows.
Page = Callable[[int, int, int], Awaitable[pa.RecordBatch]]


async def walk(page: Page, size: int, where: str, proof: dict[str, Any]) -> AsyncIterator[pa.RecordBatch]:
    """Fetch all pages.

    Args:
        page: fetches one page; rows in the columns of feature_batches.
        size: rows per page.
        where: for messages.
        proof: receives how the layer was walked.

    Raises:
        HarvestIncomplete: a page came twice.
        PortalError: see errors.py.
    """
    seen: set[bytes] = set()
    offset = 0
    while True:
        rows, size = await _page_that_fits(page, offset, size)
        if not len(rows):
            break
        mark = hashlib.sha256("\n".join(rows.column("id").to_pylist()).encode()).digest()
        if mark in seen:
            raise HarvestIncomplete(
                f"the page at row {offset:,} repeats an earlier one: the portal ignores offsets",
                where=where,
                do="use another feed of this portal; nothing was published",
            )
        seen.add(mark)
        offset += len(rows)
        yield rows
    proof.update({"pages": len(seen), "way": "ordered pages by offset, until one is empty"})


async def _page_that_fits(page: Page, offset: int, size: int) -> tuple[pa.RecordBatch, int]:
    """Fetch a page, smaller if the portal fails on it; return it with the size that worked."""
    first: PortalUnreachable | FileRefused | None = None
    for _ in range(_RUNGS):
        if size < _SHRINK:
            break
        try:
            return await page(offset, size, _FEW_TRIES), size
        except (PortalUnreachable, FileRefused) as error:
            first = first or error
            size //= _SHRINK
    try:
        return await page(offset, size, TRIES), size
    except (PortalUnreachable, FileRefused) as error:
        raise first or error from error
