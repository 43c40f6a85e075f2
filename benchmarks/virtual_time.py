"""Simulated time: a clock with events, and an event loop whose timers wait for this clock.

A loop that has nothing to do moves the clock to its next timer at once. Events that are due earlier happen first. While
a file or a socket is awaited, real time passes and the clock stands still.
"""

import asyncio
import heapq
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from benchmarks.fleet import Clock

_POLL_S = 0.001


class EventClock(Clock):
    """A clock with events: calls that happen at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something at a time."""
        heapq.heappush(self._events, (max(seconds, self.seconds), next(self._number), call))

    def advance(self, until: float) -> None:
        """Move the time forward. The events until then happen in their order."""
        while self._events and self._events[0][0] <= until:
            at, _, call = heapq.heappop(self._events)
            self.seconds = max(self.seconds, at)
            call()
        self.seconds = max(self.seconds, until)


class _Selector(selectors.DefaultSelector):
    clock: EventClock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or len(self.get_map()) > 1:  # one is the loop's own
            return super().select(_POLL_S)
        self.clock.advance(self.clock.seconds + timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: EventClock) -> None:
        selector = _Selector()
        selector.clock = self._virtual = clock
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual.seconds


class _Policy(asyncio.DefaultEventLoopPolicy):
    def __init__(self, clock: EventClock) -> None:
        super().__init__()
        self._clock = clock

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _Loop(self._clock)


@contextmanager
def simulated(clock: EventClock) -> Iterator[None]:
    """Within the block, new event loops of this process use the clock."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy(clock))
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)
