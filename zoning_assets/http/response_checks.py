"""The meaning of a portal's response before its data is read: headers, redirects, HTML pages and TLS errors.

Pure functions. What the responses of one feed type mean is decided in sources/.
"""

import html
import ipaddress
import json
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson

from zoning_assets.errors import FeedRefused, MalformedResponse, PortalBusy, PortalUnreachable, PortalUntrusted
from zoning_assets.http.rate_limit import BREAKER, LONGEST_WINDOW_S, Decision, StatedLimit
from zoning_assets.os_errors import network
from zoning_assets.redaction import scrubbed, without_secrets

_MAX_STATED = 10_000_000


class Unreadable(ValueError):
    """A body that is not what was requested. `status`: the HTTP status that would have been correct, if known."""

    def __init__(self, what: str, status: int | None = None) -> None:
        super().__init__(what)
        self.status = status


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait in a Retry-After header, in seconds; None: there is none, or it is 0 or invalid.

    0 is ignored because it would start a loop of retries without a pause (github.com/dlt-hub/dlt, issue 4036).
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text[:9]) or None
    try:
        return max((parsedate_to_datetime(text) - now).total_seconds(), 0.0) or None
    except (ValueError, TypeError, IndexError):
        return None


def stated_limit(headers: Mapping[str, str], now: datetime) -> StatedLimit | None:
    """The rate limit that the headers state; None: they state none. Impossible values are ignored.

    Sources: the de facto headers X-RateLimit-*, and the IETF drafts "RateLimit header fields for HTTP".
    """
    found = _fields(headers)
    limit, left = _integer(found.get("limit", ""), least=1), _integer(found.get("remaining", ""))
    if limit is None and left is None:
        return None
    window = _integer(found.get("window", ""), least=1)
    window_s = float(window) if window and window <= LONGEST_WINDOW_S else None
    return StatedLimit(limit, left, _reset_s(found.get("reset", ""), now), window_s)


#: Our name of a value -> the headers that carry it. The last spelling is of the IETF drafts.
_LIMIT_HEADERS = {
    name: [f"{prefix}-{name.capitalize()}" for prefix in ("X-RateLimit", "X-Rate-Limit", "RateLimit")]
    for name in ("limit", "remaining", "reset", "window")
}
#: `RateLimit: "default";r=50;t=30` and `RateLimit: limit=100, remaining=50, reset=5`; `RateLimit-Policy: 100;w=60`.
_PAIRS = re.compile(r"\b(limit|remaining|reset|[rtqw])\s*=\s*\"?(\d{1,15})")
_LONG = {"r": "remaining", "t": "reset", "q": "limit", "w": "window"}


def _fields(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for header in ("RateLimit", "RateLimit-Policy", "RateLimit-Limit"):
        found |= {_LONG.get(key, key): value for key, value in _PAIRS.findall(headers.get(header, "")[:400])}
    for name, spellings in _LIMIT_HEADERS.items():
        for value in (headers[spelling] for spelling in spellings if spelling in headers):
            found[name] = re.split(r"[,;]", value)[0].strip()
    return found


def _integer(text: str, least: int = 0) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and least <= int(text) <= _MAX_STATED else None


def _reset_s(text: str, now: datetime) -> float | None:
    """Seconds from now. The text is a number of seconds, epoch seconds, epoch milliseconds, or ISO 8601."""
    try:
        number = float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text) else None
        if number is None:
            moment = datetime.fromisoformat(text)
            number = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    seconds = number / 1000 if number > 1e11 else number
    if seconds > 1e9:
        seconds -= now.timestamp()
    return seconds if 0 <= seconds <= LONGEST_WINDOW_S else None


def host_of(url: str) -> str:
    """The host of an address, for the rate limit; ports 80 and 443 count as the same host."""
    return re.sub(r":(80|443)?$", "", urlsplit(url).netloc.rpartition("@")[2].lower())


