"""A person at the UI and the command line, and the pipelines that tell of amendments."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from tests.conftest import rows
from tests.integration.killed.machine import UNFINISHED, Machine
from zoning_assets.defs import partitions
from zoning_assets.errors import StoreError
from zoning_assets.queues import AMENDMENTS, NAMES, open_queue
from zoning_assets.simulation.county.county import ID

_TILE_ASSETS = ["raw_feed", "normalized", "validated", "parcels"]
#: What follows a run is asked for by a sensor that looks each 15 s: so many looks without a run are peace.
_QUIET_MOST_S, _LOOK_S, _LOOKS = 480, 2.0, 20

_BACKFILL = """
mutation($p: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $p) { __typename ... on LaunchBackfillSuccess { backfillId } }
}
"""
_RUN = """
mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename ... on LaunchRunSuccess { run { id } } } }
"""


_FAILED = "SELECT feed, tile, kind, state, message FROM zoning.failure WHERE state <> 'solved'"


@dataclass
class Operator:
    """Who asks for things, and waits."""

    machine: Machine
    instance: dg.DagsterInstance
    backfills: list[str] = field(default_factory=list)
    again: dict[str, int] = field(default_factory=lambda: {"backfill": 0, "retry": 0, "replay": 0})

    def backfill(self, keys: list[str]) -> None:
        """Of the four tile assets, as the UI asks for it."""
        words = {"assetSelection": [{"path": [name]} for name in _TILE_ASSETS], "partitionNames": keys}
        self.backfills.append(self.machine.ask(_BACKFILL, p=words)["launchPartitionBackfill"]["backfillId"])

    def statuses(self) -> list[str]:
        """What became of each backfill."""
        return [self.instance.get_backfill(each).status.value for each in self.backfills]

    def is_done(self) -> bool:
        """Whether no backfill is under way."""
        return "REQUESTED" not in self.statuses()

    def harvest(self) -> None:
        """`tiles` and `districts` of the whole jurisdiction, from the launchpad of their jobs; sensors do the rest."""
        for job in ("find_tiles", "publish_districts"):
            self._launch(job)

    def _launch(self, job: str) -> None:
        where = {"repositoryLocationName": "zoning_assets.definitions", "repositoryName": "__repository__"}
        tags = [{"key": "dagster/partition", "value": ID}]
        words = {"selector": {**where, "jobName": job}, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        for _ in range(5):
            if self.machine.ask(_RUN, p=words)["launchRun"]["__typename"] == "LaunchRunSuccess":
                return
            self.machine.reload()
        raise AssertionError

    def publish(self, bodies: list[str]) -> None:
        """As `zoning publish-amendment`; again where nobody says that it was sent."""

        async def put() -> None:
            async with open_queue(os.environ.get("ZONING_QUEUE_URL") or self.machine.url, AMENDMENTS) as queue:
                await queue.put(bodies)

        self._until_done(lambda: asyncio.run(put()))

    def depths(self) -> dict[str, tuple[int, int, int]]:
        """Ready, leased, dead."""

        async def depth(name: str) -> tuple[int, int, int]:
            async with open_queue(os.environ.get("ZONING_QUEUE_URL") or self.machine.url, name) as queue:
                found = await queue.depth()
                return found.ready, found.leased or 0, found.dead

        return {name: self._until_done(lambda name=name: asyncio.run(depth(name))) for name in NAMES}

    def _until_done(self, what: Callable[[], Any]) -> Any:
        until = time.monotonic() + 90
        while True:
            try:
                return what()
            except StoreError:
                assert time.monotonic() < until
                self.machine.tend()
                time.sleep(0.3)

    def quiet(self) -> None:
        """Leave it in peace until nothing is under way; what is dead by then, or would wait long, is asked for."""
        until, since = time.monotonic() + _QUIET_MOST_S, 0
        while since < _LOOKS:  # a moment between two runs is no peace
            time.sleep(_LOOK_S)
            self.machine.tend()
            going = self.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
            depths = self.depths()
            failed = rows(
                self.machine.url, "SELECT feed, tile, kind, state, message FROM zoning.failure WHERE state <> 'solved'"
            )
            waiting = [each for each in failed if each[3] != "asked"]
            if any(dead for *_, dead in depths.values()):
                self.again["replay"] += sum(
                    self.machine.zoning("queue", "replay", "--queue", name) and 1 for name in NAMES
                )
            elif self.statuses()[-1] == "FAILED":
                self.again["backfill"] += 1
                self.backfill(partitions.keys_of(self.instance, ID))
            elif waiting and not going:
                self.again["retry"] += len(self.machine.zoning("retry", ID)["failures"])
                time.sleep(30)
            since = (
                0 if going or failed or not self.is_done() or any(sum(each) for each in depths.values()) else since + 1
            )
            said = [(run.job_name, run.status.value, run.run_id[:8], run.tags) for run in going]
            assert time.monotonic() < until, f"no peace: {said} {depths} {failed}"
