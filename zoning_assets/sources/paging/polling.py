"""Requests that a portal needs time for: it answers 202, and the request is repeated until the answer is ready."""

import gc
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from zoning_assets.errors import PortalBusy
from zoning_assets.http import Response, retry_after_s
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.source import Request

PREPARING = 202
#: The most tries of a request that fails.
TRIES = 6
_POLLS, _FIRST_WAIT_S, _LONGEST_WAIT_S = 12, 1.0, 60.0
#: If a portal asks for a longer wait than this, the request fails; seconds.
_LONGEST_RETRY_AFTER_S = 300.0


async def query(
    request: Request, url: str, params: Mapping[str, str], read: Callable[[bytes], Any], tries: int = TRIES
) -> Response:
    """Send a request, and poll while the answer is being prepared. See Client.query.

    Raises:
        PortalBusy: it was still being prepared after twelve polls.
        PortalError: see errors.py.
    """
    portal, also = request.jurisdiction.portal, {PREPARING}
    once = partial(request.http.query, portal, url, params, read=partial(_quietly, read), tries=tries, also=also)
    return await poll(request, url, once)


async def poll(request: Request, url: str, once: Callable[[], Awaitable[Response]]) -> Response:
    """Repeat a request until its status is not 202. Waits are those that the portal states, else they grow.

    Args:
        request: its client waits.
        url: the address, for messages.
        once: sends the request.

    Raises:
        PortalBusy: it was still 202 after twelve polls, or the portal asks for too long a wait.
        Stopping: this program was asked to stop.
    """
    where, wait_s = without_secrets(url), None
    for number in range(_POLLS):
        if stopping := request.http.stopped(where):
            raise stopping
        answer = await once()
        if answer.status != PREPARING:
            return answer
        wait_s = retry_after_s(answer.headers, request.http.now())
        if wait_s is not None and wait_s > _LONGEST_RETRY_AFTER_S:
            break
        await request.http.sleep(wait_s or request.http.jitter() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**number))
    what = f"the answer is still being prepared (HTTP 202, {number + 1} requests)"
    raise PortalBusy(what, where=where, do="run again later", wait_s=wait_s)


def _quietly(read: Callable[[bytes], Any], body: bytes) -> Any:
    """Parse the body with `read`. Garbage collection is off meanwhile; it would scan large lists of numbers in vain."""
    was = gc.isenabled()
    gc.disable()
    try:
        return read(body)
    finally:
        if was:
            gc.enable()
