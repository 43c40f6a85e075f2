"""Who asks a host next, and over which connection: one line a host, within this process.

Only the first of a line asks the ledger, so that many who wait cost no more than one. A request is granted at the
moment it is sent, never in advance: a rest that another process has just begun holds for all who wait here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from zoning_assets.errors import PortalResting
from zoning_assets.http.rate_limit import SLOT, Budget, Said, Turn, take, told
from zoning_assets.http.rate_limit_store import Ledger
from zoning_assets.http.request import Question
from zoning_assets.model import Portal
from zoning_assets.schedules.time_windows import open_window_until

_log = logging.getLogger(__name__)

#: Connections of one process, over all hosts.
_CONNECTIONS = 20
#: A connection is kept so long for the next request, and after so long it is given up for another process's sake.
_LINGER_S, _LEASE_S = 1.0, 5.0
#: Slots that others hold are tried again after pauses of such lengths. Who gave up an old connection stands back a
#: little longer than the longest, so that it is another's turn.
_FIRST_LOOK_S, _LONGEST_LOOK_S, _STAND_BACK_S = 0.01, 0.25, 0.3
#: A window that closes later than this is not waited for; while one is, the clock is looked at so often.
_LONGEST_WINDOW_S, _WINDOW_LOOK_S = 12 * 3600.0, 900.0
_TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=20, sock_read=120)
_AGENT = "zoning-assets (polite municipal GIS harvester)"


@dataclass(eq=False)
class Lease:
    """A connection to a host: the slot that stands for it, and the session that holds this one and no other."""

    slot: int
    session: aiohttp.ClientSession
    since: float  # on the loop's clock: how long it was open is no matter of budgets
    linger: asyncio.TimerHandle | None = None


@dataclass(eq=False)
class _Line:
    host: str
    most: int  # connections, as the budget said last
    front: asyncio.Lock = field(default_factory=asyncio.Lock)
    idle: list[Lease] = field(default_factory=list)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    stands_back_until: float = 0.0


@dataclass(frozen=True)
class Granted:
    """A request may be sent now. `budget`: as it was when it was granted."""

    ticket: int
    lease: Lease
    budget: Budget


class Turns:
    """The lines of one process."""

    def __init__(self, ledger: Ledger, sleep: Callable[[float], Awaitable[None]], now: Callable[[], datetime]) -> None:
        self.ledger, self._sleep, self._now = ledger, sleep, now
        self._cookies = aiohttp.CookieJar()  # in common: some send a visitor round until he has one
        self._lines: dict[str, _Line] = {}
        self._permits = asyncio.Semaphore(_CONNECTIONS)
        self._ending: set[asyncio.Task[None]] = set()
        self._announced: set[tuple[str, datetime]] = set()  # windows, by host

    async def take(self, question: Question, longest_wait_s: float) -> Granted | Turn:
        """Wait until a request is granted, which must then be sent at once, and its lease given back.

        Returns:
            A Turn where the host wants a longer wait than that.

        Raises:
            Held: the work that asks is paused. It is looked at before each wait for a window.
            PortalResting: a window is open that closes too late to be waited for.
            StoreError: the ledger cannot be reached.
        """
        granted = None
        while granted is None:
            if error := question.paused():
                raise error
            await self._wait_for_window(question)
            granted = await self._stand_in_line(question, longest_wait_s)
        return granted

    async def _wait_for_window(self, question: Question) -> None:
        """Wait until no window is open. The clock is read again and again, as machines sleep, too."""
        waited_s = 0.0
        while until := self._closed_until(question.portal):
            left_s = (until - self._now()).total_seconds()
            what = f"it is not to be asked until {until.isoformat(timespec='minutes')}"
            if waited_s + left_s > _LONGEST_WINDOW_S:
                raise PortalResting(what, where=question.where, do="run again after it", wait_s=left_s)
            if (question.host, until) not in self._announced:
                self._announced.add((question.host, until))
                _log.warning("%s: %s; goes on by itself then", question.host, what)
            pause_s = min(left_s, _WINDOW_LOOK_S)
            await self._sleep(pause_s)
            waited_s += pause_s

    def _closed_until(self, portal: Portal) -> datetime | None:
        """When the windows that are open now close; None: none is open."""
        windows = (*portal.maintenance, *portal.quiet_hours)
        return open_window_until(windows, self._now()) if windows else None

    async def _stand_in_line(self, question: Question, longest_wait_s: float) -> Granted | Turn | None:
        """As `take`; None where a window opened meanwhile."""
        host, portal = question.host, question.portal
        line = self._lines.setdefault(host, _Line(host, portal.connections))
        async with line.front:
            lease: Lease | None = None
            granted = False
            try:
                while not self._closed_until(portal):
                    lease = lease or await self._lease(line)
                    if self._closed_until(portal):  # it may have taken long to get a connection
                        break
                    turn, budget = await self._ask(line, portal, lease)
                    if turn.ticket:
                        granted = True
                        return Granted(turn.ticket, lease, budget)
                    if turn.wait_s > longest_wait_s:
                        return turn
                    if turn.wait_s > _LEASE_S or turn.why == SLOT:
                        await self._end(line, lease)
                        lease = None
                    await self._sleep(turn.wait_s)
                return None
            finally:
                if lease and not granted:
                    await self.give(host, lease)

    async def learn(self, host: str, granted: Granted, said: Said) -> None:
        """Tell the ledger what became of a request; a good answer of a host in good order changes nothing."""
        if told(granted.budget, 0.0, said) != granted.budget:
            await self.ledger.change(host, lambda budget, now: (told(budget, now, said), None))

    async def give(self, host: str, lease: Lease) -> None:
        """The answer has been read: the connection is the next one's in line, or another process's."""
        line = self._lines[host]
        if lease.slot >= line.most or _old(lease):
            await self._end(line, lease)
        else:
            lease.linger = asyncio.get_running_loop().call_later(_LINGER_S, self._sweep, line, lease)
            line.idle.append(lease)
        line.freed.set()

    async def close(self) -> None:
        """Close what is left open."""
        for line in self._lines.values():
            while line.idle:
                await self._end(line, self._pick_up(line))
        if self._ending:
            await asyncio.gather(*self._ending)

    async def _ask(self, line: _Line, portal: Portal, lease: Lease) -> tuple[Turn, Budget]:
        def step(budget: Budget, now: float) -> tuple[Budget, tuple[Turn, Budget]]:
            budget, turn = take(budget, portal, now, lease.slot)
            return budget, (turn, budget)

        turn, budget = await self.ledger.change(line.host, step)
        line.most = turn.connections
        return turn, budget

    async def _lease(self, line: _Line) -> Lease:
        """A connection: one of ours that is idle, else a new one as soon as there is a slot."""
        look_s = _FIRST_LOOK_S
        while True:
            while line.idle:
                lease = self._pick_up(line)
                if lease.slot < line.most and not _old(lease):
                    return lease
                await self._end(line, lease)
            line.freed.clear()
            if _loop_s() >= line.stands_back_until and (new := await self._try_new(line)):
                return new
            with suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await line.freed.wait()
            look_s = min(2 * look_s, _LONGEST_LOOK_S)

    async def _try_new(self, line: _Line) -> Lease | None:
        if self._permits.locked():
            await self._end_idle()
        if self._permits.locked():
            return None
        await self._permits.acquire()
        slot = None
        try:
            slot = await self.ledger.try_slot(line.host, line.most)
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

    async def _end_idle(self) -> None:
        """Close a connection that no line uses just now, for another line's sake."""
        line = next((line for line in self._lines.values() if line.idle), None)
        if line:
            await self._end(line, self._pick_up(line))

    async def _end(self, line: _Line, lease: Lease) -> None:
        await asyncio.shield(self._begin_end(line, lease))  # whoever stops waiting: what was begun is ended

    def _begin_end(self, line: _Line, lease: Lease) -> asyncio.Task[None]:
        task = asyncio.create_task(self._close(line, lease))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _close(self, line: _Line, lease: Lease) -> None:
        """Close the connection, and then give the slot back: in this order, as another's connection may follow."""
        if self.ledger.shared and _old(lease):
            line.stands_back_until = _loop_s() + _STAND_BACK_S
        await lease.session.close()
        await self.ledger.give_slot(line.host, lease.slot)
        self._permits.release()
        line.freed.set()

    def _sweep(self, line: _Line, lease: Lease) -> None:
        """Nobody wanted the connection."""
        if lease in line.idle:
            line.idle.remove(lease)
            self._begin_end(line, lease)

    def _pick_up(self, line: _Line) -> Lease:
        lease = line.idle.pop()
        if lease.linger:
            lease.linger.cancel()
        return lease


def _old(lease: Lease) -> bool:
    return _loop_s() - lease.since > _LEASE_S


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
