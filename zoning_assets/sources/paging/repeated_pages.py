"""Detects a server that sends the same page, or the same rows, again, because it ignores the offset or its own links.

This alone does not prove that a layer is complete; see sources/completeness.py.
"""

from collections.abc import Sequence

from zoning_assets.sources.completeness import incomplete
from zoning_assets.transform.decode.row_identity import IdNumbers


class RepeatedPageCheck:
    """Checks each page against the first and the previous one.

    Attributes:
        rows: the number of rows received so far.
        numbers: the numbers in all ids, see row_identity.IdNumbers.
    """

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
            what = f"the page after row {self.rows:,} repeats an earlier one: the server ignores {ignores}"
            raise incomplete(self.where, what)
        if again := len(page & (self._first | self._before)):
            raise incomplete(self.where, f"{again:,} rows of the page after row {self.rows:,} came twice")
        self._first, self._before = self._first or page, page
        self.rows += len(ids)
        self.numbers.add(ids)

    def follow(self, url: str) -> None:
        """Record that a link is followed.

        Raises:
            HarvestIncomplete: it was followed before.
        """
        if url in self._links:
            raise incomplete(self.where, f"its `next` links form a circle after row {self.rows:,}")
        self._links.add(url)
