"""Process many places of one feed: a few at a time, waiting while a hold is active.

What belongs here: when a place is processed. What does not: its stages (pipeline.py).
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
from zoning_assets.pipeline.holds import ActiveHolds, hosts_of
from zoning_assets.pipeline.release_gate import ReleaseGate
from zoning_assets.pipeline.workers.work_item import WorkItem


@dataclass(frozen=True)
class PreparedLayer:
    """A layer's harvest, and for each place its work item, or the error that prevents it."""

    cover: Cover
    items: Mapping[Place, WorkItem | ZoningError]

    def have_newest_rows(self, places: Iterable[Place]) -> dict[Place, bool]:
        """Whether the rows of each place are those of the layer's newest harvest."""
        items = {place: self.items[place] for place in places}
        return {place: isinstance(item, WorkItem) and item.state == self.cover.harvest for place, item in items.items()}


@dataclass
class FeedRun:
    """One run of one feed for many places.

    Attributes:
        jurisdictions: by id; those of all places.
        prepare: harvests or loads the layer of a jurisdiction; called once a jurisdiction.
        http: the client that all places share.
        active_holds: what is paused now.
        slots: limits the places that are processed at the same time.
        gates: the release gates, by jurisdiction.
    """

    jurisdictions: Mapping[str, Jurisdiction]
    feed: str
    prepare: Callable[[Jurisdiction], Coroutine[None, None, PreparedLayer]]
    http: Http
    active_holds: ActiveHolds
    slots: asyncio.Semaphore
    gates: Mapping[str, ReleaseGate]
    _prepared: dict[str, asyncio.Task[PreparedLayer]] = field(default_factory=dict)

    async def process_all(
        self,
        places: Sequence[Place],
        process: Callable[["FeedRun", Place], Awaitable[Outcome]],
        report: Callable[[Outcome], None],
    ) -> None:
        """Call `process` for each place, and `report` with each outcome as soon as it is known."""

        async def one(place: Place) -> None:
            try:
                with log_config.log_context(jurisdiction=place.jurisdiction, tile=place.tile, feed=self.feed):
                    outcome = await self._process_between_holds(place, process)
                    _log_outcome(outcome)
                await self.gates[place.jurisdiction].leave(place)
                report(outcome)
            finally:
                self.slots.release()

        async with asyncio.TaskGroup() as group:
            for place in places:
                await self.slots.acquire()
                group.create_task(one(place))

    async def _process_between_holds(
        self, place: Place, process: Callable[["FeedRun", Place], Awaitable[Outcome]]
    ) -> Outcome:
        """Process a place. If a hold interrupts it, wait until the hold ends, and process it again."""
        outcome, hosts = None, hosts_of(self.jurisdictions[place.jurisdiction], self.feed)
        while outcome is None or isinstance(outcome.error, Held):
            stopped = partial(self.http.stopped, str(place))
            if error := stopped() or await self.active_holds.wait_until_resumed(place.jurisdiction, hosts, stopped):
                return Outcome(place, self.feed, error=error)
            outcome = await process(self, place)
        return outcome

    async def prepared_layer(self, jurisdiction: Jurisdiction) -> PreparedLayer:
        """The layer's harvest and its work items. They are prepared once a run, and again after a hold interrupted
        it."""
        task = self._prepared.get(jurisdiction.id)
        if task is None or (task.done() and isinstance(task.exception(), Held)):
            task = asyncio.create_task(self.prepare(jurisdiction))
            self._prepared[jurisdiction.id] = task
        return await task

    def layers(self) -> dict[str, PreparedLayer]:
        """The layers that were prepared without an error, by jurisdiction."""
        done = {id_: task for id_, task in self._prepared.items() if task.done() and not task.cancelled()}
        return {id_: task.result() for id_, task in done.items() if not task.exception()}


def places_in(jurisdiction: str, places: Iterable[Place]) -> set[Place]:
    """The places that belong to one jurisdiction."""
    return {place for place in places if place.jurisdiction == jurisdiction}


def _log_outcome(outcome: Outcome) -> None:
    if outcome.error:
        log_config.OUTCOMES.warning("failed", extra={"error": str(outcome.error), "kind": type(outcome.error).__name__})
    else:
        log_config.OUTCOMES.info("done", extra={"stages": outcome.stages, **outcome.counts.as_dict()})
