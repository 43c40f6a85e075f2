"""Faults at work: between a request and the portal's true answer."""

import asyncio
import difflib
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace

from aiohttp import web

from zoning_assets.simulation.chaos.faults import FAULTS
from zoning_assets.simulation.chaos.said import Asked, Inner, Reply, Spoil, randomness, refused

_KEPT = 10_000  # questions remembered, for whoever wants to know how it went


class Chaos:
    """Some faults, started from one seed; good for one client's requests from the first to the last.

    Attributes:
        bites: how often each fault changed what was asked or said.
        log: what was asked and what came of it (the status), in order.

    """

    def __init__(self, names: Iterable[str], seed: int = 0) -> None:
        """Start the faults of these names.

        Raises:
            ValueError: there is no such fault.

        """
        self.bites: Counter[str] = Counter()
        self.log: deque[tuple[Asked, int]] = deque(maxlen=_KEPT)
        self._asked: Counter[tuple[object, ...]] = Counter()
        self._spoils = [(name, _start(name, seed)) for name in sorted(set(names), key=_place)]

    def answer(self, asked: Asked, truth: Inner) -> Reply:
        """What is sent where `truth` would have been."""
        question = (asked.path, *sorted(asked.params.items()))
        asked = replace(asked, tries=self._asked[question])
        self._asked[question] += 1
        truth = _json_only(truth)
        for name, spoil in self._spoils:
            truth = self._watched(name, spoil, truth)
        reply = truth(asked)
        self.log.append((asked, reply.status))
        return reply

    def _watched(self, name: str, spoil: Spoil, inner: Inner) -> Inner:
        """A fault over what lies below it, and whether it bit."""

        def answer(asked: Asked) -> Reply:
            told: list[tuple[Asked, Reply]] = []

            def watched(question: Asked) -> Reply:
                told.append((question, inner(question)))
                return told[-1][1]

            reply = spoil(asked, watched)
            honest = len(told) == 1 and told[0][0] is asked and told[0][1] is reply
            self.bites[name] += not honest
            return reply

        return answer


def _json_only(truth: Inner) -> Inner:
    """The portal offers no other format: faults change rows in JSON."""

    def answer(asked: Asked) -> Reply:
        if asked.kind != "about" and asked.params.get("f", "json") not in ("json", "pjson"):
            return refused(400, "Invalid or missing input parameters.", "'f' is json")
        reply = truth(asked)
        offers = asked.kind == "about" and "supportedQueryFormats" in reply.value
        return reply.saying(supportedQueryFormats="JSON") if offers else reply

    return answer


def _place(name: str) -> int:
    """Where a fault stands: the first are nearest to the rows."""
    if name not in FAULTS:
        near = ", ".join(difflib.get_close_matches(name, FAULTS, 3) or FAULTS)
        message = f"no fault {name!r}; there is: {near}"
        raise ValueError(message)
    return list(FAULTS).index(name)


def _start(name: str, seed: int) -> Spoil:
    return FAULTS[name].make(randomness(seed, name))


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send a reply, late or half where it says so."""
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
