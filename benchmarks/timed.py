"""Busy seconds by stage."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.clock import timed
from benchmarks.lag import lags_ms, percentile
from zoning_assets.pipeline import Pipeline
from zoning_assets.pool import Pool

#: What leaves the event loop -> the stage it works for; everything else there works for the fetch.
_STAGES = {
    "normalize_page": "normalized, validated",
    **dict.fromkeys(("validate_part", "draw", "finish", "rejections", "picture"), "normalized, validated"),
    **dict.fromkeys(("publish_place", "find_published"), "parcels"),
}
_PUBLISHES = "publish_place"


class Busy:
    """Seconds by stage, of all processes and threads together, waiting not counted but for two: `tiles` is the time
    that the cover took, and `parcels` holds the time in which PostgreSQL worked. `dagster` is what stands still while
    it writes its events.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.pipelines_s = 0.0  # time inside the pipeline; the rest of a run is Dagster's
        self.lag_p99_ms = 0.0  # of the event loop, while Dagster writes its events in it

    def listen(self) -> None:
        """Count from now on, in this process."""
        in_pool, in_thread = Pool.run, asyncio.to_thread
        find_cover, run = Pipeline.find_cover, Pipeline.run

        async def pool_run(pool: Pool, task: Callable[..., Any], *args: Any) -> Any:
            result, seconds = await in_pool(pool, timed, time.monotonic, task, *args)
            self.seconds[_STAGES[task.__name__]] += seconds
            return result

        async def to_thread(task: Callable[..., Any], *args: Any, **named: Any) -> Any:
            name = getattr(task, "__name__", "")
            clock = time.monotonic if name == _PUBLISHES else time.thread_time
            result, seconds = await in_thread(timed, clock, task, *args, **named)
            self.seconds[_STAGES.get(name, "raw_feed")] += seconds
            return result

        async def timed_cover(*args: Any, **named: Any) -> Any:
            started = time.monotonic()
            cover = await find_cover(*args, **named)
            self.seconds["tiles"] += time.monotonic() - started
            self.pipelines_s += time.monotonic() - started
            return cover

        async def timed_run(pipeline: Pipeline, *args: Any) -> None:
            *rest, report = args

            events_cpu_s = 0.0

            def reported(outcome: Any) -> None:
                nonlocal events_cpu_s
                (_, cpu_s), seconds = timed(time.monotonic, timed, time.thread_time, report, outcome)
                events_cpu_s += cpu_s
                self.seconds["dagster"] += seconds

            started, loop_s = time.monotonic(), time.thread_time()
            self.lag_p99_ms = percentile(await lags_ms(run(pipeline, *rest, reported)), 0.99)
            self.seconds["raw_feed"] += time.thread_time() - loop_s - events_cpu_s
            self.pipelines_s += time.monotonic() - started

        Pool.run, asyncio.to_thread = pool_run, to_thread
        Pipeline.find_cover, Pipeline.run = timed_cover, timed_run
