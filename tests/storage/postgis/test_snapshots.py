"""The input of a comparison of two releases, and of the shares, after several changes in between."""

from pathlib import Path

import psycopg
import pytest
import shapely

from tests.conftest import read_toml, rows
from zoning_assets.pipeline import change_detection
from zoning_assets.storage.postgis.records import change_records as feed

PLACE, OTHER = "us-ma-cambridge", "us-ma-boston"
TOML = """
id = "us-ma-cambridge"
name = "Cambridge, Massachusetts"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "parcels.geojson"
key = "ID"
[feeds.zoning]
type = "download"
url = "zoning.geojson"
"""
ROW = """
    INSERT INTO zoning.{table}{version} SELECT %(place)s, %(key)s, {middle}, '{{}}', 1,
        ST_Multi(ST_GeomFromText(%(shape)s, 4326)), %(hash)s, %(batch)s, %(start)s, %(start)s {more}
"""
MIDDLE = {"parcel": "'86', %(code)s, %(code)s, NULL, NULL", "district": "NULL, %(code)s, NULL, NULL"}
DAY = "2024-01-01 00:00+00"
BATCH = """
    INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started) SELECT %s, %s, %s, 'r', %s::timestamptz
    RETURNING id
"""
X, Y, STEP = -71.1, 42.37, 1e-4  # a step is about 8 m east and 11 m north


def box(west: float, south: float, east: float, north: float) -> str:
    return shapely.box(X + west * STEP, Y + south * STEP, X + east * STEP, Y + north * STEP).wkt


def put(url: str, table: str, key: str, code: str, batch: int, shape: str, place: str = PLACE, until: int = 0) -> None:
    """A row as a batch wrote it; `until`: the batch that ended it."""
    values = {"place": place, "key": key, "code": code, "shape": shape, "hash": f"{code}{shape}", "batch": batch}
    values |= {"start": moment(batch), "end": moment(until), "until": until}
    more = ", %(start)s::timestamptz, %(end)s::timestamptz, NULL, NULL, %(until)s" if until else ""
    query = ROW.format(table=table, middle=MIDDLE[table], version="_version" if until else "", more=more)
    with psycopg.connect(url) as connection:
        connection.execute(
            query.replace("%(start)s, %(start)s", "%(start)s::timestamptz, %(start)s::timestamptz"), values
        )


def moment(batch: int) -> str:
    return f"2024-01-{batch + 1:02} 00:00+00"


def batch(url: str, feed_: str) -> int:
    return rows(url, BATCH, PLACE, feed_, "h", DAY)[0][0]


def test_a_parcel_that_changed_twice_is_compared_in_its_first_and_last_state(database: str) -> None:
    """Between batches 2 and 7; also a parcel that was added and retired, an unchanged one, and another jurisdiction."""
    lot = box(0, 0, 2, 2)
    put(database, "parcel", "twice", "A", 1, lot, until=4)
    put(database, "parcel", "twice", "B", 4, lot, until=6)
    put(database, "parcel", "twice", "C", 6, lot)
    put(database, "parcel", "passing", "A", 4, lot, until=6)
    put(database, "parcel", "later", "A", 1, lot, until=9)
    put(database, "parcel", "later", "Z", 9, lot)
    put(database, "parcel", "stays", "A", 2, lot)
    put(database, "parcel", "stays", "X", 5, lot, place=OTHER)
    with feed.opened(database, PLACE) as states:
        before, after = states.parcels_that_differ(2, 7)
        assert before[["key", "zoning_code_local"]].to_numpy().tolist() == [["twice", "A"]]
        assert after[["key", "zoning_code_local"]].to_numpy().tolist() == [["twice", "C"]]
        assert states.unchanged_count(2, 7) == 2
        assert states.parcels(7)["zoning_code_local"].tolist() == ["A", "A", "C"]


def test_only_parcels_near_the_shapes_are_read(database: str) -> None:
    for key, west in (("near", 0), ("touching", 4), ("far", 50)):
        put(database, "parcel", key, "A", 1, box(west, 0, west + 2, 2))
    put(database, "parcel", "gone", "A", 1, box(0, 0, 2, 2), until=3)
    put(database, "parcel", "theirs", "A", 1, box(0, 0, 2, 2), place=OTHER)
    ground = [shapely.from_wkt(box(0, 0, 4, 2)).wkb] * 2
    with feed.opened(database, PLACE) as states:
        assert states.parcels(2, ground)["key"].tolist() == ["gone", "near", "touching"]
        assert states.parcels(3, ground)["key"].tolist() == ["near", "touching"]
        assert states.parcels(3, [])["key"].tolist() == []
        assert len(states.parcels(2)) == 4


