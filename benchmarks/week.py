"""A week of twenty portals in a few minutes: changes, overload, outages, maintenance, and one portal that never
responds.

The decisions of the sensors, the client with its rate limits, the pipeline and PostGIS are the real ones. The clock is
simulated: a sleep moves it forward. Dagster, which starts a run for each run request of a sensor, is replaced by a
list.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import fleet
from benchmarks.chaos import fresh_database
from benchmarks.fleet import CHANGES, DEAD, RESTS, Clock, FleetPortal, RecordingLedger
from zoning_assets import jurisdictions
from zoning_assets.defs.sensors import failed_partitions, overdue_feeds, probe_results, probe_schedule
from zoning_assets.defs.sensors.probe_schedule import ProbeState, WatchedFeed
from zoning_assets.defs.sensors.tick_data import TickData
from zoning_assets.errors import ZoningError
from zoning_assets.http import Http
from zoning_assets.model import PARCELS, Jurisdiction, Outcome, Place
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.schedules.time_windows import open_window_until
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import database
from zoning_assets.storage.postgis.records import failure_records
from zoning_assets.storage.postgis.records import feed_freshness as stored

_TICK_S, _WEEK_S, _DAY_S = 600.0, 7 * 86400.0, 86400.0


@dataclass
class Week:
    """The simulation and its records.

    Attributes:
        clock: the simulated time.
        portals: all portals.
        pipeline: the real pipeline.
        ledger: records each request.
        feeds: of all portals.
        cursor: of the probe sensor.
        retries: of the retry sensor.
        requested: run keys, as Dagster stores them.
        probes: by portal and day.
        busy: portals and days with a harvest, overload or outage.
        runs: hours, feed, reason, success.
        published: start and end hours of successful runs, by feed.
    """

    clock: Clock
    portals: list[FleetPortal]
    pipeline: Pipeline
    ledger: RecordingLedger
    feeds: list[WatchedFeed]
    cursor: dict[str, ProbeState] = field(default_factory=dict)
    retries: dict[int, failed_partitions.RetryState] = field(default_factory=dict)
    requested: set[str] = field(default_factory=set)
    probes: Counter[tuple[int, int]] = field(default_factory=Counter)
    busy: set[tuple[int, int]] = field(default_factory=set)
    runs: list[tuple[float, str, str, bool]] = field(default_factory=list)
    published: defaultdict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def number(self, feed: WatchedFeed) -> int:
        return int(feed.jurisdiction.id[-2:])

    @property
    def day(self) -> int:
        return int(self.clock.seconds // _DAY_S)

    def tick(self) -> None:
        """Evaluate the three sensors, and start the runs that they request."""
        seen = TickData.at(self.pipeline.database, self.feeds, self.clock.now())
        by_key = {feed.key: feed for feed in self.feeds}
        asks = [(each.run_key, each.feed, ()) for each in self._probed(seen) if each.run_key]
        again, self.retries = failed_partitions.due(self.retries, seen.failed, seen.closed, seen.now)
        asks += [(ask.run_key, by_key[f"{ask.jurisdiction}/{ask.feed}"], ask.tiles) for ask in again]
        closed = seen.closed | {feed.key for feed in self.feeds if seen.failures_of(feed)}
        asks += [(key, feed, ()) for feed, key in overdue_feeds.due(self.feeds, seen.known, closed, seen.now)]
        for key, feed, tiles in asks:
            if key not in self.requested:
                self.requested.add(key)
                self._run(key.split()[0], feed, tiles)

    def _probed(self, seen: TickData) -> list[probe_results.ProbeDecision]:
        chosen = probe_schedule.due(self.cursor, seen.known, seen.feeds, seen.closed, seen.now)
        found = asyncio.run(probe_results.probe_feeds(self.pipeline, chosen, seen.now))
        decided = probe_results.decide(self.cursor, found, seen.failures_of, seen.now)
        for each in decided:
            self.cursor[each.feed.key] = each.entry
            self.probes[self.number(each.feed), self.day] += 1
            stored.store_probe(seen.url, each.known)
        return decided

    def _run(self, why: str, feed: WatchedFeed, tiles: Sequence[str]) -> None:
        """Do what the job `harvest` does."""
        self.busy.add((self.number(feed), self.day))
        began, url, id_ = self.clock.hours, self.pipeline.database, feed.jurisdiction.id
        failure_records.store_retry(url, id_, feed.name, tiles, "week", self.clock.now())
        outcomes = self._run_pipeline(feed.jurisdiction, feed.name, tiles)
        failure_records.store_outcomes(url, outcomes, "week", self.clock.now())
        well = all(each.error is None for each in outcomes)
        self.runs.append((round(began, 2), feed.key, why if why in ("again", "fresh") else "changed", well))
        self.busy.add((self.number(feed), self.day))
        if well:
            self.published[feed.key].append((began, self.clock.hours))
        if any(each.error is None for each in outcomes):
            change_detection.update_parcel_zoning(url, feed.jurisdiction)
            change_detection.detect_changes(url, feed.jurisdiction)

    def _run_pipeline(self, described: Jurisdiction, feed: str, tiles: Sequence[str]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        places = [Place(described.id)]
        if feed == PARCELS:
            try:
                cover = asyncio.run(self.pipeline.harvest(described))
            except ZoningError as error:
                return [Outcome(Place(described.id), feed, error=error)]
            failure_records.solve_removed_tiles(
                self.pipeline.database, described.id, feed, cover.tiles, self.clock.now()
            )
            chosen = tiles if tiles and set(tiles) <= set(cover.tiles) else cover.tiles
            places, outcomes = [Place(described.id, tile) for tile in chosen], [Outcome(Place(described.id), feed)]
        asyncio.run(self.pipeline.run({described.id: described}, places, feed, STAGES, outcomes.append))
        return outcomes


def measure_apart(server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure in a temporary database and folder."""
    home.mkdir(parents=True, exist_ok=True)
    with fresh_database(server) as url, TemporaryDirectory(dir=home) as folder:
        return measure(url, Path(folder), say)


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The portals as a table for people."""
    return [{name.replace("_", " "): _cell(value) for name, value in row.items()} for row in found["portals"]]


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else value


def measure(server: str, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Simulate the week. `server`: an empty database with the schema."""
    clock, began = Clock(), time.monotonic()
    ledger = RecordingLedger(clock)

    def http() -> Http:
        return Http(sleep=clock.sleep, jitter=lambda: 0.5, clock=clock.monotonic, now=clock.now, ledger=ledger)

    with fleet.serving(clock) as portals, Pool() as pool:
        pipeline = Pipeline(Objects(str(home / "store")), server, home / "scratch", pool, http, clock.now)
        feeds = [feed for each in portals for feed in _feeds(home, each)]
        week = Week(clock, portals, pipeline, ledger, feeds)
        due = sorted((hours * 3600, number) for number, times in CHANGES.items() for hours in times)
        for tick in range(int(_WEEK_S / _TICK_S)):
            clock.seconds = max(clock.seconds, tick * _TICK_S)
            while due and due[0][0] <= clock.seconds:
                portals[due.pop(0)[1]].change()
            week.busy |= {(each.number, week.day) for each in portals if each.troubled(clock.hours)}
            week.tick()
            if tick % 144 == 143:
                say(f"day {tick // 144 + 1} of 7: {len(week.runs)} runs, {len(ledger.granted):,} requests")
        return _found(week, time.monotonic() - began)


