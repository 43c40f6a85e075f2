"""Read response bodies within size limits."""

from collections.abc import Callable
from typing import Any

import aiohttp

from zoning_assets.errors import FeedRefused, FileRefused
from zoning_assets.http import response_checks
from zoning_assets.http.request import Tally
from zoning_assets.http.response_checks import Unreadable
from zoning_assets.redaction import without_secrets

#: The largest body of a 200, and how much of any other body is read; bytes.
_LARGEST_BODY, _LARGEST_ERROR_BODY = 256 << 20, 1 << 20


async def read_body(response: aiohttp.ClientResponse, url: str, tally: Tally) -> bytes:
    """Read and inflate a response body. Of a status other than 200 only the first MiB is read.

    Args:
        response: the open response.
        url: the address, for messages.
        tally: the size of the body in bytes is added to it.

    Raises:
        FileRefused: the body of a 200 is larger than 256 MiB.
    """
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if response.status != 200 and size > _LARGEST_ERROR_BODY:
            break
        if size > _LARGEST_BODY:
            raise _too_large(url, _LARGEST_BODY)
        pieces.append(piece)
    tally.bytes += size
    return b"".join(pieces)


def value_of(body: bytes, url: str, read: Callable[[bytes], Any]) -> Any:
    """Parse a body with `read`. If that fails and the body is an HTML page, the error contains the page's title.

    Raises:
        Unreadable: the body is an HTML page, for example of a firewall.
        FeedRefused: the body is an HTML page with a password field.
        ValueError: `read` raised it, and the body is no HTML page.
    """
    try:
        return read(body)
    except ValueError as error:
        shown = response_checks.html_page(body)
        if shown and response_checks.wants_login(body):
            do = "check the address, or ask the portal for open access"
            raise FeedRefused(f"it requires a log-in; {shown}", where=without_secrets(url), do=do) from error
        if shown:
            raise Unreadable(shown) from error
        raise


def _too_large(url: str, most_bytes: int) -> FileRefused:
    return FileRefused(
        f"the answer is larger than {most_bytes >> 20} MiB", where=without_secrets(url), do="check the address"
    )
