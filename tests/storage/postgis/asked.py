"""The named queries, with parameters and temporary tables with which each can be run for a county of `filled`."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import shapely
from psycopg.types.json import Jsonb

from tests.storage.postgis.filled import Filling
from zoning_assets.storage.postgis.sql_queries import named

FILES = (
    "publish", "rollback", "snapshots", "release_profiles", "changes", "corrections", "integrity_check", "status",
    "amendments", "parcel_zoning", "feed_freshness", "failures", "map", "reviews",
)  # fmt: skip
#: Rows that are staged, and rows of the tile that they are of.
STAGED, TILE = 250, 300
_NOW = datetime(2100, 1, 1, tzinfo=UTC)
_KEYS = [f"P{n}" for n in range(1, STAGED)]


def _values(county: Filling) -> dict[str, Any]:
    """A value for each parameter of the queries; _OF has the values that differ for one file."""
    lot = shapely.box(county.west + 0.01, 10.001, county.west + 0.012, 10.003)
    return {
        "jurisdiction": county.id, "feed": "parcels", "tile": "T1", "tiles": ["T0", "T1"], "harvest": "h2",
        "rules": "r",
        "layer": "l", "batch": 10**6, "undo": 10**6, "now": _NOW, "counts": Jsonb({}), "reason": "null_key",
        "detail": None, "raw": Jsonb({"attributes": {"N": 7}}), "fixes": ["x"], "obsolete": ["T2"], "keys": _KEYS,
        "hashes": ["other"] * len(_KEYS), "shapes": 10, "moment": _NOW, "undoes": 1, "undone": [1, 2], "kept": 2**62,
        "released": 2**62, "zoning": 2**61, "parcels": 2**61, "release": 1, "srid": 4326,
        "ground": [shapely.to_wkb(lot)],
        "from": 0, "to": 2**61, "state": "open", "states": ["open"], "whole": True, "contents": Jsonb({}),
        "measured": Jsonb({}), "findings": Jsonb([]), "fields": [], "judged": _KEYS,
        "ids": [f"{county.id}{n}" for n in range(50)],
        "actor": "ann", "parcel": "P7", "since": None, "kind": None, "id": None, "limit": 100, "legal": None,
        "system": None, "samples": 3, "raws": ["{}"], "action": "fix", "row_id": "x", "columns": Jsonb({}),
        "shape": None,
        "key": "P7", "why": "", "reasons": ["null_key"], "details": [None], "statuses": ["adopted"], "least": 0.5,
        "parcel_ids": ["P7"], "amendment": "a", "change": "c", "score": 1.0, "lag_days": 1, "geometry": None,
        "next": _NOW, "error": None, "requests": 1, "current": _NOW, "at": _NOW, "message": "", "passes": True,
        "not_before": None, "run": None, "most": 100, "dead": False, "no_map": False, "min_area": None, "removed": 0,
        "page_detected": None, "page_kind": None, "page_id": None, "until": None, "text": "P7", "pattern": "p7",
        "jurisdictions": [county.id], "is_long": True, "person": "ann",
        "districts": [f"D{n}" for n in range(1, 50)], "spellings": Jsonb([{"local": "R1", "code": "R-1"}]),
    }  # fmt: skip


#: File, or file and query -> values of its own.
_OF: dict[Any, dict[str, Any]] = {
    "changes": {"parcels": _KEYS, "state": None},
    "rollback": {"parcels": 0, "zoning": 0},
    ("rollback", "retract"): {"parcels": 0, "zoning": 0},
    ("rollback", "parcels_without"): {"batch": 1},
    ("release_profiles", "published_all"): {"tiles": None},
    ("rollback", "retract_all"): {"keys": None},
    ("parcel_zoning", "put_best_lots"): {"parcels": ["P1"] * 49},
    ("parcel_zoning", "parcels_in"): {"districts": [f"D{n}" for n in range(1, 5)]},  # each holds a hundred parcels
    ("publish", "reject"): {"batch": 1},
    ("publish", "other_batch"): {"since": 10**6, "older": ["T1"]},
    "failures": {"kind": "PortalDown"},
}


def values_of(county: Filling, file: str, name: str) -> dict[str, Any]:
    """The parameters of a query."""
    known = _values(county)
    own = {"ground": known["ground"][0]} if file == "amendments" else {}
    return {**known, **own, **_OF.get(file, {}), **_OF.get((file, name), {})}


#: Queries that are run with values of another kind as well, under a name of their own.
_TWICE = {("release_profiles", "published_all"): "published_parcels", ("rollback", "retract_all"): "retract"}
_NOT_RUN = {  # refused by a constraint with these values; each is a plain INSERT of one row
    "insert_release", "insert_change", "insert_profile", "put", "insert_match", "insert_fix", "insert_version",
}  # fmt: skip
_EXPLAINED = (
    b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"WITH", b"CREATE TEMPORARY TABLE target ON COMMIT DROP AS",
    b"CREATE TEMPORARY TABLE different ON COMMIT DROP AS",
)  # fmt: skip

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
    "parcel_zoning": """
        INSERT INTO stage SELECT parcel_id, facet, code, NULL, 300, 0.75, 1, 1 FROM zoning.parcel_zoning
        WHERE jurisdiction = %(jurisdiction)s AND substr(parcel_id, 2)::int < %(staged)s
    """,
}


def prepared(connection: psycopg.Connection, file: str, name: str, values: dict[str, Any]) -> None:
    """Create and fill the temporary tables that a query reads."""
    query, values = named(file), {**values, "staged": STAGED}
    if file == "publish":
        kind = "districts" if name.endswith("districts") else "parcels"
        connection.execute(query[f"stage_{kind}"])
        connection.execute(_STAGE[kind], values)
        if name == "insert_parcels":
            connection.execute("UPDATE stage SET key = 'new ' || key")
        connection.execute("ANALYZE stage (key)")
    if file == "rollback" and name.startswith(("end_", "begin_")):
        connection.execute(query[f"{name.partition('_')[2]}_at"], {**values, "batch": 2**61})
        connection.execute("DELETE FROM target WHERE ctid = ANY (ARRAY(SELECT ctid FROM target LIMIT 100))")
    if file == "parcel_zoning":
        connection.execute(query["create_stage"])
        for step in ("create_stage_index", "create_chosen"):
            connection.execute(query.get(step, b""))
        connection.execute(_STAGE["parcel_zoning"], values)
        if name in {"supersede", "insert"} and b"CREATE" in query["different"]:
            connection.execute(query["different"], values)
        if name in {"insert", "insert_all"}:
            connection.execute(query["supersede"], values)


def queries() -> Iterator[tuple[str, str, bytes]]:
    """File, name and text of each query that can be explained."""
    for file in FILES:
        for name, query in named(file).items():
            if _LEADING.sub(b"", query).startswith(_EXPLAINED) and name not in _NOT_RUN:
                yield file, name, query
    for (file, name), query in _TWICE.items():
        yield file, name, named(file)[query]
