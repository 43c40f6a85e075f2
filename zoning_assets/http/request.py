"""A request to a portal, its response, and the interface of a resumable download."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import aiohttp

from zoning_assets.errors import ZoningError
from zoning_assets.http.rate_limit import RequestOutcome
from zoning_assets.http.response_checks import host_of
from zoning_assets.model import Portal
from zoning_assets.redaction import without_secrets

#: The most times that one request is sent.
TRIES = 6


@dataclass(frozen=True)
class Response:
    """A portal's response; the body is inflated. `body` is empty for a download, which is written to its file."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    value: Any = None  # the parsed body: the result of `read` of Client.query


class DownloadTarget(Protocol):
    """A file that is being downloaded; a part of it may already exist."""

    def request_headers(self) -> Mapping[str, str]:
        """The headers of the next request; called before each try."""
        ...

    def open_writer(self, response: Response) -> AbstractContextManager[Callable[[bytes], None]]:
        """Open a writer for the body of a 200, 206 or 416; each call of the writer appends bytes.

        Raises:
            ValueError: the body is not the missing part of the file; the request is retried.
            FileRefused: the body is larger than allowed.
        """
        ...


@dataclass(frozen=True)
class AttemptResult:
    """The result of one try: a response, or why there is none. `error`: a retry does not help."""

    outcome: RequestOutcome
    response: Response | None = None
    why: str = ""
    error: ZoningError | None = None
    garbled: bool = False  # the response is complete, but its content is invalid

    @property
    def wait_s(self) -> float:
        """The wait that the portal states, in seconds; 0: it states none."""
        return self.outcome.wait_s or 0.0


@dataclass
class Tally:
    """What a piece of work has used so far: requests sent, and bytes of response bodies received (inflated)."""

    requests: int = 0
    bytes: int = 0

    def since(self, before: "Tally") -> "Tally":
        """Return the requests and bytes since an earlier tally."""
        return Tally(self.requests - before.requests, self.bytes - before.bytes)

    def add(self, other: "Tally") -> None:
        """Add the requests and bytes of other work."""
        self.requests += other.requests
        self.bytes += other.bytes


#: Returns the error of a pause of a piece of work, or None.
PauseCheck = Callable[[], ZoningError | None]
#: Sends one request: a session, an address, a query.
SendOnce = Callable[[aiohttp.ClientSession, str, Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True)
class PortalRequest:
    """One request to a portal, with its context.

    Attributes:
        portal: the rate limits of the host.
        url: the address without a query.
        once: sends the request once and reads its response.
        tally: counts the requests and bytes of the work.
        paused: called before each try; if it returns an error, nothing is sent and the error is raised.
        params: the query.
        tries: the most tries, redirects not counted.
        also: statuses besides 200 that the caller handles.
        anywhere: whether a redirect may lead to another site.
    """

    portal: Portal
    url: str
    once: SendOnce
    tally: Tally
    paused: PauseCheck
    params: Mapping[str, str] = field(default_factory=dict)
    tries: int = TRIES
    also: Collection[int] = ()
    anywhere: bool = False

    @property
    def where(self) -> str:
        """The address without secrets, for messages."""
        return without_secrets(self.url)

    @cached_property
    def host(self) -> str:
        """The host whose rate limit the request counts against."""
        return host_of(self.url)
