"""How late an event loop is: what else runs in it must wait as long."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress

_EVERY_S = 0.02


async def lags_ms(work: Awaitable[object]) -> list[float]:
    """Await the work; how many milliseconds late the loop was, every 20 ms meanwhile."""
    found: list[float] = []
    sampler = asyncio.create_task(_sample(found))
    try:
        await work
    finally:
        sampler.cancel()
        with suppress(asyncio.CancelledError):
            await sampler
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values (0 to 1) do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def _sample(found: list[float]) -> None:
    while True:
        started = time.perf_counter()
        await asyncio.sleep(_EVERY_S)
        found.append((time.perf_counter() - started - _EVERY_S) * 1000)
