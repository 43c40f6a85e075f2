"""Releases and changes in PostGIS, the history of a parcel, and watched parcels."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import shapely
from psycopg.types.json import Jsonb

from zoning_assets.errors import NothingFound
from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.records import amendment_records, audit_records, hold_records
from zoning_assets.storage.postgis.records.change_feed_queries import FIRST_PAGE
from zoning_assets.storage.postgis.records.snapshots import Snapshots, Span
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.changes.change_event import records

MAX_CHANGES = 100_000
#: Parameters of the query `changes` that `find` does not use.
_NO_LIMITS = {**FIRST_PAGE, "until": None, "min_area": None}


@dataclass(frozen=True)
class Release:
    """What was published between batches, compared at once."""

    span: Span
    rules: str
    drift_m: float
    moved: float
    tolerance_m: float
    alarms: tuple[str, ...]
    refused: int | None  # the batch of the refused map
    counts: Mapping[str, int]


@contextmanager
def opened(url: str, jurisdiction: str) -> Iterator[Snapshots]:
    """Open a transaction in which only this process compares the jurisdiction; committed when the block ends without an
    error.

    Raises:
        Held: the jurisdiction is paused; nothing was written.
        DatabaseUnavailable, StoreError: nothing was written.
    """
    with session(url) as connection:
        connection.execute(named("changes")["lock"], {"jurisdiction": jurisdiction})
        yield Snapshots(connection, jurisdiction)
        hold_records.check(connection, jurisdiction, ())


def add(snapshots: Snapshots, release: Release, changes: pd.DataFrame, srid: int) -> int:
    """Store a release and its changes; return the number of new changes.

    `changes`: the columns change_event.COLUMNS, `geometry` in the target CRS with this SRID.
    """
    connection, query = snapshots.connection, named("changes")
    values_ = {**asdict(release), **asdict(release.span), "jurisdiction": snapshots.jurisdiction}
    row = connection.execute(
        query["insert_release"], {**values_, "alarms": list(release.alarms), "counts": Jsonb(dict(release.counts))}
    ).fetchone() or (0, None)
    values = [
        {
            **{name: change[name] for name in _PLAIN},  # objects: None stays None
            "jurisdiction": snapshots.jurisdiction,
            "detected": row[1],
            "evidence": Jsonb({"rules": release.rules, "batches": asdict(release.span), **change["evidence"]}),
            "geom": None if change["geometry"] is None else shapely.to_wkb(change["geometry"]),
            "srid": srid,
            "release": row[0],
        }
        for change in sorted(records(changes), key=_is_zoning)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(query["insert_change"], values)
        new = cursor.rowcount
    connection.execute(query["watch_children"], {"release": row[0]})
    amendment_records.match(connection, snapshots.jurisdiction)
    return max(new, 0)


def _is_zoning(change: Mapping[str, Any]) -> bool:
    """Sorts changes of parcels first: subscriptions follow a split before they read the changes of its children."""
    return bool(change["facet"] != "parcel")


def accept(url: str, jurisdiction: str, actor: str, reason: str) -> list[str]:
    """A person accepts the refused map: its changes are stored when it is compared next.

    Returns:
        The alarms of the map; empty: no map is refused.
    """
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        row = connection.execute(named("changes")["accept"], {"jurisdiction": jurisdiction, "actor": actor}).fetchone()
        if row is None:
            return []
        audit_records.append(connection, actor, "accept", {"jurisdiction": jurisdiction, "alarms": row[0]}, reason)
        return list(row[0])


def with_history(snapshots: Snapshots, changes: pd.DataFrame) -> pd.DataFrame:
    """Compare changes with earlier ones.

    Zoning that returns to an earlier code is `reverted`, and `reinstated` when that is undone.
    A change that happens again, or in another jurisdiction, gets another id.
    """
    query, rows = named("changes"), records(changes)
    for row in rows:
        row["id"] = _name(f"{snapshots.jurisdiction}/{row['id']}")
    parcels = sorted({row["parcel_ids"][0] for row in rows if row["kind"] == "rezoned"})
    values = {"jurisdiction": snapshots.jurisdiction, "parcels": parcels}
    found = snapshots.connection.execute(query["last_zoning_change"], values)
    before = {parcel: rest for parcel, *rest in found}
    often: dict[str, int] = dict(
        snapshots.connection.execute(query["existing"], {"ids": [row["id"] for row in rows]}).fetchall()
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
    limit: int = MAX_CHANGES,
) -> list[dict[str, Any]]:
    """The change feed, newest first. `since`: ISO 8601; `id_`: the beginning of an id; `limit`: at most so many."""
    narrowed = {"jurisdiction": jurisdiction, "since": since, "kind": kind, "parcel": parcel, "id": id_, "state": state}
    with session(url) as connection:
        return dicts(connection, named("changes")["changes"], {**narrowed, **_NO_LIMITS, "limit": limit})


def find_one(url: str, id_: str) -> dict[str, Any]:
    """The change whose id starts with `id_` (letters and digits only).

    Raises:
        NothingFound: there is none, or there are several.
    """
    found = find(url, id_=id_, limit=2)
    if len(found) != 1:
        what = "several ids of changes start with this" if found else "no id of a change starts with this"
        raise NothingFound(what, where=repr(id_), do="use a complete id from `zoning changes --json`")
    return found[0]


def parcel_history(url: str, jurisdiction: str, parcel: str) -> dict[str, list[dict[str, Any]]]:
    """All states of a parcel: its rows (`parcel`) and its zoning (`zoning`), oldest first."""
    values = {"jurisdiction": jurisdiction, "parcel": parcel}
    with session(url) as connection:
        return {
            "parcel": dicts(connection, named("changes")["parcel_history"], values),
            "zoning": dicts(connection, named("changes")["zoning_history"], values),
        }


def parcel_life(url: str, jurisdiction: str, parcel: str, day: str | None) -> dict[str, list[dict[str, Any]]]:
    """Everything about a parcel: its states, its changes, and its zoning on a legal day (`zoning_as_of`; None: now,
    `zoning_now`).

    Raises:
        NothingFound: no parcel has or had this id.
    """
    found = parcel_history(url, jurisdiction, parcel)
    found["changes"] = find(url, jurisdiction=jurisdiction, parcel=parcel)
    found["zoning_now" if day is None else "zoning_as_of"] = zoning_as_of(url, jurisdiction, parcel, day, None)
    if not found["parcel"] and not found["changes"]:
        raise NothingFound(
            "no parcel has or had this id",
            where=f"{jurisdiction} {parcel!r}",
            do="check its spelling in the table zoning.parcel",
        )
    return found


def zoning_as_of(
    url: str, jurisdiction: str, parcel: str, legal: str | None, system: str | None
) -> list[dict[str, Any]]:
    """The zoning of a parcel on a legal day (None: any), as known at a time (None: now)."""
    values = {"jurisdiction": jurisdiction, "parcel": parcel, "legal": legal, "system": system}
    with session(url) as connection:
        return dicts(connection, named("changes")["zoning_as_of"], values)


def ever_published(url: str, jurisdiction: str, parcels: Sequence[str]) -> set[str]:
    """Those of these parcel ids that are published or were."""
    with session(url) as connection:
        values = {"jurisdiction": jurisdiction, "parcels": list(parcels)}
        return {row["parcel_id"] for row in dicts(connection, named("changes")["ever_published"], values)}


def watch(url: str, jurisdiction: str, parcels: Sequence[str]) -> list[dict[str, Any]]:
    """Watch parcels, and the parcels that they become; return all watched parcels with the number of their changes."""
    with session(url) as connection:
        connection.execute(named("changes")["watch_these"], {"jurisdiction": jurisdiction, "parcels": list(parcels)})
        return dicts(connection, named("changes")["watched"], {"jurisdiction": jurisdiction})
