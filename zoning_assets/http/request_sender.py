"""Send one request until it has a result: retries with backoff, redirects, and the record of each outcome.

The rate limits are those of rate_limit.py; connection_scheduler.py decides when a request is sent.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import aiohttp

from zoning_assets.errors import FeedRefused, FileRefused, MalformedResponse, PortalUnreachable
from zoning_assets.http import response_checks
from zoning_assets.http.connection_scheduler import ConnectionScheduler, Granted
from zoning_assets.http.rate_limit import Decision, RequestOutcome
from zoning_assets.http.request import AttemptResult, PortalRequest, Response
from zoning_assets.http.response_checks import Unreadable, retry_after_s
from zoning_assets.http.shutdown import Shutdown

#: Statuses after which a request is retried: the portal is overloaded or has failed for the moment.
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
#: Full-jitter backoff: the wait is random, below a bound that doubles from the first of these to the second.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
#: A complete response with invalid content is an error of the content, not of the network: one retry.
_TRIES_GARBLED = 2
#: If a portal asks for a longer wait than this, the request fails; the message contains the wait.
_LONGEST_RETRY_AFTER_S = 300.0
#: A request is not retried after this time since its first try.
_PATIENCE_S = 1800.0
#: The grace period of a response that is being received when the program is asked to stop.
_DRAIN_S = 3.0


@dataclass(frozen=True)
class RequestSender:
    """Sends requests through the queues of one process.

    Attributes:
        scheduler: grants requests.
        shutdown: ends waits and requests if the program is asked to stop.
        sleep, jitter, clock, now: see client.Http.
    """

    scheduler: ConnectionScheduler
    shutdown: Shutdown
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    clock: Callable[[], float]
    now: Callable[[], datetime]
    _last: dict[str, str] = field(default_factory=dict)  # host -> why its last failed request failed

    async def send(self, request: PortalRequest) -> Response:
        """Send a request, and follow at most 5 redirects. Each redirect counts as a request.

        Raises:
            As Client.query.
        """
        for _ in range(_MAX_REDIRECTS):
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
                async with self.shutdown.unless_stopped(request.url):
                    await self.sleep(self.jitter() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1)))
        if result and result.wait_s:
            raise response_checks.busy(request.url, result.why, result.wait_s)
        tries = "1 try" if attempt == 1 else f"{attempt} tries"
        why = f"{result.why if result else 'not sent'} ({tries})"
        raise PortalUnreachable(why, where=request.where, do="check the address, or try again later")

    async def _attempt(self, request: PortalRequest) -> AttemptResult:
        """Send one request, and record its outcome in the ledger."""
        async with self.permit(request) as granted:
            result = await self._send(request, granted)
            await self.scheduler.record(request.host, granted, result.outcome)
        if result.why:
            self._last[request.host] = result.why
        if result.error:
            raise result.error
        return result

    async def _send(self, request: PortalRequest, granted: Granted) -> AttemptResult:
        try:
            async with self.shutdown.unless_stopped(request.url, _DRAIN_S):
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
            granted.ticket, response.status, wait_s, response_checks.stated_limit(response.headers, self.now())
        )
        if response.status in {200, 304, *_REDIRECTS, *request.also}:
            return AttemptResult(outcome, response)
        shown = response_checks.html_page(response.body) or response_checks.error_message(response.body)
        why = f"HTTP {response.status}" + (f", {shown}" if shown else "")
        refusal = None if response.status in _TEMPORARY else response_checks.refused(request.url, why, response.status)
        return AttemptResult(outcome, why=why, error=refusal)

    @asynccontextmanager
    async def permit(self, request: PortalRequest) -> AsyncIterator[Granted]:
        """Wait for a connection and for the permission to send one request; count the request."""
        async with self.shutdown.unless_stopped(request.url):
            granted = await self.scheduler.take(request, _LONGEST_RETRY_AFTER_S)
        if isinstance(granted, Decision):
            raise response_checks.too_long(request.url, granted, self._last.get(request.host, ""))
        try:
            if error := request.paused():
                raise error
            request.tally.requests += 1
            yield granted
        finally:
            await self.scheduler.give(request.host, granted.lease)
