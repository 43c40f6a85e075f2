"""Stopping without losing anything: nobody begins or waits any longer, what is under way has a little time to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zoning_assets.errors import Stopping
from zoning_assets.redaction import without_secrets


class Drain:
    """Whether we stop, and who must know of it."""

    def __init__(self) -> None:
        self.stopping = False
        self._limits: dict[asyncio.Timeout, float] = {}

    def stop(self) -> None:
        """Stop; to be called in the loop."""
        if not self.stopping:
            self.stopping, now = True, asyncio.get_running_loop().time()
            for limit, grace_s in self._limits.items():
                limit.reschedule(now + grace_s)

    @staticmethod
    def stopped(where: str) -> Stopping:
        """As an error, with what it stopped."""
        return Stopping("stopped", where=where, do="the same command goes on from here")

    @asynccontextmanager
    async def unless_stopped(self, url: str, grace_s: float = 0.0) -> AsyncIterator[None]:
        """The block ends with Stopping when we stop, and so long after it. `url`: what it asks, for the message."""
        if self.stopping:
            raise self.stopped(without_secrets(url))
        try:
            async with asyncio.timeout(None) as limit:
                self._limits[limit] = grace_s
                yield
        except TimeoutError:
            if limit.expired():
                raise self.stopped(without_secrets(url)) from None
            raise
        finally:
            self._limits.pop(limit, None)
