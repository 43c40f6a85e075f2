"""Lines and connections: who is next, over which connection, and how a connection passes to another process."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import orjson
import pytest

from tests.support.http_client import QUICK
from tests.support.simulated_host import SimulatedHost
from tests.support.waiting import until
from zoning_assets.errors import StoreError
from zoning_assets.http import Http, connection_scheduler
from zoning_assets.http.rate_limit_store import MemoryLedger
from zoning_assets.model import Portal


async def ask(http: Http, url: str, portal: Portal = QUICK, times: int = 1) -> None:
    for _ in range(times):
        await http.for_work().query(portal, url, {}, read=orjson.loads)


async def test_a_connection_is_used_again():
    """One question after the other goes over one connection; it is not opened anew each time."""
    host = SimulatedHost()
    async with host.running() as url, Http() as http:
        await ask(http, url, times=20)
    assert (len(host.arrived), host.opened) == (20, 1)


async def test_a_connection_that_nobody_wants_is_closed(monkeypatch):
    """Soon after the last question the connection is closed and its slot is free, though the client lives on."""
    monkeypatch.setattr(connection_scheduler, "_LINGER_S", 0.05)
    host, ledger = SimulatedHost(), MemoryLedger()
    async with host.running() as url, Http(ledger=ledger) as http:
        await ask(http, url)
        assert host.open == 1
        await asyncio.to_thread(until, lambda: not host.open, "the connection is closed")
        name = url.split("/")[2]
        assert [await ledger.try_slot(name, 1), await ledger.try_slot(name, 1)] == [0, None]


@pytest.mark.parametrize("connections", [1, 3])
async def test_no_more_connections_than_allowed(connections):
    """Of many questions at once as many are on their way as there are connections, and no more."""
    host = SimulatedHost(slow_s=0.01)
    async with host.running() as url, Http() as http:
        await asyncio.gather(*(ask(http, url, Portal(60_000, connections), times=3) for _ in range(12)))
    assert host.most_open == connections


async def test_a_process_has_twenty_connections():
    """However many hosts there are and however much each allows, one process has at most twenty connections open."""
    hosts = [SimulatedHost(slow_s=0.02) for _ in range(5)]
    at_once = []

    async def watch() -> None:
        while True:
            at_once.append(sum(host.open for host in hosts))
            await asyncio.sleep(0.001)

    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(host.running()) for host in hosts]
        http = await stack.enter_async_context(Http())
        watching = asyncio.create_task(watch())
        async with asyncio.timeout(200):
            await asyncio.gather(*(ask(http, url, Portal(60_000, 8)) for url in urls for _ in range(24)))
        watching.cancel()
    assert max(at_once) == 20
    assert all(len(host.arrived) == 24 for host in hosts)


async def test_a_more_careful_file_closes_connections():
    """When a file that allows one connection begins to ask, the others' further connections end after their request."""
    host = SimulatedHost(slow_s=0.02)
    async with host.running() as url, Http() as http:
        generous = [asyncio.create_task(ask(http, url, Portal(60_000, 4), times=15)) for _ in range(4)]
        await host.reached(12)
        assert host.open == 4
        await ask(http, url, Portal(60_000, 1))
        await host.reached(len(host.arrived) + 5)
        assert host.open == 1
        await asyncio.gather(*generous)


async def test_every_process_has_its_turn(monkeypatch):
    """Two clients with work without end share the one connection that a host allows: neither starves."""
    monkeypatch.setattr(connection_scheduler, "_LEASE_S", 0.1)
    host, ledger, done = SimulatedHost(slow_s=0.005), MemoryLedger(), Counter()
    ledger.shared = True

    async def work(http: Http, url: str, name: str) -> None:
        while sum(done.values()) < 150:
            await ask(http, url, Portal(600_000, 1))
            done[name] += 1

    async with host.running() as url, Http(ledger=ledger) as one, Http(ledger=ledger) as other:
        async with asyncio.timeout(200):
            await asyncio.gather(*(work(http, url, name) for http, name in ((one, "one"), (other, "other")) * 3))
    assert min(done["one"], done["other"]) >= 20
    assert host.most_open == 1


async def test_one_who_gives_up_holds_nothing():
    """A question that is cancelled, in line or on its way, gives back its place and its connection."""
    host, ledger = SimulatedHost(slow_s=0.2), MemoryLedger()
    async with host.running() as url, Http(ledger=ledger) as http:
        questions = [asyncio.create_task(ask(http, url, Portal(60_000, 1))) for _ in range(5)]
        await host.reached(1)
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        host.slow_s = 0
        async with asyncio.timeout(200):
            await ask(http, url, Portal(60_000, 1), times=2)
        assert host.most_open <= 2  # the server may see the end of the first a moment later


class Failing(MemoryLedger):
    """A ledger that is out of reach now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 0

    async def change(self, host, step):
        self.fails -= 1
        if self.fails == 0:
            raise StoreError("gone", where="ledger", do="run again")
        return await super().change(host, step)


@pytest.mark.parametrize("moment", [1, 2])
async def test_a_ledger_that_fails_leaves_no_connection_behind(moment):
    """Where the ledger fails as a question stands in line or is done, the question fails, and the next one works."""
    host, ledger = SimulatedHost(answers=lambda _: (200, {"X-RateLimit-Remaining": "90"})), Failing()
    async with host.running() as url, Http(ledger=ledger) as http:
        ledger.fails = moment
        with pytest.raises(StoreError, match="gone"):
            await ask(http, url, Portal(60_000, 1))
        async with asyncio.timeout(200):
            await ask(http, url, Portal(60_000, 1), times=3)
    assert host.most_open == 1
