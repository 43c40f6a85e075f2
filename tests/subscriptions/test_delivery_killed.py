"""Ten thousand events to a receiver that fails and hangs, by deliverers that are killed: each once per id, in order."""

import asyncio
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import rows
from tests.subscriptions.log_rows import change, retract, subscribe, tell
from tests.subscriptions.receiver import receiving


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("count", [10_000])
def test_no_event_is_lost_and_none_is_doubled(database: str, tmp_path: Path, count: int) -> None:
    """Every sixtieth answer is an error, a hang, or comes after the event was taken; kills come every few seconds while
    events are still written."""
    chance = random.Random(16)

    async def unreliable(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        what = chance.random()
        if what < 0.004:
            await asyncio.sleep(1.5)  # longer than the deliverer waits: it was taken, and is sent again
        return web.Response(status=503 if 0.004 < what < 0.015 else 200)

    written = 0
    with receiving() as receiver:
        receiver.answer = unreliable
        subscribe(database, "webhook", receiver.url)
        kills, running, started_s = 0, _start(database, tmp_path), time.monotonic()
        while written < count or running.poll() is None or _behind(database):
            if written < count:
                tell(database, *[change(f"c{n}", f"P{n % 97}") for n in range(written, written + 250)])
                retract(database, f"c{written}")
                written += 250
            time.sleep(chance.uniform(0.2, 2.0))
            if running.poll() is None and chance.random() < 0.5:
                running.kill()
                running.wait()
                kills += 1
            if running.poll() is not None and (written < count or _behind(database)):
                running = _start(database, tmp_path)
            assert time.monotonic() - started_s < 1500
        running.wait()
    events = rows(database, "SELECT change_id || '-' || number, change_id FROM zoning.change_log ORDER BY position")
    first: dict[str, int] = {}
    for place, document in enumerate(receiver.accepted):
        first.setdefault(document["id"], place)
    assert len(events) == count + count // 250
    assert set(first) == {id_ for id_, _ in events}, "none is lost, none is invented"
    parcel_of = {each["id"]: each["data"]["parcel_ids"][0] for each in receiver.accepted}
    sent, expected = defaultdict(list), defaultdict(list)
    for id_ in sorted(first, key=first.__getitem__):
        sent[parcel_of[id_]].append(id_)
    for id_, _ in events:
        expected[parcel_of[id_]].append(id_)
    assert sent == expected, "the first delivery of each event is in the order of the log, parcel by parcel"
    repeats = len(receiver.accepted) - len(first)
    seconds = time.monotonic() - started_s
    measured = f"{kills} kills, {len(receiver.requests)} requests, {repeats} repeats, {seconds:.0f} s\n"
    (tmp_path / "measured.txt").write_text(measured)
    assert kills >= 5
    assert repeats < count / 50


def _start(url: str, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.subscriptions.deliver_child", url, str(folder)])


def _behind(url: str) -> bool:
    query = """
        SELECT EXISTS (SELECT FROM zoning.change_log l, zoning.subscription s
        WHERE l.position IS NULL OR l.position > s.position)
    """
    return bool(rows(url, query)[0][0])