def test_a_district_that_was_removed_and_restored_is_in_the_right_snapshots(database: str) -> None:
    lot = box(0, 0, 9, 9)
    put(database, "district", "d", "A", 1, lot, until=3)
    put(database, "district", "d", "A", 5, lot)
    put(database, "district", "d", "B", 2, lot, place=OTHER)
    with feed.opened(database, PLACE) as states:
        assert [len(states.districts(number)) for number in range(7)] == [0, 1, 1, 0, 0, 1, 1]


LISTED = "SELECT parcel_id, code FROM zoning.parcel_zoning WHERE jurisdiction = %s AND listed ORDER BY 1, 2"
ALL = "SELECT parcel_id, facet, code, area_m2, rank, listed FROM zoning.parcel_zoning ORDER BY 1, 2, 3"


@pytest.mark.parametrize("change", ["added", "retired", "district"])
def test_updated_shares_equal_recomputed_ones(database: str, tmp_path: Path, change: str) -> None:
    """A strip Z is less than a tenth of each of some large parcels: only the parcel with most of it lists it.

    This also holds when another parcel is computed again, or the best one is retired.
    """
    town = read_toml(tmp_path, TOML)
    first = [batch(database, "parcels"), batch(database, "zoning")]
    put(database, "district", "base", "A", first[1], box(-99, -99, 99, 99))
    put(database, "district", "strip", "Z", first[1], box(0, 0, 13, 0.2))
    put(database, "parcel", "best", "A", first[0], box(0, 0, 6, 9))
    put(database, "parcel", "next", "A", first[0], box(6, 0, 10, 9))
    change_detection.update_parcel_zoning(database, town)
    assert rows(database, LISTED, PLACE) == [("best", "A"), ("best", "Z"), ("next", "A")]
    number = batch(database, "zoning" if change == "district" else "parcels")
    if change == "added":
        put(database, "parcel", "third", "A", number, box(10, 0, 13, 9))
        expected = [("best", "A"), ("best", "Z"), ("next", "A"), ("third", "A")]
    elif change == "retired":
        put(database, "parcel", "best", "A", first[0], box(0, 0, 6, 9), until=number)
        with psycopg.connect(database) as connection:
            connection.execute("DELETE FROM zoning.parcel WHERE parcel_id = 'best'")
        expected = [("next", "A"), ("next", "Z")]
    else:
        put(database, "district", "new", "N", number, box(8, 3, 9, 9))
        expected = [("best", "A"), ("best", "Z"), ("next", "A"), ("next", "N")]
    change_detection.update_parcel_zoning(database, town)
    assert rows(database, LISTED, PLACE) == expected
    mine = rows(database, ALL)
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM zoning.parcel_zoning; UPDATE zoning.batch SET rules = 'other'")
    change_detection.update_parcel_zoning(database, town)
    assert rows(database, ALL) == mine


def test_a_batch_without_changes_computes_nothing(database: str, tmp_path: Path) -> None:
    town = read_toml(tmp_path, TOML)
    numbers = [batch(database, "parcels"), batch(database, "zoning")]
    put(database, "district", "base", "A", numbers[1], box(0, 0, 9, 9))
    put(database, "parcel", "lot", "A", numbers[0], box(0, 0, 6, 9))
    assert change_detection.update_parcel_zoning(database, town).overlaid == 1
    batch(database, "parcels")
    again = change_detection.update_parcel_zoning(database, town)
    assert (again.overlaid, again.changed) == (0, 0)


@pytest.mark.parametrize(("after", "overlaid"), [(box(0, 0, 6, 9), 0), (box(0, 0, 5, 9), 1)])
def test_a_parcel_with_the_same_shape_is_not_computed_again(
    database: str, tmp_path: Path, after: str, overlaid: int
) -> None:
    """A parcel changes twice between two updates of the shares: only its code, or also its shape."""
    town, before = read_toml(tmp_path, TOML), box(0, 0, 6, 9)
    first, zoning = batch(database, "parcels"), batch(database, "zoning")
    put(database, "district", "base", "A", zoning, box(0, 0, 9, 9))
    put(database, "parcel", "lot", "A", first, before)
    change_detection.update_parcel_zoning(database, town)
    second, third = batch(database, "parcels"), batch(database, "parcels")
    put(database, "parcel", "lot", "A", first, before, until=second)
    put(database, "parcel", "lot", "B", second, after, until=third)
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM zoning.parcel")
    put(database, "parcel", "lot", "C", third, after)
    done = change_detection.update_parcel_zoning(database, town)
    assert (done.overlaid, done.changed) == (overlaid, overlaid)
    ((area_m2,),) = rows(database, "SELECT area_m2 FROM zoning.parcel_zoning")
    assert area_m2 == pytest.approx({0: 4941, 1: 4117}[overlaid], abs=1)
