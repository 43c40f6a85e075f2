"""A host on loopback that writes down when each request arrived and how many connections were open: the judge of
politeness. It answers GET only, and as little as possible stands between the network and its log."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

#: From the number of a request (from 1) to its answer: a status and headers.
Answers = Callable[[int], tuple[int, dict[str, str]]]


@dataclass
class SimulatedHost:
    """Its log: moments in seconds on its own clock."""

    answers: Answers = lambda _: (200, {})
    slow_s: float = 0.0
    arrived: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)  # when a 429 or 503 was sent
    opened: int = 0
    most_open: int = 0
    address: str = ""
    _readers: set[asyncio.StreamReader] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/layer"
        async with server:
            yield self.address

    @property
    def open(self) -> int:
        """Connections whose other end is there: that of a process that was killed is not, though its answer is made."""
        return sum(not reader.at_eof() for reader in self._readers)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self._readers.add(reader)
        self.most_open = max(self.most_open, self.open)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.arrived.append(time.monotonic())
                self._news.set()
                await self._answer(writer, *self.answers(len(self.arrived)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._readers.discard(reader)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str]) -> None:
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        lines = [f"HTTP/1.1 {status} X", "Content-Length: 2", *(f"{name}: {value}" for name, value in headers.items())]
        if status in (429, 503):
            self.refused.append(time.monotonic())
        writer.write(("\r\n".join(lines) + "\r\n\r\n{}").encode())
        await writer.drain()

    async def reached(self, requests: int) -> None:
        """Wait until so many requests have arrived."""
        while len(self.arrived) < requests:
            self._news.clear()
            await self._news.wait()

    def most_within(self, seconds: float) -> int:
        """The most requests that any window of that length held."""
        ends = (bisect_left(self.arrived, start + seconds) for start in self.arrived)
        return max((end - begin for begin, end in enumerate(ends)), default=0)
