"""Ending early without losing anything: whether this process was asked to stop, and how work hears of it.

What does not belong here: which signals request it (cli/signals.py for a command; Dagster's own handlers for a run that
Dagster started).
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

#: Work that was asked to stop has so long to end after its grace, and then is left behind; seconds.
_ENDS_S = 1.5
#: The longest grace: after a stop, places that are under way have so long to end, seconds.
GRACE_S = 4.5

T = TypeVar("T")


class Stop:
    """The request to stop, which concerns the whole process as a signal does."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._changing = threading.RLock()
        self._calls: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._requested.is_set()

    def request(self) -> None:
        """Stop. May be called from any thread, and more than once; calls that were registered are made once."""
        with self._changing:
            if self._requested.is_set():
                return
            self._requested.set()
            for call in self._calls:
                call()

    def reset(self) -> None:
        """Forget the request; for programs that outlive a command, such as tests."""
        self._requested.clear()

    @contextmanager
    def call_on_request(self, call: Callable[[], None]) -> Iterator[None]:
        """Make a short call when a stop is requested while the block runs, or at once where it was already."""
        with self._changing:
            self._calls.append(call)
            if self.requested:
                call()
        try:
            yield
        finally:
            with self._changing:
                self._calls.remove(call)

    def check(self, where: str) -> None:
        """Raise Stopping where a stop was requested."""
        if self.requested:
            raise Stopping("stopped", where=where, do="the same command goes on from here")


#: The request of this process.
STOP = Stop()
#: What is done before a process that did not end in time is cut off; short calls that wait for nothing.
CLEANUP_CALLS: list[Callable[[], None]] = []


@asynccontextmanager
async def call_in_loop_on_stop(call: Callable[[], None]) -> AsyncIterator[None]:
    """As Stop.calls, for a call that must be made in the running event loop."""
    loop = asyncio.get_running_loop()

    def from_any_thread() -> None:
        loop.call_soon_threadsafe(call)

    with STOP.call_on_request(from_any_thread):
        yield


def run_in_thread(work: Callable[[], T], grace_s: float = GRACE_S) -> T:
    """Do work in a thread of its own while the main thread waits for nothing but it and signals.

    Dagster and asyncio replace signal handlers in the main thread only, and an exception that a handler raises inside
    their code may be swallowed. Called in another thread, the work is done there.

    Raises:
        What the work raises. KeyboardInterrupt, or what another signal handler raises: a stop was requested, and the
        work has ended or was left behind.
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
    # Programs that the work starts inherit this: a terminal sends Ctrl-C to all, and this process answers it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        done.set_result(context.run(work))
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it, whatever it is
        done.set_exception(error)


def run(work: Coroutine[Any, Any, T], grace_s: float = 0.0) -> T:
    """Run a coroutine as asyncio.run does, but `apart`; a stop cancels it after `grace_s` seconds.

    Raises:
        Stopping: it was cancelled.
        What it raises, and as `apart`.
    """
    try:
        return run_in_thread(lambda: asyncio.run(_bounded(work, grace_s)), grace_s)
    except asyncio.CancelledError:
        raise _cancelled() from None


def stream(
    work: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]], grace_s: float = 0.0
) -> Generator[T, None, None]:
    """What a coroutine puts, as it comes. It runs in a thread of its own while the caller uses what came.

    Args:
        work: makes the coroutine of a function that puts an item, from any thread.
        grace_s: a stop cancels it after so many seconds; so does a caller who takes no more.

    Raises:
        Stopping: it was cancelled.
        What it raises, after all that it put.
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
    return Stopping("stopped", where="this command", do="the same command goes on from here")