_TITLE = re.compile(rb"<title[^>]{0,200}>(.{0,200}?)</title", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(rb"<(script|style).*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_PASSWORD = re.compile(rb"<input[^>]{0,500}type\s*=\s*[\"']?password", re.IGNORECASE)
_LOGIN = re.compile(
    r"(?<![a-z])(log-?[io]n|sign-?in|sso|saml2?|oauth2?|adfs|authenticate|authorize)(?![a-z])", re.IGNORECASE
)
_LOOKED_AT, _SHOWN = 64 * 1024, 2048  # bytes of an HTML page


def html_page(body: bytes) -> str | None:
    """Describe an HTML page that was sent instead of data, for example by a firewall or a log-in; None: it is none."""
    head = body[:_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not re.match(rb"(<\?xml[^>]*>\s*)?<(!doctype html|html|head|body|title|script|center|h1)", head, re.IGNORECASE):
        return None
    title = _TITLE.search(head)
    text = title[1] if title else _MARKUP.sub(b" ", head[:_SHOWN])
    words = " ".join(html.unescape(text.decode("utf-8", "replace")).split())[:80]
    return f'a web page instead of data: "{scrubbed(words)}"'


def error_message(body: bytes) -> str | None:
    """The message of a JSON error body, in one of the usual forms; None: there is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    inner = document.get("error") if isinstance(document, dict) else None
    members = {**document, **(inner if isinstance(inner, dict) else {})} if isinstance(document, dict) else {}
    texts = (members.get(name) for name in ("message", "description", "detail"))
    found = next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return f'it says "{scrubbed(found)[:200]}"' if found else None


def wants_login(body: bytes) -> bool:
    """Whether a body is an HTML page with a password field."""
    return html_page(body) is not None and _PASSWORD.search(body[:_LOOKED_AT]) is not None


def redirect_target(url: str, location: str, *, anywhere: bool) -> str:
    """Return the absolute address of a redirect.

    Args:
        url: the address that was requested.
        location: the Location header of the response.
        anywhere: whether it may lead to another site. Files are often stored elsewhere, layers are not.

    Raises:
        FeedRefused: it leads to a log-in, to another site, to an internal address, or is not an HTTP address.
    """
    where = without_secrets(url)
    try:
        target = urljoin(url, location)
        parts, host = urlsplit(target), urlsplit(target).hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise FeedRefused("it redirects to an address that is not HTTP", where=where, do="check the address")
    shown = without_secrets(target)
    if _LOGIN.search(f"{host.split('.')[0]} {parts.path}"):
        raise FeedRefused(
            f"it redirects to a log-in ({shown})", where=where, do="ask the portal for open access, or a token"
        )
    home = urlsplit(url).hostname or ""
    if host != home and (_is_internal(host) or not (anywhere or _site(host) == _site(home))):
        raise FeedRefused(
            f"it redirects to another site ({shown})", where=where, do="if that is the layer, use that address"
        )
    return target


def _site(host: str) -> str:
    """The part of a host name that belongs to one organisation: the last two labels, three under a country code."""
    labels = host.rstrip(".").split(".")
    if _ip(host):
        return host
    return ".".join(labels[-3 if len(labels[-1]) == 2 else -2 :])


def _is_internal(host: str) -> bool:
    """Whether a host is on this machine or in a private network; a portal must not redirect there."""
    address = _ip(host)
    return host == "localhost" or (address is not None and not address.is_global)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


#: OpenSSL's verify codes -> the problem, and what to do.
_TELL = "tell the portal's operator"
_MISSING = (
    "it does not send its intermediate certificate, or an authority unknown to this machine signed it",
    f"{_TELL}; until then append the missing certificate to a copy of your CA bundle and name it in SSL_CERT_FILE",
)
_VERIFY = {
    10: ("its certificate has expired", f"{_TELL}, and check the clock of this machine"),
    18: ("its certificate is self-signed", f"{_TELL}, or name that certificate in SSL_CERT_FILE"),
    19: ("its certificate chain ends in an unknown certificate", f"{_TELL}, or name that certificate in SSL_CERT_FILE"),
    20: _MISSING,
    21: _MISSING,
    62: ("its certificate belongs to another host", f"check the address, or {_TELL}"),
}


def untrusted(url: str, error: Exception) -> PortalUntrusted | None:
    """Translate a TLS error, with what to do about it; None: it is another error. Verification is never turned off."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if not isinstance(inner, ssl.SSLError) or isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    what, do = _VERIFY.get(getattr(inner, "verify_code", 0), ("the encrypted connection (TLS) was refused", _TELL))
    if "LEGACY_RENEGOTIATION" in str(inner):
        what = "it requires unsafe TLS renegotiation, as before 2010"
    return PortalUntrusted(scrubbed(what), where=without_secrets(url), do=do)


def failure_reason(error: Exception) -> str:
    """Return why there is no valid response, as a phrase for messages."""
    if isinstance(error, aiohttp.ClientError):
        return network(error) or next(words for kind, words in _CLIENT_ERRORS if isinstance(error, kind))
    if isinstance(error, Unreadable | MalformedResponse | ValueError | RecursionError):
        return _unreadable(error)
    return network(error) or "the connection failed"


def _unreadable(error: Exception) -> str:
    """Why a response that arrived cannot be read."""
    if isinstance(error, json.JSONDecodeError):
        return f"its answer is not JSON (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"its answer is not {error.encoding.upper()} text (byte {error.start})"
    if isinstance(error, RecursionError):
        return "its answer is nested too deeply"
    return scrubbed(str(error)) or "its answer cannot be read"  # the message of `read` of Client.query


#: What aiohttp raises -> the phrase for messages; the first that fits.
_CLIENT_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "its answer was cut off"),
    (aiohttp.InvalidURL, "this is not a web address"),
    (aiohttp.ClientSSLError, "the encrypted connection failed"),
    (aiohttp.ClientConnectorDNSError, "the name of its host is not known"),
    (aiohttp.ClientResponseError, "its answer is not HTTP"),
    (aiohttp.ClientConnectionError, "the connection failed"),
    (aiohttp.ClientError, "the connection failed"),
)


def refused(url: str, why: str, status: int) -> FeedRefused:
    """Return the error for a response that a retry would not change."""
    do = "check the address and the portal's terms of use"
    return FeedRefused(why, where=without_secrets(url), do=do, final=status in _FINAL)


#: The portal refuses this client, or the resource is gone; no other form of the request would be answered.
_FINAL = frozenset({401, 403, 407, 410, 451})


def busy(url: str, why: str, wait_s: float) -> PortalBusy:
    """Return the error for a portal that states a longer wait than one request may take. `wait_s`: seconds."""
    do = f"try again in {wait_s:.0f} s, or lower requests_per_minute"
    return PortalBusy(why, where=without_secrets(url), do=do, wait_s=wait_s)


def too_long(url: str, decision: Decision, last: str = "") -> PortalBusy | PortalUnreachable:
    """Return the error for a host that gets no request for too long. `last`: why its last failed request failed."""
    if decision.why == BREAKER:
        do = f"check the address, or try again in {decision.wait_s:.0f} s"
        what = "it failed repeatedly, and requests are suspended" + (f" ({last})" if last else "")
        return PortalUnreachable(what, where=without_secrets(url), do=do, wait_s=decision.wait_s)
    return busy(url, "it asked for a long pause", decision.wait_s)
