"""Decide which request of this process is sent next, and over which connection: one queue per host.

Only the first request of a host's queue reads the ledger, so that many waiting requests cost no more than one. A
request is granted at the moment it is sent, never in advance: a pause that another process just recorded holds for all.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from zoning_assets.errors import PortalResting
from zoning_assets.http.rate_limit import SLOT, Decision, HostBudget, RequestOutcome, record_outcome, take
from zoning_assets.http.rate_limit_store import Ledger
from zoning_assets.http.request import PortalRequest
from zoning_assets.model import Portal
from zoning_assets.schedules.time_windows import open_window_until

_log = logging.getLogger(__name__)

#: The most connections of one process, over all hosts.
_CONNECTIONS = 20
#: How long an idle connection is kept for the next request, and after how long a connection is closed so that another
#: process can have its slot.
_LINGER_S, _LEASE_S = 1.0, 5.0
#: Waits between two tries to get a slot, from the first to the longest. A process that closed an old connection waits
#: longer than the longest wait, so that another process gets the slot.
_FIRST_POLL_S, _LONGEST_POLL_S, _BACK_OFF_S = 0.01, 0.25, 0.3
#: The longest wait for the end of a closed window, and how often the clock is read meanwhile.
_LONGEST_WINDOW_S, _WINDOW_POLL_S = 12 * 3600.0, 900.0
_TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=20, sock_read=120)
_AGENT = "zoning-assets (polite municipal GIS harvester)"


@dataclass(eq=False)
class Lease:
    """One connection to a host: its slot in the ledger, and an HTTP session limited to this connection."""

    slot: int
    session: aiohttp.ClientSession
    since: float  # seconds on the event loop's clock
    linger: asyncio.TimerHandle | None = None


@dataclass(eq=False)
class _HostQueue:
    """The waiting requests and idle connections of one host."""

    host: str
    most: int  # connections that the host's budget allows
    front: asyncio.Lock = field(default_factory=asyncio.Lock)
    idle: list[Lease] = field(default_factory=list)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    backs_off_until: float = 0.0  # seconds on the event loop's clock


@dataclass(frozen=True)
class Granted:
    """A permission to send one request now. `budget`: the host's budget when it was granted."""

    ticket: int
    lease: Lease
    budget: HostBudget


