"""The polite HTTP client: every request to a portal goes through here.

It keeps one rate limit per host, shared by all users of the same ledger. It applies timeouts, full-jitter backoff and
limits on size and duration, and it stops without losing responses. `Http` holds what all work of a process shares. A
`Client` sends the requests of one piece of work: it counts requests and bytes, and sends nothing while the work is
paused.

Not here: retries and redirects (request_sender.py), order and time of requests (connection_scheduler.py), rate limits
(rate_limit.py), and the meaning of a response (response_checks.py, sources/).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Self

import aiohttp

from zoning_assets.errors import Stopping
from zoning_assets.http.body_reader import read_body, value_of
from zoning_assets.http.connection_scheduler import ConnectionScheduler
from zoning_assets.http.rate_limit import RequestOutcome
from zoning_assets.http.rate_limit_store import Ledger, MemoryLedger
from zoning_assets.http.request import (
    TRIES,
    DownloadTarget,
    PauseCheck,
    PortalRequest,
    Response,
    SendOnce,
    Tally,
)
from zoning_assets.http.request_sender import RequestSender
from zoning_assets.http.response_cache import ResponseCache
from zoning_assets.http.shutdown import Shutdown
from zoning_assets.model import Portal

_DOWNLOAD_TIMEOUT = aiohttp.ClientTimeout(total=3 * 3600, sock_connect=20, sock_read=120)


@dataclass
class Http:
    """The part of the client that all work of one process shares. Enter it to open the ledger.

    Clock, sleep and randomness are arguments, so that tests do not wait.

    Attributes:
        sleep: waits for a number of seconds.
        jitter: returns a random number from 0 to 1.
        clock: returns seconds; only differences are used.
        now: returns the time, with a time zone.
        ledger: the store of the rate limits; None: a store in memory, for this process only.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ledger: Ledger | None = None
    _shutdown: Shutdown = field(default_factory=Shutdown)
    _sender: RequestSender | None = None

    async def __aenter__(self) -> Self:
        ledger = await (self.ledger or MemoryLedger(self.clock)).__aenter__()
        scheduler = ConnectionScheduler(ledger, self.sleep, self.now)
        self._sender = RequestSender(scheduler, self._shutdown, self.sleep, self.jitter, self.clock, self.now)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._sender:
            await self._sender.scheduler.close()
            await self._sender.scheduler.ledger.__aexit__(*error)

    def for_work(
        self, tally: Tally | None = None, paused: PauseCheck = lambda: None, kept: ResponseCache | None = None
    ) -> "Client":
        """Return the client for one piece of work.

        Args:
            tally: counts the requests and bytes of this work; None: a new one.
            paused: returns the error of a pause of this work, or None. It is called before each request; if it returns
                an error, the request is not sent and the error is raised.
            kept: keeps the responses, or returns those of an earlier check; None: neither.
        """
        return Client(self, tally or Tally(), paused, kept)

    def drain(self) -> None:
        """Stop: no new request is sent, all waits end, and responses that are being received get 3 more seconds."""
        self._shutdown.stop()

    def stopped(self, where: str) -> Stopping | None:
        """Return the error for work that does not start because `drain` was called; None: the work may start."""
        return self._shutdown.stopped(where) if self._shutdown.stopping else None

    @property
    def sender(self) -> RequestSender:
        """The sender of requests.

        Raises:
            RuntimeError: the client was not entered.
        """
        if self._sender is None:
            message = "enter the client first"
            raise RuntimeError(message)
        return self._sender


