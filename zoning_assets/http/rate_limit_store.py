"""Where budgets are kept: one ledger for all who ask the same hosts.

In memory it is one process's own. In PostgreSQL (rate_limits.py) it is that of all processes and machines that work
with one database. A slot stands for one connection to a host; who dies gives it back by dying.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol, Self, TypeVar

from zoning_assets.http.rate_limit import Budget

T = TypeVar("T")

#: What changes a budget: the budget and the ledger's time in seconds go in, a budget and an answer come out.
Step = Callable[[Budget, float], tuple[Budget, T]]


class Ledger(Protocol):
    """What the polite client needs. Enter it before use, in the loop that uses it."""

    #: Whether others may use the same hosts at the same time.
    shared: bool

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def change(self, host: str, step: Step[T]) -> T:
        """Change a host's budget; nobody else does between what `step` sees and what it gives.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        ...

    async def try_slot(self, host: str, most: int) -> int | None:
        """The number of a slot that was free, from 0 and below `most`; None: all are taken.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        ...

    async def give_slot(self, host: str, slot: int) -> None:
        """Give a slot back."""
        ...


class Memory:
    """One process's own ledger."""

    shared = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.budgets: defaultdict[str, Budget] = defaultdict(Budget)
        self._slots: defaultdict[str, set[int]] = defaultdict(set)
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def change(self, host: str, step: Step[T]) -> T:
        """See Ledger."""
        self.budgets[host], answer = step(self.budgets[host], self._clock())
        return answer

    async def try_slot(self, host: str, most: int) -> int | None:
        """See Ledger."""
        slot = next((number for number in range(most) if number not in self._slots[host]), None)
        if slot is not None:
            self._slots[host].add(slot)
        return slot

    async def give_slot(self, host: str, slot: int) -> None:
        """See Ledger."""
        self._slots[host].discard(slot)
