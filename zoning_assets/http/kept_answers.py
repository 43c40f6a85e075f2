"""Answers that are used twice: a command looks at a portal, and the run that it then begins does not ask the same
questions again."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace

from zoning_assets.errors import PortalError
from zoning_assets.http.request import Response, Tally

#: Older answers are not used: a run may wait for hours, for example while a person pauses it.
_OLDEST_S = 60.0


#: Questions of a look. Some layers can be opened only by reading all of their pages: the run does that.
_MOST_QUESTIONS = 10


class LookEnds(Exception):
    """A look has asked as many questions as it may."""


@dataclass(frozen=True)
class _Kept:
    answer: Response | PortalError
    cost: Tally
    at: float


@dataclass
class KeptAnswers:
    """What a portal answered to a look, by question and in order. First answers are kept; after `close` each is given
    out once, until the portal must be asked something: from then on it is asked everything."""

    clock: Callable[[], float] = time.monotonic
    is_open: bool = True
    _kept: dict[Hashable, deque[_Kept]] = field(default_factory=dict)
    _asked: int = 0

    def close(self) -> None:
        """The look has ended."""
        self.is_open = False

    async def answer(self, question: Hashable, tally: Tally, ask: Callable[[], Awaitable[Response]]) -> Response:
        """The kept answer to a question, at the cost that it had; else what `ask` returns, which a look keeps.

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
