"""Waiting for something to happen, on a machine of any speed."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

#: A busy machine is slow, not stuck. Pytest's own limit for a test is longer than this.
MOST_S = 500.0


def until(reached: Callable[[], Found], what: str, most_s: float = MOST_S, every_s: float = 0.02) -> Found:
    """Return what is found as soon as there is something; fail with what was waited for when it does not come."""
    ends = time.monotonic() + most_s
    while not (found := reached()):
        assert time.monotonic() < ends, f"waited in vain: {what}"
        time.sleep(every_s)
    return found
