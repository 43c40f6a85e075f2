"""No statement's plan reads a county for a key, or other counties at all, whatever the planner's statistics are of.

Every named query is explained and run on a database of three counties. What is judged is how many rows its plan touched
and how many pages: neither depends on the machine.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.storage.postgis.asked import STAGED, TILE, prepared, queries, values_of
from tests.storage.postgis.filled import LARGE, SMALL, STATES, Filling, prepare
from tests.support.databases import copied
from zoning_assets.storage.postgis import database as db

#: What asks of every jurisdiction at once, and so reads all: what a person or a sensor looks at.
OF_ALL = {
    ("status", "jurisdictions"), ("status", "rejections"), ("status", "alarms"), ("status", "batches"),
    ("status", "changes"), ("integrity_check", "newest"), ("release_profiles", "held"), ("feed_freshness", "feeds"),
    ("failures", "open"),
    ("failures", "retry"), ("map", "places"), ("map", "state"),
}  # fmt: skip
#: What is of a whole county by its meaning: the county is read, once, and nothing else.
OF_A_COUNTY = {
    ("rollback", name)
    for name in (
        "batches_at", "later_parcels", "later_districts", "parcels_at", "parcels_without", "end_parcels",
        "begin_parcels", "districts_at", "districts_without", "end_districts", "begin_districts", "restore",
        "undone_batches", "retract_all", "supersede_profiles", "last_removal",
    )
} | {
    ("snapshots", "districts"), ("snapshots", "parcels"), ("snapshots", "parcels_before"),
    ("snapshots", "parcels_after"),
    ("snapshots", "unchanged_count"), ("snapshots", "releases"), ("snapshots", "types"),
    ("release_profiles", "published_all"), ("release_profiles", "published_zoning"), ("release_profiles", "count"),
    ("changes", "changes"), ("corrections", "groups"), ("corrections", "samples"), ("corrections", "rejected"),
    ("publish", "retire_districts"), ("integrity_check", "districts"), ("amendments", "changes"),
    ("amendments", "unexplained"),
    ("parcel_zoning", "codes"), ("parcel_zoning", "spell_districts"), ("parcel_zoning", "spell_parcels"),
    ("parcel_zoning", "districts"),
    ("parcel_zoning", "changed_ground"), ("parcel_zoning", "choose_all"), ("parcel_zoning", "retired"),
    ("parcel_zoning", "best_lots"),
    ("parcel_zoning", "put_best_lots"),
    ("map", "search"), ("map", "releases"), ("map", "codes"), ("reviews", "waiting"),
    ("parcel_zoning", "different"), ("parcel_zoning", "disagreements"), ("parcel_zoning", "split"),
}  # fmt: skip
#: A row that is staged or asked for may pass so many nodes of its plan, and touch so many pages (it is written, too).
NODES, PAGES = 10, 40


def _touched(node: dict[str, Any]) -> float:
    """The number of rows that the nodes of a plan returned or removed."""
    kept = sum(node.get(name, 0) for name in (
        "Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck",
    ))  # fmt: skip
    return kept * node.get("Actual Loops", 1) + sum(map(_touched, node.get("Plans", ())))


def _cost(connection: psycopg.Connection, query: bytes, values: dict[str, Any]) -> tuple[float, int]:
    """The numbers of rows and pages that a query touches."""
    explained = b"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + query
    (plan,) = connection.execute(explained, values).fetchone() or ([{}],)
    root = plan[0]["Plan"]
    pages = sum(root.get(f"{where} {what} Blocks", 0) for where in ("Shared", "Local") for what in ("Hit", "Read"))
    return _touched(root), pages


def _too_much(connection: psycopg.Connection, county: Filling, *, of_keys_only: bool) -> list[str]:
    """The queries whose plan touches more than the limit."""
    found = []
    for file, name, query in queries():
        own = (file, name) in OF_A_COUNTY
        if (file, name) in OF_ALL or (own and of_keys_only):
            continue
        allowed = county.rows + 500 if own else STAGED + TILE
        values = values_of(county, file, name)
        with connection.transaction(force_rollback=True):
            prepared(connection, file, name, values)
            rows, pages = _cost(connection, query, values)
        if rows > NODES * allowed or pages > PAGES * allowed:
            found.append(f"{file}.{name} of {county.id}: {rows:,.0f} rows, {pages:,} pages for {allowed:,} rows")
    return found


@pytest.fixture(scope="module", params=STATES)
def state(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[str]:
    """A filled database with statistics of some state; statistics of jurisdictions are missing, as in a new schema."""
    yield from _filled(server, template, request.param, of_jurisdictions=False)


@pytest.fixture(scope="module", params=[each for each in STATES if each != "absent"])
def older(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[str]:
    """The same with statistics of jurisdictions, as an older database has them."""
    yield from _filled(server, template, request.param, of_jurisdictions=True)


def _filled(server: str, template: str, state: str, *, of_jurisdictions: bool) -> Iterator[str]:
    with copied(server, template) as (_, url):
        owner = db.as_role(url, None)
        with psycopg.connect(owner, autocommit=True) as connection:
            prepare(connection, state, of_jurisdictions=of_jurisdictions)
        yield owner


@pytest.mark.sampled(5, by="state")
@pytest.mark.parametrize("county", [SMALL, LARGE], ids=lambda county: county.id)
def test_no_plan_reads_a_county_for_a_key(state: str, county: Filling) -> None:
    """A query for keys or a tile costs by their number, a query for a county by the rows of this county."""
    with psycopg.connect(state) as connection:
        assert _too_much(connection, county, of_keys_only=False) == []


@pytest.mark.sampled(4, by="older")
@pytest.mark.parametrize("county", [SMALL, LARGE], ids=lambda county: county.id)
def test_look_ups_by_key_do_not_depend_on_statistics(older: str, county: Filling) -> None:
    """The same for keys, with outdated statistics of jurisdictions."""
    with psycopg.connect(older) as connection:
        assert _too_much(connection, county, of_keys_only=True) == []


@pytest.mark.sampled(5, by="state")
@pytest.mark.parametrize("source", [
    "zoning.zoned_parcel", "zoning.parcel", "zoning.parcel_version",
    "zoning.parcel_as_of(%(jurisdiction)s, NULL, NULL)",
    "zoning.parcel_as_of(%(jurisdiction)s, '2026-01-15', now())", "zoning.zoning_as_of(%(jurisdiction)s, NULL, NULL)",
    "zoning.zoning_as_of(%(jurisdiction)s, '2026-01-15', now())",
])  # fmt: skip
def test_a_query_for_one_parcel_reads_one_parcel(state: str, source: str) -> None:
    """Views and functions with a condition on one parcel of a county look up only this parcel."""
    query = f"SELECT * FROM {source} WHERE jurisdiction = %(jurisdiction)s AND parcel_id = 'P8'".encode()
    with psycopg.connect(state) as connection:
        rows, pages = _cost(connection, query, {"jurisdiction": LARGE.id})
    assert rows < 50
    assert pages < 100


def test_every_exemption_names_a_query() -> None:
    """Every exempted query exists."""
    assert {(file, name) for file, name, _ in queries()} >= OF_ALL | OF_A_COUNTY
