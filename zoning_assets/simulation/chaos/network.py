"""Faults of servers, proxies and lines: refusals, broken answers, walls. None of them looks at rows.

Faults that pass are bounded twice: they come in a few short storms, and they spoil no question more often than
`PATIENCE`, so that a client that asks some more times gets its answer, however many such faults are at work.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random

from zoning_assets.simulation.chaos.said import Asked, Inner, Make, Reply, Spoil, page_of_html, refused

PATIENCE = 3
_STORMS, _LONGEST, _EARLY, _LATE = 4, 3, 4, 60
_SLOW_MOST_S = 0.05
LONGEST_ADDRESS = 2000

Change = Callable[[Asked, Inner, Random], Reply]


def storms(change: Change) -> Make:
    """A few storms, the first soon; within them each question gets what `change` makes of it."""

    def make(rng: Random) -> Spoil:
        starts = [rng.randrange(_EARLY), *(rng.randrange(_LATE) for _ in range(_STORMS - 1))]
        bad = {start + i for start in starts for i in range(rng.randint(1, _LONGEST))}
        number = count()

        def spoil(asked: Asked, inner: Inner) -> Reply:
            return change(asked, inner, rng) if next(number) in bad and asked.tries < PATIENCE else inner(asked)

        return spoil

    return make


def says(reply: Callable[[Random], Reply]) -> Change:
    """The portal is not asked at all."""
    return lambda _asked, _inner, rng: reply(rng)


def wall(reply: Callable[[Random], Reply], *, latest: int = 0) -> Make:
    """From some request on (at the latest after `latest` requests) nothing else is said."""

    def make(rng: Random) -> Spoil:
        start, number, standing = rng.randint(0, latest), count(), reply(rng)
        return lambda asked, inner: standing if next(number) >= start else inner(asked)

    return make


def too_many(*, hint: bool) -> Callable[[Random], Reply]:
    """429, with or without Retry-After."""
    return lambda rng: page_of_html(429, "Too Many Requests", **_retry_after(rng, hint=hint))


def unavailable(*, hint: bool) -> Callable[[Random], Reply]:
    """503, with or without Retry-After."""
    return lambda rng: page_of_html(503, "Service Unavailable", **_retry_after(rng, hint=hint))


def _retry_after(rng: Random, *, hint: bool) -> dict[str, str]:
    return {"Retry-After": str(rng.choice((1, 2, 7)))} if hint else {}


def gateway(_rng: Random) -> Reply:
    """A proxy that lost patience with the server behind it."""
    return page_of_html(504, "504 Gateway Time-out")


def ill(rng: Random) -> Reply:
    """An error that passes, in an HTTP 200."""
    return refused(rng.choice((500, 503, 504)), "Error performing query operation")


def final(rng: Random) -> Reply:
    """An error that stays, in an HTTP 200."""
    return rng.choice((refused(400, "Invalid or missing input parameters."), refused(498, "Invalid token.")))


def token(_rng: Random) -> Reply:
    """ArcGIS's wall."""
    return refused(499, "Token Required")


def maintenance_503(_rng: Random) -> Reply:
    """The usual page on Sundays."""
    return page_of_html(503, "Scheduled maintenance")


def maintenance_200(_rng: Random) -> Reply:
    """The same page from a server that thinks all is well."""
    return page_of_html(200, "We will be back on Monday")


def to_login(rng: Random, latest: int = 45) -> Spoil:
    """From some request on everything is sent to a login page."""
    start, number = rng.randint(0, latest), count()

    def spoil(asked: Asked, inner: Inner) -> Reply:
        if asked.path == "login":
            return page_of_html(200, "Sign in")
        sent = Reply(b"", 302, "text/html", {"Location": "/arcgis/rest/services/login"})
        return sent if next(number) >= start else inner(asked)

    return spoil


def truncated(asked: Asked, inner: Inner, rng: Random) -> Reply:
    """The end is missing, and the server does not know."""
    reply = inner(asked)
    return replace(reply, body=reply.body[: int(len(reply.body) * rng.uniform(0.1, 0.95))])


def reset(asked: Asked, inner: Inner, _rng: Random) -> Reply:
    """The line breaks in the middle of the answer."""
    return replace(inner(asked), broken=True)


def slow(asked: Asked, inner: Inner, rng: Random) -> Reply:
    """An answer that is right, and late."""
    return replace(inner(asked), wait_s=rng.uniform(0.01, _SLOW_MOST_S))


def long_get_refused(rng: Random) -> Spoil:
    """Addresses over 2,000 characters are not found, or too long."""
    reply = rng.choice((page_of_html(404, "404 - File or directory not found."), page_of_html(414, "URI Too Long")))
    return lambda asked, inner: reply if asked.address > LONGEST_ADDRESS else inner(asked)
