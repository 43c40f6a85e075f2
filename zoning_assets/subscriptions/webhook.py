"""Send an event to a webhook: one signed POST, no redirect, bounded in time; the response is judged by its status."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from zoning_assets.errors import DeliveryFailed
from zoning_assets.http import retry_after_s
from zoning_assets.os_errors import network
from zoning_assets.redaction import without_secrets
from zoning_assets.storage.postgis.records.delivery_records import SubscriptionEvent
from zoning_assets.storage.postgis.records.subscription_records import Subscription
from zoning_assets.subscriptions import address_check, cloud_event, webhook_signature

#: Seconds for one attempt with its response headers, and of those for the connection.
TOTAL_S, CONNECT_S = 15.0, 5.0
#: The longest Retry-After that is obeyed, seconds.
_LONGEST_WAIT_S = 24 * 3600.0
_GONE = 410


@dataclass(frozen=True)
class Webhook:
    """An open session with one receiver."""

    session: aiohttp.ClientSession
    target: str
    signing_key: str
    now_s: Callable[[], float]

    async def send(self, event: SubscriptionEvent) -> None:
        """Send an event.

        Raises:
            DeliveryFailed: no response, or another status than 2xx. A status 410 is final.
        """
        body = cloud_event.body_of(event)
        signed = webhook_signature.headers(self.signing_key, event.id, int(self.now_s()), body)
        headers = {**signed, "content-type": cloud_event.CONTENT_TYPE}
        try:
            async with self.session.post(self.target, data=body, headers=headers, allow_redirects=False) as response:
                status, stated_s = response.status, retry_after_s(response.headers, self._now())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._failed(_why(error)) from None
        if not 200 <= status < 300:
            redirects = ", a redirect, which is not followed" if 300 <= status < 400 else ""
            wait_s = min(stated_s or 0.0, _LONGEST_WAIT_S)
            raise self._failed(f"it responded {status}{redirects}", wait_s, is_final=status == _GONE)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s(), UTC)

    def _failed(self, what: str, wait_s: float | None = None, *, is_final: bool = False) -> DeliveryFailed:
        do = "correct the receiver; the delivery is repeated automatically"
        return DeliveryFailed(what, where=without_secrets(self.target), do=do, wait_s=wait_s, is_final=is_final)


@asynccontextmanager
async def opened(
    subscription: Subscription,
    target: str,
    signing_key: str,
    *,
    lookup: address_check.Lookup = address_check.system_lookup,
    timeout_s: float = TOTAL_S,
) -> AsyncIterator[Webhook]:
    """Open a session with the receiver of a subscription."""
    allowed = address_check.networks(subscription.allowed_networks)
    timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
    headers = {"user-agent": "zoning-assets"}
    async with aiohttp.ClientSession(
        connector=address_check.connector(allowed, lookup),
        timeout=timeout,
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:
        yield Webhook(session, target, signing_key, time.time)


def _why(error: BaseException) -> str:
    """What happened, without the text of the library."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, address_check.AddressRefused):
            return f"{each.args[0]}; `zoning subscribe add --allow-network` allows it"
        each = getattr(each, "os_error", None) or each.__cause__
    if isinstance(error, aiohttp.InvalidURL):
        return "its address is not valid"
    if isinstance(error, TimeoutError):
        return "it did not respond in time"
    return network(error) or "it does not speak HTTP"
