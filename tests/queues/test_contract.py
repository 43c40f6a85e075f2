"""One contract, run against each broker: at least once, leases, dead letters with reasons."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.queues.conftest import HEAVY
from zoning_assets.errors import QueueUnavailable, SettingInvalid
from zoning_assets.queues import MAX_TRIES, Queue, open_queue

_LEASE_S = 1.0


@pytest.fixture
def name() -> str:
    """A queue that nobody else uses."""
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def queue(url: str, name: str) -> AsyncIterator[Queue]:
    async with open_queue(url, name, lease_s=30) as opened:
        yield opened


async def all_of(queue: Queue, many: int) -> list[str]:
    """Take and acknowledge messages until so many came, or none comes any more."""
    found: list[str] = []
    while len(found) < many and (taken := await queue.take(100, 0.5)):
        found += [each.body for each in taken]
        await queue.acknowledge(taken)
    return found


async def test_what_was_put_is_taken_once_and_in_order(queue: Queue) -> None:
    bodies = [f'{{"number":{number},"word":"é \\" \\u2028"}}' for number in range(25)]
    ids = await queue.put(bodies)
    taken = await queue.take(100, 2.0)
    taken += await queue.take(100, 0.0) if len(taken) < 25 else []
    assert sorted(each.body for each in taken) == sorted(bodies)
    assert sorted(each.id for each in taken) == sorted(ids)
    assert all((each.tries, each.why, each.deliveries) == (0, "", 1) for each in taken)
    assert all(abs(each.sent.timestamp() - time.time()) < 60 for each in taken)
    assert await queue.take(10, 0.0) == []
    depth = await queue.depth()
    assert (depth.ready, depth.leased in (25, None), depth.dead) == (0, True, 0)
    await queue.acknowledge(taken)
    depth = await queue.depth()
    assert (depth.ready, depth.leased or 0, depth.dead) == (0, 0, 0)


async def test_no_more_are_taken_than_asked_for(queue: Queue) -> None:
    await queue.put([str(number) for number in range(30)])
    assert len(await queue.take(7)) == 7
    assert len(await queue.take(12)) == 12


async def test_two_consumers_never_have_the_same(url: str, name: str, queue: Queue) -> None:
    await queue.put([str(number) for number in range(200)])
    async with open_queue(url, name, lease_s=30) as other:
        both = await asyncio.gather(*(all_of(each, 200) for each in (queue, other)))
    found = [int(each) for half in both for each in half]
    # SQS delivers at least once, and now and then twice (its manual, "At-least-once delivery"); so does moto
    assert sorted(set(found) if url.startswith("sqs:") else found) == list(range(200))


async def test_who_waits_is_woken(url: str, name: str, queue: Queue) -> None:
    """A message comes to who waits for it, long before the wait is over."""
    waiting = asyncio.create_task(queue.take(1, 3600.0))
    await asyncio.sleep(0.3)
    async with open_queue(url, name) as other:
        await other.put(["{}"])
    (taken,) = await waiting
    assert taken.body == "{}"
    assert await queue.take(1, 0.2) == []


async def test_what_a_dead_consumer_took_comes_again(url: str, name: str) -> None:
    """After its lease, or when the broker sees that it is gone; and the delivery is counted."""
    async with open_queue(url, name, lease_s=_LEASE_S) as dying:
        (id_,) = await dying.put(["{}"])
        assert len(await dying.take(1, 2.0)) == 1
    async with open_queue(url, name, lease_s=_LEASE_S) as other:
        (again,) = await other.take(1, 120.0)
        assert (again.id, again.deliveries, again.tries) == (id_, 2, 0)
        await other.acknowledge([again])


@pytest.mark.parametrize("url", HEAVY, indirect=True)
async def test_what_nobody_finishes_becomes_a_dead_letter(queue: Queue) -> None:
    """Whoever takes it dies each time: it does not kill for ever. These count what is given back, too."""
    await queue.put(["{}"])
    for _ in range(30):
        if not (taken := await queue.take(1, 0.5)):
            break
        await queue.release(taken)
    depth = await queue.depth()
    assert (depth.ready, depth.dead) == (0, 1)
    (letter,) = await queue.peek(1, dead=True)
    assert letter.why == "delivered 20 times and never acknowledged"


@pytest.mark.parametrize("url", ["postgresql", "redis"], indirect=True)
async def test_what_is_never_finished_becomes_a_dead_letter(url: str, name: str) -> None:
    async with open_queue(url, name, lease_s=0.001) as queue:
        await queue.put(["{}"])
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert len(await queue.take(1, 1.0)) == 1
        await asyncio.sleep(0.01)
        assert await queue.take(1, 0.0) == []
        (letter,) = await queue.peek(1, dead=True)
        assert letter.why == "delivered 20 times and never acknowledged"


async def test_a_failure_is_tried_again_and_then_a_dead_letter(queue: Queue) -> None:
    """With the reason of the last failure, under the same id; and replayed, it begins anew."""
    (id_,) = await queue.put(["{}"])
    for number in range(MAX_TRIES):
        (taken,) = await queue.take(1, 2.0)
        assert (taken.id, taken.tries, taken.why) == (id_, number, f"try {number - 1}" if number else "")
        await queue.fail(taken, f"try\n{number}")
    depth = await queue.depth()
    assert (depth.ready, depth.leased or 0, depth.dead) == (0, 0, 1)
    (letter,) = await queue.peek(5, dead=True)
    assert (letter.id, letter.tries, letter.why) == (id_, MAX_TRIES, "try 4")
    assert await queue.replay(10) == [id_]
    (again,) = await queue.take(1, 2.0)
    assert (again.id, again.tries, again.why) == (id_, 0, "")
    assert (await queue.depth()).dead == 0


async def test_what_is_released_is_taken_by_the_next(url: str, name: str, queue: Queue) -> None:
    await queue.put(["1", "2"])
    await queue.release(await queue.take(2, 2.0))
    async with open_queue(url, name, lease_s=30) as other:
        assert sorted(await all_of(other, 2)) == ["1", "2"]


async def test_peeking_takes_nothing(queue: Queue) -> None:
    await queue.put(["1", "2", "3"])
    assert len(await queue.peek(2)) == 2
    assert sorted(await all_of(queue, 3)) == ["1", "2", "3"]


async def test_purging_deletes_what_nobody_has(queue: Queue) -> None:
    await queue.put([str(number) for number in range(12)])
    held = await queue.take(2, 2.0)
    await queue.dead_letter((await queue.take(1, 2.0))[0], "poison")
    assert len(await queue.purge(5)) == 5
    assert len(await queue.purge(100)) == 4
    assert (await queue.depth()).dead == 1
    assert len(await queue.purge(100, dead=True)) == 1
    await queue.acknowledge(held)
    depth = await queue.depth()
    assert (depth.ready, depth.leased or 0, depth.dead) == (0, 0, 0)


async def test_the_largest_message_passes(queue: Queue) -> None:
    body = '"' + "x" * 249_998 + '"'
    await queue.put([body, "1"])
    assert sorted(map(len, await all_of(queue, 2))) == [1, 250_000]


@pytest.mark.parametrize(
    "scheme", ["postgresql://u:secret@127.0.0.1:1/x", "redis://:secret@127.0.0.1:1", "amqp://u:secret@127.0.0.1:1/"]
)
async def test_nobody_answers(scheme: str) -> None:
    """One line: where and what to do, and no password."""
    async with open_queue(scheme, "x") as queue:
        with pytest.raises(QueueUnavailable) as caught:
            await queue.put(["{}"])
    said = str(caught.value)
    assert "queue at 127.0.0.1:1" in said
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize("url_", ["kafka://x", "nonsense", ""])
async def test_what_is_no_queue_is_said(url_: str) -> None:
    with pytest.raises(SettingInvalid, match="start it with one of: postgresql://"):
        async with open_queue(url_, "x"):
            pass


@pytest.mark.parametrize("url_", ["redis://h:secret", "amqp://[x", "postgresql://h:99999/x"])
async def test_what_is_no_address_is_said(url_: str) -> None:
    with pytest.raises(SettingInvalid, match="ZONING_QUEUE_URL: is not the address of a broker"):
        async with open_queue(url_, "x"):
            pass


async def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis.asyncio", None)
    monkeypatch.delitem(__import__("sys").modules, "zoning_assets.queues.redis_broker", raising=False)
    with pytest.raises(SettingInvalid, match=r"pip install 'zoning-assets\[redis\]'"):
        async with open_queue("redis://x", "x"):
            pass
