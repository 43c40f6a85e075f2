"""Many places at once: a few in flight, paused where a person pauses them, each to its outcome.

What belongs here: when a place may work. What does not: what is done with it (pipeline).
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from zoning_assets import logs
from zoning_assets.errors import Held
from zoning_assets.gate import Gate
from zoning_assets.harvesting import Harvesting, Opened
from zoning_assets.http import Client, Http, Tally
from zoning_assets.model import Jurisdiction, Outcome, Place
from zoning_assets.pauses import Pauses, hosts_of


@dataclass
class Run:
    """One feed of many places."""

    jurisdictions: Mapping[str, Jurisdiction]
    feed: str
    harvesting: Harvesting
    http: Http
    pauses: Pauses
    slots: asyncio.Semaphore
    gates: Mapping[str, Gate]
    _opened: dict[str, asyncio.Task[Opened]] = field(default_factory=dict)
    _ranks: Iterator[int] = field(default_factory=itertools.count)

    async def all(
        self,
        places: Sequence[Place],
        take: Callable[["Run", Place], Awaitable[Outcome]],
        report: Callable[[Outcome], None],
    ) -> None:
        """Take each place; `report` is told each outcome as it is known."""

        async def one(place: Place) -> None:
            try:
                with logs.about(jurisdiction=place.jurisdiction, tile=place.tile, feed=self.feed):
                    outcome = await self._through(place, take)
                    _tell(outcome)
                await self.gates[place.jurisdiction].leave(place)
                report(outcome)
            finally:
                self.slots.release()

        async with asyncio.TaskGroup() as group:
            for place in places:
                await self.slots.acquire()
                group.create_task(one(place))

    async def _through(self, place: Place, take: Callable[["Run", Place], Awaitable[Outcome]]) -> Outcome:
        """As far as it gets; where a person pauses it, it waits and goes on."""
        outcome, hosts = None, hosts_of(self.jurisdictions[place.jurisdiction], self.feed)
        while outcome is None or isinstance(outcome.error, Held):
            stopped = partial(self.http.stopped, str(place))
            if error := stopped() or await self.pauses.over(place.jurisdiction, hosts, stopped):
                return Outcome(place, self.feed, error=error)
            outcome = await take(self, place)
        return outcome

    def rank(self) -> int:
        """Who begins first is served first."""
        return next(self._ranks)

    def client(self, place: Place, tally: Tally) -> Client:
        """Asks for one place."""
        hosts = hosts_of(self.jurisdictions[place.jurisdiction], self.feed)
        return self.http.for_work(tally, partial(self.pauses.held, place.jurisdiction, hosts))

    async def open(self, jurisdiction: Jurisdiction, client: Client) -> Opened:
        """The feed's layer and its tiles; found once a run, for the place that comes first."""
        task = self._opened.get(jurisdiction.id)
        if task is None or (task.done() and isinstance(task.exception(), Held)):
            task = asyncio.create_task(self.harvesting.open_for_run(jurisdiction, self.feed, client))
            self._opened[jurisdiction.id] = task
        return await task

    def known(self) -> dict[str, Opened]:
        """What was opened, by jurisdiction."""
        return {id_: task.result() for id_, task in self._opened.items() if not task.exception()}


def places_of(jurisdiction: str, places: Iterable[Place]) -> set[Place]:
    """Those of one jurisdiction."""
    return {place for place in places if place.jurisdiction == jurisdiction}


def _tell(outcome: Outcome) -> None:
    """What became of a place, for the logs."""
    if outcome.error:
        logs.OUTCOMES.warning("failed", extra={"error": str(outcome.error), "kind": type(outcome.error).__name__})
    else:
        logs.OUTCOMES.info("done", extra={"stages": outcome.stages, **outcome.counts.as_dict()})
