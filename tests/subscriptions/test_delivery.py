"""Webhooks: each event once per id and in order per parcel, whatever the receiver does."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import rows
from tests.subscriptions.log_rows import SOON, TOWN, change, deliver, retract, subscribe, tell
from tests.subscriptions.receiver import Receiver, accept, receiving
from zoning_assets.storage.postgis.records import subscription_records
from zoning_assets.subscriptions import delta_export
from zoning_assets.subscriptions.delivery import RetryPolicy


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def answering(*statuses: int, headers: dict[str, str] | None = None) -> Any:
    """These statuses one after the other, then the last one for ever."""
    left = list(statuses)

    async def answer(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], headers=headers)

    return answer


def test_each_event_arrives_once_and_in_order(database: str, receiver: Receiver) -> None:
    """What was there before the subscription is not sent; a retraction and a restoration are events of their own. A
    change under review is an event when a person accepts it, also one that was dismissed before."""
    tell(database, change("old", "1"))
    subscribe(database, "webhook", receiver.url)
    tell(database, change("a", "1"), change("b", "2", kind="added"), change("c", "3", kind="retired"))
    tell(database, change("thin", "4", state="review"))
    (result,) = deliver(database)
    assert (result.delivered, result.error) == (3, None)
    retract(database, "a")
    retract(database, "thin")
    retract(database, "a", "event")
    retract(database, "thin", "event")
    deliver(database)
    deliver(database)
    assert receiver.changes == [
        ("a", "changed"), ("b", "added"), ("c", "retired"), ("a", "retracted"), ("a", "restored"), ("thin", "changed"),
    ]  # fmt: skip
    ids = [each["id"] for each in receiver.accepted]
    assert len(set(ids)) == len(ids) == 6
    document = receiver.accepted[0]
    assert (document["specversion"], document["type"]) == ("1.0", "zoning.change.changed")
    assert document["source"] == f"/jurisdictions/{TOWN}"
    assert document["data"]["parcel_ids"] == ["1"]
    assert document["data"]["bbox"] == [-71, 42, -70.999, 42.001]


def test_a_failing_receiver_gets_the_same_event_until_it_accepts(database: str, receiver: Receiver) -> None:
    subscribe(database, "webhook", receiver.url)
    tell(database, change("a", "1"), change("b", "2"))
    receiver.answer = answering(503, 500, 204)
    patient = RetryPolicy(attempts=9, first_s=0.01)
    (result,) = deliver(database, policy=patient)
    assert "it responded 503" in (result.error or "")
    (seen,) = subscription_records.subscriptions(database)
    assert (seen.attempts, seen.behind) == (1, 2)
    assert seen.not_before is not None
    (result,) = deliver(database, policy=RetryPolicy(attempts=9, first_s=60), is_forced=False)
    assert result.skipped is None or "next attempt" in result.skipped
    (result,) = deliver(database, policy=patient, seconds=5)
    assert (result.delivered, result.error) == (2, None)
    assert [each["data"]["change"] for each in receiver.requests] == ["a", "a", "a", "b"]
    assert len({each["id"] for each in receiver.requests}) == 2


def test_after_the_last_attempt_the_parcel_waits_and_the_others_go_on(database: str, receiver: Receiver) -> None:
    subscribe(database, "webhook", receiver.url)

    async def refuse(_: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=422 if document["data"]["change"] == "poison" else 200)

    receiver.answer = refuse
    tell(database, change("poison", "1"), change("b", "2"), change("later", "1", "3"), change("last", "3"))
    (result,) = deliver(database, seconds=5)
    assert (result.delivered, result.dead) == (1, 3)
    assert receiver.changes == [("b", "changed")]
    letters = subscription_records.dead_letters(database, "it")
    assert [each["why"] for each in letters][1:] == ["it waits behind a dead letter of the same parcel"] * 2
    assert "it responded 422" in letters[0]["why"]
    subscription_records.replay(database, "it", 1)
    deliver(database)
    assert receiver.changes == [("b", "changed")], "it failed again, and the ones behind it were not replayed"
    receiver.answer = accept
    assert len(subscription_records.replay(database, "it")) == 3
    tell(database, change("new", "3"))
    (result,) = deliver(database)
    assert [name for name, _ in receiver.changes] == ["b", "poison", "later", "last", "new"]
    assert rows(database, "SELECT count(*) FROM zoning.queue") == [(0,)]


def test_a_receiver_that_hangs_drips_or_floods_costs_a_bounded_time(database: str, receiver: Receiver) -> None:
    """And delays no other subscription."""

    async def hang(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async def flood(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(1000):
                await response.write(b"x" * 65536)
        return response

    subscribe(database, "webhook", receiver.url)
    tell(database, change("a", "1"))
    with receiving() as other:
        subscribe(database, "webhook", other.url, "other")
        tell(database, change("b", "1"))
        receiver.answer = hang
        results = deliver(database, policy=RetryPolicy(attempts=3, timeout_s=0.5))
        assert [each.error and "did not respond in time" in each.error for each in results] == [True, None]
        assert other.changes == [("b", "changed")]
    receiver.answer = flood
    results = deliver(database, name="it", policy=RetryPolicy(attempts=3, timeout_s=5))
    assert [each.delivered for each in results] == [2]


def test_a_redirect_is_not_followed(database: str, receiver: Receiver) -> None:
    with receiving() as inside:
        receiver.answer = answering(307, headers={"location": inside.url})
        subscribe(database, "webhook", receiver.url)
        tell(database, change("a", "1"))
        (result,) = deliver(database)
        assert "it responded 307, a redirect, which is not followed" in (result.error or "")
        assert inside.requests == []


def test_retry_after_is_obeyed_and_gone_pauses(database: str, receiver: Receiver) -> None:
    subscribe(database, "webhook", receiver.url)
    tell(database, change("a", "1"))
    receiver.answer = answering(429, headers={"retry-after": "3600"})
    deliver(database)
    (result,) = deliver(database, is_forced=False)
    assert "the next attempt is in 3,5" in (result.skipped or "") or "in 3,600" in (result.skipped or "")
    receiver.answer = answering(410)
    deliver(database, seconds=2)
    (seen,) = subscription_records.subscriptions(database)
    assert (seen.paused, seen.dead) == (True, 0)
    receiver.answer = accept
    assert deliver(database)[0].skipped == "it is paused"
    subscription_records.pause(database, "it", "ann", paused=False)
    deliver(database, is_forced=False)
    assert receiver.changes == [("a", "changed")]


def test_only_one_process_delivers_to_a_subscription(database: str, receiver: Receiver) -> None:
    subscribe(database, "webhook", receiver.url)
    tell(database, change("a", "1"))

    async def slow(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        (second,) = await asyncio.to_thread(deliver, database)
        assert second.skipped == "another process delivers to it"
        return web.Response()

    receiver.answer = slow
    (first,) = deliver(database)
    assert (first.delivered, len(receiver.requests)) == (1, 1)


def test_attacks_stored_in_codes_and_names_pass_as_data(database: str, receiver: Receiver) -> None:
    subscribe(database, "webhook", receiver.url)
    attack = "<script>alert(1)</script>\r\nBcc: x@example.org\u202e=cmd|'/c calc'!A0"
    tell(database, change("a", attack, old=attack, new=attack))
    deliver(database)
    (document,) = receiver.accepted
    assert (document["data"]["old"], document["data"]["parcel_ids"]) == (attack, [attack])


def test_waits_grow_and_are_random() -> None:
    waits = [RetryPolicy().wait_s(attempt) for attempt in range(1, 13)]
    assert 2.5 <= waits[0] <= 5
    assert 0.5 * 4 * 3600 <= RetryPolicy().wait_s(100) <= 4 * 3600
    assert 3 * 3600 < sum(waits) < 8 * 3600
    assert len({SOON.wait_s(3) for _ in range(5)}) > 1


def test_a_fault_of_ours_stops_one_subscription_only(
    database: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subscribe(database, "delta", str(tmp_path / "out"), "a-delta")
    subscribe(database, "webhook", receiver.url)
    tell(database, change("a", "1"))

    def fail(_: object) -> None:
        raise KeyError("hidden")

    with monkeypatch.context() as broken:
        broken.setattr(delta_export, "table_of", fail)
        delta, hook = deliver(database)
    assert "a fault of this program" in (delta.error or "")
    assert (hook.delivered, hook.error) == (1, None)
    assert [each.delivered for each in deliver(database)] == [1, 0]


def test_a_tick_begins_nothing_after_its_time(database: str, receiver: Receiver) -> None:
    """The next one goes on from there."""

    async def slow(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.Response()

    receiver.answer = slow
    subscribe(database, "webhook", receiver.url)
    tell(database, *[change(f"c{number:02}", "1") for number in range(12)])
    (first,) = deliver(database, most_s=0.7)
    assert 1 <= first.delivered < 12
    deliver(database)
    assert [name for name, _ in receiver.changes] == [f"c{number:02}" for number in range(12)]
    assert len(receiver.requests) == 12


def test_a_tick_replays_nothing_after_its_time(database: str, receiver: Receiver) -> None:
    """A receiver that hangs, and many messages to send again: the rest waits for the next tick."""

    async def refuse(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=422)

    async def slow(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.Response()

    subscribe(database, "webhook", receiver.url)
    tell(database, *[change(f"c{number:02}", str(number)) for number in range(12)])
    receiver.answer = refuse
    assert deliver(database, policy=RetryPolicy(attempts=1))[0].dead == 12
    receiver.answer = slow
    receiver.requests.clear()
    assert len(subscription_records.replay(database, "it")) == 12
    deliver(database, most_s=0.7)
    assert 1 <= len(receiver.requests) < 12
    receiver.answer = accept
    deliver(database)
    assert [name for name, _ in receiver.changes] == [f"c{number:02}" for number in range(12)]
