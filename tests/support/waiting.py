"""Waiting for something to happen, on a machine of any speed."""

import time
from collections.abc import Callable

#: A busy machine is slow, not stuck. Pytest's own limit for a test is longer than this.
MOST_S = 500.0


def until(reached: Callable[[], object], what: str, most_s: float = MOST_S, every_s: float = 0.02) -> None:
    """Return as soon as something is so; fail with what was waited for when it does not come."""
    ends = time.monotonic() + most_s
    while not reached():
        assert time.monotonic() < ends, f"waited in vain: {what}"
        time.sleep(every_s)
