"""Busy seconds by stage. Worker processes import this, so nothing here imports Dagster."""

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from zoning_assets import pipeline
from zoning_assets.pool import Pool

#: Functions of the pipeline that leave the event loop -> the stage they work for; the others are the fetch's.
_STAGES = {
    "normalize_page": "normalized",
    "validate_part": "validated",
    "publish_place": "parcels",
    "find_published": "parcels",
    "draw": "validated",
    "finish": "validated",
    "rejections": "validated",
    "picture": "validated",
}


def _timed(task: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    started = time.monotonic()
    return task(*args), time.monotonic() - started


class Busy:
    """Seconds by stage; for `parcels` they include waiting for PostgreSQL, which works meanwhile."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def listen(self) -> None:
        """Count what the pool's workers and the threads beside the event loop do, from now on."""
        in_pool, in_thread = Pool.run, asyncio.to_thread

        async def run(pool: Pool, task: Callable[..., Any], *args: Any) -> Any:
            result, seconds = await in_pool(pool, _timed, task, *args)
            self.seconds[_STAGES[task.__name__]] += seconds
            return result

        async def to_thread(task: Callable[..., Any], *args: Any, **named: Any) -> Any:
            started = time.monotonic()
            try:
                return await in_thread(task, *args, **named)
            finally:
                self.seconds[_STAGES.get(task.__name__, "raw_feed")] += time.monotonic() - started

        Pool.run = run
        pipeline.asyncio.to_thread = to_thread

    def loud(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted for a stage."""

        @functools.wraps(function)
        def counted(*args: Any, **named: Any) -> Any:
            started = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                self.seconds[stage] += time.thread_time() - started

        return counted
