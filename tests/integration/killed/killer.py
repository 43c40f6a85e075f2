"""kill -9 of whoever is drawn."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import dagster as dg
import psycopg

from tests.integration.killed.machine import Machine
from tests.integration.killed.processes import below, command, in_session
from zoning_assets.defs.run_workers import WORKER
from zoning_assets.local_postgres import processes

_MERGING = "SELECT pid FROM pg_stat_activity WHERE state <> 'idle' AND query ~ 'FROM stage|INTO zoning.(parcel|batch)'"
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
_MERGE_MOST_S = 40.0
_COMES_MOST_S = 30.0


class Killer:
    """Draws by a seed, so that every kind has its turn; what was killed is counted."""

    def __init__(self, machine: Machine, instance: dg.DagsterInstance, seed: int) -> None:
        self.machine, self.instance, self.chance = machine, instance, random.Random(seed)
        self.done: Counter[str] = Counter()
        self.ways: dict[str, Callable[[], bool]] = {
            "run": lambda: self._one(self._awaited(self.runs)),
            "worker of a run": lambda: self._one(self._awaited(self._workers)),
            "daemon": lambda: self._one([machine.programs["dagster-daemon"].pid]),
            "daemon and all below": self._all_below,
            "code server": lambda: self._one(self._code_servers()),
            "webserver": lambda: self._one([machine.programs["dagster-webserver"].pid]),
            "postmaster": self._postmaster,
            "backend": lambda: self._backend(_BACKENDS, 0),
            "backend in a merge": lambda: self._backend(_MERGING, _MERGE_MOST_S),
            "postmaster in a merge": self._postmaster_in_a_merge,
        }
        if machine.broker:
            self.ways["broker"] = self._broker
        self._deck: list[str] = []

    def kill(self) -> str:
        """Kill the next one that is there."""
        while True:
            if not self._deck:
                self._deck = self.chance.sample(sorted(self.ways), len(self.ways))
            if self.ways[kind := self._deck.pop()]():
                self.done[kind] += 1
                return kind

    def runs(self) -> list[int]:
        """The processes of runs that go on."""
        going = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        said = [run.tags[WORKER].split() for run in going if WORKER in run.tags]
        return sorted({int(words[1]) for words in said if command(int(words[1]))})

    def _workers(self) -> list[int]:
        return [pid for run in self.runs() for pid in below(run)]

    def _awaited(self, find: Callable[[], list[int]]) -> list[int]:
        """Who was killed comes back after a while: his turn is not to be passed over."""
        until = time.monotonic() + _COMES_MOST_S
        while not (found := find()) and time.monotonic() < until:
            time.sleep(0.2)
        return found

    def _one(self, pids: list[int]) -> bool:
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.chance.choice(pids), signal.SIGKILL)
            return True
        return False

    def _code_servers(self) -> list[int]:
        pids = [pid for session in self.machine.sessions for pid in in_session(session)]
        return [pid for pid in pids if " api grpc" in command(pid)]

    def _all_below(self) -> bool:
        for pid in in_session(self.machine.programs["dagster-daemon"].pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def _postmaster(self) -> bool:
        found = processes.postmaster(self.machine.data)
        return found is not None and self._one([found.pid])

    def _backend(self, query: str, most_s: float) -> bool:
        """A session of PostgreSQL's, at once when there is one; its server then lets all others go, and recovers."""
        return self._one(self._sessions(query, most_s))

    def _postmaster_in_a_merge(self) -> bool:
        return bool(self._sessions(_MERGING, _MERGE_MOST_S)) and self._postmaster()

    def _sessions(self, query: str, most_s: float) -> list[int]:
        until, found = time.monotonic() + most_s, list[int]()
        with suppress(psycopg.Error), psycopg.connect(self.machine.url, autocommit=True) as connection:
            while not (found := [pid for (pid,) in connection.execute(query)]) and time.monotonic() < until:
                time.sleep(0.002)
        return found

    def _broker(self) -> bool:
        """It is away for a moment."""
        assert self.machine.broker
        self.machine.broker.kill()
        time.sleep(self.chance.uniform(0.1, 3))
        self.machine.broker.start()
        return True
