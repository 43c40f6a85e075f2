"""Amendments in PostGIS: told again and again, kept once, with what they were; and the queues that are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.model import ADOPTED, UNDONE, Amendment
from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.sessions import said
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.changes import amendment_matching

QUEUES = ("unmapped", "unexplained", "matched", "questions")
_FIELDS = tuple(each.name for each in fields(Amendment))


def tell(url: str, jurisdiction: str, told: Sequence[Amendment], srid: int = 4326) -> dict[str, bool]:
    """Store what was told of amendments, and match all of the jurisdiction's anew; id -> whether it said anything new.

    Telling the same again changes nothing.
    """
    with said(url), connect(url) as connection:
        connection.execute(named("amendments")["lock"], {"jurisdiction": jurisdiction})
        return _tell(connection, jurisdiction, told, srid)


def receive(url: str, jurisdiction: str, told: Mapping[str, Amendment], srid: int = 4326) -> set[str]:
    """The same of messages, by their ids; one that was received before tells nothing, so that a late repetition of what
    was filed does not undo what was adopted since. The ids that were new."""
    with said(url), connect(url) as connection:
        connection.execute(named("amendments")["lock"], {"jurisdiction": jurisdiction})
        new = {name for (name,) in connection.execute(named("amendments")["receive"], {"ids": list(told)})}
        _tell(connection, jurisdiction, [each for name, each in told.items() if name in new], srid)
        return new


def tiles_of(url: str, told: Sequence[Amendment], srid: int = 4326) -> list[tuple[str, ...]]:
    """For each, the tiles of the parcels that it names or whose ground it is about, as far as they are known."""
    with said(url), connect(url) as connection:
        return [_tiles(connection, each, srid) for each in told]


def _tiles(connection: Connection, told: Amendment, srid: int) -> tuple[str, ...]:
    values = {"jurisdiction": told.jurisdiction, "parcel_ids": list(told.parcel_ids), "ground": told.geometry}
    return tuple(tile for (tile,) in connection.execute(named("amendments")["tiles"], {**values, "srid": srid}))


def match(connection: Connection, jurisdiction: str) -> int:
    """Which changes are whose, from all that is known of both; how many."""
    query, values = named("amendments"), {"jurisdiction": jurisdiction}
    connection.execute(query["lock"], values)  # a release and a telling may come at once
    known = _known(connection, jurisdiction, None)
    found = amendment_matching.match(known, dicts(connection, query["changes"], values)) if known else []
    connection.execute(query["forget_matches"], values)
    with connection.cursor() as cursor:
        cursor.executemany(query["match"], [{**asdict(each), "reasons": list(each.reasons)} for each in found])
    return len(found)


def queue(url: str, name: str, jurisdiction: str | None) -> list[dict[str, Any]]:
    """What waits: `unmapped` (adopted, not on the map), `unexplained` (on the map, no ordinance), `matched`,
    `questions` (a person must say)."""
    values = {"jurisdiction": jurisdiction, "least": amendment_matching.REVIEW_BELOW, "statuses": [*ADOPTED, *UNDONE]}
    with said(url), connect(url) as connection:
        return dicts(connection, named("amendments")[name], values)


def _tell(connection: Connection, jurisdiction: str, told: Sequence[Amendment], srid: int) -> dict[str, bool]:
    new = {}
    for each in told:
        name = amendment_matching.name_of(each)
        new[name] = _put(connection, name, amendment_matching.checked(each), srid)
    if any(new.values()):
        match(connection, jurisdiction)
    return new


def _put(connection: Connection, name: str, told: Amendment, srid: int) -> bool:
    before = _known(connection, told.jurisdiction, [name]).get(name)
    after = amendment_matching.checked(amendment_matching.merged(before, told))
    if after == before:
        return False
    if before:
        connection.execute(named("amendments")["keep"], {"id": name})
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
