"""The pool of worker processes. It starts once a run. A task is a page or a batch of rows, never a single geometry."""

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

#: The module after whose import a fork server's objects are excluded from garbage collection.
IMPORTS_DONE = "zoning_assets.pipeline.workers.imports_done"
#: The module that the workers need. Importing it with its dependencies takes a second.
_PRELOADED = ["zoning_assets.pipeline.workers.distribute_rows", IMPORTS_DONE]
#: On macOS, system libraries do not work after a fork.
_START_METHOD = "spawn" if sys.platform == "darwin" else "forkserver"

#: Workers that were forked at the start of this process, until a pool takes them.
_forked: list[Executor] = []

S = TypeVar("S")
T = TypeVar("T")


class Pool:
    """Worker processes for tasks that need much CPU time. They are started with the first task, so a run that finds no
    change starts none. If a worker dies, its task fails, not the run."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or _default_workers()
        self._executor: Executor | None = None
        self._starting = threading.Lock()
        self._exit_calls = ExitStack()
        #: Tasks that were submitted, and those that wait for a slot.
        self._submitted, self._waiting = 0, deque[asyncio.Future[None]]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._executor:
            self._executor.shutdown(cancel_futures=True)
        self._exit_calls.close()

    def at_exit(self, task: Callable[[], object]) -> None:
        """Call `task` after the workers have ended."""
        self._exit_calls.callback(task)

    def preload(self) -> None:
        """See the function `preload`; workers that are running need no fork server."""
        if self._executor is None:
            preload()

    async def run(self, task: Callable[..., T], *args: Any) -> T:
        """Run a task in a worker, and wait for it without blocking the event loop.

        Raises:
            StoreError: the worker died (killed, or out of memory).
        """
        with _translated_errors(task):
            if self._executor is None:  # the first start waits for imports, which would block the event loop
                await asyncio.to_thread(self._started_executor)
            async with self._slot():
                return await asyncio.wrap_future(self._submit(task, *args))

    def map(self, task: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        """Yield the results of a task for each item, in order. Items are taken in the caller's thread, only as many in
        advance as keep the workers busy.

        Raises:
            StoreError: as `run`.
        """
        ahead = deque[Future[T]]()
        with _translated_errors(task):
            for item in items:
                ahead.append(self._submit(task, item))
                if len(ahead) > self.workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait until few enough tasks are submitted; tasks wait in the order of their calls."""
        if self._submitted < 2 * self.workers:
            self._submitted += 1
        else:
            slot = asyncio.get_running_loop().create_future()
            self._waiting.append(slot)
            try:
                await slot
            except asyncio.CancelledError:
                if not slot.cancelled():
                    self._free_slot()
                raise
        try:
            yield
        finally:
            self._free_slot()

    def _free_slot(self) -> None:
        while self._waiting:
            slot = self._waiting.popleft()
            if not slot.done():
                slot.set_result(None)
                return
        self._submitted -= 1

    def _started_executor(self) -> Executor:
        with self._starting:
            self._executor = self._executor or self._start()
            return self._executor

    def _submit(self, task: Callable[..., T], *args: Any) -> "Future[T]":
        with empty_main_module():  # submitting a task starts a worker if none is idle
            try:
                return self._started_executor().submit(task, *args)
            except BrokenProcessPool:
                STOP.check(task.__name__)
                # The worker of an earlier task died; the other tasks continue in new workers.
                self._executor = self._start()
                return self._executor.submit(task, *args)

    def _start(self) -> Executor:
        if _forked:
            return _forked.pop()
        try:
            executor: Executor = ProcessPoolExecutor(self.workers, _context(), _prepare_worker)
        except (OSError, ImportError) as error:  # without /dev/shm, as in a plain chroot, there are no semaphores
            _log.warning("no worker processes (%s; is /dev/shm writable?): working in threads, slower", error)
            return ThreadPoolExecutor(self.workers)
        with empty_main_module():
            executor.submit(os.getpid)  # starts the first worker, which waits for the imports of the fork server
        return executor


def _default_workers() -> int:
    return max(2, os.cpu_count() or 2)


@contextmanager
def _translated_errors(task: Callable[..., Any]) -> Iterator[None]:
    """Raise StoreError with the name of the task if a worker dies."""
    try:
        yield
    except BrokenProcessPool as error:
        name = getattr(task, "func", task).__name__
        STOP.check(name)
        what = "a worker process died"
        raise StoreError(what, where=name, do="run again; if memory ran out, use smaller pages") from error


def _kill_workers() -> None:
    """Kill the workers when the process is ended at once. Their semaphores are deleted here, because Python deletes
    them only at a normal exit and otherwise reports them as leaked."""
    for each in multiprocessing.active_children():
        each.kill()
    util._run_finalizers(0)  # type: ignore[attr-defined] # noqa: SLF001 - there is no public function


CLEANUP_CALLS.append(_kill_workers)


def _context() -> BaseContext:
    """Workers are forks of a server process that has imported their modules once and has started no threads."""
    context = multiprocessing.get_context(_START_METHOD)
    context.set_forkserver_preload(_PRELOADED)
    return context


@contextmanager
def forked_workers() -> Iterator[None]:
    """Fork the workers of the first pool from this process. Its first task then waits for no imports: a run that is
    itself a fork has all modules. Use it only while the process has a single thread."""
    if _START_METHOD == "forkserver":
        with suppress(OSError, ImportError), empty_main_module():  # without semaphores `Pool` logs a warning
            executor = ProcessPoolExecutor(_default_workers(), multiprocessing.get_context("fork"), _prepare_worker)
            executor.submit(os.getpid)  # forks all of them
            _forked.append(executor)
    try:
        yield
    finally:
        while _forked:  # the run had no task for them
            _forked.pop().shutdown()


def preload() -> None:
    """Start the fork server in the background, so that its imports are done when the first page arrives."""
    if not _forked and _context().get_start_method() == "forkserver":
        with suppress(OSError), empty_main_module():  # if it cannot be started, `Pool` logs a warning
            forkserver.ensure_running()


def _prepare_worker() -> None:
    """Prepare a worker process.

    Garbage collection skips imported modules and runs rarely: the lists of a page have no reference cycles. Workers get
    a lower priority than the event loop, which would have to wait for them on machines with few cores.
    """
    with suppress(OSError):  # a sandbox may refuse it, such as systemd's filter of @resources
        os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _end_with_parent() -> None:
    """Exit when the parent process ends. A killed parent cannot end its workers, which would wait for tasks for
    ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def empty_main_module() -> Iterator[None]:
    """Start worker processes without the main module and with SIGINT blocked.

    multiprocessing imports the main module of the parent in each worker. The tasks do not need it, and if the parent is
    Dagster's command line, this import takes 2.4 to 3.1 s. SIGINT is blocked because Ctrl-C in a terminal is sent to
    all processes; the run handles it, and then ends the workers.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    resource_tracker.ensure_running()  # starting its process unblocks the signals of this thread
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sys.modules["__main__"] = main
