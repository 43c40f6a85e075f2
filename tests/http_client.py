"""For tests of the polite client: one on a clock of its own, and a question to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tests.http_desk import Answers, Clock, served
from zoning_assets.http import TALLY, Answer, Http, Tally
from zoning_assets.model import Portal

NOW = datetime(2025, 6, 4, 12, 0, tzinfo=UTC)  # a Wednesday
QUICK = Portal(requests_per_minute=60_000, connections=8)
OK = (200, b'{"count": 7}', {})


def client(clock: Clock) -> Http:
    """A client for which it is NOW when its clock begins."""
    return Http(sleep=clock.sleep, jitter=lambda: 1.0, clock=clock, now=lambda: NOW + timedelta(seconds=clock()))


async def ask(desk: Answers, clock: Clock, portal: Portal = QUICK, **how: Any) -> Answer:
    """One question to a portal that answers so."""
    TALLY.set(Tally())
    async with served(desk) as url, client(clock) as asking:
        return await asking.ask(portal, url, how.pop("params", {}), read=how.pop("read", orjson.loads), **how)
