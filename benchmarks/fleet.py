"""Twenty simulated portals in one thread, each with its own faults, on a simulated clock."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiohttp import web

from zoning_assets.http.rate_limit import Decision
from zoning_assets.http.rate_limit_store import MemoryLedger, Step, T
from zoning_assets.simulation.county.county import County
from zoning_assets.simulation.portal.portal import CountyReleases, SimulatedPortal, county_portal

START = datetime(2026, 11, 23, tzinfo=UTC)  # a Monday
FLEET, LOTS = 20, 1500  # a new district has a fifteenth of them; with 400 lots it has a third, which a tripwire holds
#: The probe settings; the rest of the jurisdiction file is that of the simulated county.
PROBES = ("probe_hours = 6", "probe_hours = 12", "probe_hours = 24", 'probe = "0 3 * * *"')
#: By portal, in hours after START: changes; 503 for half of the requests; outages; no rows although metadata work;
#: maintenance windows as its file states them. The last portal never responds.
CHANGES: Mapping[int, tuple[float, ...]] = {
    **{number: (30.5 + 5.7 * number,) for number in range(12)},
    3: (20.2, 90.7), 7: (40.1, 41.9), 12: (50.3,), 13: (74.0,), 14: (33.3, 130.2),
}  # fmt: skip
STORMS: Mapping[int, tuple[float, float]] = {0: (24, 34), 5: (55, 62), 12: (48, 58)}
AWAY: Mapping[int, tuple[float, float]] = {2: (40, 54), 13: (70, 88), 16: (100, 106)}
ROWLESS: Mapping[int, tuple[float, float]] = {1: (36, 40), 8: (76, 82)}
RESTS: Mapping[int, str] = {4: "01:00-05:00 UTC", 14: "Sat 02:00-20:00 UTC", 17: "22:00-06:00 UTC"}
DEAD = FLEET - 1


@dataclass
class Clock:
    """The time of the week; a sleep moves it forward."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + seconds
        await asyncio.sleep(0)
        self.seconds = max(self.seconds, until)


class RecordingLedger(MemoryLedger):
    """A ledger that records each request that it granted."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.monotonic)
        self.clock, self.granted = clock, list[tuple[str, float]]()

    async def change(self, host: str, step: Step[T]) -> T:
        answer = await super().change(host, step)
        turn = answer[0] if isinstance(answer, tuple) else None
        if isinstance(turn, Decision) and turn.ticket:
            self.granted.append((host, self.clock.seconds))
        return answer


@dataclass
class FleetPortal:
    """A portal of the fleet."""

    number: int
    clock: Clock
    releases: CountyReleases = field(init=False)
    portal: SimulatedPortal = field(init=False)
    address: str = "http://127.0.0.1:1"
    release: int = 1
    received: int = 0
    rows: Counter[tuple[object, ...]] = field(default_factory=Counter)  # answered requests for rows

    def __post_init__(self) -> None:
        self.releases = CountyReleases(LOTS, seed=self.number + 1)
        self.portal = county_portal(self.releases, fault=self._fault)

    @property
    def county(self) -> County:
        return self.releases.county(self.release)

    @property
    def host(self) -> str:
        return self.address.removeprefix("http://")

    def change(self) -> None:
        self.release += 1
        self.portal.layers = self.releases(self.release)

    def troubled(self, hours: float) -> bool:
        return any(_within(each.get(self.number), hours) for each in (STORMS, AWAY, ROWLESS))

    async def _fault(self, request: web.Request) -> web.StreamResponse | None:
        self.received += 1
        if _within(AWAY.get(self.number), self.clock.hours):
            return web.Response(status=502, text="away")
        if _within(STORMS.get(self.number), self.clock.hours) and self.received % 2:
            return web.Response(status=503, headers={"Retry-After": "90"}, text="busy")
        params = {**request.query, **{key: str(value) for key, value in (await request.post()).items()}}
        if "outFields" in params and "outStatistics" not in params:
            if _within(ROWLESS.get(self.number), self.clock.hours):
                return web.Response(status=502, text="no rows today")
            self.rows[(self.release, request.path, *sorted(params.items()))] += 1
        return None


def _within(span: tuple[float, float] | None, hours: float) -> bool:
    return span is not None and span[0] <= hours < span[1]


@contextmanager
def serving(clock: Clock) -> Iterator[list[FleetPortal]]:
    """Start the fleet."""
    fleet = [FleetPortal(number, clock) for number in range(FLEET)]
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def one(each: FleetPortal, up: Awaitable[None]) -> None:
        async with each.portal.running() as each.address:
            await up
            await stop.wait()

    async def serve() -> None:
        up = asyncio.Barrier(FLEET)
        async with asyncio.TaskGroup() as group:
            for each in fleet[:DEAD]:
                group.create_task(one(each, _wait(up)))
            await up.wait()
            ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        ready.wait(120)
        yield fleet
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _wait(barrier: asyncio.Barrier) -> None:
    await barrier.wait()
