"""The polite client: every request to a portal goes through here.

A budget a host, shared with all who use the same ledger; timeouts, full-jitter backoff, limits on size and on patience;
and an end that loses nothing. `Http` is what all work of a process shares. A `Client` asks for one piece of work: it
counts the requests and bytes, and sends nothing while the work is paused.

What belongs here: asking. What does not: what an answer means (answers.py, sources/), what may be asked
(rate_limit.py), and who is next and when (connection_scheduler.py).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Self

import aiohttp

from zoning_assets.errors import FeedRefused, FileRefused, Garbled, PortalUnreachable, Stopping
from zoning_assets.http import response_checks
from zoning_assets.http.body_reader import read_body, value_of
from zoning_assets.http.connection_scheduler import Granted, Turns
from zoning_assets.http.kept_answers import KeptAnswers
from zoning_assets.http.rate_limit import Said, Turn
from zoning_assets.http.rate_limit_store import Ledger, Memory
from zoning_assets.http.request import TRIES, Answer, Heard, Once, Part, Paused, Question, Tally
from zoning_assets.http.response_checks import Unreadable, retry_after_s
from zoning_assets.http.shutdown import Drain
from zoning_assets.model import Portal

#: Tried again after a pause: the portal is busy or ill, not of another opinion.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_HOPS = 5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
#: An answer that came whole and makes no sense is the content's fault, not the network's: it is asked for once more.
_TRIES_GARBLED = 2
#: A portal that asks for more patience than this is left alone; the run fails and says until when.
_LONGEST_RETRY_AFTER_S = 300.0
#: No question is asked once more after so long.
_PATIENCE_S = 1800.0
#: How long pages that are on their way may take when this program is asked to stop.
_DRAIN_S = 3.0
_DOWNLOAD_TIMEOUT = aiohttp.ClientTimeout(total=3 * 3600, sock_connect=20, sock_read=120)


@dataclass
class Http:
    """What all work of one process shares when it asks portals. Enter it to open the ledger.

    Effects are arguments so that no test waits.
    """

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ledger: Ledger | None = None  # None: this process's own, on `clock`
    _drain: Drain = field(default_factory=Drain)
    _turns: Turns | None = None
    _last: dict[str, str] = field(default_factory=dict)  # host -> what came of the last request that failed

    async def __aenter__(self) -> Self:
        ledger = await (self.ledger or Memory(self.clock)).__aenter__()
        self._turns = Turns(ledger, self.sleep, self.now)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._turns:
            await self._turns.close()
            await self._turns.ledger.__aexit__(*error)

    def for_work(
        self, tally: Tally | None = None, paused: Paused = lambda: None, kept: KeptAnswers | None = None
    ) -> "Client":
        """The client for one piece of work.

        Args:
            tally: counts the requests and bytes of this work; a new one where none is given.
            paused: returns the error of a pause that is in force for this work, or None. Called before each request,
                which is not sent where it returns an error; the error is raised.
            kept: keeps the answers, or gives those of an earlier look; None: neither.
        """
        return Client(self, tally or Tally(), paused, kept)

    def drain(self) -> None:
        """Stop: no new request, nobody waits any longer; pages on their way have a little time to arrive."""
        self._drain.stop()

    def stopped(self, where: str) -> Stopping | None:
        """What is to be said of work that is not begun any more, as `drain` was called; None: go on."""
        return self._drain.stopped(where) if self._drain.stopping else None

    @asynccontextmanager
    async def turn(self, question: Question) -> AsyncIterator[None]:
        """A moment at which the question's host may be asked, and counts as one request."""
        async with self._turn(question) as (turns, granted):
            yield
            await turns.learn(question.host, granted, Said(granted.ticket, 200))

    async def answer(self, question: Question) -> Answer:
        """Ask, and where the answer is a redirect that may be followed, ask there: each a request of its own.

        Raises:
            As Client.ask.
        """
        for _ in range(_HOPS):
            answer = await self._patiently(question)
            if answer.status not in _MOVED:
                return answer
            target = response_checks.onward(
                question.url, answer.headers.get("Location", ""), anywhere=question.anywhere
            )
            params = {} if "?" in target else question.params
            question = replace(question, url=target, params=params)
        raise FeedRefused("it redirects without end", where=question.where, do="check the address")

    async def _patiently(self, question: Question) -> Answer:
        """Ask until there is an answer, a refusal, or no more patience."""
        started, heard, attempt = self.clock(), None, 0
        while attempt < question.tries:
            heard, attempt = await self._attempt(question), attempt + 1
            if heard.answer:
                return heard.answer
            if heard.garbled and attempt >= _TRIES_GARBLED:
                break
            if heard.wait_s > _LONGEST_RETRY_AFTER_S or self.clock() - started + heard.wait_s > _PATIENCE_S:
                break
            if not heard.wait_s and attempt < question.tries:
                async with self._drain.unless_stopped(question.url):
                    await self.sleep(self.jitter() * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1)))
        if heard and heard.wait_s:
            raise response_checks.busy(question.url, heard.why, heard.wait_s)
        why = f"{heard.why if heard else 'not asked'} ({attempt} tries)"
        raise PortalUnreachable(why, where=question.where, do="check the address, or try again later")

    async def _attempt(self, question: Question) -> Heard:
        """One request, and what the ledger learns from it."""
        async with self._turn(question) as (turns, granted):
            heard = await self._send(question, granted)
            await turns.learn(question.host, granted, heard.said)
        if heard.why:
            self._last[question.host] = heard.why
        if heard.error:
            raise heard.error
        return heard

    async def _send(self, question: Question, granted: Granted) -> Heard:
        try:
            async with self._drain.unless_stopped(question.url, _DRAIN_S):
                answer = await question.once(granted.lease.session, question.url, question.params)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            said = Said(granted.ticket, error.status if isinstance(error, Unreadable) else None)
            garbled = isinstance(error, Garbled)
            said = Said(granted.ticket, 200) if garbled else said
            return Heard(
                said,
                why=response_checks.named(error),
                error=response_checks.untrusted(question.url, error),
                garbled=garbled,
            )
        except (FeedRefused, FileRefused) as error:  # it answered, and that is refused
            return Heard(Said(granted.ticket, 200), error=error)
        wait_s = retry_after_s(answer.headers, self.now()) if answer.status in _PASSING else None
        said = Said(granted.ticket, answer.status, wait_s, response_checks.stated(answer.headers, self.now()))
        if answer.status in {200, 304, *_MOVED, *question.also}:
            return Heard(said, answer)
        shown = response_checks.page(answer.body) or response_checks.complaint(answer.body)
        why = f"HTTP {answer.status}" + (f", {shown}" if shown else "")
        refusal = None if answer.status in _PASSING else response_checks.refused(question.url, why, answer.status)
        return Heard(said, why=why, error=refusal)

    @asynccontextmanager
    async def _turn(self, question: Question) -> AsyncIterator[tuple[Turns, Granted]]:
        """A connection and the moment to use it; counts as one request."""
        if self._turns is None:
            message = "enter the client first"
            raise RuntimeError(message)
        async with self._drain.unless_stopped(question.url):
            granted = await self._turns.take(question, _LONGEST_RETRY_AFTER_S)
        if isinstance(granted, Turn):
            raise response_checks.too_long(question.url, granted, self._last.get(question.host, ""))
        try:
            if error := question.paused():
                raise error
            question.tally.requests += 1
            yield self._turns, granted
        finally:
            await self._turns.give(question.host, granted.lease)


