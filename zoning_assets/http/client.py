"""The polite HTTP client: every request to a portal goes through here.

It keeps one rate limit per host, shared by all users of the same ledger. It applies timeouts, full-jitter backoff and
limits on size and duration, and it stops without losing responses. `Http` holds what all work of a process shares. A
`Client` sends the requests of one piece of work: it counts requests and bytes, and sends nothing while the work is
paused.

What a response means is decided elsewhere (response_checks.py, sources/), and so is how often a host may be asked
(rate_limit.py), and which request is sent next (connection_scheduler.py).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Self

import aiohttp

from zoning_assets.errors import FeedRefused, FileRefused, MalformedResponse, PortalUnreachable, Stopping
from zoning_assets.http import response_checks
from zoning_assets.http.body_reader import read_body, value_of
from zoning_assets.http.connection_scheduler import ConnectionScheduler, Granted
from zoning_assets.http.kept_answers import KeptAnswers
from zoning_assets.http.rate_limit import Decision, RequestOutcome
from zoning_assets.http.rate_limit_store import Ledger, MemoryLedger
from zoning_assets.http.request import (
    TRIES,
    AttemptResult,
    DownloadTarget,
    PauseCheck,
    PortalRequest,
    Response,
    SendOnce,
    Tally,
)
from zoning_assets.http.response_checks import Unreadable, retry_after_s
from zoning_assets.http.shutdown import Shutdown
from zoning_assets.model import Portal

#: Statuses after which a request is retried: the portal is overloaded or has failed for the moment.
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
#: Full-jitter backoff: the wait is random, below a bound that doubles from the first of these to the second.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
#: A complete response with invalid content is an error of the content, not of the network: one retry.
_TRIES_GARBLED = 2
#: If a portal asks for a longer wait than this, the request fails; the message contains the wait.
_LONGEST_RETRY_AFTER_S = 300.0
#: A request is not retried after this time since its first try.
_PATIENCE_S = 1800.0
#: How long responses on their way may take to arrive after `drain`.
_DRAIN_S = 3.0
_DOWNLOAD_TIMEOUT = aiohttp.ClientTimeout(total=3 * 3600, sock_connect=20, sock_read=120)


@dataclass
class Http:
    """What all work of one process shares when it sends requests to portals. Enter it to open the ledger.

    Clock, sleep and randomness are arguments, so that tests do not wait.

    Attributes:
        sleep: waits for so many seconds.
        jitter: a random number from 0 to 1.
        clock: seconds; only differences count.
        now: the time, with a zone.
        ledger: the store of the rate limits; None: one of this process alone, in memory.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ledger: Ledger | None = None
    _shutdown: Shutdown = field(default_factory=Shutdown)
    _scheduler: ConnectionScheduler | None = None
    _last: dict[str, str] = field(default_factory=dict)  # host -> why its last failed request failed

    async def __aenter__(self) -> Self:
        ledger = await (self.ledger or MemoryLedger(self.clock)).__aenter__()
        self._scheduler = ConnectionScheduler(ledger, self.sleep, self.now)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._scheduler:
            await self._scheduler.close()
            await self._scheduler.ledger.__aexit__(*error)

    def for_work(
        self, tally: Tally | None = None, paused: PauseCheck = lambda: None, kept: KeptAnswers | None = None
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
        """Stop: no new request is sent, all waits end, and responses on their way have 3 seconds to arrive."""
        self._shutdown.stop()

    def stopped(self, where: str) -> Stopping | None:
        """Return the error for work that does not start because `drain` was called; None: the work may start."""
        return self._shutdown.stopped(where) if self._shutdown.stopping else None

    @asynccontextmanager
    async def permit(self, request: PortalRequest) -> AsyncIterator[None]:
        """Wait until one request to the host is allowed, and count it. See Client.permit."""
        async with self._permit(request) as (scheduler, granted):
            yield
            await scheduler.record(request.host, granted, RequestOutcome(granted.ticket, 200))

    async def send(self, request: PortalRequest) -> Response:
        """Send a request, and follow at most 5 redirects. Each redirect counts as a request.

        Raises:
            As Client.ask.
        """
        for _ in range(_MOST_REDIRECTS):
            response = await self._with_retries(request)
            if response.status not in _REDIRECTS:
                return response
            target = response_checks.redirect_target(
                request.url, response.headers.get("Location", ""), anywhere=request.anywhere
            )
            params = {} if "?" in target else request.params
            request = replace(request, url=target, params=params)
        raise FeedRefused("it redirects in a loop", where=request.where, do="check the address")

    async def _with_retries(self, request: PortalRequest) -> Response:
        """Send a request, and retry it until there is a response, a refusal, or a limit of tries or time is reached."""
        started, result, attempt = self.clock(), None, 0
        while attempt < request.tries:
            result, attempt = await self._attempt(request), attempt + 1
            if result.response:
                return result.response
            if result.garbled and attempt >= _TRIES_GARBLED:
                break
            if result.wait_s > _LONGEST_RETRY_AFTER_S or self.clock() - started + result.wait_s > _PATIENCE_S:
                break
            if not result.wait_s and attempt < request.tries:
                async with self._shutdown.unless_stopped(request.url):
                    await self.sleep(self.jitter() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1)))
        if result and result.wait_s:
            raise response_checks.busy(request.url, result.why, result.wait_s)
        why = f"{result.why if result else 'not sent'} ({attempt} tries)"
        raise PortalUnreachable(why, where=request.where, do="check the address, or try again later")

    async def _attempt(self, request: PortalRequest) -> AttemptResult:
        """Send one request, and record its outcome in the ledger."""
        async with self._permit(request) as (scheduler, granted):
            result = await self._send(request, granted)
            await scheduler.record(request.host, granted, result.outcome)
        if result.why:
            self._last[request.host] = result.why
        if result.error:
            raise result.error
        return result

    async def _send(self, request: PortalRequest, granted: Granted) -> AttemptResult:
        try:
            async with self._shutdown.unless_stopped(request.url, _DRAIN_S):
                response = await request.once(granted.lease.session, request.url, request.params)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            outcome = RequestOutcome(granted.ticket, error.status if isinstance(error, Unreadable) else None)
            garbled = isinstance(error, MalformedResponse)
            outcome = RequestOutcome(granted.ticket, 200) if garbled else outcome
            return AttemptResult(
                outcome,
                why=response_checks.failure_reason(error),
                error=response_checks.untrusted(request.url, error),
                garbled=garbled,
            )
        except (FeedRefused, FileRefused) as error:  # a response came, and it is refused
            return AttemptResult(RequestOutcome(granted.ticket, 200), error=error)
        wait_s = retry_after_s(response.headers, self.now()) if response.status in _TEMPORARY else None
        outcome = RequestOutcome(
            granted.ticket, response.status, wait_s, response_checks.stated(response.headers, self.now())
        )
        if response.status in {200, 304, *_REDIRECTS, *request.also}:
            return AttemptResult(outcome, response)
        shown = response_checks.html_page(response.body) or response_checks.error_message(response.body)
        why = f"HTTP {response.status}" + (f", {shown}" if shown else "")
        refusal = None if response.status in _TEMPORARY else response_checks.refused(request.url, why, response.status)
        return AttemptResult(outcome, why=why, error=refusal)

    @asynccontextmanager
    async def _permit(self, request: PortalRequest) -> AsyncIterator[tuple[ConnectionScheduler, Granted]]:
        """Wait for a connection and for the permission to send one request; count the request."""
        if self._scheduler is None:
            message = "enter the client first"
            raise RuntimeError(message)
        async with self._shutdown.unless_stopped(request.url):
            granted = await self._scheduler.take(request, _LONGEST_RETRY_AFTER_S)
        if isinstance(granted, Decision):
            raise response_checks.too_long(request.url, granted, self._last.get(request.host, ""))
        try:
            if error := request.paused():
                raise error
            request.tally.requests += 1
            yield self._scheduler, granted
        finally:
            await self._scheduler.give(request.host, granted.lease)


