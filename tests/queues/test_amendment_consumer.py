"""From a message to an amendment in the database and to what it asks for; each once."""

import asyncio
import json
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import rows
from zoning_assets.errors import DatabaseUnavailable, JurisdictionUnknown, MessageRefused
from zoning_assets.model import STATUSES, Feed, Jurisdiction
from zoning_assets.operations import amendment_consumer
from zoning_assets.operations.amendment_consumer import ReceiveResult
from zoning_assets.queues import Queue, open_queue
from zoning_assets.storage.postgis.database import as_role
from zoning_assets.storage.postgis.records import amendment_records
from zoning_assets.transform.changes import amendment_messages

HERE = "us-xx-town"
TOWN = Jurisdiction(HERE, HERE, (-71.2, 42.3, -71.0, 42.5), {n: Feed(n, "arcgis", "") for n in ("parcels", "zoning")})
TILE, OTHER = "882a306603fffff", "882a306605fffff"
SQUARE = [[[-71.1, 42.4], [-71.09, 42.4], [-71.09, 42.41], [-71.1, 42.41], [-71.1, 42.4]]]
TOLD: dict[str, Any] = {
    "jurisdiction": HERE,
    "case_numbers": ["Z-7"],
    "status": "adopted",
    "new_codes": ["MU-1"],
    "parcel_ids": ["1"],
}


def find(id_: str) -> Jurisdiction:
    if id_ != HERE:
        raise JurisdictionUnknown("no file describes it", where=id_, do="write one")
    return TOWN


def parcel(database: str, number: str, tile: str, at: float = -71.1) -> None:
    query = """
        INSERT INTO zoning.parcel (jurisdiction, parcel_id, tile, attributes, area_m2, geom, content_hash, batch_id,
            first_seen, last_changed)
        VALUES (%s, %s, %s, '{}', 1, ST_Multi(ST_MakeEnvelope(%s, 42.4, %s + 0.001, 42.401, 4326)), '', 1, now(), now())
        RETURNING 1
    """
    rows(database, query, HERE, number, tile, at, at)


def run(database: str, bodies: list[str], **more: Any) -> tuple[ReceiveResult, list[dict[str, Any]]]:
    """Put the bodies, handle what waits; what became of it, and what is asked for."""

    async def handled() -> tuple[ReceiveResult, list[dict[str, Any]]]:
        async with open_queue(database, "amendments") as queue, open_queue(database, "tiles") as tiles:
            await queue.put(bodies)
            done = await amendment_consumer.receive(queue, tiles, database, find, **more)
            return done, [json.loads(each.body) for each in await tiles.peek(100)]

    return asyncio.run(handled())


def dead(database: str) -> list[str]:
    async def letters() -> list[str]:
        async with open_queue(database, "amendments") as queue:
            return [each.why for each in await queue.peek(100, dead=True)]

    return asyncio.run(letters())


def test_an_adopted_amendment_asks_for_its_tiles_and_for_the_map(database: str) -> None:
    """Those of its parcels, and of its ground; the zoning map as a whole."""
    parcel(database, "1", TILE)
    parcel(database, "2", OTHER, -71.095)
    parcel(database, "3", "882a306607fffff", -71.05)
    told = {**TOLD, "ground": {"type": "Polygon", "coordinates": SQUARE}}
    done, asked = run(database, [json.dumps(told)])
    assert (done.stored, done.tile_messages, done.failed, done.refused) == (1, 2, [], [])
    assert [(each["feed"], each["tiles"]) for each in asked] == [("parcels", [TILE, OTHER]), ("zoning", [])]
    assert asked[0]["why"].startswith("amendment Z-7 by message ")
    assert rows(database, "SELECT case_numbers, status, ST_NPoints(geom) FROM zoning.amendment") == [
        (["Z-7"], "adopted", 5)
    ]


@pytest.mark.parametrize("change", [{"status": "filed"}, {"parcel_ids": ["77"]}])
def test_what_has_not_passed_or_has_no_place_asks_for_nothing(database: str, change: dict[str, Any]) -> None:
    """It is stored and matched, and that is all."""
    parcel(database, "1", TILE)
    done, asked = run(database, [json.dumps({**TOLD, **change})])
    assert (done.stored, asked) == (1, [])


def test_delivered_twice_it_is_stored_once_and_never_goes_back(database: str) -> None:
    """A late repetition of what was filed does not undo what was adopted since; but said anew, it counts."""
    filed, adopted = ({**TOLD, "status": status} for status in ("filed", "adopted"))
    run(database, [json.dumps(filed)])
    ((first,),) = rows(database, "SELECT message_id FROM zoning.received")
    run(database, [json.dumps(adopted)])
    rows(
        database,
        "INSERT INTO zoning.queue (queue, id, body) VALUES ('amendments', %s, %s) RETURNING 1",
        first,
        json.dumps(filed),
    )
    done, _ = run(database, [])
    assert (done.stored, done.repeated) == (1, 1)
    assert rows(database, "SELECT status FROM zoning.amendment") == [("adopted",)]
    run(database, [json.dumps(filed)])
    assert rows(database, "SELECT status FROM zoning.amendment") == [("filed",)]


def on(kind: str, coordinates: Any) -> str:
    return json.dumps({**TOLD, "ground": {"type": kind, "coordinates": coordinates}})


