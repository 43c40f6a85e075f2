"""Choose how many rows a page has: by default, on a server that refuses large pages, and in a second walk."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from zoning_assets.errors import FeedRefused, PortalUnreachable

#: Rows per page if neither the file nor the portal states it.
PAGE = 1000
#: By which factor a page that the server refuses shrinks, and how often.
_SHRINK, _RUNGS = 4, 3
#: A second walk uses another page size, so that rows lost at the edges of pages are others.
_OTHER_SIZE = 0.7

_Page = TypeVar("_Page")


async def first_page(page: Callable[[int], Awaitable[_Page]], size: int) -> tuple[_Page, int]:
    """Fetch the first page, smaller if the server refuses it; return it with the size that worked.

    Args:
        page: fetches a page of a size.
        size: rows of the first try.

    Raises:
        PortalError: see errors.py.
    """
    for _ in range(_RUNGS):
        try:
            return await page(size), size
        except (FeedRefused, PortalUnreachable) as error:
            if getattr(error, "final", False) or size < _SHRINK:
                raise
            size //= _SHRINK
    return await page(size), size


def other_size(size: int, walk: int) -> int:
    """The page size of a walk; a second walk (`walk` 1) uses another."""
    return size if walk == 0 else int(size * _OTHER_SIZE) + 1
