"""A walk by offset: pages in a stated order, the offset advancing by the rows received, until a page is empty.

That the count was reached is no end: the page after it must be empty too. A page that came before ends the walk, as a
portal that ignores offsets repeats itself for ever. Where a portal cannot give a large page, smaller ones are asked.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FileRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.sources.paging.polling import TRIES

#: How a page that the portal cannot give shrinks, and how often.
_SHRINK, _RUNGS = 5, 2
#: How often a page is asked for where a smaller one can be: so few that the host is not given up before that.
_FEW_TRIES = 2

#: Offset, limit and tries -> rows.
Page = Callable[[int, int, int], Awaitable[pa.RecordBatch]]


async def walk(page: Page, size: int, where: str, proof: dict[str, Any]) -> AsyncIterator[pa.RecordBatch]:
    """All pages.

    Args:
        page: asks for one; rows as feature_batches makes them.
        size: rows asked for at a time.
        where: for messages.
        proof: receives how it was walked.

    Raises:
        HarvestIncomplete: a page came again.
        PortalError: see errors.py.
    """
    seen: set[bytes] = set()
    offset = 0
    while True:
        rows, size = await _patiently(page, offset, size)
        if not len(rows):
            break
        mark = hashlib.sha256("\n".join(rows.column("id").to_pylist()).encode()).digest()
        if mark in seen:
            raise HarvestIncomplete(
                f"the page at row {offset:,} is one that came before: the portal ignores offsets",
                where=where,
                do="use another feed of this portal; nothing was published",
            )
        seen.add(mark)
        offset += len(rows)
        yield rows
    proof.update({"pages": len(seen), "way": "ordered pages by offset, until one is empty"})


async def _patiently(page: Page, offset: int, size: int) -> tuple[pa.RecordBatch, int]:
    """A page, smaller where the portal cannot give it; and the size that it can give."""
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
