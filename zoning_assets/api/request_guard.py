"""What every request passes first: headers of the answer, limits, the host, tokens, and entity tags.

Plain ASGI, so that a stream is not collected in memory. An exception that no handler knows ends here as a problem
document.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoning_assets.api import problems
from zoning_assets.api.ogc_parameters import with_served_limit
from zoning_assets.api.published_state import PublishedState
from zoning_assets.api.server_settings import REQUEST_S, ServerSettings
from zoning_assets.api.tokens import READ

_LONGEST_URL, _LARGEST_BODY = 8_192, 16_384  # bytes
_QUEUE_S = 5  # seconds that a request waits for its turn
#: The page itself has no data: it asks for a token. Everything else needs one if the server is not on loopback.
_OPEN = re.compile(r"/|/static/[\w./-]+|/parcel/[^/]+/.+|/favicon\.ico")
#: Answers that depend only on what is published: their tag is known before the database is asked for them.
_OF_STATE = re.compile(r"/collections/[^/]+/(items|tiles)(/.*)?")
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


def headers(settings: ServerSettings) -> dict[str, str]:
    """The headers of every answer. Scripts, styles and data come only from this server; tiles also from the one host
    that the setting names."""
    host = ""
    if settings.tiles:
        parts = urlsplit(settings.tiles)
        host = f" {parts.scheme}://{parts.netloc}"
    policy = {
        "default-src": "'self'",
        "worker-src": "blob: 'self'",
        "img-src": f"'self' data: blob:{host}",
        "style-src": "'self'",
        "script-src": "'self'",
        "connect-src": f"'self'{host}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "object-src": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }


@dataclass
class RequestGuard:
    """The outermost layer of the application."""

    app: ASGIApp
    settings: ServerSettings
    state: PublishedState
    _headers: dict[str, str] = field(init=False)
    _turns: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._headers = headers(self.settings)
        self._turns = asyncio.Semaphore(self.settings.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, started = Request(scope), Started(send)
        sender = partial(self._with_headers, request, started)
        try:
            refusal = self._refusal(request) or await self._in_turn(request, receive, sender)
        except Exception as error:  # noqa: BLE001 - a defect; it is logged
            refusal = problems.of_any(request, error)
        if refusal is not None and not started.is_started:
            await refusal(scope, receive, sender)

    async def _in_turn(self, request: Request, receive: Receive, send: Send) -> Response | None:
        try:
            await asyncio.wait_for(self._turns.acquire(), _QUEUE_S)
        except TimeoutError:
            return problems.problem(503, "too many requests at the same time", {"Retry-After": "1"})
        try:
            async with asyncio.timeout(REQUEST_S):
                return await self._answer(request, receive, send)
        except TimeoutError as error:
            return problems.of_any(request, error)
        finally:
            self._turns.release()

    async def _answer(self, request: Request, receive: Receive, send: Send) -> Response | None:
        """Let the application answer. 304 if the client has the answer already, as of what is published now."""
        if request.method == "GET" and _OF_STATE.fullmatch(request.scope["path"]):
            tag = await self.state.tag_of(request)
            if self.state.matches(request, tag):
                return Response(status_code=304, headers={"ETag": tag})
            request.state.entity_tag = tag
            request.scope["query_string"] = with_served_limit(request.scope["query_string"])
        await self.app(request.scope, _limited(receive), send)
        return None

    def _refusal(self, request: Request) -> Response | None:
        """Why a request is refused before it is read; None: it is not."""
        if refused := _malformed(request):
            return refused
        if self.settings.is_loopback:
            # A page of another site whose name leads to 127.0.0.1 (DNS rebinding) sends its own name here.
            return None if _host(request.headers) in _LOCAL_HOSTS else problems.problem(421, "this host is not served")
        # The path that is routed; that of `request.url` is made of the header Host, too.
        if _OPEN.fullmatch(request.scope["path"]):
            return None
        if READ in self.settings.tokens.scopes(request.headers.get("authorization", "")):
            return None
        return problems.problem(401, "a token is needed", {"WWW-Authenticate": "Bearer"})

    async def _with_headers(self, request: Request, started: "Started", message: Message) -> None:
        if message["type"] == "http.response.start":
            found = MutableHeaders(scope=message)
            _set(found, self._headers.items())
            if message["status"] == 200 and (tag := getattr(request.state, "entity_tag", None)):
                found["ETag"] = tag
            if crs := getattr(request.state, "content_crs", None):
                found["Content-Crs"] = f"<{crs}>"
            found.setdefault("Cache-Control", "private, no-cache")
            found["Vary"] = "Accept, Authorization"
        await started(message)


@dataclass
class Started:
    """Sends messages, and knows whether the answer was started."""

    send: Callable[[Message], Awaitable[None]]
    is_started: bool = False

    async def __call__(self, message: Message) -> None:
        """Send a message of the answer."""
        self.is_started = True
        await self.send(message)


def _malformed(request: Request) -> Response | None:
    raw, query = request.scope.get("raw_path") or b"", request.scope["query_string"]
    if len(raw) + len(query) > _LONGEST_URL:
        return problems.problem(414, f"the URL has more than {_LONGEST_URL:,} bytes")
    if b"%00" in raw or b"%00" in query:
        return problems.problem(400, "the URL has a null character")
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > _LARGEST_BODY:
        return problems.problem(413, f"the body has more than {_LARGEST_BODY:,} bytes")
    return None


def _limited(receive: Receive) -> Receive:
    """Receive a body up to the limit, also if its length was not stated."""
    seen = 0

    async def receive_some() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > _LARGEST_BODY:
            raise problems.BodyTooLarge
        return message

    return receive_some


def _set(found: MutableHeaders, pairs: Iterable[tuple[str, str]]) -> None:
    for name, value in pairs:
        found[name] = value


def _host(found: Headers) -> str:
    """The host of a request without its port."""
    return re.sub(r":\d+$", "", found.get("host", "")).lower()
