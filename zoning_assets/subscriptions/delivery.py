"""Deliver to all subscriptions that are due. Each has its cursor and its own task, so a slow consumer delays no other.

A webhook gets one event at a time, in the order of the log. An event that fails is repeated with growing delays while
all later ones wait. After the last attempt it becomes a dead letter. From then on, later events of the same parcels
become dead letters too, until a person replays them: so the order per parcel is kept. The other sinks get all events of
a window at once, and are repeated until they succeed.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from zoning_assets.defects import unexpected_error
from zoning_assets.errors import DeliveryFailed, StoreError, ZoningError
from zoning_assets.settings import Settings
from zoning_assets.storage.postgis.records import delivery_records, subscription_records
from zoning_assets.storage.postgis.records.delivery_records import (
    DeliverySession,
    DeliveryState,
    DeliveryWindow,
    SubscriptionEvent,
)
from zoning_assets.storage.postgis.records.subscription_records import (
    ATOM,
    DELTA,
    EMAIL,
    POSTGIS,
    WEBHOOK,
    Subscription,
)
from zoning_assets.subscriptions import address_check, atom_feed, delta_export, email_sink, postgis_copy, webhook
from zoning_assets.subscriptions.webhook import Webhook

#: Entries of the log that are read at a time: for events that are sent one by one, and for files and e-mails.
_ONE_BY_ONE, _TOGETHER = 500, 5000
#: Subscriptions that are delivered to at the same time.
_MOST_AT_ONCE = 8
_WindowSink = Callable[[DeliverySession, DeliveryState, DeliveryWindow, Settings], None]
_WINDOW_SINKS: Mapping[str, _WindowSink] = {
    EMAIL: email_sink.send,
    ATOM: atom_feed.send,
    DELTA: delta_export.send,
}


@dataclass(frozen=True)
class RetryPolicy:
    """How often and when a failed delivery is repeated: by default twelve attempts in about six hours."""

    attempts: int = 12
    first_s: float = 5.0
    longest_s: float = 4 * 3600.0
    timeout_s: float = webhook.TOTAL_S  # of one attempt of a webhook

    def wait_s(self, attempt: int) -> float:
        """Seconds after a failed attempt (1: the first): doubled each time, less a random part of up to a half."""
        longest = min(self.first_s * 2.0 ** min(attempt - 1, 30), self.longest_s)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets


@dataclass
class DeliveryResult:
    """What a call of `deliver` did for one subscription."""

    name: str
    sink: str
    delivered: int = 0  # events; for postgis: rows
    dead: int = 0  # events that became dead letters
    error: str | None = None  # the last failure
    skipped: str | None = None  # why nothing was tried


@dataclass(frozen=True)
class DeliveryRun:
    """One call of `deliver`."""

    url: str
    settings: Settings
    policy: RetryPolicy
    until_s: float  # of time.monotonic; failed deliveries are repeated until then
    stop_s: float  # of time.monotonic; nothing new is begun after it
    is_forced: bool  # also what waits for its next attempt or its day
    lookup: address_check.Lookup

    async def deliver(self, subscription: Subscription) -> DeliveryResult:
        """Deliver to one subscription what is due."""
        result = DeliveryResult(subscription.name, subscription.sink)
        with delivery_records.opened(self.url, subscription) as session:
            if session is None:
                result.skipped = "another process delivers to it"
                return result
            state = await asyncio.to_thread(session.state)
            result.skipped = self._why_not(state) if state else "it was removed"
            while state and not result.skipped:
                wait_s = await self._attempt(session, state, result)
                if wait_s is None or time.monotonic() + wait_s > self.until_s:
                    break
                await asyncio.sleep(wait_s)
                state = await asyncio.to_thread(session.state)
        return result

    async def _attempt(self, session: DeliverySession, state: DeliveryState, result: DeliveryResult) -> float | None:
        """Deliver until a failure; return the wait before the next attempt in seconds, or None: the end is reached."""
        try:
            if session.subscription.sink == WEBHOOK:
                await self._call_webhook(session, state, result)
            elif session.subscription.sink == POSTGIS:
                result.delivered += await asyncio.to_thread(_copy_rows, self.url, session, state)
            else:
                await asyncio.to_thread(self._send_windows, session, state, result)
        except (DeliveryFailed, StoreError) as error:
            result.error = str(error)
            return await self._failed(session, error)
        except psycopg.Error:  # our database: see delivery_records.opened
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours must not stop the other subscriptions
            defect = unexpected_error(session.subscription.name, error, "it is delivered again later")
            result.error = str(defect)
            return await self._failed(session, defect)
        result.error = None if result.dead == 0 else result.error
        return None

    def _why_not(self, state: DeliveryState) -> str | None:
        if state.paused:
            return "it is paused"
        if not self.is_forced and state.daily and state.is_done_today and state.sending_to is None:
            return "it is delivered once a day"
        if not self.is_forced and state.wait_s > 0:
            return f"the next attempt is in {state.wait_s:,.0f} s"
        return None

    async def _failed(self, session: DeliverySession, error: ZoningError) -> float | None:
        state = await asyncio.to_thread(session.state)
        if state is None:
            return None
        is_final = getattr(error, "is_final", False)
        wait_s = max(self.policy.wait_s(state.attempts + 1), error.wait_s or 0.0)
        await asyncio.to_thread(session.fail, str(error), wait_s, is_final=is_final)
        return None if is_final else wait_s

    async def _call_webhook(self, session: DeliverySession, state: DeliveryState, result: DeliveryResult) -> None:
        subscription, policy = session.subscription, self.policy
        async with webhook.opened(
            subscription, state.target, state.signing_key or "", lookup=self.lookup, timeout_s=policy.timeout_s
        ) as receiver:
            calls = WebhookCalls(session, receiver, policy, result, self.stop_s)
            await calls.replay()
            while time.monotonic() < self.stop_s:
                window = await asyncio.to_thread(session.window, _ONE_BY_ONE)
                if window is None:
                    break
                await calls.send_window(window)

    def _send_windows(self, session: DeliverySession, state: DeliveryState, result: DeliveryResult) -> None:
        """Send all that is new to a sink that takes many events at once."""
        send = _WINDOW_SINKS[session.subscription.sink]
        while time.monotonic() < self.stop_s and (window := session.window(_TOGETHER)):
            if window.events:
                send(session, state, window, self.settings)
            session.advance(window.to, len(window.events))
            result.delivered += len(window.events)


@dataclass(frozen=True)
class WebhookCalls:
    """The calls of one receiver, in order."""

    session: DeliverySession
    receiver: Webhook
    policy: RetryPolicy
    result: DeliveryResult
    stop_s: float

    async def replay(self) -> None:
        """Send the messages that a person replayed, until it is time to stop.

        One that fails, or is behind a dead letter, is dead again.
        """
        blocked = set[str]()
        for letter in await asyncio.to_thread(self.session.letters):
            if time.monotonic() >= self.stop_s:
                return
            if letter.is_dead or letter.order_keys & blocked:
                blocked |= letter.order_keys
                if not letter.is_dead:
                    await asyncio.to_thread(self.session.move_letter, letter, "it waits behind a dead letter")
                continue
            event = await asyncio.to_thread(self.session.event_of, letter)
            try:
                if event is not None:
                    await self.receiver.send(event)
                    self.result.delivered += 1
            except DeliveryFailed as error:
                self.result.error = str(error)
                self.result.dead += 1
                blocked |= letter.order_keys
                await asyncio.to_thread(self.session.move_letter, letter, str(error))
                continue
            await asyncio.to_thread(self.session.delete_letter, letter)

    async def send_window(self, window: DeliveryWindow) -> None:
        """Send the events of a window, until it is time to stop.

        Raises:
            DeliveryFailed: the next event failed, and has attempts left.
        """
        letters = await asyncio.to_thread(self.session.letters)
        blocked = set[str]().union(*(letter.order_keys for letter in letters))
        for event in window.events:
            if time.monotonic() >= self.stop_s:
                return
            if event.order_keys & blocked:
                blocked |= event.order_keys
                await self._give_up(event, 0, "it waits behind a dead letter of the same parcel")
            elif why := await self._send(event):
                blocked |= event.order_keys
                await self._give_up(event, self.policy.attempts, why)
        await asyncio.to_thread(self.session.advance, window.to, 0)

    async def _send(self, event: SubscriptionEvent) -> str | None:
        """Send an event; None: it was accepted; else the reason, after the last attempt."""
        try:
            await self.receiver.send(event)
        except DeliveryFailed as error:
            state = await asyncio.to_thread(self.session.state)
            if error.is_final or state is None or state.attempts + 1 < self.policy.attempts:
                raise
            self.result.error = str(error)
            return str(error)
        await asyncio.to_thread(self.session.advance, event.position, 1)
        self.result.delivered += 1
        return None

    async def _give_up(self, event: SubscriptionEvent, tries: int, why: str) -> None:
        await asyncio.to_thread(self.session.put_dead_letter, event, tries, why)
        self.result.dead += 1


async def deliver(  # noqa: PLR0913 - what, how, how long
    url: str,
    settings: Settings,
    *,
    name: str | None = None,
    is_forced: bool = False,
    seconds: float = 0.0,
    most_s: float = math.inf,
    policy: RetryPolicy | None = None,
    lookup: address_check.Lookup = address_check.system_lookup,
) -> list[DeliveryResult]:
    """Deliver to all subscriptions, or to one.

    Args:
        url: address of the database.
        settings: for the mail server.
        name: only this subscription.
        is_forced: deliver also what waits for its next attempt, or for the next day.
        seconds: repeat failed deliveries for so long; 0: one attempt each.
        most_s: begin no further request after so many seconds; the next call goes on from there.
        policy: when failed deliveries are repeated.
        lookup: finds the addresses of webhooks.

    Raises:
        NothingFound: there is no subscription with this name.
        DatabaseUnavailable, StoreError: the database does not answer.
    """
    found = [subscription_records.find(url, name)] if name else subscription_records.subscriptions(url)
    now_s = time.monotonic()
    run = DeliveryRun(url, settings, policy or RetryPolicy(), now_s + seconds, now_s + most_s, is_forced, lookup)
    limit = asyncio.Semaphore(_MOST_AT_ONCE)

    async def one(subscription: Subscription) -> DeliveryResult:
        async with limit:
            return await run.deliver(subscription)

    return list(await asyncio.gather(*map(one, found)))


def _copy_rows(url: str, session: DeliverySession, state: DeliveryState) -> int:
    """Update the table of a consumer; return the number of rows that were compared."""
    head = session.head()
    session.follow(state.position, head)
    count = postgis_copy.update(url, session, state.target, head)
    if count is not None:
        session.advance(head, count)
    return count or 0


def errors(results: Sequence[DeliveryResult]) -> list[str]:
    """The failures, each with the name of its subscription."""
    return [f"{each.name}: {each.error}" for each in results if each.error]
