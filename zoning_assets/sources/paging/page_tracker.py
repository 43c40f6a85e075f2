"""Where a walk through a layer has been, to find out a server that repeats itself; and how large its pages are."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from zoning_assets.errors import FeedRefused, HarvestIncomplete, PortalUnreachable
from zoning_assets.transform.decode.row_identity import Numbers

#: Rows asked for at a time where nobody says.
PAGE = 1000
#: A server that refuses a page of some size is asked for one so much smaller, so often.
_SHRINK, _RUNGS = 4, 3
#: A second walk asks in pages of another size, so that what is lost at a page's edge is lost elsewhere.
_OTHER_SIZE = 0.7

_Page = TypeVar("_Page")


class Walked:
    """Where a walk has been. `numbers`: of all ids, see identity.Numbers."""

    def __init__(self, where: str) -> None:
        self.where, self.rows, self.numbers = where, 0, Numbers()
        self._links: set[str] = set()
        self._first: frozenset[str] = frozenset()
        self._before: frozenset[str] = frozenset()

    def add(self, ids: Sequence[str], ignores: str) -> None:
        """A page's ids. `ignores`: what the server ignores if they came before.

        Raises:
            HarvestIncomplete: they did.
        """
        page = frozenset(ids)
        if page and page in (self._first, self._before):
            what = f"the page behind row {self.rows:,} is one that came before: the server ignores {ignores}"
            raise incomplete(self.where, what)
        if again := len(page & (self._first | self._before)):
            raise incomplete(self.where, f"{again:,} rows of the page behind row {self.rows:,} came twice")
        self._first, self._before = self._first or page, page
        self.rows += len(ids)
        self.numbers.add(ids)

    def follow(self, url: str) -> None:
        """A link.

        Raises:
            HarvestIncomplete: it was followed before.
        """
        if url in self._links:
            raise incomplete(self.where, f"its `next` links lead in a circle, behind row {self.rows:,}")
        self._links.add(url)


async def patiently(page: Callable[[int], Awaitable[_Page]], size: int) -> tuple[_Page, int]:
    """The first page, and the size of it that the server can give.

    Args:
        page: asks for one of a size.
        size: rows asked for at first.

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
    """The size of the pages of a walk: another one for a second walk."""
    return size if walk == 0 else int(size * _OTHER_SIZE) + 1


def incomplete(where: str, what: str) -> HarvestIncomplete:
    """The rows that came are not proven to be all."""
    return HarvestIncomplete(what, where=where, do="use another feed of this portal; nothing was published")
