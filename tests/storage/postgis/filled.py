"""Databases that hold several counties, filled by SQL in seconds, with statistics of a time when they held less.

Every county has the same parcel ids; each lies on ground of its own.
"""

from dataclasses import dataclass

import psycopg

_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'zoning'::regnamespace AND relkind = 'r' ORDER BY 1
"""
_WITH_JURISDICTION = """
    SELECT attrelid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'zoning'::regnamespace AND c.relkind = 'r' AND attname = 'jurisdiction'
"""
_VERSION = "'2026-01-01'::timestamptz, '2026-02-01'::timestamptz, NULL, NULL, %(last)s"
#: Rows `first` to `last` of a county: parcels in tiles of 300, their history and zoning, batches, changes, rejections.
_ROWS = (
    """
    INSERT INTO zoning.parcel
    SELECT %(id)s, 'P' || n, 'T' || n / 300, 'R-1', 'R1', NULL, NULL, '{}', 400, ST_Multi(ST_MakeEnvelope(
        %(west)s + n %% 200 * 0.001, 10 + n / 200 * 0.001, %(west)s + n %% 200 * 0.001 + 0.0009,
        10 + n / 200 * 0.001 + 0.0009, 4326
    )), 'h', 1, now(), now()
    FROM generate_series(%(first)s, %(last)s) n
    """,
    f"""
    INSERT INTO zoning.parcel_version SELECT p.*, {_VERSION} FROM zoning.parcel p
    WHERE jurisdiction = %(id)s AND substr(parcel_id, 2)::int BETWEEN %(first)s AND %(last)s
        AND substr(parcel_id, 2)::int %% 4 = 0
    """,
    """
    INSERT INTO zoning.parcel_zoning
    SELECT %(id)s, 'P' || n, 'base', 'R-1', 400, 1, 1, true, NULL, 1, now() FROM generate_series(%(first)s, %(last)s) n
    """,
    f"""
    INSERT INTO zoning.parcel_zoning_version SELECT z.*, {_VERSION} FROM zoning.parcel_zoning z
    WHERE jurisdiction = %(id)s AND substr(parcel_id, 2)::int BETWEEN %(first)s AND %(last)s
        AND substr(parcel_id, 2)::int %% 4 = 0
    """,
    """
    INSERT INTO zoning.district
    SELECT %(id)s, 'D' || n, 'R-1', 'R1', NULL, NULL, '{}', 4000, ST_Multi(ST_MakeEnvelope(
        %(west)s + n %% 20 * 0.01, 10 + n / 20 * 0.01, %(west)s + n %% 20 * 0.01 + 0.009, 10.009 + n / 20 * 0.01, 4326
    )), 'h', 1, now(), now()
    FROM generate_series(%(first)s / 10, %(last)s / 10 - 1) n
    """,
    """
    INSERT INTO zoning.best_lot SELECT jurisdiction, district_id, 'P1' FROM zoning.district
    WHERE jurisdiction = %(id)s ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, counts, started, committed)
    SELECT %(id)s, 'T' || n / 300, 'parcels', 'h', 'r', '{"added": 1, "changed": 0, "unchanged": 0, "layer": "l"}',
        now(), now()
    FROM generate_series(%(first)s, %(last)s, 100) n
    """,
    """
    INSERT INTO zoning.release (
        jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved, tolerance_m, alarms,
        counts, judged
    ) SELECT %(id)s, n, n + 1, n, n + 1, '', 0, 0, 1, '{}', '{}', now() FROM generate_series(%(first)s, %(last)s, 100) n
    """,
    """
    INSERT INTO zoning.change (
        id, jurisdiction, kind, state, facet, parcel_ids, old, new, confidence, detected, evidence, release_id
    ) SELECT %(id)s || n, %(id)s, 'rezoned', 'event', 'base', ARRAY['P' || n], 'R-1', 'R-2', 1, now(),
        '{"parents": ["P1"], "children": ["P2"]}', r.ids[1 + n %% cardinality(r.ids)]
    FROM generate_series(%(first)s, %(last)s) n,
        (SELECT array_agg(id) AS ids FROM zoning.release WHERE jurisdiction = %(id)s) r
    """,
    """
    INSERT INTO zoning.rejection (batch_id, jurisdiction, tile, feed, reason, raw)
    SELECT NULL, %(id)s, 'T' || n / 300, 'parcels', 'null_key', format('{"attributes": {"N": %%s}}', n)::jsonb
    FROM generate_series(%(first)s, %(last)s, 20) n
    """,
    """
    INSERT INTO zoning.survey (jurisdiction, feed, state, whole, contents, measured, findings, fields, judged)
    SELECT %(id)s, 'parcels', 'passed', true, '{}', '{}', '[]', '{}', now()
    FROM generate_series(%(first)s, %(last)s, 300)
    """,
)
_ONCE = (
    "INSERT INTO zoning.code SELECT %(id)s, 'R' || n, 'R-' || n, NULL, '', now() FROM generate_series(1, 300) n",
    "INSERT INTO zoning.whole VALUES (%(id)s, 'parcels', 1), (%(id)s, 'zoning', 1)",
    "INSERT INTO zoning.watch SELECT %(id)s, 'P' || n, now(), NULL FROM generate_series(1, 20) n",
)


@dataclass(frozen=True)
class Filling:
    """A county: its id, its rows, and the western edge of its area (degrees)."""

    id: str
    rows: int
    west: float


SMALL, OTHER, LARGE = (
    Filling("us-small", 1_000, 10.0),
    Filling("us-other", 2_000, 20.0),
    Filling("us-large", 20_000, 30.0),
)
COUNTIES = (SMALL, OTHER, LARGE)
_FEW = 10


def fill(connection: psycopg.Connection, county: Filling, first: int = 1, last: int | None = None) -> None:
    """Rows of a county, counted from 1."""
    values = {"id": county.id, "west": county.west, "first": first, "last": last or county.rows}
    with psycopg.ClientCursor(connection) as cursor:  # numbers as they are written
        for query in (*_ROWS, *(_ONCE if first == 1 else ())):
            cursor.execute(query, values)


def _nothing(_: psycopg.Connection) -> None:
    pass


def _other(connection: psycopg.Connection) -> None:
    fill(connection, OTHER)


def _few_of_one(connection: psycopg.Connection) -> None:
    fill(connection, SMALL, last=_FEW)


def _few_of_each(connection: psycopg.Connection) -> None:
    for county in COUNTIES:
        fill(connection, county, last=_FEW)


def _all(connection: psycopg.Connection) -> None:
    for county in COUNTIES:
        fill(connection, county)


#: State of the statistics -> what was there when they were made.
STATES = {
    "absent": _nothing,
    "of another county": _other,
    "of ten rows of one": _few_of_one,
    "of ten rows of each": _few_of_each,
    "fresh": _all,
}


def prepare(connection: psycopg.Connection, state: str, *, of_jurisdictions: bool) -> None:
    """Fill a migrated database, with statistics of a state; the owner's connection, in autocommit.

    Args:
        connection: of the schema's owner.
        state: of STATES.
        of_jurisdictions: there are statistics of jurisdictions, too, as in a database that was made before 0010.
    """
    for (table,) in connection.execute(_TABLES).fetchall():
        connection.execute(f"ALTER TABLE zoning.{table} SET (autovacuum_enabled = off)")
    if of_jurisdictions:
        for (table,) in connection.execute(_WITH_JURISDICTION).fetchall():
            connection.execute(f"ALTER TABLE {table} ALTER COLUMN jurisdiction SET STATISTICS 100")
    STATES[state](connection)
    if state != "absent":
        connection.execute("ANALYZE")
    there = dict(connection.execute("SELECT jurisdiction, count(*)::int FROM zoning.parcel GROUP BY 1").fetchall())
    for county in COUNTIES:
        if there.get(county.id, 0) < county.rows:
            fill(connection, county, first=there.get(county.id, 0) + 1)
