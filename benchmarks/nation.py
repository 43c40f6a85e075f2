"""A day of a nation: thousands of portals, the real sensors, the real tables of ours and of Dagster, simulated time.

Real: the sensors and their pure functions, evaluated by Dagster with its PostgreSQL storage; the jurisdiction files;
the HTTP client with its retries and breaker; the rate limits (kept in memory, because those in PostgreSQL use the
server's clock); run requests and run keys; the asset bodies that record an outcome.
Replaced: see nation_world.py. The run queue is nation_queue.py, with the limits of dagster.yaml. The daemon is this
loop: the minute sensors are evaluated each minute, `harvest_goes_on` once a minute instead of four times.

The first runs are executed by Dagster, so that what they write is measured. Of the others only what the sensors read
is written. All feeds are published before the start: a cold start is in docs/explanation/nation.md.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import psycopg

from benchmarks import nation_portals, nation_rows, nation_year, virtual_time
from benchmarks.chaos import fresh_database
from benchmarks.fleet import START
from benchmarks.nation_portals import County
from benchmarks.nation_queue import NationQueue, QueuedRun, percentiles
from benchmarks.nation_world import SimulatedZoning, World
from zoning_assets.defs import build, partitions
from zoning_assets.defs.run_requests import FEED_OF, FIND_TILES, PUBLISH_DISTRICTS, PUBLISH_PARCELS, TELL_CHANGES
from zoning_assets.defs.sensors import tick_data
from zoning_assets.model import Outcome, Place
from zoning_assets.settings import Settings
from zoning_assets.storage import dagster_storage
from zoning_assets.storage.postgis.records import failure_records

#: Seconds between two rounds of ticks; the runs at once of dagster.yaml; runs that Dagster executes.
MINUTE_S, AT_ONCE, EXECUTED_RUNS = 60.0, 4, 60
#: The longest time of a tick: Dagster ends it.
TICK_LIMIT_S = 60.0
#: Requests a minute of a host: the default of a jurisdiction file.
BUDGET = 30
#: Runs at once for which the cold start is simulated.
COLD_SLOTS, YEAR_DAYS = (4, 16, 64), 365
#: Besides the time between two probes: a release must be published within this time.
_SLACK_S = 2 * 3600.0
SENSORS = ("feed_changed", "retry_failed", "promise_broken", "harvest_goes_on")
_ASSET = {FIND_TILES: "tiles", PUBLISH_PARCELS: "parcels", PUBLISH_DISTRICTS: "districts"}
_FRESH = """
INSERT INTO zoning.feed (jurisdiction, feed, probed, next_probe, requests, current, harvested)
VALUES (%s, %s, %s, %s, 3, %s, %s)
"""


@dataclass(frozen=True)
class Tick:
    """A tick.

    Attributes:
        cpu_s: processor time of this process, without PostgreSQL; little affected by the load of the machine.
        wall_s: seconds of this machine.
        portal_s: simulated seconds of waiting for portals.
    """

    sensor: str
    cpu_s: float
    wall_s: float
    portal_s: float
    cursor: int  # bytes
    requests: int  # runs that it requested


@dataclass
class Nation:
    """The simulation and its records."""

    world: World
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    queue: NationQueue
    executed: int
    cursors: dict[str, str | None] = field(default_factory=dict)
    ticks: list[Tick] = field(default_factory=list)
    runs: list[QueuedRun] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    found: dict[str, float] = field(default_factory=dict)  # jurisdiction -> when its last find_tiles started

    def minute(self) -> None:
        """Evaluate the sensors once, and record the runs that ended meanwhile."""
        for name in SENSORS:
            self.tick(name)
            self.record_ended()
        self.queue.depths.append(len(self.queue.waiting))

    def tick(self, name: str) -> None:
        """Evaluate a sensor. While it waits for portals, runs go on."""
        sensor, clock = self.definitions.resolve_sensor_def(name), self.world.clock
        before, began, cpu = clock.seconds, time.perf_counter(), time.process_time()
        resources = {"zoning": SimulatedZoning()}
        with (
            virtual_time.simulated(clock),
            dg.build_sensor_context(self.instance, self.cursors.get(name), resources=resources) as context,
        ):
            found = sensor.evaluate_tick(context)
        cpu, took = time.process_time() - cpu, time.perf_counter() - began
        self.cursors[name] = found.cursor
        asked = found.run_requests or ()
        self.ticks.append(Tick(name, cpu, took, clock.seconds - before, len(found.cursor or ""), len(asked)))
        self.queue.submit(asked)

    def record_ended(self) -> None:
        """Record the outcome of the runs that ended."""
        while self.queue.ended:
            run = self.queue.ended.pop(0)
            if run.job == FIND_TILES:
                self.found[run.jurisdiction] = run.started
            is_parcels = run.job == PUBLISH_PARCELS
            self.world.started = self.found[run.jurisdiction] if is_parcels else run.started
            self.world.ended, self.world.failed = run.ended, run.error
            if self.executed > 0:
                self.executed -= 1
                self._execute(run)
            else:
                self._write(run)
            self.runs.append(run)

    def _execute(self, run: QueuedRun) -> None:
        """Let Dagster execute the run, with the real asset bodies."""
        tags = {**run.request.tags, "dagster/run_key": str(run.request.run_key)}
        job = self.definitions.resolve_job_def(run.job)
        done = job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
        if done.success != (run.error is None):
            self.wrong.append(f"{run.job} of {run.jurisdiction}: the executed run did not end as simulated")

    def _write(self, run: QueuedRun) -> None:
        """Write what the sensors read: freshness, failures, and one materialization."""
        feed, now = FEED_OF[run.job], self.world.clock.now()
        failure_records.store_retry(self.world.url, run.jurisdiction, feed, (), run.job, now)
        outcome = Outcome(Place(run.jurisdiction), feed, error=run.error)
        failure_records.store_outcomes(self.world.url, [outcome], run.job, now)
        if run.error or run.job == TELL_CHANGES:
            return
        if run.job != FIND_TILES:
            self.world.store_published(f"{run.jurisdiction}/{feed}")
        county = self.world.nation[run.jurisdiction]
        tile = county.tiles[0] if run.job == PUBLISH_PARCELS else None
        key = partitions.key_of(Place(run.jurisdiction, tile))
        self.instance.report_runless_asset_event(dg.AssetMaterialization(_ASSET[run.job], partition=key))


def measure_apart(portals: int, days: float, server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure in a temporary database and folder: some days, then a year of releases and a cold start."""
    home.mkdir(parents=True, exist_ok=True)
    with fresh_database(server) as url, TemporaryDirectory(dir=home) as folder:
        found = measure(nation_portals.counties(portals, days), days, url, Path(folder), say)
    say("a year of releases")
    year = nation_portals.counties(portals, YEAR_DAYS)
    return {
        **found,
        "year": nation_year.simulate(year, YEAR_DAYS, AT_ONCE),
        "cold": [nation_year.start_cold(year, slots) for slots in COLD_SLOTS],
    }


