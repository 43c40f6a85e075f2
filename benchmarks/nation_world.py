"""What the simulation of a nation replaces: the portals, and the steps that would fetch and publish their rows.

    replaced                          by
    the portal's answer               a canned answer, behind the real client with its rate limits and retries
    fetch, normalize, validate,       the requests that a harvest of this size sends, through the same rate limits;
    publish                           then a wait for the processor time of its parcels
    the clock                         benchmarks/virtual_time.py

The outcome is recorded by the real asset bodies, in the same tables as after a real harvest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import aiohttp
import pandas as pd

from benchmarks.fleet import START, RecordingLedger
from benchmarks.nation_portals import County
from benchmarks.virtual_time import EventClock
from zoning_assets.defs.resources import Zoning
from zoning_assets.errors import PortalUnreachable, ZoningError
from zoning_assets.harvest import Cover
from zoning_assets.http import Http, Response, Tally
from zoning_assets.http.rate_limit import RequestOutcome, record_outcome, take
from zoning_assets.http.request import PortalRequest
from zoning_assets.model import PARCELS, Counts, Jurisdiction, Outcome, Place, Portal
from zoning_assets.pipeline.pipeline import ProbeResult
from zoning_assets.settings import Settings
from zoning_assets.storage.postgis.records import feed_freshness

#: Requests of a probe, and seconds that a portal takes to respond.
PROBE_REQUESTS, RESPONSE_S = 3, 0.3
_RETRY_AFTER_S, _GIVE_UP_S = 90.0, 60.0
_NO_REJECTIONS = pd.DataFrame(columns=["raw", "reason", "detail", "row", "page"])
_REFRESH_DAYS = 30


@dataclass
class World:
    """The state of the simulation.

    Attributes:
        nation: the counties by id.
        settings: of the commands.
        url: the database.
        clock: the simulated time.
        ledger: the rate limits; records each granted request.
        harvested: feed key -> when its newest published harvest started, in seconds; initial: at the start.
        published: feed key -> start and end of each published harvest.
        failed: the error of the harvest that is being recorded.
        started: when that harvest started; ended: when it was published.
    """

    nation: Mapping[str, County]
    settings: Settings
    url: str
    clock: EventClock = field(default_factory=EventClock)
    ledger: RecordingLedger = field(init=False)
    harvested: dict[str, float] = field(default_factory=dict)
    initial: dict[str, float] = field(default_factory=dict)
    published: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    failed: ZoningError | None = None
    started: float = 0.0
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.ledger = RecordingLedger(self.clock)

    def http(self) -> Http:
        """A client with the simulated time."""
        return Http(jitter=lambda: 0.5, clock=self.clock.monotonic, now=self.clock.now, ledger=self.ledger)

    def change(self, key: str) -> str | None:
        """Why a probe requests a harvest of a feed."""
        id_, feed = key.split("/")
        since, now = self.harvested[key], self.clock.seconds
        releases = sum(at <= now for at in self.nation[id_].releases[feed])
        if releases > sum(at <= since for at in self.nation[id_].releases[feed]):
            return f"release {releases - 1} -> {releases}"
        return f"not fetched for {_REFRESH_DAYS} days" if now - since > _REFRESH_DAYS * 86400 else None

    def store_published(self, key: str) -> None:
        """A harvest is complete."""
        id_, feed = key.split("/")
        self.harvested[key] = self.started
        self.published.setdefault(key, []).append((self.started, self.ended))
        feed_freshness.store_harvest(self.url, id_, feed, START + timedelta(seconds=self.started))


@dataclass(frozen=True)
class CannedPipeline:
    """Replaces Pipeline. Its probes send requests through the real client; the rest returns what was simulated."""

    world: World

    @property
    def database(self) -> str:
        """See Pipeline."""
        return self.world.url

    async def probe(self, jurisdiction: Jurisdiction, feed: str, _: datetime) -> ProbeResult:
        """See Pipeline."""
        county, tally = self.world.nation[jurisdiction.id], Tally()
        async with self.world.http() as http:
            for _ in range(PROBE_REQUESTS):
                request = PortalRequest(
                    jurisdiction.portal,
                    jurisdiction.feeds[feed].url,
                    partial(self._once, http, county),
                    tally,
                    _no_pause,
                )
                await http.sender.send(request)
        return ProbeResult(jurisdiction.id, feed, self.world.change(f"{jurisdiction.id}/{feed}"), tally.requests)

    async def _once(
        self, http: Http, county: County, _: aiohttp.ClientSession, __: str, ___: Mapping[str, str]
    ) -> Response:
        await http.sleep(RESPONSE_S)
        if not county.answers(self.world.clock.seconds):
            raise aiohttp.ClientConnectionError("no answer")
        if county.is_busy(self.world.clock.seconds) and int(self.world.clock.seconds) % 2:
            return Response(503, {"Retry-After": str(int(_RETRY_AFTER_S))})
        return Response(200, {}, b"{}")

    async def harvest(self, jurisdiction: Jurisdiction, feed: str = PARCELS, *, force: bool = False) -> Cover:
        """See Pipeline."""
        if self.world.failed:
            raise self.world.failed
        county, at = self.world.nation[jurisdiction.id], START + timedelta(seconds=self.world.started)
        tiles = dict.fromkeys(county.tiles, county.parcels // len(county.tiles))
        cost = {"requests": county.requests(feed), "bytes": 0, "seconds": 0.0}
        stamp = {"count": county.parcels, "forced": force}
        return Cover(jurisdiction.id, feed, stamp, tiles, rows=county.parcels, fetched=at.isoformat(), cost=cost)

    async def run(
        self,
        jurisdictions: Mapping[str, Jurisdiction],
        places: Sequence[Place],
        feed: str,
        stages: Sequence[str],
        report: Callable[[Outcome], None],
        _: object = None,
    ) -> None:
        """See Pipeline."""
        for place in places:
            rows = self.world.nation[place.jurisdiction].parcels // len(places)
            counts = Counts(received=rows, fetched=rows, accepted=rows, unchanged=rows)
            done = () if self.world.failed else tuple(stages)
            hash_, error = "0" * 64, self.world.failed
            report(Outcome(place, feed, done, counts, None, hash_, _NO_REJECTIONS, error=error))
        if not self.world.failed:
            for id_ in jurisdictions:
                self.world.store_published(f"{id_}/{feed}")


class SimulatedZoning(Zoning):
    """The resource of assets and sensors, with the simulated clock and portals."""

    world: ClassVar[World]

    @property
    def settings(self) -> Settings:
        """See Zoning."""
        return self.world.settings

    def now(self) -> datetime:
        """See Zoning."""
        return self.world.clock.now()

    def database(self) -> str:
        """See Zoning."""
        return self.world.url

    @contextmanager
    def pipeline(self, _: object = None) -> Iterator[Any]:
        """See Zoning."""
        yield CannedPipeline(self.world)


@dataclass
class Fetch:
    """The requests of a harvest. They are sent one after the other, each when the host's budget permits it.

    Attributes:
        world: the simulation.
        county: whose portal is asked.
        left: requests that are not yet answered.
        done: called at the end, with the error or None.
    """

    world: World
    county: County
    left: int
    done: Callable[[ZoningError | None], None]
    portal: Portal = field(default_factory=Portal)

    def step(self) -> None:
        """Send the next request, or wait for the budget."""
        clock, host = self.world.clock, self.county.host
        if not self.left:
            self.done(None)
            return
        if not self.county.answers(clock.seconds):
            error = PortalUnreachable("no answer (6 tries)", where=host, do="check the address, or try again later")
            clock.at(clock.seconds + _GIVE_UP_S, partial(self.done, error))
            return
        budget, decision = take(self.world.ledger.budgets[host], self.portal, clock.seconds)
        self.world.ledger.budgets[host] = budget
        if not decision.ticket:
            clock.at(clock.seconds + max(decision.wait_s, 0.1), self.step)
            return
        self.world.ledger.granted.append((host, clock.seconds))
        busy = self.county.is_busy(clock.seconds) and decision.ticket % 2
        if busy:
            outcome = RequestOutcome(decision.ticket, 503, _RETRY_AFTER_S)
            self.world.ledger.budgets[host] = record_outcome(budget, clock.seconds, outcome)
        self.left -= not busy
        clock.at(clock.seconds + RESPONSE_S, self.step)


def _no_pause() -> None:
    return None
