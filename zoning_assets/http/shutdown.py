"""Stop without losing responses: new work does not start, waits end, and work under way has a grace period."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zoning_assets.errors import Stopping
from zoning_assets.redaction import without_secrets


class Shutdown:
    """Whether the program is stopping, and the timeouts that must then be shortened."""

    def __init__(self) -> None:
        self.stopping = False
        self._limits: dict[asyncio.Timeout, float] = {}

    def stop(self) -> None:
        """Start to stop. Call it in the event loop."""
        if not self.stopping:
            self.stopping, now = True, asyncio.get_running_loop().time()
            for limit, grace_s in self._limits.items():
                limit.reschedule(now + grace_s)

    @staticmethod
    def stopped(where: str) -> Stopping:
        """Return the error for work that was stopped."""
        return Stopping("stopped", where=where, do="run the same command again to continue")

    @asynccontextmanager
    async def unless_stopped(self, url: str, grace_s: float = 0.0) -> AsyncIterator[None]:
        """Run the block, but raise Stopping `grace_s` seconds after `stop` was called.

        Args:
            url: the address of the request in the block, for the message.
            grace_s: how long the block may still run, in seconds.

        Raises:
            Stopping: the block was stopped, or did not start.
        """
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
