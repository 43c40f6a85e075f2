"""What is asked, what came of it, and what may be asked for in pieces."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import aiohttp

from zoning_assets.errors import ZoningError
from zoning_assets.http.rate_limit import Said
from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Portal
from zoning_assets.redaction import without_secrets

#: How often a question is asked at most.
TRIES = 6


@dataclass(frozen=True)
class Answer:
    """A portal's answer, inflated. `body` is empty for a download, which lies in the file asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    value: Any = None  # what `read` made of the body


class Part(Protocol):
    """A file on its way, of which some may have come before."""

    def asks(self) -> Mapping[str, str]:
        """The headers to ask with; looked at before each try."""
        ...

    def writing(self, answer: Answer) -> AbstractContextManager[Callable[[bytes], None]]:
        """Takes the body of a 200, 206 or 416, piece by piece.

        Raises:
            ValueError: the body cannot be what is missing; the portal is asked again.
            FileRefused: it is larger than allowed.
        """
        ...


@dataclass(frozen=True)
class Heard:
    """What came of one request: an answer, or why there is none that counts; `error`: and none will."""

    said: Said
    answer: Answer | None = None
    why: str = ""
    error: ZoningError | None = None
    garbled: bool = False  # it came whole, and is not in the form that it should be in

    @property
    def wait_s(self) -> float:
        """How long the portal asks us to wait, in seconds; 0 where it does not say."""
        return self.said.wait_s or 0.0


@dataclass
class Tally:
    """What a piece of work has cost so far: requests sent, and bytes of answers received (inflated)."""

    requests: int = 0
    bytes: int = 0

    def since(self, before: "Tally") -> "Tally":
        """What it cost since then."""
        return Tally(self.requests - before.requests, self.bytes - before.bytes)

    def add(self, other: "Tally") -> None:
        """Count what other work has cost."""
        self.requests += other.requests
        self.bytes += other.bytes


#: Returns the error of a pause that is in force for a piece of work, or None.
Paused = Callable[[], ZoningError | None]
#: Asks once: a session, an address, a query.
Once = Callable[[aiohttp.ClientSession, str, Mapping[str, str]], Awaitable[Answer]]


@dataclass(frozen=True)
class Question:
    """One question to a portal, with the context that it is asked in.

    Attributes:
        portal: the limits to keep.
        url: without a query.
        once: sends one request and reads its answer.
        tally: counts the requests and bytes of the work that asks.
        paused: called before each request, which is not sent where it returns an error.
        params: the query.
        tries: the most requests, redirects not counted.
        also: statuses besides 200 that the caller understands.
        anywhere: whether a redirect may lead to another site.
    """

    portal: Portal
    url: str
    once: Once
    tally: Tally
    paused: Paused
    params: Mapping[str, str] = field(default_factory=dict)
    tries: int = TRIES
    also: Collection[int] = ()
    anywhere: bool = False

    @property
    def where(self) -> str:
        """The address for messages."""
        return without_secrets(self.url)

    @cached_property
    def host(self) -> str:
        """The host whose rate limit the request counts against."""
        return host_of(self.url)