@dataclass(frozen=True)
class Client:
    """Asks portals for one piece of work. Made by `Http.for_work`, which describes `tally` and `paused`."""

    shared: Http
    tally: Tally
    paused: PauseCheck
    kept: KeptAnswers | None = None

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

    async def ask(  # noqa: PLR0913 - the target, the query, the parser, and what to do with other responses
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
            Others: as `ask`.
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

        return await self.shared.send(self._of_file(portal, url, once))

    async def look(
        self, portal: Portal, url: str, headers: Mapping[str, str], *, method: Literal["HEAD", "GET"] = "HEAD"
    ) -> Response:
        """Fetch the headers of a file, without its body. The request is not retried.

        Raises:
            As `ask`.
        """

        async def once(session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Response:
            async with session.request(method, url, headers=headers, allow_redirects=False) as response:
                return Response(response.status, response.headers)

        request = self._of_file(portal, url, once, tries=1)
        return await self._send((method, url, *sorted(headers.items())), request)

    def permit(self, portal: Portal, url: str) -> AbstractAsyncContextManager[None]:
        """Wait until one request to the host of `url` is allowed, and count it. For other protocols than HTTP (FTP):
        the caller connects within the block.

        Raises:
            PortalResting, PortalBusy, PortalUnreachable, Stopping, Held, StoreError: as `ask`.
        """
        return self.shared.permit(PortalRequest(portal, url, _not_by_http, self.tally, self.paused))

    def _of_file(self, portal: Portal, url: str, once: SendOnce, tries: int = TRIES) -> PortalRequest:
        return PortalRequest(portal, url, once, self.tally, self.paused, tries=tries, also=(202, 206), anywhere=True)

    async def _send(self, name: Hashable, request: PortalRequest) -> Response:
        send = partial(self.shared.send, request)
        return await (self.kept.answer(name, self.tally, send) if self.kept else send())


async def _not_by_http(_session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Response:
    raise RuntimeError(url)
