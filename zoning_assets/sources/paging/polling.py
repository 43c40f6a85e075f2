"""Questions that a portal works at for a while: it answers 202, and is asked again."""

import gc
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from zoning_assets.errors import PortalBusy
from zoning_assets.http import Answer, retry_after_s
from zoning_assets.redaction import without_secrets
from zoning_assets.sources.source import Request

PREPARING = 202
#: How often a question is asked that fails.
TRIES = 6
_POLLS, _FIRST_WAIT_S, _LONGEST_WAIT_S = 12, 1.0, 60.0
#: A portal that asks for more patience than this is left alone.
_LONGEST_RETRY_AFTER_S = 300.0


async def ask(
    request: Request, url: str, params: Mapping[str, str], read: Callable[[bytes], Any], tries: int = TRIES
) -> Answer:
    """Ask, and wait while the answer is prepared. See Http.ask.

    Raises:
        PortalBusy: it was still prepared after twelve polls.
        PortalError: see errors.py.
    """
    portal, also = request.jurisdiction.portal, {PREPARING}
    once = partial(request.http.ask, portal, url, params, read=partial(_quietly, read), tries=tries, also=also)
    return await prepared(request, url, once)


async def prepared(request: Request, url: str, once: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer that comes at last; the pauses are the portal's wish, or grow."""
    where, wait_s = without_secrets(url), None
    for poll in range(_POLLS):
        if stopping := request.http.stopped(where):
            raise stopping
        answer = await once()
        if answer.status != PREPARING:
            return answer
        wait_s = retry_after_s(answer.headers, request.http.now())
        if wait_s is not None and wait_s > _LONGEST_RETRY_AFTER_S:
            break
        await request.http.sleep(wait_s or request.http.jitter() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0**poll))
    what = f"it still prepares the answer (HTTP 202, asked {poll + 1} times)"
    raise PortalBusy(what, where=where, do="run again later", wait_s=wait_s)


def _quietly(read: Callable[[bytes], Any], body: bytes) -> Any:
    """What `read` makes of the body; the collector rests meanwhile, as it would look at every number's list in vain."""
    was = gc.isenabled()
    gc.disable()
    try:
        return read(body)
    finally:
        if was:
            gc.enable()
