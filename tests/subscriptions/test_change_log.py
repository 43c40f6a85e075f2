"""The log: positions follow the order of commits, so that a cursor misses nothing and reads nothing twice."""

import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import rows
from tests.subscriptions.log_rows import TOWN, change, put, retract, subscribe, tell
from zoning_assets.storage.postgis import database as db
from zoning_assets.storage.postgis.records import delivery_records, subscription_records

LOG = "SELECT change_id, action FROM zoning.change_log WHERE change_id IS NOT NULL ORDER BY number"


def read(url: str, name: str = "it", most: int = 500) -> list[tuple[str, str]]:
    """What a subscription gets next."""
    found: list[tuple[str, str]] = []
    with delivery_records.opened(url, subscription_records.find(url, name)) as session:
        assert session
        while window := session.window(most):
            found += [(event.change_id, event.action) for event in window.events]
            session.advance(window.to, len(window.events))
    return found


def test_a_slow_transaction_is_not_missed(database: str) -> None:
    """It writes first and commits last; a cursor of the largest number seen would lose it."""
    subscribe(database, "webhook", "https://example.org")
    with psycopg.connect(database) as slow:
        put(slow, [change("slow", "1", jurisdiction="us-ma-other")])
        tell(database, change("fast", "2"))
        assert read(database) == [("fast", "changed")]
        slow.commit()
    assert read(database) == [("slow", "changed")]
    assert read(database) == []


def test_transactions_of_one_change_are_read_in_the_order_of_their_commits(database: str) -> None:
    """Also if the later one began and wrote first."""
    tell(database, change("x", "1"), change("y", "2"))
    subscribe(database, "webhook", "https://example.org")
    with psycopg.connect(database) as late:
        late.execute("UPDATE zoning.change SET state = 'retracted' WHERE id = 'x'")
        retract(database, "y")
        late.execute("UPDATE zoning.change SET state = 'event' WHERE id = 'y'")
    assert [each for each in read(database) if each[0] == "y"] == [("y", "retracted"), ("y", "restored")]


def test_writers_at_once_lose_nothing(database: str) -> None:
    """Eight writers, some of which roll back, and a reader that reads small parts meanwhile."""
    subscribe(database, "webhook", "https://example.org")
    kept: list[str] = []

    def write(number: int) -> None:
        chance = random.Random(number)
        for turn in range(12):
            names = [f"{number}-{turn}-{each}" for each in range(chance.randint(1, 4))]
            with psycopg.connect(database) as connection:
                put(connection, [change(name, name, jurisdiction=f"{TOWN}-{number}") for name in names])
                connection.execute("SELECT pg_sleep(%s)", [chance.random() / 50])
                if chance.random() < 0.2:
                    connection.rollback()
                else:
                    kept.extend(names)

    seen: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(write, number) for number in range(8)]
        while not all(each.done() for each in running):
            seen += [name for name, _ in read(database, most=7)]
        [each.result() for each in running]
    seen += [name for name, _ in read(database)]
    assert sorted(seen) == sorted(kept)
    for number in range(8):
        own = [name for name in seen if name.startswith(f"{number}-")]
        assert own == [name for name in kept if name.startswith(f"{number}-")]


def test_a_part_of_the_log_is_the_same_after_a_failure(database: str) -> None:
    """What is committed meanwhile comes in the next part: files and e-mails are repeated with the same content."""
    subscribe(database, "webhook", "https://example.org")
    tell(database, change("a", "1"))
    with delivery_records.opened(database, subscription_records.find(database, "it")) as session:
        assert session
        first = session.window(500)
    tell(database, change("b", "1"))
    with delivery_records.opened(database, subscription_records.find(database, "it")) as session:
        assert session
        assert session.window(500) == first


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"jurisdiction": TOWN}, {"small", "split", "west", "nowhere"}),
        ({"kinds": ["split"]}, {"split"}),
        ({"code_pattern": "B%"}, {"west", "other"}),
        ({"min_area_m2": 300.0}, {"split", "west", "other"}),
        ({"area": '{"type": "Polygon", "coordinates": [[[-75,41],[-74,41],[-74,43],[-75,43],[-75,41]]]}'},
         {"west", "nowhere"}),
        ({"kinds": ["rezoned"], "min_area_m2": 300.0, "jurisdiction": TOWN}, {"west"}),
    ],
)  # fmt: skip
def test_a_subscription_gets_what_its_filter_names(
    database: str, filter_: dict[str, object], expected: set[str]
) -> None:
    subscribe(database, "webhook", "https://example.org", **filter_)
    west = "POLYGON((-74.5 42, -74.5 42.1, -74.4 42, -74.5 42))"
    insert = """
        INSERT INTO zoning.parcel SELECT %s, '9', '86', NULL, NULL, NULL, NULL, '{}', 1,
            ST_Multi(ST_GeomFromText(%s, 4326)), 'h', 1, now(), now() RETURNING 1
    """
    rows(database, insert, TOWN, west)
    tell(
        database,
        change("small", "1", area_m2=10.0),
        change("split", "2", kind="split", facet="parcel", old="BB", new="BC"),
        change("west", "3", wkt=west, new="B-1"),
        change("other", "1", jurisdiction="us-ma-other", old="BX"),
        change("nowhere", "9", wkt=None, area_m2=None),
    )
    assert {name for name, _ in read(database)} == expected


def test_a_list_of_parcels_follows_splits_and_mergers(database: str) -> None:
    """Through two generations in one part of the log, and after it; not through a retracted split."""
    subscribe(database, "webhook", "https://example.org", jurisdiction=TOWN, parcels=["1"])

    def lineage(id_: str, parents: list[str], children: list[str]) -> dict[str, object]:
        evidence = {"parents": parents, "children": children}
        return change(id_, *parents, *children, kind="split", facet="parcel", evidence=evidence)

    tell(database, change("before", "1b"))
    assert read(database) == []
    tell(database, lineage("s1", ["1"], ["1a", "1b"]), lineage("m", ["1b", "2"], ["3"]), change("r", "3"))
    assert [name for name, _ in read(database)] == ["s1", "m", "r"]
    tell(database, change("child", "1a"), change("stranger", "4"), lineage("s2", ["4"], ["5"]))
    assert [name for name, _ in read(database)] == ["child"]
    (seen,) = subscription_records.subscriptions(database)
    assert seen.parcels == 4
    assert seen.code_pattern is None


def test_readers_cannot_read_secrets_nor_writers_delete_the_log(database: str) -> None:
    subscribe(database, "webhook", "https://user:hidden@example.org/?token=x", shown_target="https://example.org/")
    reader = db.as_role(database, db.READER)
    assert rows(reader, "SELECT target FROM zoning.subscription") == [("https://example.org/",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(reader, "SELECT * FROM zoning.subscription_secret")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows(database, "DELETE FROM zoning.change_log")
    assert "hidden" not in repr(subscription_records.subscriptions(database))
    with delivery_records.opened(database, subscription_records.find(database, "it")) as session:
        assert session
        assert "hidden" not in repr(session.state())
