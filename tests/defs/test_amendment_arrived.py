"""An amendment that arrives: stored, its tiles asked for once whatever dies, and harvested."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
import pytest

from tests.conftest import rows
from tests.support.asked_questions import carried_out, settled, tick
from zoning_assets.defs import build, run_requests
from zoning_assets.defs.resources import Zoning as Resource
from zoning_assets.defs.sensors import queued_tiles
from zoning_assets.defs.sensors.tick_data import watched
from zoning_assets.queues import Message, Queue, open_queue
from zoning_assets.queues.message_queue import MAX_DELIVERIES
from zoning_assets.settings import Settings
from zoning_assets.simulation.county.county import ID
from zoning_assets.transform.changes.amendment_messages import TileMessage, write

TILE, OTHER = "882a306603fffff", "882a306605fffff"


def waiting(database: str, queue: str) -> int:
    return int(rows(database, "SELECT count(*) FROM zoning.queue WHERE queue = %s", queue)[0][0])


def put(database: str, queue: str, *bodies: str) -> None:
    async def sent() -> None:
        async with open_queue(database, queue) as opened:
            await opened.put(bodies)

    asyncio.run(sent())


def test_what_arrives_is_stored_and_harvested_once(county: str, database: str) -> None:
    """A tick asks for its tile and for the map; told again it asks for the same, until these runs are recorded."""
    definitions = build.definitions(Settings.of(os.environ))
    with dg.instance_for_test() as instance:

        def ticked(cursor: str | None) -> dg.SensorResult:
            return tick(definitions, instance, "amendment_arrived", cursor)

        (mine,) = (each for each in watched(Settings.of(os.environ)) if each.name == "parcels")
        assert all(well for _, well in settled(definitions, instance, [run_requests.of_feed("first", mine)]))
        ((parcel, tile),) = rows(database, "SELECT parcel_id, tile FROM zoning.parcel ORDER BY 1 LIMIT 1")
        nothing = ticked(None)
        assert (nothing.run_requests, nothing.skip_message) == ([], "no amendment has arrived")

        told = {"jurisdiction": ID, "case_numbers": ["Z-7"], "status": "effective", "parcel_ids": [parcel]}
        put(database, "amendments", json.dumps(told), "poison")
        first = ticked(nothing.cursor)
        parcels, zoning = first.run_requests
        asked = [request.tags.get("dagster/asset_partition_range_start") for request in (parcels, zoning)]
        assert asked == [f"{ID}:{tile}", None]
        assert [request.job_name for request in (parcels, zoning)] == ["publish_parcels", "publish_districts"]
        assert rows(database, "SELECT status FROM zoning.amendment") == [("effective",)]
        assert (waiting(database, "amendments"), waiting(database, "amendments.dead")) == (0, 1)
        assert waiting(database, "tiles") == 2, "not acknowledged before their runs are recorded"

        keys = [request.run_key for request in first.run_requests]
        assert [request.run_key for request in ticked(nothing.cursor).run_requests] == keys, "as if the tick had died"
        batches = rows(database, "SELECT max(id) FROM zoning.batch")
        assert carried_out(definitions, instance, [parcels]) == [("publish_parcels", True)]
        second = ticked(first.cursor)
        assert [request.run_key for request in second.run_requests] == [zoning.run_key], "it has no run yet"
        assert waiting(database, "tiles") == 1
        assert rows(database, "SELECT max(id) FROM zoning.batch") == batches, "the portal had nothing new"


def test_without_a_queue_the_tick_says_so(county: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONING_QUEUE_URL", "redis://127.0.0.1:1")
    sensor = build.definitions(Settings.of(os.environ)).resolve_sensor_def("amendment_arrived")
    with (
        dg.instance_for_test() as instance,
        dg.build_sensor_context(instance=instance, cursor='{"a": "b"}', resources={"zoning": Resource()}) as context,
    ):
        found = sensor.evaluate_tick(context)
    assert "queue at 127.0.0.1:1" in str(found.skip_message)
    assert found.cursor == '{"a": "b"}'


class CountingBroker:
    """A queue in memory that counts what is given back as a delivery, as RabbitMQ and SQS do."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self._taken: list[Message] = []

    async def put(self, messages: Sequence[Message]) -> None:
        self.waiting += messages

    async def take(self, most: int, wait_s: float) -> list[Message]:  # noqa: ARG002
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        self._taken = [replace(each, deliveries=each.deliveries + 1) for each in taken]
        return list(self._taken)

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        self._taken = [each for each in self._taken if each not in messages]

    async def release(self, messages: Sequence[Message]) -> None:
        self.waiting = [*messages, *self.waiting]


def test_what_another_group_handles_stays_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many groups look at it while its own does not, and it hides no message behind it."""
    monkeypatch.setattr(queued_tiles, "_MOST", 2)
    broker, dead = CountingBroker(), CountingBroker()
    tiles = Queue("tiles", broker, dead)  # type: ignore[arg-type]
    theirs = [write(TileMessage("us-xx-b", "parcels", "why", (each,))) for each in (TILE, OTHER, TILE)]
    mine = write(TileMessage("us-xx-a", "parcels", "why", (TILE,)))

    async def looked(times: int) -> list[str]:
        await tiles.put([*theirs, mine])
        found: list[str] = []
        for _ in range(times):
            wanted, _ = await queued_tiles.request_runs(tiles, {}, lambda _: False, lambda each: each == "us-xx-a")
            found += [each.config["jurisdiction"] for each in wanted]
        return found

    assert set(asyncio.run(looked(MAX_DELIVERIES + 1))) == {"us-xx-a"}
    assert sorted(each.body for each in broker.waiting) == sorted([*theirs, mine])
    assert dead.waiting == []


def test_what_is_wanted_together_is_asked_for_together(database: str) -> None:
    """One run for each jurisdiction and feed, however many messages; poison is dead-lettered, and nothing is lost."""
    wanted = [("us-xx-a", "parcels", (TILE,)), ("us-xx-a", "parcels", (OTHER, TILE)), ("us-xx-a", "zoning", ())]
    wanted += [("us-xx-b", "parcels", (TILE,)), ("us-xx-b", "parcels", ())]
    bodies = [write(TileMessage(where, feed, "why", of)) for where, feed, of in wanted]
    put(database, "tiles", *bodies, "{}")

    async def asked(before: dict[str, str], *recorded: str) -> tuple[list[queued_tiles.QueuedRun], dict[str, str]]:
        async with open_queue(database, "tiles") as tiles:
            return await queued_tiles.request_runs(tiles, before, lambda key: key in recorded)

    first, cursor = asyncio.run(asked({}))
    assert [(each.config["jurisdiction"], each.config["feed"], each.config["tiles"]) for each in first] == [
        ("us-xx-a", "parcels", [TILE, OTHER]),
        ("us-xx-a", "zoning", []),
        ("us-xx-b", "parcels", []),
    ]
    again, same = asyncio.run(asked({}))
    assert ([each.run_key for each in again], same) == ([each.run_key for each in first], cursor)
    left, cursor = asyncio.run(asked(cursor, first[0].run_key, first[2].run_key))
    assert [each.run_key for each in left] == [first[1].run_key]
    assert asyncio.run(asked(cursor, first[1].run_key)) == ([], {})
    assert rows(database, "SELECT queue, count(*) FROM zoning.queue GROUP BY 1") == [("tiles.dead", 1)]