@dataclass(frozen=True)
class Client:
    """Sends the requests of one piece of work. Created by `Http.for_work`, which describes `tally` and `paused`."""

    shared: Http
    tally: Tally
    paused: PauseCheck
    kept: ResponseCache | None = None

    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]:
        """See Http.sleep."""
        return self.shared.sleep

    @property
    def jitter(self) -> Callable[[], float]:
        """See Http.jitter."""
        return self.shared.jitter

    @property
    def now(self) -> Callable[[], datetime]:
        """See Http.now."""
        return self.shared.now

    def stopped(self, where: str) -> Stopping | None:
        """See Http.stopped."""
        return self.shared.stopped(where)

    async def query(  # noqa: PLR0913 - the target, the query, the parser, and what to do with other responses
        self,
        portal: Portal,
        url: str,
        params: Mapping[str, str],
        *,
        read: Callable[[bytes], Any],
        tries: int = TRIES,
        method: Literal["auto", "get", "post"] = "auto",
        also: Collection[int] = (),
    ) -> Response:
        """Send a GET request, or a POST request with a form if the query is long.

        Args:
            portal: the rate limits of the host.
            url: the address without a query.
            params: the query.
            read: parses the body of a 200; raises ValueError if it is invalid, and the request is retried.
            tries: the most requests; a caller that can ask for less needs fewer.
            method: forces one method, for portals that refuse the other.
            also: statuses besides 200 that the caller handles; `read` is not applied to their body.

        Raises:
            PortalResting: the portal is in a maintenance window or in quiet hours that end too late.
            PortalBusy: the portal asks for a longer wait than one request may take.
            PortalUnreachable: no valid response after all tries.
            PortalUntrusted: the TLS certificate is invalid.
            FeedRefused: the portal refused the request; a retry does not help.
            FileRefused: the body is too large.
            Stopping: this program was asked to stop.
            Held: the work is paused.
            StoreError: the ledger cannot be reached.
        """
        long = sum(len(key) + len(value) for key, value in params.items()) > 1500  # some servers refuse 2,000
        post = method == "post" or (method == "auto" and long)

        async def once(session: aiohttp.ClientSession, url: str, params: Mapping[str, str]) -> Response:
            query: dict[str, Any] = {"data": params} if post else {"params": params}
            async with session.request("POST" if post else "GET", url, allow_redirects=False, **query) as response:
                body = await read_body(response, url, self.tally)
                value = value_of(body, url, read) if response.status == 200 else None
                return Response(response.status, response.headers, body, value)

        request = PortalRequest(portal, url, once, self.tally, self.paused, params, tries, also)
        return await self._send(("POST" if post else "GET", url, *sorted(params.items())), request)

    async def fetch(self, portal: Portal, url: str, part: DownloadTarget) -> Response:
        """Download a file; each try resumes where the previous one failed.

        The response may also be a 202 (not ready yet; with its body) or a 304. Both leave `part` unchanged.

        Raises:
            FileRefused: see DownloadTarget.open_writer.
            Others: as `query`.
        """

        async def once(session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Response:
            request = session.get(url, headers=part.request_headers(), allow_redirects=False, timeout=_DOWNLOAD_TIMEOUT)
            async with request as response:
                answer = Response(response.status, response.headers)
                if response.status not in (200, 206, 416):
                    return replace(answer, body=await read_body(response, url, self.tally))
                with part.open_writer(answer) as write:
                    async for piece in response.content.iter_chunked(1 << 20):
                        self.tally.bytes += len(piece)
                        write(piece)
                return answer

        return await self.shared.sender.send(self._of_file(portal, url, once))

    async def fetch_headers(
        self, portal: Portal, url: str, headers: Mapping[str, str], *, method: Literal["HEAD", "GET"] = "HEAD"
    ) -> Response:
        """Fetch the headers of a file, without its body. The request is not retried.

        Raises:
            As `query`.
        """

        async def once(session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Response:
            async with session.request(method, url, headers=headers, allow_redirects=False) as response:
                return Response(response.status, response.headers)

        request = self._of_file(portal, url, once, tries=1)
        return await self._send((method, url, *sorted(headers.items())), request)

    @asynccontextmanager
    async def permit(self, portal: Portal, url: str) -> AsyncIterator[None]:
        """Wait until one request to the host of `url` is allowed, and count it. For other protocols than HTTP (FTP):
        the caller connects within the block.

        Raises:
            PortalResting, PortalBusy, PortalUnreachable, Stopping, Held, StoreError: as `query`.
        """
        request, sender = PortalRequest(portal, url, _not_by_http, self.tally, self.paused), self.shared.sender
        async with sender.permit(request) as granted:
            yield
            await sender.scheduler.record(request.host, granted, RequestOutcome(granted.ticket, 200))

    def _of_file(self, portal: Portal, url: str, once: SendOnce, tries: int = TRIES) -> PortalRequest:
        return PortalRequest(portal, url, once, self.tally, self.paused, tries=tries, also=(202, 206), anywhere=True)

    async def _send(self, name: Hashable, request: PortalRequest) -> Response:
        send = partial(self.shared.sender.send, request)
        return await (self.kept.response(name, self.tally, send) if self.kept else send())


async def _not_by_http(_session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Response:
    raise RuntimeError(url)