class ConnectionScheduler:
    """The request queues of one process, one per host."""

    def __init__(self, ledger: Ledger, sleep: Callable[[float], Awaitable[None]], now: Callable[[], datetime]) -> None:
        self.ledger, self._sleep, self._now = ledger, sleep, now
        self._cookies = aiohttp.CookieJar()  # shared: some portals redirect until their cookie is sent back
        self._queues: dict[str, _HostQueue] = {}
        self._permits = asyncio.Semaphore(_CONNECTIONS)
        self._closing: set[asyncio.Task[None]] = set()
        self._logged_windows: set[tuple[str, datetime]] = set()  # (host, end) of the windows that were logged

    async def take(self, request: PortalRequest, longest_wait_s: float) -> Granted | Decision:
        """Wait until a request is granted. The caller sends it at once, and then returns the lease with `give`.

        Args:
            request: the request to send.
            longest_wait_s: the longest wait that the host may ask for, in seconds.

        Returns:
            A Decision instead, if the host asks for a longer wait.

        Raises:
            Held: the work is paused.
            PortalResting: the host is in a closed window that ends too late.
            StoreError: the ledger cannot be reached.
        """
        granted = None
        while granted is None:
            if error := request.paused():
                raise error
            await self._wait_for_window(request)
            granted = await self._wait_in_queue(request, longest_wait_s)
        return granted

    async def _wait_for_window(self, request: PortalRequest) -> None:
        """Wait until no closed window is active. The clock is read repeatedly, because a machine may be suspended."""
        waited_s = 0.0
        while until := self._closed_until(request.portal):
            left_s = (until - self._now()).total_seconds()
            what = f"no requests until {until.isoformat(timespec='minutes')} (maintenance or quiet hours)"
            if waited_s + left_s > _LONGEST_WINDOW_S:
                raise PortalResting(what, where=request.where, do="run again afterwards", wait_s=left_s)
            if (request.host, until) not in self._logged_windows:
                self._logged_windows.add((request.host, until))
                _log.warning("%s: %s; continues automatically", request.host, what)
            pause_s = min(left_s, _WINDOW_POLL_S)
            await self._sleep(pause_s)
            waited_s += pause_s

    def _closed_until(self, portal: Portal) -> datetime | None:
        """Return when the closed window of a portal that is active now ends; None: none is active."""
        windows = (*portal.maintenance, *portal.quiet_hours)
        return open_window_until(windows, self._now()) if windows else None

    async def _wait_in_queue(self, request: PortalRequest, longest_wait_s: float) -> Granted | Decision | None:
        """Like `take`; None: a closed window started meanwhile."""
        host, portal = request.host, request.portal
        queue = self._queues.setdefault(host, _HostQueue(host, portal.connections))
        async with queue.front:
            lease: Lease | None = None
            granted = False
            try:
                while not self._closed_until(portal):
                    lease = lease or await self._lease(queue)
                    if self._closed_until(portal):  # getting a connection may have taken long
                        break
                    decision, budget = await self._decide(queue, portal, lease)
                    if decision.ticket:
                        granted = True
                        return Granted(decision.ticket, lease, budget)
                    if decision.wait_s > longest_wait_s:
                        return decision
                    if decision.wait_s > _LEASE_S or decision.why == SLOT:
                        await self._close_lease(queue, lease)
                        lease = None
                    await self._sleep(decision.wait_s)
                return None
            finally:
                if lease and not granted:
                    await self.give(host, lease)

    async def record(self, host: str, granted: Granted, outcome: RequestOutcome) -> None:
        """Record the outcome of a request in the ledger. Nothing is written if the outcome changes nothing."""
        if record_outcome(granted.budget, 0.0, outcome) != granted.budget:
            await self.ledger.change(host, lambda budget, now: (record_outcome(budget, now, outcome), None))

    async def give(self, host: str, lease: Lease) -> None:
        """Return a lease after the response was read: its connection is reused, or closed if it is old."""
        queue = self._queues[host]
        if lease.slot >= queue.most or _is_expired(lease):
            await self._close_lease(queue, lease)
        else:
            lease.linger = asyncio.get_running_loop().call_later(_LINGER_S, self._close_idle, queue, lease)
            queue.idle.append(lease)
        queue.freed.set()

    async def close(self) -> None:
        """Close all open connections."""
        for queue in self._queues.values():
            while queue.idle:
                await self._close_lease(queue, self._pop_idle(queue))
        if self._closing:
            await asyncio.gather(*self._closing)

    async def _decide(self, queue: _HostQueue, portal: Portal, lease: Lease) -> tuple[Decision, HostBudget]:
        def step(budget: HostBudget, now: float) -> tuple[HostBudget, tuple[Decision, HostBudget]]:
            budget, decision = take(budget, portal, now, lease.slot)
            return budget, (decision, budget)

        decision, budget = await self.ledger.change(queue.host, step)
        queue.most = decision.connections
        return decision, budget

    async def _lease(self, queue: _HostQueue) -> Lease:
        """Return a connection: an idle one, else a new one as soon as a slot is free."""
        poll_s = _FIRST_POLL_S
        while True:
            while queue.idle:
                lease = self._pop_idle(queue)
                if lease.slot < queue.most and not _is_expired(lease):
                    return lease
                await self._close_lease(queue, lease)
            queue.freed.clear()
            if _loop_s() >= queue.backs_off_until and (new := await self._try_new(queue)):
                return new
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_s):
                    await queue.freed.wait()
            poll_s = min(2 * poll_s, _LONGEST_POLL_S)

    async def _try_new(self, queue: _HostQueue) -> Lease | None:
        if self._permits.locked():
            await self._close_any_idle()
        if self._permits.locked():
            return None
        await self._permits.acquire()
        slot = None
        try:
            slot = await self.ledger.try_slot(queue.host, queue.most)
        finally:
            if slot is None:
                self._permits.release()
        return None if slot is None else Lease(slot, self._open_session(), _loop_s())

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=4),  # servers close theirs after 5 s and more
            cookie_jar=self._cookies,
            timeout=_TIMEOUT,
            headers={"User-Agent": _AGENT},
        )

    async def _close_any_idle(self) -> None:
        """Close an idle connection of any host, so that another host can have a connection."""
        queue = next((queue for queue in self._queues.values() if queue.idle), None)
        if queue:
            await self._close_lease(queue, self._pop_idle(queue))

    async def _close_lease(self, queue: _HostQueue, lease: Lease) -> None:
        await asyncio.shield(self._start_closing(queue, lease))  # closing continues if the caller is cancelled

    def _start_closing(self, queue: _HostQueue, lease: Lease) -> asyncio.Task[None]:
        task = asyncio.create_task(self._close(queue, lease))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _close(self, queue: _HostQueue, lease: Lease) -> None:
        """Close the connection, then give its slot back. The order matters: the next owner connects at once."""
        if self.ledger.shared and _is_expired(lease):
            queue.backs_off_until = _loop_s() + _BACK_OFF_S
        await lease.session.close()
        await self.ledger.give_slot(queue.host, lease.slot)
        self._permits.release()
        queue.freed.set()

    def _close_idle(self, queue: _HostQueue, lease: Lease) -> None:
        """Close a connection that stayed idle too long."""
        if lease in queue.idle:
            queue.idle.remove(lease)
            self._start_closing(queue, lease)

    def _pop_idle(self, queue: _HostQueue) -> Lease:
        lease = queue.idle.pop()
        if lease.linger:
            lease.linger.cancel()
        return lease


def _is_expired(lease: Lease) -> bool:
    return _loop_s() - lease.since > _LEASE_S


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
