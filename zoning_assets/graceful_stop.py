"""Stop a process early without losing results: the request to stop, and functions that run work until it ends or a
stop is requested.

What does not belong here: the signals that request a stop (cli/signals.py for a command; Dagster's handlers for a run
that Dagster started).
"""

import asyncio
import contextvars
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from zoning_assets.errors import Stopping

#: How long to wait for work after its grace period. Then it is abandoned. Seconds.
_ENDS_S = 1.5
#: The longest grace period: how long partitions in progress may still run after a stop, seconds.
GRACE_S = 4.5

T = TypeVar("T")


class Stop:
    """A request to stop the whole process."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._lock = threading.RLock()
        self._calls: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether a stop was requested. Then no new work may start."""
        return self._requested.is_set()

    def request(self) -> None:
        """Request a stop, and make each registered call once. May be called repeatedly and from any thread."""
        with self._lock:
            if self._requested.is_set():
                return
            self._requested.set()
            for call in self._calls:
                call()

    def reset(self) -> None:
        """Withdraw the request, for processes that run several commands, such as tests."""
        self._requested.clear()

    @contextmanager
    def call_on_request(self, call: Callable[[], None]) -> Iterator[None]:
        """Make a short call when a stop is requested during the block, or at once if it was requested before."""
        with self._lock:
            self._calls.append(call)
            if self.requested:
                call()
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)

    def wait(self, seconds: float) -> None:
        """Wait; a request ends the wait."""
        self._requested.wait(seconds)

    def check(self, where: str) -> None:
        """Raise Stopping if a stop was requested."""
        if self.requested:
            raise Stopping("stopped", where=where, do="run the same command again to continue")


#: The request of this process.
STOP = Stop()
#: Short, non-blocking calls that are made before a process that did not end in time is terminated.
CLEANUP_CALLS: list[Callable[[], None]] = []


@asynccontextmanager
async def call_in_loop_on_stop(call: Callable[[], None]) -> AsyncIterator[None]:
    """The same as Stop.call_on_request, for a call that must be made in the running event loop."""
    loop = asyncio.get_running_loop()

    def from_any_thread() -> None:
        loop.call_soon_threadsafe(call)

    with STOP.call_on_request(from_any_thread):
        yield


def run_in_thread(work: Callable[[], T], grace_s: float = GRACE_S) -> T:
    """Run a function in a new thread while the main thread waits for it and for signals; return its result.

    Dagster and asyncio replace signal handlers in the main thread only, and may swallow an exception that a handler
    raises inside their code. If this is called outside the main thread, the function runs in the calling thread.

    Raises:
        KeyboardInterrupt, or what another signal handler raises: a stop was requested, and the function has ended or
            was abandoned.
        Exception: whatever the function raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    done: Future[T] = Future()
    context = contextvars.copy_context()
    thread = threading.Thread(target=_do, args=(done, context, work), name="zoning-work", daemon=True)
    try:
        thread.start()
        return done.result()
    except BaseException:
        if thread.ident is not None and not done.done():
            STOP.request()
            wait([done], grace_s + _ENDS_S)
        raise


def _do(done: "Future[T]", context: contextvars.Context, work: Callable[[], T]) -> None:
    # Child processes inherit this mask: a terminal sends Ctrl-C to all of them, but only this process handles it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        done.set_result(context.run(work))
    except BaseException as error:  # noqa: BLE001 - the waiting thread raises it again
        done.set_exception(error)


def run(work: Coroutine[Any, Any, T], grace_s: float = 0.0) -> T:
    """Run a coroutine with asyncio.run and `run_in_thread`. A stop cancels it after `grace_s` seconds.

    Raises:
        Stopping: it was cancelled.
        Exception: whatever the coroutine or `run_in_thread` raises.
    """
    try:
        return run_in_thread(lambda: asyncio.run(_bounded(work, grace_s)), grace_s)
    except asyncio.CancelledError:
        raise _cancelled() from None


def stream(
    work: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]], grace_s: float = 0.0
) -> Generator[T, None, None]:
    """Yield the items of a coroutine while it runs in a thread of its own.

    Args:
        work: receives a thread-safe function that emits an item, and returns the coroutine.
        grace_s: seconds after which a stop, or the end of the iteration, cancels the coroutine.

    Raises:
        Stopping: it was cancelled.
        Exception: whatever the coroutine raises, after all items that it emitted.
    """
    done: Future[None] = Future()
    items: SimpleQueue[Any] = SimpleQueue()
    context = contextvars.copy_context()
    body = partial(asyncio.run, _bounded(work(items.put), grace_s))
    threading.Thread(target=_do, args=(done, context, body), name="zoning-stream", daemon=True).start()
    done.add_done_callback(items.put)
    try:
        while (item := items.get()) is not done:
            yield item
        done.result()
    except asyncio.CancelledError:
        raise _cancelled() from None
    finally:
        if not done.done():
            STOP.request()
            wait([done], grace_s + _ENDS_S)


async def _bounded(work: Coroutine[Any, Any, T], grace_s: float) -> T:
    task = asyncio.ensure_future(work)

    def cancel() -> None:
        asyncio.get_running_loop().call_later(grace_s, task.cancel)

    async with call_in_loop_on_stop(cancel):
        return await task


def _cancelled() -> Stopping:
    return Stopping("stopped", where="this command", do="run the same command again to continue")
