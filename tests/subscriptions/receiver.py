"""A webhook receiver in a thread of its own, which answers as a test says and keeps what it received."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from aiohttp import web
from standardwebhooks import Webhook

from tests.subscriptions.log_rows import KEY

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


async def accept(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
    return web.Response(status=204)


class Receiver:
    """Verifies each message with the library standardwebhooks, then answers."""

    def __init__(self) -> None:
        self.answer: Answer = accept
        self.requests: list[dict[str, Any]] = []  # all, also those that were answered with an error
        self.accepted: list[dict[str, Any]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        Webhook(KEY).verify(body, dict(request.headers))  # raises if the signature is wrong: 500
        document = orjson.loads(body)
        assert request.headers["webhook-id"] == document["id"]
        assert request.headers["content-type"].startswith("application/cloudevents+json")
        self.requests.append(document)
        response = await self.answer(request, document)
        if response.status < 300:
            self.accepted.append(document)
        return response

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The accepted changes and their actions, in order."""
        return [(each["data"]["change"], each["data"]["action"]) for each in self.accepted]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on loopback while the block runs."""
    receiver, started, stop = Receiver(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", receiver.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
