"""The process pool: started once a run, fed with pages, never with single shapes."""

import asyncio
import gc
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from types import ModuleType, TracebackType
from typing import Any, Self, TypeVar

from zoning_assets.errors import StoreError

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Pool:
    """Worker processes for what takes the processor's time, started with the first task: a run that finds nothing
    changed starts none. A worker that dies fails its task, not the run."""

    def __init__(self, prepare: Callable[[], object] = gc.collect, workers: int | None = None) -> None:
        """`prepare` is run in each worker while the first page is still on its way: for imports."""
        self._prepare = prepare
        self.workers = workers or max(2, os.cpu_count() or 2)
        self._executor: Executor | None = None
        self._leaving = ExitStack()

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
        try:
            return await asyncio.wrap_future(self._submit(task, *args))
        except BrokenProcessPool as error:
            raise StoreError(
                "a worker process died", where=task.__name__, do="run again; if memory ran out, take smaller pages"
            ) from error

    def _submit(self, task: Callable[..., T], *args: Any) -> "Future[T]":
        try:
            self._executor = self._executor or self._start()
            return self._executor.submit(task, *args)
        except BrokenProcessPool:  # an earlier task's worker died; the others go on in new ones
            self._executor = self._start()
            return self._executor.submit(task, *args)

    def _start(self) -> Executor:
        try:
            executor = ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"))
        except (OSError, ImportError) as error:  # a bare chroot's /dev/shm, without which there are no semaphores
            _log.warning("no worker processes (%s; is /dev/shm writable?): working in threads, slower", error)
            return ThreadPoolExecutor(self.workers)
        with _nameless_main():
            for _ in range(self.workers):
                executor.submit(_warm_up, self._prepare)
        return executor


def _warm_up(prepare: Callable[[], object]) -> None:
    """What is imported stays, and a page's lists hold no cycles: the collector need not look through them again.

    Workers stand back behind the loop that feeds them: where cores are few it would wait for them in turn.
    """
    os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare()
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
    command line again (2.4-3.1 s, DESIGN)."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