def measure(  # noqa: PLR0913 - what, where, and how
    nation: Sequence[County],
    days: float,
    url: str,
    home: Path,
    say: Callable[[str], None],
    executed: int = EXECUTED_RUNS,
    every: int = 1,
) -> dict[str, Any]:
    """Simulate the days of a nation.

    Args:
        nation: the counties.
        days: simulated time.
        url: an empty database with our schema; Dagster's tables are created in a schema of it.
        home: an empty folder.
        say: receives a line of progress.
        executed: number of runs that Dagster executes.
        every: minutes between two rounds of ticks.
    """
    began = time.monotonic()
    nation_portals.write_files(nation, home / "toml")
    settings = Settings.of({"ZONING_HOME": str(home), "ZONING_JURISDICTIONS": str(home / "toml")})
    world = World({each.id: each for each in nation}, settings, url)
    SimulatedZoning.world = world
    with _instance(home, url) as (instance, address):
        cold = _loading(settings)
        _publish_all(world, instance)
        nation_rows.analyze(address, url)
        before = nation_rows.sizes(address)
        definitions = build.definitions(settings, zoning=SimulatedZoning())
        simulation = Nation(world, instance, definitions, NationQueue(world, AT_ONCE), executed)
        minutes = round(days * 1440)
        for number in range(0, minutes, every):
            world.clock.advance(max(world.clock.seconds, number * MINUTE_S))
            simulation.record_ended()
            simulation.minute()
            if number % 60 == 0:
                say(f"hour {number // 60} of {minutes // 60}: {len(simulation.runs)} runs")
        rows = nation_rows.measure(address, url, before)
        return {**_found(simulation, cold), "rows": rows, "seconds": round(time.monotonic() - began, 1)}


@contextmanager
def _instance(home: Path, url: str) -> Iterator[tuple[dg.DagsterInstance, str]]:
    """A Dagster instance with our dagster.yaml and its storage in PostgreSQL."""
    address = dagster_storage.bring_up(home, {}, url)
    (home / "dagster").mkdir()
    text = (Path(__file__).parents[1] / "dagster.yaml").read_text()
    (home / "dagster" / "dagster.yaml").write_text(text)
    kept = os.environ.get(dagster_storage.SETTING)
    os.environ[dagster_storage.SETTING] = address
    try:
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            yield instance, address
    finally:
        os.environ.pop(dagster_storage.SETTING)
        os.environ |= {dagster_storage.SETTING: kept} if kept else {}


def _loading(settings: Settings) -> dict[str, float]:
    """Seconds to load the definitions, to read all jurisdiction files, and to look whether they changed."""
    seconds = {}
    for name, work in (
        ("definitions", lambda: build.definitions(settings)),
        ("all files, first tick", lambda: tick_data.watched(settings)),
        ("all files, further ticks", lambda: tick_data.watched(settings)),
    ):
        began = time.perf_counter()
        work()
        seconds[name] = round(time.perf_counter() - began, 3)
    return seconds


