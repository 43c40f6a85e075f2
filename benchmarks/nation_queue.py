"""The run queue of a simulated nation: as many runs at once as dagster.yaml permits, one for each host."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import dagster as dg

from benchmarks.nation_world import Fetch, World
from zoning_assets.defs import partitions, retry_policies
from zoning_assets.defs.in_process_runs import RANGE_START
from zoning_assets.defs.run_requests import FIND_TILES, PUBLISH_DISTRICTS, PUBLISH_PARCELS, TELL_CHANGES
from zoning_assets.errors import ZoningError
from zoning_assets.model import PARCELS, ZONING

#: Seconds from the start of a run to its first step (a process that imports Dagster), and seconds a parcel of each job:
#: 20 s for 200,000 parcels on two cores (docs/benchmarks.md), shared among the jobs as the benchmark's log states.
LAUNCH_S = 4.0
PARCEL_S = {FIND_TILES: 4e-5, PUBLISH_PARCELS: 4e-5, TELL_CHANGES: 2e-5, PUBLISH_DISTRICTS: 0.0}
_LEAST_S = 2.0
#: Of which feed a job sends requests.
_FETCHES = {FIND_TILES: PARCELS, PUBLISH_DISTRICTS: ZONING}


@dataclass
class QueuedRun:
    """A requested run. Times in seconds of the simulation."""

    request: dg.RunRequest
    queued: float
    started: float = 0.0
    ended: float = 0.0
    error: ZoningError | None = None

    @property
    def host(self) -> str:
        """The value of the tag by which dagster.yaml limits runs."""
        return str(self.request.tags[retry_policies.HOST])

    @property
    def jurisdiction(self) -> str:
        """Whose run it is."""
        key = self.request.tags.get("dagster/partition") or self.request.tags[RANGE_START]
        return partitions.place_of(str(key)).jurisdiction

    @property
    def job(self) -> str:
        """The name of its job."""
        return str(self.request.job_name)


@dataclass
class NationQueue:
    """The queue.

    Attributes:
        world: the simulation.
        most: runs at once.
        waiting: oldest first.
        running: those that were started.
        ended: those that ended and are not recorded yet.
        keys: all run keys so far, which Dagster never starts twice.
        depths: number of waiting runs, once a minute.
    """

    world: World
    most: int
    waiting: list[QueuedRun] = field(default_factory=list)
    running: list[QueuedRun] = field(default_factory=list)
    ended: list[QueuedRun] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    depths: list[int] = field(default_factory=list)

    def submit(self, requests: Iterable[dg.RunRequest]) -> None:
        """Queue the runs that a sensor requests."""
        for each in requests:
            if each.run_key not in self.keys:
                self.keys.add(str(each.run_key))
                self.waiting.append(QueuedRun(each, self.world.clock.seconds))
        self.start()

    def start(self) -> None:
        """Start the runs that the limits permit."""
        hosts = {each.host for each in self.running}
        for each in list(self.waiting):
            if len(self.running) >= self.most:
                return
            if each.host not in hosts:
                hosts.add(each.host)
                self.waiting.remove(each)
                self.running.append(each)
                each.started = self.world.clock.seconds
                self.world.clock.at(each.started + LAUNCH_S, partial(self._fetch, each))

    def has_run_of(self, jurisdiction: str) -> bool:
        """Whether a run of a jurisdiction waits or runs."""
        return any(each.jurisdiction == jurisdiction for each in (*self.waiting, *self.running))

    def _fetch(self, run: QueuedRun) -> None:
        county = self.world.nation[run.jurisdiction]
        left = county.requests(_FETCHES[run.job]) if run.job in _FETCHES else 0
        Fetch(self.world, county, left, partial(self._compute, run)).step()

    def _compute(self, run: QueuedRun, error: ZoningError | None) -> None:
        run.error = error
        parcels = self.world.nation[run.jurisdiction].parcels
        busy_s = _LEAST_S if error else max(_LEAST_S, PARCEL_S[run.job] * parcels)
        self.world.clock.at(self.world.clock.seconds + busy_s, partial(self._end, run))

    def _end(self, run: QueuedRun) -> None:
        run.ended = self.world.clock.seconds
        self.running.remove(run)
        self.ended.append(run)
        self.start()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The median, the 95th percentile and the maximum; zeros if there is no value."""
    ordered = sorted(values) or [0.0]
    last = len(ordered) - 1
    shares = {"median": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(ordered[min(last, int(share * len(ordered)))], 3) for name, share in shares.items()}