def _feeds(home: Path, each: FleetPortal) -> list[WatchedFeed]:
    name = f"us-xx-county-{each.number:02d}"
    text = county_toml(each.address).replace(ID, name)
    text = text.replace('type = "arcgis"\n', f'type = "arcgis"\n{fleet.PROBES[each.number % len(fleet.PROBES)]}\n')
    text = text.partition("[portal]")[0]  # the default limits
    if each.number in RESTS:
        text += f'[portal]\nmaintenance = ["{RESTS[each.number]}"]\n'
    (home / "toml").mkdir(parents=True, exist_ok=True)
    path = home / "toml" / f"{name}.toml"
    path.write_text(text)
    described = jurisdictions.read(path, FEED_TYPES)
    return [WatchedFeed(described, feed) for feed in described.feeds]


def _found(week: Week, seconds: float) -> dict[str, Any]:
    """The figures, and what violates the limits."""
    table = [_portal(week, each) for each in week.portals]
    faults = [f"{row['portal']}: {fault}" for row in table for fault in row.pop("faults")]
    quiet = [row["requests_a_probe_most"] for row in table if row["requests_a_probe_most"] is not None]
    lags = [lag for row in table for lag in row["lag_hours"]]
    return {
        "portals": table,
        "requests": len(week.ledger.granted),
        "runs": len(week.runs),
        "runs_again": sum(why == "again" for _, _, why, _ in week.runs),
        "runs_failed": sum(not well for *_, well in week.runs),
        "probes": sum(week.probes.values()),
        "changes": len(lags),
        "lag_hours_most": max(lags, default=None),
        "requests_a_probe_most": max(quiet, default=None),
        "seconds": round(seconds, 1),
        "faults": faults,
    }


