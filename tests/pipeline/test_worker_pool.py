"""The worker processes: what they survive, and what stands in for them."""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tests.support.waiting import until
from zoning_assets.errors import StoreError
from zoning_assets.pipeline.workers import worker_pool as pools
from zoning_assets.pipeline.workers.worker_pool import Pool


def process_id() -> int:
    return os.getpid()


def slow_process_id() -> int:
    time.sleep(0.2)
    return os.getpid()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_fails_its_task_and_not_the_next() -> None:
    """A killed worker is one clear error; the tasks after it run in new workers."""

    async def run(pool: Pool) -> int:
        with pytest.raises(StoreError, match="a worker process died"):
            await pool.run(die)
        return await pool.run(process_id)

    with Pool() as pool:
        assert asyncio.run(run(pool)) != os.getpid()


def test_a_worker_works_where_its_priority_cannot_be_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter SystemCallFilter=~@resources of the units in deploy/systemd refuses it."""

    def refused(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(pools.os, "nice", refused)
    for name in ("freeze", "set_threshold"):
        monkeypatch.setattr(pools.gc, name, lambda *_: None)
    pools._prepare_worker()


def shifted(number: int) -> int:
    return number + 100


def die_at_three(number: int) -> int:
    if number == 3:
        die()
    return number


def test_results_of_items_come_in_order_and_few_items_are_taken_ahead() -> None:
    """Memory holds a few items, however many there are."""
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    with Pool(workers=2) as pool:
        for at, found in enumerate(pool.map(shifted, items())):
            assert found == at + 100
            assert len(taken) <= at + 3
    assert len(taken) == 20


def test_a_worker_that_dies_ends_the_results() -> None:
    with Pool(workers=2) as pool, pytest.raises(StoreError, match="die_at_three: a worker process died"):
        list(pool.map(die_at_three, range(20)))


def test_where_there_are_no_semaphores_threads_do_the_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a machine without a usable /dev/shm a run is slower, says so, and works."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pools, "ProcessPoolExecutor", refused)
    with Pool() as pool:
        assert asyncio.run(pool.run(process_id)) == os.getpid()
    assert "working in threads" in caplog.text


def parents_of_workers(told: str) -> None:
    """The parent of the workers of three pools; the first worker dies."""
    with pools.forked_workers(), Path(told).open("w") as file:
        with Pool() as pool:
            file.write(f"{asyncio.run(pool.run(os.getppid))}\n")
            with pytest.raises(StoreError):
                asyncio.run(pool.run(die))
            file.write(f"{asyncio.run(pool.run(os.getppid))}\n")
        file.write(f"{os.getpid()}\n")


def no_task() -> None:
    with pools.forked_workers():
        pass


def test_workers_that_were_forked_at_the_start_do_the_first_tasks(tmp_path: Path) -> None:
    """They are children of the process itself. Others follow if one dies, and a process without tasks ends at once."""
    context, told = multiprocessing.get_context("forkserver"), tmp_path / "parents"
    for process in (
        context.Process(target=parents_of_workers, args=(str(told),)),
        context.Process(target=no_task),
    ):
        with pools.empty_main_module():
            process.start()
        process.join(30)
        assert process.exitcode == 0
    first, later, own = told.read_text().split()
    assert first == own
    assert later != own


def later_harvest() -> None:
    with pools.forked_workers(), Pool() as pool:
        asyncio.run(pool.run(os.getppid))
        pool.preload()
        assert forkserver._forkserver._forkserver_pid is None


def test_a_run_with_forked_workers_starts_no_server_for_others() -> None:
    """Its imports would take a second of processor time for nothing: when the run harvests a second layer."""
    process = multiprocessing.get_context("forkserver").Process(target=later_harvest)
    with pools.empty_main_module():
        process.start()
    process.join(30)
    assert process.exitcode == 0


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def sleep_long() -> None:
    time.sleep(3600)


def work_until_killed(told: str) -> None:
    """A run whose workers wait, one of them in the middle of a task."""

    async def pids(pool: Pool) -> set[int]:
        return set(await asyncio.gather(*(pool.run(slow_process_id) for _ in range(8))))

    with Pool(workers=2) as pool:
        Path(told).write_text(" ".join(map(str, asyncio.run(pids(pool)))))
        asyncio.run(pool.run(sleep_long))


def test_workers_end_with_the_run_that_started_them(tmp_path: Path) -> None:
    """kill -9 of a run leaves no worker behind, idle or busy: each would keep its memory for ever."""
    told = tmp_path / "pids"
    process = multiprocessing.get_context("spawn").Process(target=work_until_killed, args=(str(told),))
    process.start()
    until(lambda: told.exists() and told.read_text(), "the workers' numbers")
    workers = [int(pid) for pid in told.read_text().split()]
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert len(workers) == 2
    until(lambda: not any(map(lives, workers)), "no worker lives")


def test_who_leaves_the_queue_keeps_nobody_waiting() -> None:
    """Tasks wait in their order; cancelled ones are passed over, and the others all end."""
    served: list[int] = []

    async def task(pool: Pool, number: int, *, gone: bool = False) -> None:
        await pool.run(slow_process_id)
        assert not gone
        served.append(number)

    async def run(pool: Pool) -> None:
        await pool.run(process_id)  # it starts with its first task
        tasks = [asyncio.create_task(task(pool, number)) for number in range(4)]
        leaving = [asyncio.create_task(task(pool, 4, gone=True)) for _ in range(3)]
        tasks += [asyncio.create_task(task(pool, number)) for number in range(5, 7)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in leaving:
            each.cancel()
        await asyncio.gather(*tasks)
        assert await asyncio.gather(*(pool.run(process_id) for _ in range(5)))

    with Pool(1) as pool:
        asyncio.run(asyncio.wait_for(run(pool), 200))
    assert served == [0, 1, 2, 3, 5, 6]
