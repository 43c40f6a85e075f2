"""No statement's plan reads a county for a key, or other counties at all, whatever the planner's statistics are of.

Every named query is explained and run on a database of three counties. What is judged is how many rows its plan touched
and how many pages: neither depends on the machine.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import shapely
from psycopg.types.json import Jsonb

from tests.conftest import copied
from tests.stores.filled import LARGE, SMALL, STATES, Filling, prepare
from zoning_assets.stores import database as db
from zoning_assets.stores.queries import named

FILES = (
    "publish", "rollback", "states", "surveys", "changes", "fixes", "verify", "status", "amendments", "shares", "waking",
)  # fmt: skip
#: What asks of every jurisdiction at once, and so reads all: what a person or a sensor looks at.
OF_ALL = {
    ("status", "jurisdictions"), ("status", "rejections"), ("status", "alarms"), ("status", "batches"),
    ("status", "changes"), ("verify", "newest"), ("surveys", "held"), ("waking", "feeds"), ("waking", "open"),
    ("waking", "again"),
}  # fmt: skip
#: What is of a whole county by its meaning: the county is read, once, and nothing else.
OF_A_COUNTY = {
    ("rollback", name)
    for name in (
        "at", "later_parcels", "later_districts", "parcels_at", "parcels_without", "end_parcels", "begin_parcels",
        "districts_at", "districts_without", "end_districts", "begin_districts", "restore", "undone", "retract_all",
        "disbelieve",
    )
} | {
    ("states", "districts"), ("states", "parcels"), ("states", "parcels_before"), ("states", "parcels_after"),
    ("states", "parcels_that_stay"), ("states", "releases"), ("states", "types"),
    ("surveys", "standing_all"), ("surveys", "standing_zoning"), ("surveys", "count"),
    ("changes", "changes"), ("fixes", "groups"), ("fixes", "samples"), ("fixes", "rejected"),
    ("publish", "retire_districts"), ("verify", "districts"), ("amendments", "changes"), ("amendments", "unexplained"),
    ("shares", "codes"), ("shares", "spell_districts"), ("shares", "spell_parcels"), ("shares", "districts"),
    ("shares", "changed_ground"), ("shares", "all_parcels"), ("shares", "best_lots"), ("shares", "put_best_lots"),
    ("shares", "different"), ("shares", "disagreements"), ("shares", "split"),
    ("shares", "choose_all"), ("shares", "gone"),
}  # fmt: skip
#: Rows that are staged, and rows of the tile that they are of.
STAGED, TILE = 250, 300
#: A row that is staged or asked for may pass so many nodes of its plan, and touch so many pages (it is written, too).
NODES, PAGES = 10, 40

_NOW = datetime(2100, 1, 1, tzinfo=UTC)
_KEYS = [f"P{n}" for n in range(1, STAGED)]


def _values(county: Filling) -> dict[str, Any]:
    """A value for each name that a query may have; what is of another type in one file stands in _OF."""
    lot = shapely.box(county.west + 0.01, 10.001, county.west + 0.012, 10.003)
    return {
        "jurisdiction": county.id, "feed": "parcels", "tile": "T1", "tiles": ["T0", "T1"], "harvest": "h2", "rules": "r",
        "layer": "l", "batch": 10**6, "undo": 10**6, "now": _NOW, "counts": Jsonb({}), "reason": "null_key",
        "detail": None, "raw": Jsonb({"attributes": {"N": 7}}), "fixes": ["x"], "obsolete": ["T2"], "keys": _KEYS,
        "hashes": ["other"] * len(_KEYS), "shapes": 10, "moment": _NOW, "undoes": 1, "undone": [1, 2], "kept": 2**62,
        "told": 2**62, "zoning": 2**61, "parcels": 2**61, "release": 1, "ground": [shapely.to_wkb(lot)], "srid": 4326,
        "from": 0, "to": 2**61, "state": "open", "states": ["open"], "whole": True, "contents": Jsonb({}),
        "measured": Jsonb({}), "findings": Jsonb([]), "fields": [], "judged": _KEYS, "ids": [f"{county.id}{n}" for n in range(50)],
        "actor": "ann", "parcel": "P7", "since": None, "kind": None, "id": None, "limit": 100, "legal": None,
        "system": None, "samples": 3, "raws": ["{}"], "deed": "mend", "row_id": "x", "columns": Jsonb({}), "shape": None,
        "key": "P7", "why": "", "reasons": ["null_key"], "details": [None], "statuses": ["adopted"], "least": 0.5,
        "parcel_ids": ["P7"], "amendment": "a", "change": "c", "score": 1.0, "lag_days": 1, "geometry": None,
        "next": _NOW, "error": None, "requests": 1, "current": _NOW, "at": _NOW, "message": "", "passes": True,
        "not_before": None, "run": None, "most": 100, "dead": False, "no_map": False,
        "districts": [f"D{n}" for n in range(1, 50)], "spellings": Jsonb([{"local": "R1", "code": "R-1"}]),
    }  # fmt: skip


#: File, or file and query -> values of its own.
_OF: dict[Any, dict[str, Any]] = {
    "changes": {"parcels": _KEYS, "state": None},
    "rollback": {"parcels": 0, "zoning": 0},
    ("rollback", "retract"): {"parcels": 0, "zoning": 0},
    ("rollback", "parcels_without"): {"batch": 1},
    ("surveys", "standing_all"): {"tiles": None},
    ("rollback", "retract_all"): {"keys": None},
    ("shares", "put_best_lots"): {"parcels": ["P1"] * 49},
    ("publish", "reject"): {"batch": 1},
    "waking": {"kind": "PortalDown"},
}


def _values_of(county: Filling, file: str, name: str) -> dict[str, Any]:
    known = _values(county)
    own = {"ground": known["ground"][0]} if file == "amendments" else {}
    return {**known, **own, **_OF.get(file, {}), **_OF.get((file, name), {})}


#: Queries that are run with values of another kind as well, under a name of their own.
_TWICE = {("surveys", "standing_all"): "standing_parcels", ("rollback", "retract_all"): "retract"}
_NOT_RUN = {  # refused by a constraint with these values; each is a plain INSERT of one row
    "release", "add", "note", "put", "match", "fix", "pause", "keep",
}  # fmt: skip
_EXPLAINED = (b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"WITH", b"CREATE TEMPORARY TABLE target AS",
    b"CREATE TEMPORARY TABLE target ON COMMIT DROP AS", b"CREATE TEMPORARY TABLE different ON COMMIT DROP AS")  # fmt: skip

_LEADING = re.compile(rb"\A(--.*\n)+")

_STAGE = {
    "parcels": """
        INSERT INTO stage SELECT parcel_id, 'R-1', NULL, NULL, '{}', 400, geom, CASE substr(parcel_id, 2)::int %% 3
            WHEN 0 THEN 'changed' ELSE 'h' END FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s
            AND substr(parcel_id, 2)::int BETWEEN 300 AND 450
        UNION ALL SELECT parcel_id, 'R-1', NULL, NULL, '{}', 400, geom, 'h' FROM zoning.parcel
            WHERE jurisdiction = %(jurisdiction)s AND substr(parcel_id, 2)::int BETWEEN 700 AND 750
        UNION ALL SELECT 'N' || parcel_id, 'R-1', NULL, NULL, '{}', 400, geom, 'h' FROM zoning.parcel
            WHERE jurisdiction = %(jurisdiction)s AND substr(parcel_id, 2)::int BETWEEN 700 AND 750
    """,
    "districts": """
        INSERT INTO stage SELECT district_id, 'R-1', NULL, NULL, '{}', 400, geom, 'changed' FROM zoning.district
        WHERE jurisdiction = %(jurisdiction)s AND substr(district_id, 2)::int < 200
    """,
    "shares": """
        INSERT INTO stage SELECT parcel_id, facet, code, NULL, 300, 0.75, 1, 1 FROM zoning.parcel_zoning
        WHERE jurisdiction = %(jurisdiction)s AND substr(parcel_id, 2)::int < %(staged)s
    """,
}


def _prepare(connection: psycopg.Connection, file: str, name: str, values: dict[str, Any]) -> None:
    """The temporary tables that a query finds."""
    query, values = named(file), {**values, "staged": STAGED}
    if file == "publish":
        kind = "districts" if name.endswith("districts") else "parcels"
        connection.execute(query[f"stage_{kind}"])
        connection.execute(_STAGE[kind], values)
        connection.execute("ANALYZE stage (key)")
    if file == "rollback" and name.startswith(("end_", "begin_")):
        connection.execute(query[f"{name.partition('_')[2]}_at"], {**values, "batch": 2**61})
        connection.execute("DELETE FROM target WHERE ctid = ANY (ARRAY(SELECT ctid FROM target LIMIT 100))")
    if file == "shares":
        connection.execute(query["stage"])
        for step in ("stage_key", "chosen"):
            connection.execute(query.get(step, b""))
        connection.execute(_STAGE["shares"], values)
        if name in {"supersede", "insert"} and b"CREATE" in query["different"]:
            connection.execute(query["different"], values)
        if name == "insert":
            connection.execute(query["supersede"], values)


def _touched(node: dict[str, Any]) -> float:
    """Rows that the nodes of a plan gave on or threw away."""
    kept = sum(node.get(name, 0) for name in (
        "Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck",
    ))  # fmt: skip
    return kept * node.get("Actual Loops", 1) + sum(map(_touched, node.get("Plans", ())))


def _cost(connection: psycopg.Connection, query: bytes, values: dict[str, Any]) -> tuple[float, int]:
    """Rows and pages that running a query touches."""
    explained = b"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + query
    (plan,) = connection.execute(explained, values).fetchone() or ([{}],)
    root = plan[0]["Plan"]
    pages = sum(root.get(f"{where} {what} Blocks", 0) for where in ("Shared", "Local") for what in ("Hit", "Read"))
    return _touched(root), pages


def _named() -> Iterator[tuple[str, str, bytes]]:
    for file in FILES:
        for name, query in named(file).items():
            if _LEADING.sub(b"", query).startswith(_EXPLAINED) and name not in _NOT_RUN:
                yield file, name, query
    for (file, name), query in _TWICE.items():
        yield file, name, named(file)[query]


def _too_much(connection: psycopg.Connection, county: Filling, *, of_keys_only: bool) -> list[str]:
    """The queries whose plan touches more than what they are of."""
    found = []
    for file, name, query in _named():
        own = (file, name) in OF_A_COUNTY
        if (file, name) in OF_ALL or (own and of_keys_only):
            continue
        allowed = county.rows + 500 if own else STAGED + TILE
        values = _values_of(county, file, name)
        with connection.transaction(force_rollback=True):
            _prepare(connection, file, name, values)
            rows, pages = _cost(connection, query, values)
        if rows > NODES * allowed or pages > PAGES * allowed:
            found.append(f"{file}.{name} of {county.id}: {rows:,.0f} rows, {pages:,} pages for {allowed:,} rows")
    return found


@pytest.fixture(scope="module", params=STATES)
def state(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[str]:
    """A filled database with statistics of some state; those of jurisdictions are missing, as the schema has it."""
    yield from _filled(server, template, request.param, of_jurisdictions=False)


@pytest.fixture(scope="module", params=[each for each in STATES if each != "absent"])
def older(request: pytest.FixtureRequest, server: str, template: str) -> Iterator[str]:
    """The same with statistics of jurisdictions, as an older database keeps them."""
    yield from _filled(server, template, request.param, of_jurisdictions=True)


def _filled(server: str, template: str, state: str, *, of_jurisdictions: bool) -> Iterator[str]:
    with copied(server, template) as (_, url):
        owner = db.as_role(url, None)
        with psycopg.connect(owner, autocommit=True) as connection:
            prepare(connection, state, of_jurisdictions=of_jurisdictions)
        yield owner


@pytest.mark.parametrize("county", [SMALL, LARGE], ids=lambda county: county.id)
def test_no_plan_reads_a_county_for_a_key(state: str, county: Filling) -> None:
    """What is asked by keys, or of a tile, costs by their number; what is of a county, by the county's own rows."""
    with psycopg.connect(state) as connection:
        assert _too_much(connection, county, of_keys_only=False) == []