def _portal(week: Week, each: FleetPortal) -> dict[str, Any]:
    feeds = [feed for feed in week.feeds if week.number(feed) == each.number]
    limit = feeds[0].freshness_limit(fleet.START)
    times = [at for host, at in week.ledger.granted if host == each.host]
    runs = [run for run in week.runs if run[1] in {feed.key for feed in feeds}]
    lags = [_lag(week, feeds, hours) for hours in CHANGES.get(each.number, ())]
    days = [d for d in range(7) if (each.number, d) not in week.busy and week.probes[each.number, d]]
    requested = {d: sum(int(at // _DAY_S) == d for at in times) for d in days}
    a_probe = [requested[d] / week.probes[each.number, d] for d in days]
    most = max((sum(at <= other < at + 60 for other in times) for at in times), default=0)
    twice = sum(count - 1 for count in each.rows.values())
    faults = [f"a change was published after {lag} h" for lag in lags if lag is None or timedelta(hours=lag) > limit]
    faults += [f"{most} requests in a minute"] if most > 30 else []
    faults += [f"{max(a_probe):.1f} requests a probe"] if max(a_probe, default=0) > 3 else []
    faults += [f"{twice} pages fetched twice"] if twice and not _failed(runs) else []
    faults += ["requests during maintenance"] if _asked_in_maintenance(each, times) else []
    faults += _wrong_rows(week, each) if each.number != DEAD else []
    return {
        "portal": each.number,
        "freshness_hours": int(limit.total_seconds() // 3600),
        "changes": len(lags),
        "lag_hours": [lag for lag in lags if lag is not None],
        "runs": len(runs),
        "failed": _failed(runs),
        "probes": sum(week.probes[each.number, d] for d in range(7)),
        "requests": len(times),
        "most_a_minute": most,
        "no_change_days": len(days),
        "requests_a_no_change_day": round(sum(requested.values()) / len(days), 1) if days else None,
        "requests_a_probe_most": round(max(a_probe), 2) if a_probe else None,
        "pages": sum(each.rows.values()),
        "pages_twice": twice,
        "faults": faults,
    }


def _failed(runs: Sequence[tuple[float, str, str, bool]]) -> int:
    return sum(not well for *_, well in runs)


def _lag(week: Week, feeds: Sequence[WatchedFeed], changed: float) -> float | None:
    """Hours from a change to its publication, of the later feed; None: it was not published."""
    ends = [min((end for began, end in week.published[f.key] if began >= changed), default=None) for f in feeds]
    return None if None in ends else round(max(end for end in ends if end is not None) - changed, 1)


def _asked_in_maintenance(each: FleetPortal, times: Sequence[float]) -> bool:
    windows = [RESTS[each.number]] if each.number in RESTS else []
    return any(open_window_until(windows, fleet.START + timedelta(seconds=at)) for at in times)


def _wrong_rows(week: Week, each: FleetPortal) -> list[str]:
    """Whether the table has the rows of the portal, and whether it was fetched without a reason."""
    with database.connect(week.pipeline.database) as connection:
        id_ = f"us-xx-county-{each.number:02d}"
        row = connection.execute("SELECT count(*) FROM zoning.parcel WHERE jurisdiction = %s", [id_]).fetchone()
    wrong = [] if row and row[0] == each.county.parcels_by_policy()["dissolve"] else [f"{row} parcels are published"]
    for feed in (feed for feed in week.feeds if week.number(feed) == each.number):
        well = sum(well for _, key, _, well in week.runs if key == feed.key)
        causes = 1 + len(CHANGES.get(each.number, ()))
        wrong += [f"{feed.name} fetched {well} times for {causes} causes"] if well > causes else []
    return wrong
