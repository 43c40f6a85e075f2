"""Limits of the connections of the server, which a client meets before its request is read.

uvicorn limits the headers only in its implementation with h11, which is therefore named here: with httptools, which it
prefers if it is installed, headers may have any size. And it waits for a request without an end.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

#: Seconds for the headers of a request, and until an unused connection is closed.
WAIT_S = 30


class LimitedConnection(H11Protocol):
    """A connection that is closed if no complete request arrives in WAIT_S."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read data; wait for the rest of the request."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None and self._is_unused():
            self._timer = self.loop.call_later(WAIT_S, self._close_if_unused, self.cycle)

    def _close_if_unused(self, cycle: RequestResponseCycle | None) -> None:
        """Close the connection, unless a request arrived after `cycle`, which was the last one then."""
        self._timer = None
        if self.cycle is cycle and self._is_unused():
            self.transport.close()
        self._wait()

    def _is_unused(self) -> bool:
        return not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete)


#: For uvicorn.Config: bytes of the headers of a request, connections, seconds; no WebSockets.
LIMITS: Mapping[str, Any] = {
    "http": LimitedConnection,
    "ws": "none",
    "h11_max_incomplete_event_size": 16_384,
    "limit_concurrency": 256,
    "timeout_keep_alive": WAIT_S,
    "timeout_graceful_shutdown": 2,
    "server_header": False,
    "date_header": False,
}
