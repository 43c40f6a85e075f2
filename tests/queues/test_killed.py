"""Consumers, and brokers, that are killed: each amendment is stored once, and the queue is empty in the end."""

import asyncio
import json
import multiprocessing
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import rows
from tests.queues import brokers
from tests.queues.consumer import consume, main
from zoning_assets.errors import QueueUnavailable
from zoning_assets.queues import open_queue

_LEASE_S = 3.0
_CONSUMERS = 3
#: moto counts its whole queue for each message it gives: few wait at once, and who takes them lives longer.
_WAVE, _PACE = {"sqs": 150}, {"sqs": 5.0}


class Consumers:
    """Processes that handle messages, until they are killed."""

    def __init__(self, url: str, database: str, folder: Path) -> None:
        self.url, self.database, self.name = url, database, f"killed-{uuid.uuid4().hex[:8]}"
        self.tally, self.kills, self.replayed = folder / "tally", 0, 0
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.queues.consumer", "redis.asyncio", "aio_pika", "aiobotocore.session"])
        environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        words = (url, self.name, database, self.tally, _LEASE_S, environ)
        self._start: Callable[[], multiprocessing.Process] = lambda: context.Process(
            target=main, args=words, daemon=True
        )
        self.running: list[multiprocessing.Process] = []

    def start(self) -> None:
        while len(self.running) < _CONSUMERS:
            self.running.append(self._start())
            self.running[-1].start()

    def kill(self, one: multiprocessing.Process) -> None:
        one.kill()
        one.join()
        self.running.remove(one)

    def let_take(self, seconds: float, most_s: float) -> None:
        """Leave them for so long, and until one of them took something; for `most_s` at most."""
        before, until = self._size(), time.monotonic() + most_s
        time.sleep(seconds)
        while self._size() == before and time.monotonic() < until:
            time.sleep(0.02)

    def _size(self) -> int:
        return self.tally.stat().st_size if self.tally.exists() else 0

    def put(self, bodies: list[str]) -> None:
        """As a pipeline does that is stubborn: what may not have been sent is sent again."""

        async def sent() -> None:
            async with open_queue(self.url, self.name) as queue:
                for at in range(0, len(bodies), 100):
                    while True:
                        try:
                            await queue.put(bodies[at : at + 100])
                        except QueueUnavailable:
                            await asyncio.sleep(0.2)
                        else:
                            break

        asyncio.run(sent())

    def stored(self) -> int:
        return int(rows(self.database, "SELECT count(*) FROM zoning.amendment")[0][0])

    def drain(self) -> tuple[int, int, int]:
        """Handle what the dead had taken, and what had been taken twenty times as all who took it were killed; what is
        left then: ready, leased, dead."""

        async def left() -> tuple[int, int, int]:
            await asyncio.sleep(_LEASE_S)
            async with open_queue(self.url, self.name) as queue:
                self.replayed = len(await queue.replay(100_000))
                await consume(self.url, self.name, self.database, self.tally, _LEASE_S, ever=False)
                depth = await queue.depth()
            return depth.ready, depth.leased or 0, depth.dead

        return asyncio.run(left())

    def taken(self) -> tuple[int, int]:
        """How many were taken, and how many of these again."""
        lines = [line.split() for line in self.tally.read_text().splitlines()]
        return sum(int(line[0]) for line in lines), sum(int(line[1]) for line in lines)


@contextmanager
def consuming(url: str, database: str, folder: Path) -> Iterator[Consumers]:
    consumers = Consumers(url, database, folder)
    consumers.start()
    try:
        yield consumers
    finally:
        for each in list(consumers.running):
            consumers.kill(each)


def bodies(many: int) -> list[str]:
    """Amendments of four jurisdictions; one in fifty is published twice."""
    told = [
        json.dumps({"jurisdiction": f"us-xx-{'abcd'[n % 4]}", "case_numbers": [f"Z-{n}"], "status": "filed"})
        for n in range(many)
    ]
    return told + told[::50]


@pytest.mark.parametrize(
    ("url", "many"),
    [
        pytest.param("postgresql", 100),
        *(pytest.param(kind, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)]) for kind in brokers.STARTS),
    ],
    indirect=["url"],
)
def test_consumers_killed_at_random(
    url: str, database: str, tmp_path: Path, many: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9, again and again, while messages come: each is stored once, told once, and none is left."""
    chance, since = random.Random(7), time.monotonic()
    with consuming(url, database, tmp_path) as consumers:
        waiting, least, sent_s = bodies(many), max(5, many // 250), 0.0
        wave, pace = _WAVE.get(urlsplit(url).scheme, len(waiting)), _PACE.get(urlsplit(url).scheme, 1.0)
        while waiting or (consumers.stored() < many and consumers.kills < 4 * least) or consumers.kills < least:
            if waiting and many - len(waiting) < consumers.stored() + wave:
                now = time.monotonic()
                consumers.put(waiting[:wave])
                sent_s, waiting = sent_s + time.monotonic() - now, waiting[wave:]
            consumers.let_take(pace * chance.uniform(0.1, 0.5), 5 if consumers.stored() < many else 0)
            consumers.kill(chance.choice(consumers.running))
            consumers.kills += 1
            consumers.start()
    took_s, done, left = time.monotonic() - since, consumers.stored(), consumers.drain()
    taken, again = consumers.taken()
    with capsys.disabled():
        rates = f"{done / took_s:,.0f} a second, sent {len(bodies(many)) / sent_s:,.0f} a second"
        told = (
            f"{consumers.kills} kills, {again:,} of {taken:,} taken again, {consumers.replayed} dead letters replayed"
        )
        print(f"\n{urlsplit(url).scheme}: {done:,} in {took_s:.1f} s ({rates}), {told}")  # noqa: T201 - a measurement
    assert left == (0, 0, 0)
    assert consumers.stored() == many
    assert rows(database, "SELECT count(*) FROM zoning.amendment_version") == [(0,)], "each was written once"
    assert consumers.kills >= least


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "redis", "rabbitmq"])
def test_a_broker_killed_in_the_middle_loses_nothing(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """kill -9 of the broker while messages are put and taken, and again; what was put is there afterwards."""
    with brokers.STARTS[kind](tmp_path) as broker:
        database = broker.url if kind == "postgresql" else request.getfixturevalue("database")
        with consuming(broker.url, database, tmp_path) as consumers:
            told = bodies(1000)
            consumers.put(told[:400])
            for part in (told[400:800], told[800:]):
                broker.kill()
                broker.start()
                consumers.put(part)
            until = time.monotonic() + 60
            while consumers.stored() < 1000 and time.monotonic() < until:
                time.sleep(0.1)
        assert consumers.drain() == (0, 0, 0)
        assert consumers.stored() == 1000
        assert rows(database, "SELECT count(*) FROM zoning.amendment_version") == [(0,)]
