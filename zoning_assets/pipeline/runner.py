"""Many places at once: a few in flight, paused where a person pauses them, each to its outcome.

What belongs here: when a place may work. What does not: what is done with it (pipeline).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from zoning_assets import log_config
from zoning_assets.errors import Held, ZoningError
from zoning_assets.harvest import Cover
from zoning_assets.http import Http
from zoning_assets.model import Jurisdiction, Outcome, Place
from zoning_assets.pipeline.holds import Pauses, hosts_of
from zoning_assets.pipeline.release_gate import Gate
from zoning_assets.pipeline.workers.work_item import Work


@dataclass(frozen=True)
class Prepared:
    """A layer's harvest, and for each place the work that was cut from it, or the error that prevents it."""

    cover: Cover
    works: Mapping[Place, Work | ZoningError]


@dataclass
class Run:
    """One feed of many places. `prepare` is called once a jurisdiction."""

    jurisdictions: Mapping[str, Jurisdiction]
    feed: str
    prepare: Callable[[Jurisdiction], Coroutine[None, None, Prepared]]
    http: Http
    pauses: Pauses
    slots: asyncio.Semaphore
    gates: Mapping[str, Gate]
    _prepared: dict[str, asyncio.Task[Prepared]] = field(default_factory=dict)

    async def all(
        self,
        places: Sequence[Place],
        take: Callable[["Run", Place], Awaitable[Outcome]],
        report: Callable[[Outcome], None],
    ) -> None:
        """Take each place; `report` is told each outcome as it is known."""

        async def one(place: Place) -> None:
            try:
                with log_config.log_context(jurisdiction=place.jurisdiction, tile=place.tile, feed=self.feed):
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

    async def prepared(self, jurisdiction: Jurisdiction) -> Prepared:
        """The layer's harvest and its works; once a run, and again where a pause ended it."""
        task = self._prepared.get(jurisdiction.id)
        if task is None or (task.done() and isinstance(task.exception(), Held)):
            task = asyncio.create_task(self.prepare(jurisdiction))
            self._prepared[jurisdiction.id] = task
        return await task

    def covers(self) -> dict[str, Cover]:
        """The layers' harvests, by jurisdiction."""
        done = {id_: task for id_, task in self._prepared.items() if task.done() and not task.cancelled()}
        return {id_: task.result().cover for id_, task in done.items() if not task.exception()}


def places_of(jurisdiction: str, places: Iterable[Place]) -> set[Place]:
    """Those of one jurisdiction."""
    return {place for place in places if place.jurisdiction == jurisdiction}


def _tell(outcome: Outcome) -> None:
    """What became of a place, for the logs."""
    if outcome.error:
        log_config.OUTCOMES.warning("failed", extra={"error": str(outcome.error), "kind": type(outcome.error).__name__})
    else:
        log_config.OUTCOMES.info("done", extra={"stages": outcome.stages, **outcome.counts.as_dict()})
