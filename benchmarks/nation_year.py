"""A year of releases of a nation, and its cold start: an event simulation, without databases.

The day in nation.py evaluates the real sensors each minute. Here only what happens is simulated: each probe at the
time that the real `probe_schedule.after` states, each harvest in a queue with the limits of dagster.yaml. Empty ticks
are left out: each writes the same row, so their number is enough.

A harvest takes: the start of its runs, its requests at the pace of the host, and the processor time of its parcels.
"""

import heapq
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

from benchmarks.fleet import START
from benchmarks.nation_portals import County
from benchmarks.nation_queue import LAUNCH_S, PARCEL_S, percentiles
from zoning_assets.defs.sensors import probe_schedule
from zoning_assets.defs.sensors.probe_schedule import WatchedFeed
from zoning_assets.http.rate_limit import interval_s
from zoning_assets.model import PARCELS, Feed, Jurisdiction, Portal
from zoning_assets.simulation.county.county import BOUNDS

_DAY_S, _REFRESH_S = 86400.0, 30 * 86400.0
#: Runs of a harvest: find_tiles, publish_parcels, tell_changes; publish_districts, tell_changes.
_RUNS = {"parcels": 3, "zoning": 2}
_PROBE_REQUESTS = 3
_PACE_S = interval_s(Portal().requests_per_minute)


@dataclass
class _FeedState:
    county: County
    watched: WatchedFeed
    since: float | None  # when its newest published harvest started; None: never
    queued: bool = False

    def change(self, now: float) -> float | None:
        """When the oldest release that is not published came out; None: there is none, and no refresh is due."""
        if self.since is None:
            return 0.0
        new = [at for at in self.county.releases[self.watched.name] if self.since < at <= now]
        return new[0] if new else now if now - self.since > _REFRESH_S else None

    @property
    def work_s(self) -> float:
        """Seconds of a harvest."""
        name = self.watched.name
        busy_s = sum(PARCEL_S.values()) * self.county.parcels if name == PARCELS else 0.0
        return _RUNS[name] * LAUNCH_S + self.county.requests(name) * _PACE_S + busy_s


@dataclass
class _Queue:
    """Harvests that wait, by host; and the hosts that are free, by the time of their oldest harvest."""

    slots: int
    hosts: dict[str, deque[tuple[float, _FeedState]]] = field(default_factory=dict)
    ready: list[tuple[float, str]] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    waiting: int = 0

    def add(self, now: float, feed: _FeedState) -> None:
        host = feed.county.host
        line = self.hosts.setdefault(host, deque())
        line.append((now, feed))
        self.waiting += 1
        if host not in self.busy and len(line) == 1:
            heapq.heappush(self.ready, (now, host))

    def next(self) -> tuple[float, _FeedState] | None:
        """The harvest to start, and when it was queued; None: no slot or no host is free."""
        if not self.ready or len(self.busy) >= self.slots:
            return None
        _, host = heapq.heappop(self.ready)
        self.busy.add(host)
        self.waiting -= 1
        return self.hosts[host].popleft()

    def release(self, host: str) -> None:
        self.busy.discard(host)
        if line := self.hosts[host]:
            heapq.heappush(self.ready, (line[0][0], host))


@dataclass
class Year:
    """The simulation and its records."""

    queue: _Queue
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    number: Iterator[int] = field(default_factory=count)
    probes: int = 0
    runs: int = 0
    requests: int = 0
    work_s: float = 0.0
    delays: list[float] = field(default_factory=list)  # hours
    waits: list[float] = field(default_factory=list)  # hours
    depths: list[int] = field(default_factory=list)  # one for each event
    harvests: int = 0

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something at a time."""
        heapq.heappush(self.events, (seconds, next(self.number), call))

    def run(self, until: float) -> None:
        """Let everything happen until a time."""
        while self.events and self.events[0][0] < until:
            self.now, _, call = heapq.heappop(self.events)
            call()
            self.depths.append(self.queue.waiting)

    def probe(self, feed: _FeedState) -> None:
        """Probe a feed, and queue its harvest if it changed."""
        self.probes += 1
        if not feed.queued and feed.change(self.now) is not None and feed.county.answers(self.now):
            self.request(feed)
        again = probe_schedule.after(feed.watched, START + timedelta(seconds=self.now))
        self.at((again - START).total_seconds(), partial(self.probe, feed))

    def request(self, feed: _FeedState) -> None:
        """Queue the harvest of a feed."""
        feed.queued = True
        self.queue.add(self.now, feed)
        self.start()

    def start(self) -> None:
        """Start the harvests that the limits permit."""
        while found := self.queue.next():
            queued, feed = found
            self.waits.append((self.now - queued) / 3600)
            self.work_s += feed.work_s
            self.at(self.now + feed.work_s, partial(self.finish, feed, self.now, feed.change(self.now)))

    def finish(self, feed: _FeedState, began: float, oldest: float | None) -> None:
        """A harvest is published."""
        self.harvests += 1
        self.runs += _RUNS[feed.watched.name]
        self.requests += feed.county.requests(feed.watched.name)
        if oldest is not None and feed.since is not None:
            self.delays.append((self.now - oldest) / 3600)
        feed.since, feed.queued = began, False
        self.queue.release(feed.county.host)
        self.start()


def simulate(nation: Sequence[County], days: float, slots: int) -> dict[str, Any]:
    """Simulate the releases of some days. Everything is published at the start.

    Args:
        nation: the counties, with releases of so many days.
        days: the time to simulate.
        slots: runs at once (dagster.yaml: 4).
    """
    began, year = time.perf_counter(), Year(_Queue(slots))
    for feed in _feeds(nation):
        rng = random.Random(feed.watched.key)
        feed.since = -rng.random() * _REFRESH_S
        year.at(rng.random() * _DAY_S, partial(year.probe, feed))
    year.run(days * _DAY_S)
    return {**_figures(year, days * _DAY_S), "seconds": round(time.perf_counter() - began, 1)}


def start_cold(nation: Sequence[County], slots: int) -> dict[str, Any]:
    """Simulate the first harvest of all feeds: all are requested at once, portals without a response are left out."""
    began, year = time.perf_counter(), Year(_Queue(slots))
    for feed in _feeds(nation):
        if feed.county.answers(0.0):
            year.request(feed)
    year.run(math.inf)
    return {**_figures(year, year.now), "seconds": round(time.perf_counter() - began, 1)}


def _feeds(nation: Sequence[County]) -> list[_FeedState]:
    found = []
    for each in nation:
        feeds = {name: Feed(name, "arcgis", f"https://{each.host}/{each.id}/{name}") for name in each.releases}
        described = Jurisdiction(each.id, each.id, BOUNDS, feeds)
        found += [_FeedState(each, WatchedFeed(described, name), None) for name in feeds]
    return found


def _figures(year: Year, spent_s: float) -> dict[str, Any]:
    return {
        "slots": year.queue.slots,
        "days": round(spent_s / _DAY_S, 2),
        "harvests": year.harvests,
        "runs": year.runs,
        "harvest_requests": year.requests,
        "probe_requests": year.probes * _PROBE_REQUESTS,
        "release_to_published_hours": percentiles(year.delays),
        "waited_hours": percentiles(year.waits),
        "queue_depth": percentiles(year.depths),
        "slots_busy": round(year.work_s / (year.queue.slots * spent_s), 3),
    }
