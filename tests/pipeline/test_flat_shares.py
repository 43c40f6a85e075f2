"""Shares are made a bounded number of parcels at a time: the result does not know it, and memory does not grow."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import read_toml, rows
from zoning_assets.model import Jurisdiction
from zoning_assets.pipeline import change_detection, zone_parcels
from zoning_assets.storage.postgis import parcel_zoning as store

TOML = """
id = "{id}"
name = "A grid of lots"
bounds = [-71.3, 42.3, -71.0, 42.6]
[feeds.parcels]
type = "download"
url = "parcels.geojson"
key = "ID"
[feeds.zoning]
type = "download"
url = "zoning.geojson"
"""
WHOLE, IN_PARTS = "us-ma-whole", "us-ma-parts"
BATCH = """
    INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started) VALUES (%s, %s, 'h', 'r', now()) RETURNING id
"""
#: Lots of 2 x 2 steps in rows of 50; neither their tiles nor their keys are in the order of the ground.
LOTS = """
    INSERT INTO zoning.parcel
    SELECT %(place)s, 'p' || (n * 7919) %% %(lots)s, '86' || n %% 5, 'A', 'A', NULL, NULL, '{}', 1,
        ST_Multi(ST_MakeEnvelope(-71.2 + n %% 50 * 2e-4, 42.4 + n / 50 * 2e-4,
            -71.2 + (n %% 50 + 1) * 2e-4, 42.4 + (n / 50 + 1) * 2e-4, 4326)), n::text, %(batch)s, now(), now()
    FROM generate_series(0, %(lots)s - 1) AS n
"""
#: Districts that overlap one another and cut lots; one has no code, and a strip is no tenth of any lot.
DISTRICTS = """
    INSERT INTO zoning.district
    SELECT %(place)s, id, NULL, code, NULL, NULL, '{}', 1, ST_Multi(ST_MakeEnvelope(
        -71.2 + west * 1e-4, 42.4 + south * 1e-4, -71.2 + east * 1e-4, 42.4 + north * 1e-4, 4326
    )), id, %(batch)s, now(), now()
    FROM (VALUES ('a', 'A', 0, 0, 61, 900), ('b', 'B', 57, 0, 100, 900), ('c', 'A', 21, 13, 80, 31),
        ('none', NULL, 0, 0, 100, 7), ('strip', 'Z', 3, 4.9, 88, 5.1), ('dot', 'D', 5.2, 5.2, 5.3, 5.3)
    ) AS d(id, code, west, south, east, north)
"""
MOVED = """
    UPDATE zoning.district SET geom = ST_Translate(geom, 3e-4, 0), batch_id = %s
    WHERE jurisdiction = %s AND district_id = 'c'
"""
RETIRED = "DELETE FROM zoning.parcel WHERE jurisdiction = %s AND parcel_id = %s"
GROWN = """
    UPDATE zoning.parcel SET geom = ST_Multi(ST_Buffer(geom, 1e-4)), batch_id = %s
    WHERE jurisdiction = %s AND parcel_id = 'p9'
"""
SHARE = "parcel_id, facet, code, area_m2, fraction, rank, listed, effective"
STATE = {
    "now": f"SELECT {SHARE} FROM zoning.parcel_zoning",
    "then": f"SELECT {SHARE} FROM zoning.parcel_zoning_version",
    "best": "SELECT district_id, parcel_id FROM zoning.best_lot",
}


def county(url: str, folder: Path, place: str, lots: int, *, zoned: bool = True) -> Jurisdiction:
    """A jurisdiction of so many lots, published."""
    with psycopg.connect(url) as connection:
        for feed, query in (("parcels", LOTS), ("zoning", DISTRICTS if zoned else "")):
            connection.execute(query, {"place": place, "lots": lots, "batch": batch(connection, place, feed)})
    return read_toml(folder, TOML.format(id=place), place)


def batch(connection: psycopg.Connection[Any], place: str, feed: str) -> int:
    row = connection.execute(BATCH, (place, feed)).fetchone()
    assert row is not None
    return int(row[0])


def overlay(url: str, jurisdiction: Jurisdiction, at_once: int) -> zone_parcels.OverlayResult:
    with store.opened(url, jurisdiction.id, change_detection.rules_hash(jurisdiction)) as desk:
        return zone_parcels.update_shares(replace(desk, chunk_size=at_once), jurisdiction)


def state(url: str, place: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: sorted(rows(url, f"{query} WHERE jurisdiction = %s", place), key=str) for name, query in STATE.items()
    }


def test_shares_made_in_parts_are_those_made_at_once(database: str, tmp_path: Path) -> None:
    """At first, and after a district moved, the best lots were retired and a lot grew."""
    places = {
        WHOLE: (county(database, tmp_path, WHOLE, 400), 10_000),
        IN_PARTS: (county(database, tmp_path, IN_PARTS, 400), 7),
    }
    done = [overlay(database, *each) for each in places.values()]
    assert (done[0].overlaid, done[0].changed) == (done[1].overlaid, done[1].changed) == (400, 400)
    first = state(database, WHOLE)
    assert state(database, IN_PARTS) == first
    assert len(first["best"]) == 6
    with psycopg.connect(database) as connection:
        for place in places:
            connection.execute(MOVED, (batch(connection, place, "zoning"), place))
            connection.execute(GROWN, (batch(connection, place, "parcels"), place))
            for lot in {lot for _, lot in first["best"]}:
                connection.execute(RETIRED, (place, lot))
    done = [overlay(database, *each) for each in places.values()]
    assert (done[0].overlaid, done[0].changed) == (done[1].overlaid, done[1].changed)
    assert 0 < done[0].overlaid < 400
    second = state(database, WHOLE)
    assert state(database, IN_PARTS) == second
    assert second["then"]
    assert second["now"] != first["now"]


class Watched:
    """A connection that remembers its statements, the most rows that it gave at once, and how many were streamed."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.statements, self.most, self.lots = connection, list[bytes](), 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, query: bytes, *values: Any, **options: Any) -> Any:
        self.statements.append(query)
        return self.connection.execute(query, *values, **options)

    @contextmanager
    def cursor(self, *words: Any, **options: Any) -> Iterator[Any]:
        with self.connection.cursor(*words, **options) as cursor:
            yield WatchedCursor(self, cursor)


