"""A walk by offset: pages in a stated order, the offset advancing by the rows received, until a page is empty.

That the count was reached is no end: the page after it must be empty too. A page that came before ends the walk, as a
portal that ignores offsets repeats itself for ever. Where a portal cannot give a large page, smaller ones are asked.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pyarrow as pa

from zoning_assets.errors import FileRefused, HarvestIncomplete, PortalUnreachable

#: How a page that the portal cannot give shrinks, and how often.
_SHRINK, _RUNGS = 5, 2

#: Offset and limit -> rows.
Page = Callable[[int, int], Awaitable[pa.RecordBatch]]


async def walk(page: Page, size: int, where: str, proof: dict[str, Any]) -> AsyncIterator[pa.RecordBatch]:
    """All pages.

    Args:
        page: asks for one; rows as transform.features makes them.
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
    for _ in range(_RUNGS):
        try:
            return await page(offset, size), size
        except (PortalUnreachable, FileRefused):
            if size < _SHRINK:
                raise
            size //= _SHRINK
    return await page(offset, size), size
