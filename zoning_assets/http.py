"""The polite client: every request to a portal goes through here.

A budget a host (requests a minute, connections), timeouts, full-jitter backoff, Retry-After, limits on size, and the
portal's own maintenance windows. What belongs here: asking. What does not: what an answer means.
"""

import asyncio
import hashlib
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, Protocol, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import aiohttp

from zoning_assets.errors import FeedRefused, FileRefused, PortalBusy, PortalResting, PortalUnreachable
from zoning_assets.model import Portal

#: Tried again after a pause: the portal is busy or ill, not of another opinion.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
#: No other form of the question would be answered: who asks is not welcome, or it is gone.
_FINAL = frozenset({401, 403, 407, 410, 451})
_TRIES = 6
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
#: A portal that asks for more patience than this is left alone; the run fails and says until when.
_LONGEST_RETRY_AFTER_S = 300.0
_LARGEST_ANSWER = 256 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=20, sock_read=120)
_FILE_TIMEOUT = aiohttp.ClientTimeout(total=3600, sock_connect=20, sock_read=120)
_ANSWERS = frozenset({200, 304})
_AGENT = "zoning-assets (polite municipal GIS harvester)"


@dataclass
class Tally:
    """What asking has cost."""

    requests: int = 0
    bytes: int = 0


#: Who is charged for a request: each task that works on a place sets its own.
TALLY: ContextVar[Tally] = ContextVar("tally")


@dataclass(frozen=True)
class Answer:
    """A portal's answer, inflated. `body` is empty for a download, which lies in the file asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    value: Any = None  # what `read` made of the body
    sha256: str = ""


class Part(Protocol):
    """A file on its way, of which some may have come before."""

    def asks(self) -> Mapping[str, str]:
        """The headers to ask with; looked at before each try."""
        ...

    def writing(self, answer: Answer) -> AbstractContextManager[Callable[[bytes], None]]:
        """Takes the body of a 200, 206 or 416, piece by piece.

        Raises:
            ValueError: the body cannot be what is missing; the portal is asked again.
            FileRefused: it is larger than allowed.
        """
        ...


class Host:
    """What one host may be asked: so many requests a minute, evenly, over so many connections.

    Pacing is even, without bursts, so that no window of any length holds more than its share.
    """

    def __init__(self, portal: Portal, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self.interval_s = 60.0 / portal.requests_per_minute
        self.connections = asyncio.Semaphore(portal.connections)
        self._clock, self._sleep = clock, sleep
        self._next = self._rests_until = clock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A connection and a moment to use it."""
        async with self.connections:
            while True:
                now = self._clock()
                mine = max(now, self._next)
                self._next = mine + self.interval_s
                if mine > now:
                    await self._sleep(mine - now)
                if mine >= self._rests_until:
                    break  # else the host asked for rest while this one waited: queue again
            yield

    def rest(self, seconds: float) -> None:
        """No request to this host for so long, from anyone here, those already waiting included."""
        self._rests_until = max(self._rests_until, self._clock() + seconds)
        self._next = max(self._next, self._rests_until)


