"""Bodies of answers, read within limits."""

from collections.abc import Callable
from typing import Any

import aiohttp

from zoning_assets.errors import FeedRefused, FileRefused
from zoning_assets.http import response_checks
from zoning_assets.http.request import Tally
from zoning_assets.http.response_checks import Unreadable
from zoning_assets.redaction import without_secrets

_LARGEST_ANSWER, _LARGEST_COMPLAINT = 256 << 20, 1 << 20


async def read_body(response: aiohttp.ClientResponse, url: str, tally: Tally) -> bytes:
    """The body, inflated; of anything but a 200 only the beginning. Its bytes are added to `tally`.

    Raises:
        FileRefused: it is larger than an answer may be.
    """
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if response.status != 200 and size > _LARGEST_COMPLAINT:
            break
        if size > _LARGEST_ANSWER:
            raise _too_large(url, _LARGEST_ANSWER)
        pieces.append(piece)
    tally.bytes += size
    return b"".join(pieces)


def value_of(body: bytes, url: str, read: Callable[[bytes], Any]) -> Any:
    """What `read` makes of a body.

    Raises:
        Unreadable: a page for people came, a firewall's perhaps; the message says what it says.
        FeedRefused: a page that asks for a password.
        ValueError: `read` could not read it.
    """
    try:
        return read(body)
    except ValueError as error:
        shown = response_checks.page(body)
        if shown and response_checks.wants_login(body):
            do = "check the address, or ask the portal for open access"
            raise FeedRefused(f"it wants a log-in; {shown}", where=without_secrets(url), do=do) from error
        if shown:
            raise Unreadable(shown) from error
        raise


def _too_large(url: str, most_bytes: int) -> FileRefused:
    return FileRefused(
        f"the answer is larger than {most_bytes >> 20} MiB", where=without_secrets(url), do="check the address"
    )