@dataclass(frozen=True)
class Client:
    """Asks portals for one piece of work. Made by `Http.for_work`, which describes `tally` and `paused`."""

    shared: Http
    tally: Tally
    paused: Paused
    kept: KeptAnswers | None = None

    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]:
        """As the shared client's."""
        return self.shared.sleep

    @property
    def jitter(self) -> Callable[[], float]:
        """As the shared client's: a number from 0 to 1."""
        return self.shared.jitter

    @property
    def now(self) -> Callable[[], datetime]:
        """As the shared client's."""
        return self.shared.now

    def stopped(self, where: str) -> Stopping | None:
        """See Http.stopped."""
        return self.shared.stopped(where)

    async def ask(  # noqa: PLR0913 - a question is whom, what, how it is read, and what to make of what is not an answer
        self,
        portal: Portal,
        url: str,
        params: Mapping[str, str],
        *,
        read: Callable[[bytes], Any],
        tries: int = TRIES,
        method: Literal["auto", "get", "post"] = "auto",
        also: Collection[int] = (),
    ) -> Answer:
        """Ask by GET, or by POST with a form where the address would grow long.

        Args:
            portal: how politely.
            url: without a query.
            params: the query.
            read: makes a value of the body; raises ValueError where it is not what was asked for, and the portal is
                asked again.
            tries: how often at most; fewer where the caller can ask for less.
            method: for portals that refuse one of them.
            also: statuses besides 200 that the caller understands; their body is not read by `read`.

        Raises:
            PortalResting, PortalBusy, PortalUnreachable, PortalUntrusted, FeedRefused: see errors.py.
            Stopping: this program was asked to stop.
            Held: a person paused the work.
        """
        long = sum(len(key) + len(value) for key, value in params.items()) > 1500  # some servers refuse 2,000
        post = method == "post" or (method == "auto" and long)

        async def once(session: aiohttp.ClientSession, url: str, params: Mapping[str, str]) -> Answer:
            query: dict[str, Any] = {"data": params} if post else {"params": params}
            async with session.request("POST" if post else "GET", url, allow_redirects=False, **query) as response:
                body = await read_body(response, url, self.tally)
                value = value_of(body, url, read) if response.status == 200 else None
                return Answer(response.status, response.headers, body, value)

        question = Question(portal, url, once, self.tally, self.paused, params, tries, also)
        return await self._answer(("POST" if post else "GET", url, *sorted(params.items())), question)

    async def fetch(self, portal: Portal, url: str, part: Part) -> Answer:
        """Fetch a file; each try goes on where the one before it broke.

        The answer may also be 202 (not made yet; with its body) or 304, which leave the part alone.

        Raises:
            FileRefused: see Part; and as `ask`.
        """

        async def once(session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Answer:
            request = session.get(url, headers=part.asks(), allow_redirects=False, timeout=_DOWNLOAD_TIMEOUT)
            async with request as response:
                answer = Answer(response.status, response.headers)
                if response.status not in (200, 206, 416):
                    return replace(answer, body=await read_body(response, url, self.tally))
                with part.writing(answer) as write:
                    async for piece in response.content.iter_chunked(1 << 20):
                        self.tally.bytes += len(piece)
                        write(piece)
                return answer

        return await self.shared.answer(self._of_file(portal, url, once))

    async def look(
        self, portal: Portal, url: str, headers: Mapping[str, str], *, method: Literal["HEAD", "GET"] = "HEAD"
    ) -> Answer:
        """What the portal says of a file, without its body; asked once.

        Raises:
            As `ask`.
        """

        async def once(session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Answer:
            async with session.request(method, url, headers=headers, allow_redirects=False) as response:
                return Answer(response.status, response.headers)

        question = self._of_file(portal, url, once, tries=1)
        return await self._answer((method, url, *sorted(headers.items())), question)

    def turn(self, portal: Portal, url: str) -> AbstractAsyncContextManager[None]:
        """A moment at which an address's host may be asked, by who asks in another protocol (FTP); one request."""
        return self.shared.turn(Question(portal, url, _not_by_http, self.tally, self.paused))

    def _of_file(self, portal: Portal, url: str, once: Once, tries: int = TRIES) -> Question:
        return Question(portal, url, once, self.tally, self.paused, tries=tries, also=(202, 206), anywhere=True)

    async def _answer(self, name: Hashable, question: Question) -> Answer:
        ask = partial(self.shared.answer, question)
        return await (self.kept.answer(name, self.tally, ask) if self.kept else ask())


async def _not_by_http(_session: aiohttp.ClientSession, url: str, _: Mapping[str, str]) -> Answer:
    raise RuntimeError(url)
