"""For tests of the polite client: one on a clock of its own, and a question to it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tests.support.http_desk import Answers, Clock, served
from zoning_assets.http import Client, Http, Response, Tally
from zoning_assets.model import Portal

NOW = datetime(2025, 6, 4, 12, 0, tzinfo=UTC)  # a Wednesday
QUICK = Portal(requests_per_minute=60_000, connections=8)
OK = (200, b'{"count": 7}', {})


@asynccontextmanager
async def plain_client(tally: Tally | None = None, **effects: Any) -> AsyncIterator[Client]:
    """A client for one piece of work; it and what it shares are closed with the block."""
    async with Http(**effects) as http:
        yield http.for_work(tally)


def client(clock: Clock, tally: Tally | None = None, **effects: Any) -> AbstractAsyncContextManager[Client]:
    """A client for which it is NOW when its clock begins."""
    usual = {"sleep": clock.sleep, "jitter": lambda: 1.0, "clock": clock}
    return plain_client(tally, **{**usual, "now": lambda: NOW + timedelta(seconds=clock()), **effects})


async def ask(desk: Answers, clock: Clock, portal: Portal = QUICK, tally: Tally | None = None, **how: Any) -> Response:
    """One question to a portal that answers so."""
    async with served(desk) as url, client(clock, tally) as asking:
        return await asking.query(portal, url, how.pop("params", {}), read=how.pop("read", orjson.loads), **how)
