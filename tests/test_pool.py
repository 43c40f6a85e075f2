"""The worker processes: what they survive, and what stands in for them."""

import asyncio
import os
import signal

import pytest

from zoning_assets import pool as pools
from zoning_assets.errors import StoreError
from zoning_assets.pool import Pool


def process_id() -> int:
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
