"""How much work something takes, compared with other work of the same run.

No everyday test compares seconds with a constant: another machine, or a busy one, would fail it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

#: Work that is too much is too much each time. What else the machine does makes a try longer, now and then.
_TRIES = 5
#: How often the loop is looked at.
_EVERY_S = 0.02


def assert_cost(work: Callable[[], object], yardstick: Callable[[], object], *, at_most: float) -> None:
    """Fail unless the work takes at most so many times the processor time of the yardstick.

    The cheapest try of each counts; the first try within the limit is the last.
    """
    work_s, yardstick_s = float("inf"), float("inf")
    for _ in range(_TRIES):
        yardstick_s, work_s = min(yardstick_s, _processor_s(yardstick)), min(work_s, _processor_s(work))
        if work_s <= at_most * yardstick_s:
            return
    message = f"{work_s:.3g} s, {work_s / yardstick_s:.1f} times the yardstick's; {at_most:g} times are allowed"
    raise AssertionError(message)


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """Fail unless an input of four times the size takes less than eight times the work; quadratic work takes sixteen.

    Args:
        work: what is done with an input of that size.
        size: large enough that a quadratic part would show.
    """
    assert_cost(lambda: work(4 * size), lambda: work(size), at_most=8)


def _processor_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


async def loop_work_ms(work: Awaitable[object]) -> list[float]:
    """Await the work; the milliseconds of processor time that the loop's thread took between two turns of a task that
    is due every 20 ms. What blocks the loop is one long piece; what other processes do is not counted."""
    return await _between_turns(work, time.thread_time, due_s=0.0)


async def loop_lags_ms(work: Awaitable[object]) -> list[float]:
    """Await the work; how many milliseconds late the loop was, every 20 ms meanwhile."""
    return await _between_turns(work, time.perf_counter, due_s=_EVERY_S)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values (0 to 1) do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def _between_turns(work: Awaitable[object], clock: Callable[[], float], due_s: float) -> list[float]:
    found: list[float] = []

    async def sample() -> None:
        while True:
            started = clock()
            await asyncio.sleep(_EVERY_S)
            found.append((clock() - started - due_s) * 1000)

    sampler = asyncio.create_task(sample())
    try:
        await work
    finally:
        sampler.cancel()
        with suppress(asyncio.CancelledError):
            await sampler
    return found
