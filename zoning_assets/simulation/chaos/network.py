"""Faults of servers, proxies and connections: errors, broken responses, permanent outages. None of them reads rows.

Temporary faults are limited twice: they occur in a few short bursts, and they affect no request more often than
`MAX_FAULTY_TRIES` times. So a client that repeats a request gets its response, whatever the number of such faults.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random

from zoning_assets.simulation.chaos.exchange import (
    FaultFactory,
    FaultyHandler,
    Handler,
    Reply,
    ServiceRequest,
    error_reply,
    html_reply,
)

MAX_FAULTY_TRIES = 3
#: Bursts, requests of the longest burst, and the last requests at which the first and the other bursts begin.
_BURSTS, _LONGEST, _EARLY, _LATE = 4, 3, 4, 60
_MAX_DELAY_S = 0.05
MAX_URL_LENGTH = 2000

Change = Callable[[ServiceRequest, Handler, Random], Reply]


def bursts(change: Change) -> FaultFactory:
    """Affect the requests in a few bursts, the first of which is early."""

    def create(rng: Random) -> FaultyHandler:
        starts = [rng.randrange(_EARLY), *(rng.randrange(_LATE) for _ in range(_BURSTS - 1))]
        affected = {start + i for start in starts for i in range(rng.randint(1, _LONGEST))}
        number = count()

        def faulty(request: ServiceRequest, handler: Handler) -> Reply:
            return (
                change(request, handler, rng)
                if next(number) in affected and request.tries < MAX_FAULTY_TRIES
                else handler(request)
            )

        return faulty

    return create


def always(reply: Callable[[Random], Reply]) -> Change:
    """Send this reply without asking the portal."""
    return lambda _request, _handler, rng: reply(rng)


def permanent(reply: Callable[[Random], Reply], *, latest: int = 0) -> FaultFactory:
    """Send only this reply from some request on, at the latest after `latest` requests."""

    def create(rng: Random) -> FaultyHandler:
        start, number, outage = rng.randint(0, latest), count(), reply(rng)
        return lambda request, handler: outage if next(number) >= start else handler(request)

    return create


def too_many(*, hint: bool) -> Callable[[Random], Reply]:
    """429, with or without Retry-After."""
    return lambda rng: html_reply(429, "Too Many Requests", **_retry_after(rng, hint=hint))


def unavailable(*, hint: bool) -> Callable[[Random], Reply]:
    """503, with or without Retry-After."""
    return lambda rng: html_reply(503, "Service Unavailable", **_retry_after(rng, hint=hint))


def _retry_after(rng: Random, *, hint: bool) -> dict[str, str]:
    return {"Retry-After": str(rng.choice((1, 2, 7)))} if hint else {}


def gateway_timeout(_rng: Random) -> Reply:
    """A proxy whose server did not answer in time."""
    return html_reply(504, "504 Gateway Time-out")


def temporary_error(rng: Random) -> Reply:
    """A temporary error with HTTP status 200."""
    return error_reply(rng.choice((500, 503, 504)), "Error performing query operation")


def permanent_error(rng: Random) -> Reply:
    """A permanent error with HTTP status 200."""
    return rng.choice((error_reply(400, "Invalid or missing input parameters."), error_reply(498, "Invalid token.")))


def token_required(_rng: Random) -> Reply:
    """ArcGIS requires a token."""
    return error_reply(499, "Token Required")


def maintenance_503(_rng: Random) -> Reply:
    """A maintenance page with HTTP status 503."""
    return html_reply(503, "Scheduled maintenance")


def maintenance_200(_rng: Random) -> Reply:
    """A maintenance page with HTTP status 200."""
    return html_reply(200, "We will be back on Monday")


def redirect_to_login(rng: Random, latest: int = 45) -> FaultyHandler:
    """Redirect all requests to a login page, from some request on."""
    start, number = rng.randint(0, latest), count()

    def faulty(request: ServiceRequest, handler: Handler) -> Reply:
        if request.path == "login":
            return html_reply(200, "Sign in")
        sent = Reply(b"", 302, "text/html", {"Location": "/arcgis/rest/services/login"})
        return sent if next(number) >= start else handler(request)

    return faulty


def truncated(request: ServiceRequest, handler: Handler, rng: Random) -> Reply:
    """The end of the body is missing; Content-Length is that of the rest."""
    reply = handler(request)
    return replace(reply, body=reply.body[: int(len(reply.body) * rng.uniform(0.1, 0.95))])


def reset(request: ServiceRequest, handler: Handler, _rng: Random) -> Reply:
    """The connection is reset in the middle of the response."""
    return replace(handler(request), broken=True)


def slow(request: ServiceRequest, handler: Handler, rng: Random) -> Reply:
    """A correct response that is late."""
    return replace(handler(request), wait_s=rng.uniform(0.01, _MAX_DELAY_S))


def long_get_refused(rng: Random) -> FaultyHandler:
    """Requests with a URL of more than MAX_URL_LENGTH characters are refused with 404 or 414."""
    reply = rng.choice((html_reply(404, "404 - File or directory not found."), html_reply(414, "URI Too Long")))
    return lambda request, handler: reply if request.url_length > MAX_URL_LENGTH else handler(request)