@pytest.mark.parametrize("county", [SMALL, LARGE], ids=lambda county: county.id)
def test_it_relies_on_no_missing_statistics(older: str, county: Filling) -> None:
    """The same of keys where there are statistics of jurisdictions, and they are of another time."""
    with psycopg.connect(older) as connection:
        assert _too_much(connection, county, of_keys_only=True) == []


@pytest.mark.parametrize("source", [
    "zoning.zoned_parcel", "zoning.parcel", "zoning.parcel_version", "zoning.parcel_as_of(%(jurisdiction)s, NULL, NULL)",
    "zoning.parcel_as_of(%(jurisdiction)s, '2026-01-15', now())", "zoning.zoning_as_of(%(jurisdiction)s, NULL, NULL)",
    "zoning.zoning_as_of(%(jurisdiction)s, '2026-01-15', now())",
])  # fmt: skip
def test_a_person_who_asks_for_one_parcel_reads_one(state: str, source: str) -> None:
    """Views and functions that are asked for one parcel of a county look up that one."""
    query = f"SELECT * FROM {source} WHERE jurisdiction = %(jurisdiction)s AND parcel_id = 'P8'".encode()
    with psycopg.connect(state) as connection:
        rows, pages = _cost(connection, query, {"jurisdiction": LARGE.id})
    assert rows < 50
    assert pages < 100


def test_every_exemption_names_a_query() -> None:
    """Nothing is exempt that is not there: names that other releases had or will have apart."""
    there = {(file, name) for file, name, _ in _named()}
    assert there >= OF_ALL
