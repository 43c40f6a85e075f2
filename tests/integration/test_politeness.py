"""Many processes ask one host together, and the host's own log is the judge (promise 7)."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.simulated_host import SimulatedHost
from zoning_assets.storage.postgis.database import as_role
from zoning_assets.storage.postgis.records.rate_limits import read_budgets

ROOT = Path(__file__).parents[2]


class Asker:
    """A process that asks: see asking_child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def ready(cls, task: dict[str, Any]) -> "Asker":
        """Started, imported, connected to the ledger, and waiting for its sign."""
        command = [sys.executable, "-m", "tests.support.asking_child", json.dumps(task)]
        pipe = asyncio.subprocess.PIPE
        asker = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT))
        assert asker.process.stdout
        assert await asker.process.stdout.readline() == b"ready\n"
        return asker

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"\n")

    async def done(self) -> dict[str, int]:
        """What became of its questions."""
        said, _ = await self.process.communicate()
        assert self.process.returncode == 0
        return json.loads(said)


@asynccontextmanager
async def asking(database: str, url: str, tasks: Sequence[dict[str, Any]]) -> AsyncIterator[list[Asker]]:
    """Processes that all begin at once; none outlives the block."""
    askers = await asyncio.gather(*(Asker.ready({"database": database, "url": url, **task}) for task in tasks))
    try:
        for asker in askers:
            asker.go()
        yield askers
    finally:
        for asker in askers:
            if asker.process.returncode is None:
                asker.process.kill()
            await asker.process.wait()


async def ask_all(database: str, host: SimulatedHost, tasks: Sequence[dict[str, Any]]) -> list[dict[str, int]]:
    async with host.running() as url, asking(database, url, tasks) as askers:
        return await asyncio.gather(*(asker.done() for asker in askers))


def budget_of(host: SimulatedHost, database: str) -> Any:
    return read_budgets(database)[host.address.removeprefix("http://").removesuffix("/layer")][0]


async def shared(database: str, questions: int, per_minute: int) -> SimulatedHost:
    """A host after four processes shared its budget: no second and no minute in its log holds more, and no moment more
    connections. A machine that stops for a moment bunches what was on its way: one request for each connection."""
    host = SimulatedHost(slow_s=0.01)
    task = {"portal": {"requests_per_minute": per_minute, "connections": 3}, "questions": questions}
    found = await ask_all(database, host, [task] * 4)
    assert found == [{"answered": questions}] * 4
    assert len(host.arrived) == 4 * questions
    assert host.most_within(1.0) <= per_minute / 60 + 3
    assert host.most_within(60.0) <= per_minute + 3
    assert host.most_open <= 3
    assert budget_of(host, database).asked == 4 * questions
    return host


async def test_four_processes_share_one_budget(database):
    await shared(database, 40, 1200)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_shared_budget_is_used(database):
    """By the clock: ten thousand questions take at most twice the time that the budget gives them."""
    host = await shared(database, 2500, 6000)
    assert host.arrived[-1] - host.arrived[0] < 2 * 60 * 4 * 2500 / 6000


async def test_a_wish_to_wait_holds_for_all_processes(database):
    """After a 429 with Retry-After: 4, nothing comes for 4 s from any process but what was on its way."""
    answers = {20: (429, {"Retry-After": "4"})}
    host = SimulatedHost(answers=lambda number: answers.get(number, (200, {})))
    task = {"portal": {"requests_per_minute": 1200, "connections": 4}, "questions": 20}
    found = await ask_all(database, host, [task] * 4)
    assert found == [{"answered": 20}] * 4
    (refused,) = host.refused
    on_their_way = [moment for moment in host.arrived if refused < moment < refused + 4]
    assert len(on_their_way) <= 10, "of 60 that were left, which are 3 s of the budget"
    assert budget_of(host, database).refused == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_maintenance_window_holds_for_all_processes(database):
    """By the real clock: a window of the next whole minute; nothing comes in it, then all go on by themselves."""
    now = datetime.now(UTC)
    opens = (now + timedelta(seconds=70)).replace(second=0, microsecond=0)
    window = f"{opens:%H:%M}-{opens + timedelta(minutes=1):%H:%M} UTC"
    await asyncio.sleep((opens - now).total_seconds() - 10)
    host, task = SimulatedHost(), {"portal": {"requests_per_minute": 120, "maintenance": [window]}, "questions": 20}
    begun, clock = datetime.now(UTC), time.monotonic()
    found = await ask_all(database, host, [task] * 4)
    assert found == [{"answered": 20}] * 4
    arrived_s = [(begun - opens).total_seconds() + moment - clock for moment in host.arrived]
    assert min(arrived_s) < 0
    assert [each for each in arrived_s if 0.5 < each < 60] == []
    assert 60 <= min(each for each in arrived_s if each > 0.5) < 75, "it is looked at the clock every few seconds"


async def test_a_killed_process_holds_nobody_up(database):
    """A process that dies with every connection in its hands, in the midst of its requests, leaves them to the next."""
    host = SimulatedHost(slow_s=0.5)
    portal = {"requests_per_minute": 1200, "connections": 2}
    async with host.running() as url, asking(database, url, [{"portal": portal, "questions": 1000}]) as (killed,):
        await host.reached(4)
        assert host.open == 2
        killed.process.kill()
        async with asking(database, url, [{"portal": portal, "questions": 4}]) as (next_one,):
            assert await next_one.done() == {"answered": 4}
    assert host.most_open <= 2


async def test_processes_killed_at_any_moment_leave_a_ledger_that_works(database):
    """Of four processes three are killed one after the other; the fourth ends its work, within the budget."""
    host = SimulatedHost()
    task = {"portal": {"requests_per_minute": 3000, "connections": 2}, "questions": 80}
    async with host.running() as url, asking(database, url, [task] * 4) as (*killed, last):
        for number, asker in enumerate(killed, 1):
            await host.reached(25 * number)
            asker.process.kill()
        assert await last.done() == {"answered": 80}
    assert host.most_within(1.0) <= 50 + 2
    assert host.most_open <= 2


async def test_a_process_may_lose_its_connection_to_the_ledger(database):
    """When PostgreSQL drops every session in the midst of the work, each process connects again and goes on."""
    host = SimulatedHost()
    task = {"portal": {"requests_per_minute": 1200, "connections": 2}, "questions": 20}
    async with host.running() as url, asking(database, url, [task] * 2) as askers:
        await host.reached(8)
        with psycopg.connect(as_role(database, None), autocommit=True) as connection:
            ours = "datname = current_database() AND application_name = 'zoning_assets ledger'"
            dropped = connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
            assert dropped.fetchall() == [(True,)] * 2
        assert await asyncio.gather(*(asker.done() for asker in askers)) == [{"answered": 20}] * 2
    assert host.most_within(1.0) <= 20 + 2
