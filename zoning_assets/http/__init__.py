"""The polite HTTP client: every request to a portal goes through this package.

What belongs here: how requests are sent (rate limits, retries, redirects, timeouts, size limits). What does not: what a
response means (sources/), and how rate limits are shared by processes (storage/postgis/records/rate_limits).

    client                the interface: queries, resumed downloads, headers of files; counts requests
    request_sender        sends one request until it has a result: retries, redirects
    request               what is requested, with its context, and its result
    connection_scheduler  which request of this process is sent next, when, and over which connection; closed hours
    rate_limit            the rate limit of a host, as pure functions: pace, pauses, stated limits, circuit breaker
    rate_limit_store      the interface of the store of rate limits; the store in memory
    response_checks       the meaning of headers, redirects, HTML pages and TLS errors
    body_reader           reads response bodies within size limits
    shutdown              stops without losing responses that are being received
    response_cache        responses that are used twice: by a check of a feed, and by the run that follows
"""

from zoning_assets.http.client import Client, Http
from zoning_assets.http.request import DownloadTarget, PauseCheck, Response, Tally
from zoning_assets.http.response_cache import ResponseCache, ResponseCaches
from zoning_assets.http.response_checks import retry_after_s

__all__ = [
    "Client",
    "DownloadTarget",
    "Http",
    "PauseCheck",
    "Response",
    "ResponseCache",
    "ResponseCaches",
    "Tally",
    "retry_after_s",
]
