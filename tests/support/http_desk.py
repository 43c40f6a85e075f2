"""For tests of the polite client: a portal on loopback that answers from a list, and a clock without waiting."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock:
    """Time that passes only where all sleep, and then to the first who wakes; keeps how long each slept."""

    def __init__(self) -> None:
        self.now_s, self.slept, self.wakes = 0.0, [], []

    async def sleep(self, seconds: float) -> None:
        until = self.now_s + seconds
        self.slept.append(round(seconds, 6))
        self.wakes.append(until)
        idle = 0
        try:
            while until > self.now_s and idle < 5:  # others may still have something to do now
                await asyncio.sleep(0)
                idle = idle + 1 if until == min(self.wakes) else 0
            self.now_s = max(self.now_s, until)
        finally:  # who is cancelled keeps nobody waiting
            self.wakes.remove(until)

    def __call__(self) -> float:
        return self.now_s


class Desk:
    """A portal that answers from a list, the last answer again and again; keeps what it was asked."""

    def __init__(self, *answers: tuple[int, bytes | str, dict[str, str]]) -> None:
        self.answers, self.asked = list(answers), []

    async def __call__(self, request: web.Request) -> web.Response:
        form = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.asked.append((request.method, form))
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, body=body, headers=headers)


@asynccontextmanager
async def served(answers: Answers, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server on loopback that answers so."""
    app = web.Application(client_max_size=1 << 24)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await answers(request)

    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/layer"
    finally:
        await runner.cleanup()
