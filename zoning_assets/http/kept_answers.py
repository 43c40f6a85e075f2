"""Responses that are used twice: by the check whether a feed changed, and by the run that follows it.

The run does not send the same requests again.
"""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace

from zoning_assets.errors import PortalError
from zoning_assets.http.request import Response, Tally

#: Seconds. Older responses are not used: a run may wait for hours, for example while it is paused.
_OLDEST_S = 60.0
#: Requests of a check. Some layers can be opened only by reading all of their pages; the run does that.
_MOST_QUESTIONS = 10


class LookEnds(Exception):
    """A check has sent as many requests as it may."""


@dataclass(frozen=True)
class _Kept:
    answer: Response | PortalError
    cost: Tally
    at: float


@dataclass
class KeptAnswers:
    """The responses of a portal to a check, by request and in order.

    Until `close`, responses are stored. After it, each is returned once. As soon as a request has no stored response,
    all requests are sent.
    """

    clock: Callable[[], float] = time.monotonic
    is_open: bool = True
    _kept: dict[Hashable, deque[_Kept]] = field(default_factory=dict)
    _asked: int = 0

    def close(self) -> None:
        """The check has ended: from now on, responses are returned."""
        self.is_open = False

    async def answer(self, question: Hashable, tally: Tally, ask: Callable[[], Awaitable[Response]]) -> Response:
        """Return the stored response to a request, and add its cost to `tally`; else call `ask`.

        Raises:
            PortalError: the portal refuses, or refused then.
            LookEnds: see there.
            As `ask`.
        """
        if self.is_open and self._asked == _MOST_QUESTIONS:
            raise LookEnds
        self._asked += 1
        kept = None if self.is_open else self._take(question)
        if kept is None:
            before = replace(tally)
            kept = _Kept(await _or_refusal(ask), tally.since(before), self.clock())
            if self.is_open:
                self._kept.setdefault(question, deque()).append(kept)
        else:
            tally.add(kept.cost)
        if isinstance(kept.answer, PortalError):
            raise kept.answer
        return kept.answer

    def _take(self, question: Hashable) -> _Kept | None:
        """The next kept answer. Once there is none, the rest is forgotten: what is said before the pages is no proof of
        them."""
        waiting = self._kept.get(question)
        kept = waiting.popleft() if waiting else None
        if kept and self.clock() - kept.at <= _OLDEST_S:
            return kept
        self._kept.clear()
        return None


#: Jurisdiction and feed -> what its portal answered.
Kept = dict[tuple[str, str], KeptAnswers]


async def _or_refusal(ask: Callable[[], Awaitable[Response]]) -> Response | PortalError:
    try:
        return await ask()
    except PortalError as error:
        return error