class WatchedCursor:
    def __init__(self, watched: Watched, cursor: Any) -> None:
        self.watched, self.cursor = watched, cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def execute(self, query: bytes, *values: Any) -> Any:
        self.watched.statements.append(query)
        self.cursor.execute(query, *values)
        return self

    def fetchmany(self, size: int) -> list[Any]:
        found = self.cursor.fetchmany(size)
        self.watched.lots += len(found)
        return self.counted(found)

    def fetchall(self) -> list[Any]:
        return self.counted(self.cursor.fetchall())

    def counted(self, found: list[Any]) -> list[Any]:
        self.watched.most = max(self.watched.most, len(found))
        return found


def watched(url: str, jurisdiction: Jurisdiction, at_once: int) -> Watched:
    """The connection through which an overlay went."""
    with store.opened(url, jurisdiction.id, change_detection.rules_hash(jurisdiction)) as desk:
        connection: Any = Watched(desk.connection)
        zone_parcels.update_shares(replace(desk, connection=connection, chunk_size=at_once), jurisdiction)
    assert isinstance(connection, Watched)
    return connection


@pytest.mark.sampled(2)
@pytest.mark.parametrize("again", [False, True])
def test_no_more_rows_come_at_a_time_than_are_judged_at_a_time(database: str, tmp_path: Path, *, again: bool) -> None:
    """Also where a district moved that holds more parcels than that."""
    place = county(database, tmp_path, WHOLE, 700)
    if again:
        overlay(database, place, 50)
        with psycopg.connect(database) as connection:
            connection.execute(MOVED, (batch(connection, WHOLE, "zoning"), WHOLE))
    connection = watched(database, place, 50)
    assert any(b"ST_AsBinary" in each for each in connection.statements)
    assert connection.most == 50


def test_each_shape_is_read_once_at_first(database: str, tmp_path: Path) -> None:
    """And once more where only the others decide whether a code is listed."""
    place = county(database, tmp_path, WHOLE, 700)
    connection = watched(database, place, 50)
    assert 700 <= connection.lots < 750


def test_no_shape_of_a_county_without_a_map_is_read(database: str, tmp_path: Path) -> None:
    """Nor when its parcels have changed; and where the map went, the shares go."""
    place = county(database, tmp_path, WHOLE, 100, zoned=False)
    for _ in range(2):
        read = watched(database, place, 50)
        assert [each for each in read.statements if b"ST_AsBinary" in each and b"zoning.parcel" in each] == []
        with psycopg.connect(database) as connection:
            connection.execute(GROWN, (batch(connection, WHOLE, "parcels"), WHOLE))
    zoned = county(database, tmp_path, IN_PARTS, 100)
    assert overlay(database, zoned, 7).changed == 100
    with psycopg.connect(database) as connection:
        batch(connection, IN_PARTS, "zoning")
        connection.execute("DELETE FROM zoning.district WHERE jurisdiction = %s", [IN_PARTS])
    assert overlay(database, zoned, 7).changed == 100
    left = state(database, IN_PARTS)
    assert (left["now"], left["best"], len({lot for lot, *_ in left["then"]})) == ([], [], 100)


def test_memory_does_not_grow_with_the_parcels(database: str, tmp_path: Path) -> None:
    """A parcel whose shape stayed in memory would be 100 bytes of WKB alone, and as much again for its key."""
    small, large = 2000, 10_000
    peaks = []
    for place, lots in ((WHOLE, small), (IN_PARTS, large)):
        jurisdiction = county(database, tmp_path, place, lots)
        tracemalloc.start()
        try:
            overlay(database, jurisdiction, 500)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / (large - small) < 30, peaks