def _publish_all(world: World, instance: dg.DagsterInstance) -> None:
    """The state before the start: each feed was fetched within the last 30 days, and is probed within the first day."""
    rng = random.Random(1)
    keys = [partitions.key_of(Place(each.id, tile)) for each in world.nation.values() for tile in each.tiles]
    instance.add_dynamic_partitions(str(partitions.TILES.name), keys)
    values = []
    for each in world.nation.values():
        for feed in each.releases:
            before_s = rng.uniform(0, each.probe_hours * 3600)  # of the last probe; what came out before is published
            seen = [-rng.uniform(0, 30 * 86400), *(at for at in each.releases[feed] if at <= -before_s)]
            world.harvested[f"{each.id}/{feed}"] = max(seen)
            probed = START - timedelta(seconds=before_s)
            harvested = START + timedelta(seconds=max(seen))
            values.append([each.id, feed, probed, probed + timedelta(hours=each.probe_hours), probed, harvested])
    world.initial.update(world.harvested)
    with psycopg.connect(world.url) as connection:
        connection.cursor().executemany(_FRESH, values)


def _found(simulation: Nation, loading: Mapping[str, float]) -> dict[str, Any]:
    """The figures, and what violates the limits."""
    world, runs = simulation.world, simulation.runs
    by_host: dict[str, list[float]] = {}
    for host, at in world.ledger.granted:
        by_host.setdefault(host, []).append(at)
    most = max((_most_a_minute(sorted(times)) for times in by_host.values()), default=0)
    delays, late = _delays(world)
    sensors = [_of_sensor(name, simulation.ticks) for name in SENSORS]
    faults = [f"{most} requests of a host in a minute"] if most > BUDGET else []
    faults += [*simulation.wrong, *(f"{key} was not published" for key in late)]
    faults += [f"a tick of {row['sensor']} took {row['max_s']} s" for row in sensors if row["max_s"] > TICK_LIMIT_S]
    return {
        "portals": len(world.nation),
        "hosts": len({each.host for each in world.nation.values()}),
        "simulated_hours": round(world.clock.hours, 2),
        "tile_keys": sum(len(each.tiles) for each in world.nation.values()),
        "loading_s": dict(loading),
        "sensors": sensors,
        "requests": len(world.ledger.granted),
        "most_a_minute": most,
        "releases": sum(1 for _ in _releases(world)),
        "releases_published": len(delays),
        "release_to_published_hours": percentiles(delays),
        "runs": len(runs),
        "runs_failed": sum(run.error is not None for run in runs),
        "queue_depth": percentiles(simulation.queue.depths),
        "waited_minutes": percentiles([(run.started - run.queued) / 60 for run in runs]),
        "run_minutes": percentiles([(run.ended - run.started) / 60 for run in runs]),
        "run_slots_busy": _busy(runs, world.clock.seconds),
        "faults": faults,
    }


def _of_sensor(name: str, ticks: list[Tick]) -> dict[str, Any]:
    own = [each for each in ticks if each.sensor == name]
    cpu, wall = percentiles([each.cpu_s for each in own]), percentiles([each.wall_s for each in own])
    total = percentiles([each.wall_s + each.portal_s for each in own])
    return {
        "sensor": name,
        "ticks": len(own),
        "cpu_median_s": cpu["median"],
        "cpu_p95_s": cpu["p95"],
        "cpu_max_s": cpu["max"],
        "wall_median_s": wall["median"],
        "wall_p95_s": wall["p95"],
        "p95_s": total["p95"],
        "max_s": total["max"],
        "cursor_bytes_most": max((each.cursor for each in own), default=0),
        "runs_requested": sum(each.requests for each in own),
    }


def _most_a_minute(times: list[float]) -> int:
    """The most requests of any minute, not only of whole ones."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - MINUTE_S:
            first += 1
        most = max(most, last - first + 1)
    return most


def _delays(world: World) -> tuple[list[float], list[str]]:
    """Hours from each release to its publication; and the feeds whose release should be published and is not.

    A release must be published if its portal has no trouble, and if a probe, the queue and a harvest had their time.
    """
    delays, late = [], []
    for each, feed, at in _releases(world):
        ends = [end for start, end in world.published.get(f"{each.id}/{feed}", ()) if start >= at]
        if ends:
            delays.append((min(ends) - at) / 3600)
        elif at < world.clock.seconds - _limit_s(each) and not (each.away or each.storm or each.maintenance):
            late.append(f"{each.id}/{feed}")
    return delays, late


def _limit_s(county: County) -> float:
    return county.probe_hours * 3600 * 1.1 + _SLACK_S


def _releases(world: World) -> Iterator[tuple[County, str, float]]:
    for each in world.nation.values():
        for feed, times in each.releases.items():
            since, now = world.initial[f"{each.id}/{feed}"], world.clock.seconds
            yield from ((each, feed, at) for at in times if since < at <= now)


def _busy(runs: list[QueuedRun], seconds: float) -> float:
    """The share of the run slots that was used."""
    return round(sum(run.ended - run.started for run in runs) / (seconds * AT_ONCE), 3) if seconds else 0.0


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sensors as a table for people."""
    return [{name.replace("_", " "): value for name, value in row.items()} for row in found["sensors"]]
