"""The store of rate limits: one ledger for all processes that send requests to the same hosts.

The ledger in memory is for one process. The ledger in PostgreSQL (storage/postgis/records/rate_limits.py) is shared by
all processes and machines that use one database. A slot represents one connection to a host; if a process dies, its
slots become free.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol, Self, TypeVar

from zoning_assets.http.rate_limit import HostBudget

T = TypeVar("T")

#: Changes a budget: takes the budget and the ledger's time in seconds, and returns the new budget and a result.
Step = Callable[[HostBudget, float], tuple[HostBudget, T]]


class Ledger(Protocol):
    """The store that the client needs. Enter it before use, in the event loop that uses it."""

    #: Whether other processes may send requests to the same hosts at the same time.
    shared: bool

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def change(self, host: str, step: Step[T]) -> T:
        """Change a host's budget atomically, and return the result of `step`.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        ...

    async def try_slot(self, host: str, most: int) -> int | None:
        """Take a free slot of a host, numbered from 0 and below `most`; None: all are taken.

        Raises:
            StoreError: the ledger cannot be reached.
        """
        ...

    async def give_slot(self, host: str, slot: int) -> None:
        """Return a slot."""
        ...


class MemoryLedger:
    """The ledger of one process, in memory."""

    shared = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.budgets: defaultdict[str, HostBudget] = defaultdict(HostBudget)
        self._slots: defaultdict[str, set[int]] = defaultdict(set)
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def change(self, host: str, step: Step[T]) -> T:
        """See Ledger."""
        self.budgets[host], result = step(self.budgets[host], self._clock())
        return result

    async def try_slot(self, host: str, most: int) -> int | None:
        """See Ledger."""
        slot = next((number for number in range(most) if number not in self._slots[host]), None)
        if slot is not None:
            self._slots[host].add(slot)
        return slot

    async def give_slot(self, host: str, slot: int) -> None:
        """See Ledger."""
        self._slots[host].discard(slot)
