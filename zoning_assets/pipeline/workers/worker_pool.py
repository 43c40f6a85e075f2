"""The process pool: started once a run, fed with pages, never with single shapes."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import BaseContext
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar

from zoning_assets.errors import StoreError
from zoning_assets.graceful_stop import CLEANUP_CALLS, STOP

_log = logging.getLogger(__name__)

#: The module of the workers' tasks; imported with all it needs it takes a second.
_WORK = "zoning_assets.pipeline.workers.distribute_rows"
#: Apple's libraries do not survive a fork.
_WAY = "spawn" if sys.platform == "darwin" else "forkserver"

S = TypeVar("S")
T = TypeVar("T")


class Pool:
    """Worker processes for what takes the processor's time, started with the first task: a run that finds nothing
    changed starts none. A worker that dies fails its task, not the run."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or max(2, os.cpu_count() or 2)
        self._executor: Executor | None = None
        self._starting = threading.Lock()
        self._leaving = ExitStack()
        #: Tasks that were given out, and those that wait.
        self._out, self._waiting = 0, deque[asyncio.Future[None]]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._executor:
            self._executor.shutdown(cancel_futures=True)
        self._leaving.close()

    def at_exit(self, task: Callable[[], object]) -> None:
        """Run the task when the pool has ended."""
        self._leaving.callback(task)

    async def run(self, task: Callable[..., T], *args: Any) -> T:
        """Run a task of ours in a worker and wait for it without blocking the loop.

        Raises:
            StoreError: the worker died (killed, or out of memory).
        """
        with _named(task):
            if self._executor is None:  # the first start waits for imports, and the loop must not
                await asyncio.to_thread(self._started)
            async with self._turn():
                return await asyncio.wrap_future(self._submit(task, *args))

    def map(self, task: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        """The results of a task for each item, in order. Items are taken in the caller's thread, and only as many ahead
        as keep the workers fed.

        Raises:
            StoreError: as `run`.
        """
        ahead = deque[Future[T]]()
        with _named(task):
            for item in items:
                ahead.append(self._submit(task, item))
                if len(ahead) > self.workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Not more tasks are given out than keep the workers fed; the others wait in their order."""
        if self._out < 2 * self.workers:
            self._out += 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self._pass_on()
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._out -= 1

    def _started(self) -> Executor:
        with self._starting:
            self._executor = self._executor or self._start()
            return self._executor

    def _submit(self, task: Callable[..., T], *args: Any) -> "Future[T]":
        with _nameless_main():  # a worker is started by the first task that finds none idle
            try:
                return self._started().submit(task, *args)
            except BrokenProcessPool:
                STOP.check(task.__name__)
                # An earlier task's worker died; the others go on in new ones.
                self._executor = self._start()
                return self._executor.submit(task, *args)

    def _start(self) -> Executor:
        try:
            executor = ProcessPoolExecutor(self.workers, _context(), _warm_up)
        except (OSError, ImportError) as error:  # a bare chroot's /dev/shm, without which there are no semaphores
            _log.warning("no worker processes (%s; is /dev/shm writable?): working in threads, slower", error)
            return ThreadPoolExecutor(self.workers)
        with _nameless_main():
            executor.submit(os.getpid)  # the first worker waits for the server's imports
        return executor


@contextmanager
def _named(task: Callable[..., Any]) -> Iterator[None]:
    """A worker's death as an error of ours."""
    try:
        yield
    except BrokenProcessPool as error:
        name = getattr(task, "func", task).__name__
        STOP.check(name)
        what = "a worker process died"
        raise StoreError(what, where=name, do="run again; if memory ran out, take smaller pages") from error


def _kill_workers() -> None:
    """Workers whose run is cut off do not finish their page. Their semaphores are cleared away, which Python leaves to
    its usual end: else it reports them as leaked."""
    for each in multiprocessing.active_children():
        each.kill()
    util._run_finalizers(0)  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way


CLEANUP_CALLS.append(_kill_workers)


def _context() -> BaseContext:
    """Workers are forks of a server that has imported what they need, once for all of them, and started nothing."""
    context = multiprocessing.get_context(_WAY)
    context.set_forkserver_preload([_WORK])
    return context


def preload() -> None:
    """Let that server import in the background, so that it has done so when the first page comes."""
    if _context().get_start_method() == "forkserver":
        with suppress(OSError), _nameless_main():  # where it cannot be started, `Pool` says so
            forkserver.ensure_running()


def _warm_up() -> None:
    """What is imported stays, and a page's lists hold no cycles: the collector need not look through them again.

    Workers stand back behind the loop that feeds them: where cores are few it would wait for them in turn.
    """
    os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _end_with_parent() -> None:
    """Who is killed cannot end its workers: each would wait for its next task, and keep its memory, for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Workers need our functions, not the program that started them: without this each one imports all of Dagster's
    command line again (2.4-3.1 s, DESIGN). A terminal's Ctrl-C, which reaches all processes, is left to the run."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    resource_tracker.ensure_running()  # which unblocks signals of this thread when it starts its process
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sys.modules["__main__"] = main
