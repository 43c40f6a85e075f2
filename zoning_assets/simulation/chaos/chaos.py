"""Apply faults to the responses of the simulated portal."""

import asyncio
import difflib
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace

from aiohttp import web

from zoning_assets.simulation.chaos.exchange import (
    FaultyHandler,
    Handler,
    Reply,
    ServiceRequest,
    error_reply,
    seeded_random,
)
from zoning_assets.simulation.chaos.faults import FAULTS

_LOGGED = 10_000  # requests


class Chaos:
    """Faults that were started from one seed, for all requests of one client.

    Attributes:
        applied: how often each fault changed a request or a response.
        log: the latest requests, each with the status of its response, in order.
    """

    def __init__(self, names: Iterable[str], seed: int = 0) -> None:
        """Start the faults.

        Args:
            names: of the faults.
            seed: the same seed gives the same faults for the same requests.

        Raises:
            ValueError: a name is unknown.
        """
        self.applied: Counter[str] = Counter()
        self.log: deque[tuple[ServiceRequest, int]] = deque(maxlen=_LOGGED)
        self._sent: Counter[tuple[object, ...]] = Counter()
        self._faulty = [(name, _start(name, seed)) for name in sorted(set(names), key=_position)]

    def answer(self, request: ServiceRequest, truth: Handler) -> Reply:
        """The response to a request. `truth`: gives the portal's correct response."""
        key = (request.path, *sorted(request.params.items()))
        request = replace(request, tries=self._sent[key])
        self._sent[key] += 1
        truth = _json_only(truth)
        for name, faulty in self._faulty:
            truth = self._watched(name, faulty, truth)
        reply = truth(request)
        self.log.append((request, reply.status))
        return reply

    def _watched(self, name: str, faulty: FaultyHandler, handler: Handler) -> Handler:
        """A handler that calls a fault, and counts whether it changed the request or the response."""

        def answer(request: ServiceRequest) -> Reply:
            calls: list[tuple[ServiceRequest, Reply]] = []

            def watched(passed: ServiceRequest) -> Reply:
                calls.append((passed, handler(passed)))
                return calls[-1][1]

            reply = faulty(request, watched)
            unchanged = len(calls) == 1 and calls[0][0] is request and calls[0][1] is reply
            self.applied[name] += not unchanged
            return reply

        return answer


def _json_only(truth: Handler) -> Handler:
    """The portal supports JSON only, because the faults change rows in JSON."""

    def answer(request: ServiceRequest) -> Reply:
        if request.kind != "about" and request.params.get("f", "json") not in ("json", "pjson"):
            return error_reply(400, "Invalid or missing input parameters.", "'f' is json")
        reply = truth(request)
        offers = request.kind == "about" and "supportedQueryFormats" in reply.value
        return reply.with_values(supportedQueryFormats="JSON") if offers else reply

    return answer


def _position(name: str) -> int:
    """The position of a fault; the first ones are applied first to the rows."""
    if name not in FAULTS:
        near = ", ".join(difflib.get_close_matches(name, FAULTS, 3) or FAULTS)
        message = f"no fault {name!r}; there is: {near}"
        raise ValueError(message)
    return list(FAULTS).index(name)


def _start(name: str, seed: int) -> FaultyHandler:
    return FAULTS[name].make(seeded_random(seed, name))


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send a response, with its delay, or half of it if it is broken."""
    if reply.wait_s:
        await asyncio.sleep(reply.wait_s)
    if not reply.broken:
        return web.Response(
            body=reply.body, status=reply.status, content_type=reply.content_type, headers=reply.headers
        )
    answer = web.StreamResponse(status=reply.status, headers=reply.headers)
    answer.content_length, answer.content_type = len(reply.body), reply.content_type
    await answer.prepare(request)
    await answer.write(reply.body[: len(reply.body) // 2])
    if request.transport:
        request.transport.abort()
    return answer