POISON = {
    "not JSON": "Z-7 was adopted",
    "half": json.dumps(TOLD)[:40],
    "a list": "[1]",
    "an unknown word": json.dumps({**TOLD, "sql": "x"}),
    "an unknown status": json.dumps({**TOLD, "status": "passed"}),
    "no jurisdiction": json.dumps({"case_numbers": ["Z-7"]}),
    "nobody's jurisdiction": json.dumps({**TOLD, "jurisdiction": "us-xx-nowhere"}),
    "a path": json.dumps({**TOLD, "jurisdiction": "../../etc/passwd"}),
    "nothing": json.dumps({"jurisdiction": HERE}),
    "too large": json.dumps({**TOLD, "place": "x" * 300_000}),
    "NUL": json.dumps({**TOLD, "place": "a\0b"}),
    "a bow tie": on("Polygon", [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]),
    "feet": on("Polygon", [[[7e5, 9e5], [8e5, 9e5], [8e5, 1e6], [7e5, 9e5]]]),
    "a point": on("Point", [0, 0]),
    "an open ring": on("Polygon", [[[0, 0], [1, 1], [1, 0]]]),
    "endless": "[" * 100_000,
}  # fmt: skip


def test_poison_becomes_dead_letters_at_once_and_stops_nobody(database: str) -> None:
    """Each with its reason, in one line; the good one among them is stored."""
    bodies = [*POISON.values(), json.dumps(TOLD)]
    done, _ = run(database, bodies)
    assert (done.stored, len(done.refused), done.failed) == (1, len(POISON), [])
    letters = dead(database)
    assert len(letters) == len(POISON)
    assert all(why.startswith(("message: ", "us-xx-nowhere: ")) and "\n" not in why for why in letters)
    assert rows(database, "SELECT queue, count(*) FROM zoning.queue GROUP BY 1") == [("amendments.dead", len(POISON))]


@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["jurisdiction", "ground", "dates", "x"]), inner)
        ),
    ).map(json.dumps)
)
def test_whatever_is_sent_is_read_or_refused(body: str) -> None:
    try:
        read = amendment_messages.read_amendment(body)
    except MessageRefused:
        return
    assert amendment_messages.read_amendment(amendment_messages.write(read)) == read


def test_a_fault_of_ours_is_tried_again_and_the_others_are_stored(database: str) -> None:
    """The database takes no amendment of one case; after five tries it is a dead letter with the reason, the others
    were stored at the first."""
    with psycopg.connect(as_role(database, None)) as connection:
        connection.execute("ALTER TABLE zoning.amendment ADD CHECK (case_numbers <> ARRAY['Z-13'])")
    done, _ = run(database, [json.dumps({**TOLD, "case_numbers": [f"Z-{number}"]}) for number in range(10, 20)])
    assert (done.stored, len(done.failed)) == (9, 1)
    for _ in range(4):
        done, _ = run(database, [])
        assert len(done.failed) == 1
    assert run(database, [])[0].taken == 0
    (why,) = dead(database)
    assert "violates check constraint" in why
    assert rows(database, "SELECT count(*) FROM zoning.amendment") == [(9,)]


def test_it_ends_within_its_bounds(database: str) -> None:
    bodies = [json.dumps({**TOLD, "case_numbers": [f"Z-{number}"]}) for number in range(250)]
    assert run(database, bodies, most=30)[0].stored == 30
    assert run(database, [], most_s=0)[0].stored == 0
    assert run(database, [])[0].stored == 220


class Dying(Queue):
    """A queue whose process dies at a point."""

    def __init__(self, queue: Queue) -> None:
        self.__dict__ = queue.__dict__

    async def put(self, bodies: Any) -> list[str]:
        await super().put(bodies)
        raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["after the amendment", "after the tiles"])
def test_who_dies_before_the_end_has_lost_nothing(database: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The amendment is stored once, and its tiles are asked for though it tells nothing new the second time."""
    parcel(database, "1", TILE)

    async def dies() -> None:
        async with open_queue(database, "amendments", lease_s=0.1) as queue, open_queue(database, "tiles") as tiles:
            await queue.put([json.dumps(TOLD)])
            with monkeypatch.context() as patched:
                if where == "after the amendment":
                    patched.setattr(amendment_records, "tiles_of", _die)
                with pytest.raises(KeyboardInterrupt):
                    await amendment_consumer.receive(queue, Dying(tiles), database, find)
        await asyncio.sleep(0.15)

    asyncio.run(dies())
    done, asked = run(database, [])
    assert (done.stored, done.repeated) == (1, 1)
    assert len(asked) == (2 if where == "after the amendment" else 4)
    assert rows(database, "SELECT count(*) FROM zoning.amendment") == [(1,)]
    assert rows(database, "SELECT count(*) FROM zoning.amendment_version") == [(0,)]


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_without_a_database_nothing_is_counted_against_a_message(database: str) -> None:
    """It comes again after its lease, untried."""

    async def handled() -> None:
        async with open_queue(database, "amendments") as queue, open_queue(database, "tiles") as tiles:
            await queue.put([json.dumps(TOLD)])
            with pytest.raises(DatabaseUnavailable):
                await amendment_consumer.receive(queue, tiles, "postgresql://x@127.0.0.1:1/x", find)

    asyncio.run(handled())
    assert rows(database, "SELECT tries, deliveries FROM zoning.queue") == [(0, 1)]


def test_the_schema_is_one_and_names_every_word() -> None:
    """As JSON, with each word's limits; strangers' words are not allowed."""
    said = json.loads(json.dumps(amendment_messages.schema("amendments")))
    about = said["$defs"]["AmendmentMessage"]
    assert about["additionalProperties"] is False
    assert about["required"] == ["jurisdiction"]
    assert {"case_numbers", "ground", "dates", "told_by"} <= set(about["properties"])
    assert amendment_messages.schema("tiles")["$defs"]["TileMessage"]["properties"]["feed"] == {
        "enum": ["parcels", "zoning"]
    }


def test_the_statuses_are_those_of_the_model() -> None:
    about = amendment_messages.schema("amendments")["$defs"]["AmendmentMessage"]["properties"]["status"]
    assert sorted(about["enum"]) == sorted(STATUSES)
