"""Releases and changes in PostGIS: written once, read by the change feed and a parcel's life."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import shapely
from psycopg.types.json import Jsonb

from zoning_assets.storage.postgis.database import connect, dicts
from zoning_assets.storage.postgis.records import amendment_records, hold_records
from zoning_assets.storage.postgis.records.snapshots import Span, States
from zoning_assets.storage.postgis.sessions import said
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.changes.change_event import records

MOST = 100_000


@dataclass(frozen=True)
class Release:
    """What was published between batches, judged as one."""

    span: Span
    rules: str
    drift_m: float
    moved: float
    tolerance_m: float
    alarms: tuple[str, ...]
    refused: int | None  # the batch of the map that is not believed
    counts: Mapping[str, int]


@contextmanager
def opened(url: str, jurisdiction: str) -> Iterator[States]:
    """A jurisdiction's states, with nobody else judging it until the block ends.

    Raises:
        DatabaseUnavailable, StoreError: nothing was written.
    """
    with said(url), connect(url) as connection:
        connection.execute(named("changes")["lock"], {"jurisdiction": jurisdiction})
        yield States(connection, jurisdiction)
        hold_records.check(connection, jurisdiction, ())


def add(states: States, release: Release, changes: pd.DataFrame, srid: int) -> int:
    """Note a release and its changes (COLUMNS of zoning_changes, `geometry` in the target CRS); how many are new."""
    connection, query = states.connection, named("changes")
    said_ = {**asdict(release), **asdict(release.span), "jurisdiction": states.jurisdiction}
    row = connection.execute(
        query["release"], {**said_, "alarms": list(release.alarms), "counts": Jsonb(dict(release.counts))}
    ).fetchone() or (0, None)
    values = [
        {
            **{name: change[name] for name in _PLAIN},  # objects: None stays None
            "jurisdiction": states.jurisdiction,
            "detected": row[1],
            "evidence": Jsonb({"rules": release.rules, "batches": asdict(release.span), **change["evidence"]}),
            "geom": None if change["geometry"] is None else shapely.to_wkb(change["geometry"]),
            "srid": srid,
            "release": row[0],
        }
        for change in records(changes)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(query["add"], values)
        new = cursor.rowcount
    connection.execute(query["watch"], {"release": row[0]})
    amendment_records.match(connection, states.jurisdiction)
    return max(new, 0)


def accept(url: str, jurisdiction: str, actor: str, reason: str) -> list[str]:
    """A person says that the map that was not believed is right: the next time its changes are told. Its alarms; none:
    nothing waits."""
    with said(url), connect(url) as connection:
        connection.execute(named("holds")["lock"])
        row = connection.execute(named("changes")["accept"], {"jurisdiction": jurisdiction, "actor": actor}).fetchone()
        if row is None:
            return []
        hold_records.note(connection, actor, "accept", {"jurisdiction": jurisdiction, "alarms": row[0]}, reason)
        return list(row[0])


def with_history(states: States, changes: pd.DataFrame) -> pd.DataFrame:
    """Changes in the light of earlier ones: zoning that goes back is `reverted`, and forth again `reinstated`; what
    happens once more, or in another jurisdiction, has an id of its own."""
    query, rows = named("changes"), records(changes)
    for row in rows:
        row["id"] = _name(f"{states.jurisdiction}/{row['id']}")
    parcels = sorted({row["parcel_ids"][0] for row in rows if row["kind"] == "rezoned"})
    found = states.connection.execute(query["before"], {"jurisdiction": states.jurisdiction, "parcels": parcels})
    before = {parcel: rest for parcel, *rest in found}
    often: dict[str, int] = dict(
        states.connection.execute(query["existing"], {"ids": [row["id"] for row in rows]}).fetchall()
    )
    for row in rows:
        last = before.get(row["parcel_ids"][0]) if row["kind"] == "rezoned" and row["state"] == "event" else None
        if last and (last[2], last[3]) == (row["new"], row["old"]):
            row["kind"] = "reinstated" if last[1] == "reverted" else "reverted"
            row["evidence"] = {**row["evidence"], "undoes": last[0]}
        if row["id"] in often:
            row["evidence"] = {**row["evidence"], "again": row["id"]}
            row["id"] = _name(f"{row['id']}/{often[row['id']]}")
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in changes.columns})


def _name(of: str) -> str:
    return hashlib.blake2b(of.encode(), digest_size=12).hexdigest()


_PLAIN = (
    "id", "kind", "state", "facet", "parcel_ids", "old", "new", "area_m2", "share", "confidence", "effective",
)  # fmt: skip


def find(  # noqa: PLR0913 - each is one way to narrow the feed
    url: str,
    *,
    jurisdiction: str | None = None,
    since: str | None = None,
    kind: str | None = None,
    parcel: str | None = None,
    id_: str | None = None,
    state: str | None = None,
    limit: int = MOST,
) -> list[dict[str, Any]]:
    """The change feed, newest first; `since` ISO 8601, `id_` the beginning of an id."""
    narrowed = {"jurisdiction": jurisdiction, "since": since, "kind": kind, "parcel": parcel, "id": id_, "state": state}
    with said(url), connect(url) as connection:
        return dicts(connection, named("changes")["changes"], {**narrowed, "min_area": None, "limit": limit})


def life(url: str, jurisdiction: str, parcel: str) -> dict[str, list[dict[str, Any]]]:
    """What a parcel was and is: `parcel` and `zoning`, oldest first."""
    values = {"jurisdiction": jurisdiction, "parcel": parcel}
    with said(url), connect(url) as connection:
        return {
            "parcel": dicts(connection, named("changes")["life"], values),
            "zoning": dicts(connection, named("changes")["zoning_life"], values),
        }


def zoning_as_of(
    url: str, jurisdiction: str, parcel: str, legal: str | None, system: str | None
) -> list[dict[str, Any]]:
    """What applied to a parcel on a day (None: whenever), as known at a moment (None: now)."""
    values = {"jurisdiction": jurisdiction, "parcel": parcel, "legal": legal, "system": system}
    with said(url), connect(url) as connection:
        return dicts(connection, named("changes")["zoning_as_of"], values)


def watch(url: str, jurisdiction: str, parcels: Sequence[str]) -> list[dict[str, Any]]:
    """Watch parcels, and what they become from now on; all that is watched there, and how often it changed."""
    with said(url), connect(url) as connection:
        connection.execute(named("changes")["watch_these"], {"jurisdiction": jurisdiction, "parcels": list(parcels)})
        return dicts(connection, named("changes")["watched"], {"jurisdiction": jurisdiction})
