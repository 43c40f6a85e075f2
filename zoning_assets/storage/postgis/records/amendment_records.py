"""Amendments in PostGIS: one row each, with earlier versions; and lists of amendments and changes for review."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.model import ADOPTED, UNDONE, Amendment
from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.changes import amendment_matching

QUEUES = ("unmapped", "unexplained", "matched", "questions")
_FIELDS = tuple(each.name for each in fields(Amendment))


def store(url: str, jurisdiction: str, amendments: Sequence[Amendment], srid: int = 4326) -> dict[str, bool]:
    """Store amendments, and match all amendments of the jurisdiction again; id -> whether its row changed.

    Storing the same amendment again changes nothing. `srid`: of their geometry.

    Raises:
        DatabaseUnavailable, StoreError: nothing was stored.
    """
    with session(url) as connection:
        connection.execute(named("amendments")["lock"], {"jurisdiction": jurisdiction})
        return _store(connection, jurisdiction, amendments, srid)


def store_messages(url: str, jurisdiction: str, messages: Mapping[str, Amendment], srid: int = 4326) -> set[str]:
    """Store the amendments of messages, by message id; return the ids that are new.

    A message that was received before is ignored, so that a late repetition does not replace a newer status.
    """
    with session(url) as connection:
        connection.execute(named("amendments")["lock"], {"jurisdiction": jurisdiction})
        new = {name for (name,) in connection.execute(named("amendments")["receive"], {"ids": list(messages)})}
        _store(connection, jurisdiction, [each for name, each in messages.items() if name in new], srid)
        return new


def tiles_of(url: str, amendments: Sequence[Amendment], srid: int = 4326) -> list[tuple[str, ...]]:
    """For each amendment the tiles of the known parcels that it names or that its geometry intersects."""
    with session(url) as connection:
        return [_tiles(connection, each, srid) for each in amendments]


def _tiles(connection: Connection, amendment: Amendment, srid: int) -> tuple[str, ...]:
    parcels, ground = list(amendment.parcel_ids), amendment.geometry
    values = {"jurisdiction": amendment.jurisdiction, "parcel_ids": parcels, "ground": ground}
    return tuple(tile for (tile,) in connection.execute(named("amendments")["tiles"], {**values, "srid": srid}))


def match(connection: Connection, jurisdiction: str) -> int:
    """Match all amendments of a jurisdiction with its changes, and replace the stored matches; return their number."""
    query, values = named("amendments"), {"jurisdiction": jurisdiction}
    connection.execute(query["lock"], values)  # a release and an update of amendments may run at the same time
    known = _known(connection, jurisdiction, None)
    found = amendment_matching.match(known, dicts(connection, query["changes"], values)) if known else []
    connection.execute(query["delete_matches"], values)
    with connection.cursor() as cursor:
        cursor.executemany(query["insert_match"], [{**asdict(each), "reasons": list(each.reasons)} for each in found])
    return len(found)


def queue(url: str, name: str, jurisdiction: str | None) -> list[dict[str, Any]]:
    """A list for review: `unmapped` (adopted, not on the map), `unexplained` (on the map, no amendment), `matched`,
    `questions` (a person must answer)."""
    values = {"jurisdiction": jurisdiction, "least": amendment_matching.REVIEW_BELOW, "statuses": [*ADOPTED, *UNDONE]}
    with session(url) as connection:
        return dicts(connection, named("amendments")[name], values)


def _store(connection: Connection, jurisdiction: str, amendments: Sequence[Amendment], srid: int) -> dict[str, bool]:
    new = {}
    for each in amendments:
        name = amendment_matching.name_of(each)
        new[name] = _put(connection, name, amendment_matching.checked(each), srid)
    if any(new.values()):
        match(connection, jurisdiction)
    return new


def _put(connection: Connection, name: str, amendment: Amendment, srid: int) -> bool:
    before = _known(connection, amendment.jurisdiction, [name]).get(name)
    after = amendment_matching.checked(amendment_matching.merged(before, amendment))
    if after == before:
        return False
    if before:
        connection.execute(named("amendments")["insert_version"], {"id": name})
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in _plain(after).items()}
    json = {key: Jsonb(dict(values[key])) for key in ("dates", "evidence")}
    connection.execute(
        named("amendments")["put"],
        {**values, **json, "id": name, "effective": after.dates.get("effective"), "srid": srid},
    )
    return True


def _known(connection: Connection, jurisdiction: str, ids: list[str] | None) -> dict[str, Amendment]:
    rows = dicts(connection, named("amendments")["find"], {"jurisdiction": jurisdiction, "ids": ids})
    return {row["id"]: _amendment(row) for row in rows}


def _amendment(row: Mapping[str, Any]) -> Amendment:
    values: dict[str, Any] = {key: tuple(row[key]) if isinstance(row[key], list) else row[key] for key in _FIELDS}
    values["geometry"] = None if row["geometry"] is None else bytes(row["geometry"])
    values |= {key: values[key] or "" for key in ("place", "source", "source_hash")}
    return Amendment(**values)


def _plain(amendment: Amendment) -> dict[str, Any]:
    return {name: getattr(amendment, name) for name in _FIELDS}
