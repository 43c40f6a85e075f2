"""How work hears of a stop, in one process."""

import asyncio
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from zoning_assets import graceful_stop
from zoning_assets.errors import Stopping
from zoning_assets.graceful_stop import STOP


@pytest.fixture(autouse=True)
def _stop_withdrawn() -> Iterator[None]:
    yield
    STOP.reset()


def test_who_registers_is_called_once_and_who_comes_late_at_once() -> None:
    """A stop that was requested before the block is heard in it, too; after the block nobody is called."""
    calls: list[str] = []
    with STOP.call_on_request(lambda: calls.append("gone")):
        pass
    with STOP.call_on_request(lambda: calls.append("early")):
        STOP.request()
        STOP.request()
        with STOP.call_on_request(lambda: calls.append("late")):
            pass
    assert calls == ["early", "late"]
    with pytest.raises(Stopping):
        STOP.check("here")


@pytest.mark.parametrize("grace_s", [0.0, 0.05])
def test_a_stop_cancels_what_waits(grace_s: float) -> None:
    """A coroutine that would wait for ever ends with Stopping, and can clean up."""
    cleaned = threading.Event()

    async def wait() -> None:
        threading.Thread(target=STOP.request).start()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    with pytest.raises(Stopping):
        graceful_stop.run(wait(), grace_s)
    assert cleaned.is_set()


def test_work_gives_what_it_has_and_raises_what_it_raises() -> None:
    """Apart from the main thread, as in it."""
    assert graceful_stop.run_in_thread(threading.current_thread) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        graceful_stop.run_in_thread(lambda: 1 // 0)

    async def three() -> int:
        return 3

    assert graceful_stop.run(three()) == 3


def test_an_interrupt_asks_the_work_to_stop_and_waits_for_it() -> None:
    """The main thread is interrupted while it waits, never the work; which is asked, and ends by itself."""
    ended = threading.Event()

    def work() -> None:
        asked = threading.Event()
        with STOP.call_on_request(asked.set):
            os.kill(os.getpid(), signal.SIGINT)
            assert asked.wait(60)
        ended.set()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            graceful_stop.run_in_thread(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set()


def test_work_that_does_not_end_is_left_behind() -> None:
    """The main thread goes on without it."""
    release = threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(60)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            graceful_stop.run_in_thread(work, grace_s=0.0)
    finally:
        signal.signal(signal.SIGINT, before)
        release.set()


def taken(stream: Iterator[int], use: Callable[[], object]) -> Iterator[int]:
    """The items of a stream, each used as soon as it came."""
    for item in stream:
        use()
        yield item


def test_what_a_coroutine_puts_is_had_while_it_works() -> None:
    """The first item is used before the coroutine goes on; what it raises comes after all that it put."""
    used, seen = threading.Event(), list[int]()

    async def work(put: Callable[[int], None]) -> None:
        put(1)
        assert await asyncio.to_thread(used.wait, 60)
        put(2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        deque(map(seen.append, taken(graceful_stop.stream(work), used.set)))
    assert seen == [1, 2]


def test_a_stop_ends_a_stream() -> None:
    """What was put until then is had."""
    seen: list[int] = []

    async def work(put: Callable[[int], None]) -> None:
        put(1)
        threading.Thread(target=STOP.request).start()
        await asyncio.Event().wait()

    with pytest.raises(Stopping):
        deque(map(seen.append, graceful_stop.stream(work)))
    assert seen == [1]


def test_who_takes_no_more_ends_the_coroutine() -> None:
    """Dagster closes a step that it interrupts; nothing of it goes on."""
    cleaned = threading.Event()

    async def work(put: Callable[[int], None]) -> None:
        put(1)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    with closing(graceful_stop.stream(work)) as stream:
        assert next(stream) == 1
    assert cleaned.is_set()
