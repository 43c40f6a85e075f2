"""Responses that are used twice: by the check whether a feed changed, and by the run that follows it.

The run does not send the same requests again.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace

from zoning_assets.errors import PortalError
from zoning_assets.http.request import Response, Tally

#: Older responses are not used: a run may wait for hours, for example while it is paused. Seconds.
_MAX_AGE_S = 60.0
#: Requests of a check. Some layers can be opened only by reading all of their pages; the run does that.
_MAX_REQUESTS = 10


class CheckLimitReached(Exception):
    """A check has sent the most requests that it may send."""


@dataclass(frozen=True)
class _CachedResponse:
    response: Response | PortalError
    cost: Tally
    at: float


@dataclass
class ResponseCache:
    """The responses of a portal to a check, by request and in order.

    Until `close`, responses are stored. After it, each is returned once. As soon as a request has no stored response,
    all requests are sent.
    """

    clock: Callable[[], float] = time.monotonic
    is_open: bool = True
    _cached: dict[Hashable, deque[_CachedResponse]] = field(default_factory=dict)
    _requests: int = 0

    def close(self) -> None:
        """End the check: from now on, stored responses are returned."""
        self.is_open = False

    async def response(self, request: Hashable, tally: Tally, send: Callable[[], Awaitable[Response]]) -> Response:
        """Return the stored response to a request, and add its cost to `tally`; else call `send`.

        Raises:
            PortalError: the portal refuses the request, or refused it during the check.
            CheckLimitReached: see there.
            As `send`.
        """
        if self.is_open and self._requests == _MAX_REQUESTS:
            raise CheckLimitReached
        self._requests += 1
        cached = None if self.is_open else self._take(request)
        if cached is None:
            before = replace(tally)
            cached = _CachedResponse(await _response_or_error(send), tally.since(before), self.clock())
            if self.is_open:
                self._cached.setdefault(request, deque()).append(cached)
        else:
            tally.add(cached.cost)
        if isinstance(cached.response, PortalError):
            raise cached.response
        return cached.response

    def _take(self, request: Hashable) -> _CachedResponse | None:
        """Return the next stored response. If there is none, delete the others: the proof of a harvest needs responses
        that were received after its pages."""
        stored = self._cached.get(request)
        cached = stored.popleft() if stored else None
        if cached and self.clock() - cached.at <= _MAX_AGE_S:
            return cached
        self._cached.clear()
        return None


#: (jurisdiction id, feed) -> the responses of its portal.
ResponseCaches = dict[tuple[str, str], ResponseCache]


async def _response_or_error(send: Callable[[], Awaitable[Response]]) -> Response | PortalError:
    try:
        return await send()
    except PortalError as error:
        return error