@dataclass
class Http:
    """Asks portals. Enter it to open the session; effects are arguments so that no test waits."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _hosts: dict[str, Host] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, headers={"User-Agent": _AGENT}, auto_decompress=True
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ask(
        self,
        portal: Portal,
        url: str,
        params: Mapping[str, str],
        *,
        read: Callable[[bytes], Any],
        tries: int = _TRIES,
    ) -> Answer:
        """Ask by POST with a form where the address would grow long, by GET otherwise.

        Args:
            portal: how politely.
            url: without a query.
            params: the query.
            read: makes a value of the body; raises ValueError where it is not what was asked for, and the portal is
                asked again.
            tries: how often, at most.

        Raises:
            PortalResting, PortalBusy, PortalUnreachable, FeedRefused: see errors.py.
        """
        long = sum(len(key) + len(value) for key, value in params.items()) > 1500  # some servers refuse 2,000

        async def once(session: aiohttp.ClientSession) -> Answer:
            method = session.post(url, data=params) if long else session.get(url, params=params)
            async with method as response:
                body = await _read(response, url)
                TALLY.get().bytes += len(body)
                value = read(body) if response.status == 200 else None
                return Answer(response.status, response.headers, body, value)

        return await self._patiently(portal, url, once, tries)

    async def download(
        self, portal: Portal, url: str, into: Path, headers: Mapping[str, str], *, most_bytes: int
    ) -> Answer:
        """Fetch a file to disk, in pieces; 304 leaves `into` alone.

        Raises:
            FileRefused: it is larger than `most_bytes`; and as `ask`.
        """

        async def once(session: aiohttp.ClientSession) -> Answer:
            async with session.get(url, headers=headers) as response:
                digest = hashlib.sha256()
                if response.status == 200:
                    with into.open("wb") as file:
                        async for piece in response.content.iter_chunked(1 << 20):
                            TALLY.get().bytes += len(piece)
                            file.write(piece)
                            digest.update(piece)
                            if file.tell() > most_bytes:
                                raise _too_large(url, most_bytes)
                return Answer(response.status, response.headers, sha256=digest.hexdigest())

        return await self._patiently(portal, url, once)

    async def fetch(self, portal: Portal, url: str, part: Part) -> Answer:
        """Fetch a file; each try goes on where the one before it broke.

        The answer may also be 202 (not made yet; with its body) or 304, which leave the part alone.

        Raises:
            FileRefused: see Part; and as `ask`.
        """

        async def once(session: aiohttp.ClientSession) -> Answer:
            async with session.get(url, headers=part.asks(), timeout=_FILE_TIMEOUT) as response:
                answer = Answer(response.status, response.headers)
                if response.status not in (200, 206, 416):
                    return Answer(response.status, response.headers, await _read(response, url))
                with part.writing(answer) as write:
                    async for piece in response.content.iter_chunked(1 << 20):
                        TALLY.get().bytes += len(piece)
                        write(piece)
                return answer

        return await self._patiently(portal, url, once, accept=_ANSWERS | {202, 206})

    async def look(
        self, portal: Portal, url: str, headers: Mapping[str, str], *, method: Literal["HEAD", "GET"] = "HEAD"
    ) -> Answer:
        """What the portal says of a file, without its body; asked once.

        Raises:
            As `ask`.
        """

        async def once(session: aiohttp.ClientSession) -> Answer:
            async with session.request(method, url, headers=headers, allow_redirects=True) as response:
                return Answer(response.status, response.headers)

        return await self._patiently(portal, url, once, 1, accept=_ANSWERS | {202, 206})

    @asynccontextmanager
    async def turn(self, portal: Portal, url: str) -> AsyncIterator[None]:
        """A moment at which an address's host may be asked, by who asks in another protocol (FTP)."""
        _awake(portal, self.now(), url)
        async with self._host(portal, url).turn():
            TALLY.get().requests += 1
            yield

    async def _patiently(
        self,
        portal: Portal,
        url: str,
        once: Callable[[aiohttp.ClientSession], Awaitable[Answer]],
        tries: int = _TRIES,
        accept: Container[int] = _ANSWERS,
    ) -> Answer:
        """Ask until there is an answer, a refusal, or no more patience."""
        if self._session is None:
            message = "enter the client first"
            raise RuntimeError(message)
        host = self._host(portal, url)
        why, wait_s = "", None
        for attempt in range(tries):
            _awake(portal, self.now(), url)
            async with host.turn():
                TALLY.get().requests += 1
                try:
                    answer = await once(self._session)
                except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
                    why, wait_s = f"{type(error).__name__}: {_scrubbed(str(error))}", None
                else:
                    if answer.status in accept:
                        return answer
                    why, wait_s = _refusal(answer, url), retry_after_s(answer.headers, self.now())
            if wait_s is not None and wait_s > _LONGEST_RETRY_AFTER_S:
                break
            if wait_s:
                host.rest(wait_s)
            elif attempt < tries - 1:
                await self.sleep(self.jitter() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt))
        if wait_s is not None:
            raise PortalBusy(
                why, where=without_secrets(url), do=f"try again in {wait_s:.0f} s, or ask less often", wait_s=wait_s
            )
        raise PortalUnreachable(
            f"{why} ({tries} tries)", where=without_secrets(url), do="check the address, or try again later"
        )

    def _host(self, portal: Portal, url: str) -> Host:
        name = _host_and_port(url).lower()
        host = self._hosts.setdefault(name, Host(portal, self.clock, self.sleep))
        host.interval_s = max(host.interval_s, 60.0 / portal.requests_per_minute)  # the more careful file wins
        return host


async def _read(response: aiohttp.ClientResponse, url: str) -> bytes:
    """The body, inflated, within a limit."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > _LARGEST_ANSWER:
            raise _too_large(url, _LARGEST_ANSWER)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(url: str, most_bytes: int) -> FileRefused:
    return FileRefused(
        f"the answer is larger than {most_bytes >> 20} MiB", where=without_secrets(url), do="check the address"
    )


def _refusal(answer: Answer, url: str) -> str:
    """What a status other than 200 means.

    Raises:
        FeedRefused: asking again would not help.
    """
    text = f"HTTP {answer.status}"
    if answer.status not in _PASSING:
        do = "check the address and what the portal asks of visitors"
        raise FeedRefused(text, where=without_secrets(url), do=do, final=answer.status in _FINAL)
    return text


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long the portal asks us to wait, in seconds; None where it does not say. 0 is no hint (dlt#4036)."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text) or None
    try:
        return max((parsedate_to_datetime(text) - now).total_seconds(), 0.0) or None
    except (ValueError, TypeError, IndexError):
        return None


def without_secrets(url: str) -> str:
    """An address fit for messages: no query, no user, no password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host_and_port(url)}{parts.path}"


def _host_and_port(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


_ADDRESS = re.compile(r"\w+://[^\s'\"<>]+")


def _scrubbed(text: str) -> str:
    """A client's message with its addresses fit for messages."""
    return _ADDRESS.sub(lambda found: without_secrets(found[0]), text)


_WINDOW = re.compile(r"(\w{3}) (\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def open_window_until(windows: tuple[str, ...], now: datetime) -> datetime | None:
    """When the maintenance window that is open now closes; None where none is open."""
    for day, h1, m1, h2, m2, zone in (match.groups() for window in windows if (match := _WINDOW.fullmatch(window))):
        local = now.astimezone(ZoneInfo(zone))
        for back in (0, 1):  # a window may have begun yesterday
            date = local.date() - timedelta(days=back)
            start = datetime(date.year, date.month, date.day, int(h1), int(m1), tzinfo=local.tzinfo)
            length = timedelta(minutes=((int(h2) * 60 + int(m2)) - (int(h1) * 60 + int(m1))) % 1440 or 1440)
            if _DAYS[date.weekday()] == day and start <= local < start + length:
                return (start + length).replace(fold=local.fold)  # clocks set back: the hour that now is
    return None


def _awake(portal: Portal, now: datetime, url: str) -> None:
    until = open_window_until(portal.maintenance, now)
    if until:
        raise PortalResting(
            f"its maintenance window is open until {until.isoformat(timespec='minutes')}",
            where=without_secrets(url),
            do="run again after it",
        )
