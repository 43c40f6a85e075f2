"""Track the pages of a layer, to detect a server that repeats itself; and choose the size of pages."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.transform.decode.row_identity import IdNumbers

#: Rows per page if neither the file nor the portal states it.
PAGE = 1000
#: By which factor a page that the server refuses shrinks, and how often.
_SHRINK, _RUNGS = 4, 3
#: A second walk uses another page size, so that rows lost at the edges of pages are others.
_OTHER_SIZE = 0.7

_Page = TypeVar("_Page")


class PageTracker:
    """The pages received so far. `numbers`: the numbers in all ids, see row_identity.Numbers."""

    def __init__(self, where: str) -> None:
        self.where, self.rows, self.numbers = where, 0, IdNumbers()
        self._links: set[str] = set()
        self._first: frozenset[str] = frozenset()
        self._before: frozenset[str] = frozenset()

    def add(self, ids: Sequence[str], ignores: str) -> None:
        """Add the ids of a page. `ignores`: what the server ignores if a page repeats, for the message.

        Raises:
            HarvestIncomplete: the page, or rows of it, came before.
        """
        page = frozenset(ids)
        if page and page in (self._first, self._before):
            what = f"the page behind row {self.rows:,} repeats an earlier one: the server ignores {ignores}"
            raise incomplete(self.where, what)
        if again := len(page & (self._first | self._before)):
            raise incomplete(self.where, f"{again:,} rows of the page behind row {self.rows:,} came twice")
        self._first, self._before = self._first or page, page
        self.rows += len(ids)
        self.numbers.add(ids)

    def follow(self, url: str) -> None:
        """Record that a link is followed.

        Raises:
            HarvestIncomplete: it was followed before.
        """
        if url in self._links:
            raise incomplete(self.where, f"its `next` links form a circle, behind row {self.rows:,}")
        self._links.add(url)


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


def incomplete(where: str, what: str) -> HarvestIncomplete:
    """The error for rows that are not proven complete."""
    return HarvestIncomplete(what, where=where, do="use another feed of this portal; nothing was published")
