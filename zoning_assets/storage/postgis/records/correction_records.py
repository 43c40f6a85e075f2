"""Rejected rows, and what a person decided about them.

A decision is stored with the id of the row, a hash of the raw row. It applies to each harvest that contains exactly the
same row, and to no other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.model import Place
from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.publish import Edition, Rejection
from zoning_assets.storage.postgis.records import audit_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.row_corrections import Fix

FIX, KNOWN = "fix", "known"
OPEN = "open"


@dataclass(frozen=True)
class Rejected:
    """A row that is rejected now."""

    row_id: str
    jurisdiction: str
    feed: str
    tile: str | None
    reason: str

    @property
    def place(self) -> Place:
        """The place of the rejection."""
        return Place(self.jurisdiction, self.tile)


@dataclass(frozen=True)
class RowDecision:
    """What a person decided about a row: a fix, and the key of the row with it; `fix` None: the row is known."""

    row: Rejected
    fix: Fix | None
    key: str | None = None


def fixes_of(url: str, jurisdiction: str, feed: str, raws: Sequence[str]) -> dict[int, tuple[Fix, str | None]]:
    """The fixes of raw rows (JSON): index of the row -> the fix, and the key of the row with it.

    Rows that occur several times are not fixed, because it is unknown which one was meant.
    """
    if not raws:
        return {}
    values = {"jurisdiction": jurisdiction, "feed": feed, "action": FIX}
    with session(url) as connection:
        if connection.execute(named("corrections")["has_active"], values).fetchone() == (False,):
            return {}
        ids = _row_ids(connection, values, raws)
        rows = dicts(connection, named("corrections")["active_fixes"], {**values, "ids": list(set(ids))})
    once = {row_id for row_id, count in Counter(ids).items() if count == 1}
    found = {row["row_id"]: (Fix(row["row_id"], row["columns"], row["shape"]), row["key"]) for row in rows}
    return {number: found[row_id] for number, row_id in enumerate(ids) if row_id in found and row_id in once}


def row_ids(url: str, jurisdiction: str, feed: str, raws: Sequence[str]) -> list[str]:
    """The ids of raw rows (JSON), in the order of the input."""
    with session(url) as connection:
        return _row_ids(connection, {"jurisdiction": jurisdiction, "feed": feed}, raws)


def count_known(url: str, jurisdiction: str, feed: str, raws: Sequence[str]) -> int:
    """How many of these raw rows (JSON) a person marked as known."""
    values = {"jurisdiction": jurisdiction, "feed": feed}
    with session(url) as connection:
        ids = _row_ids(connection, values, raws)
        rows = connection.execute(named("corrections")["known_rows"], {**values, "ids": list(set(ids))})
        found = {row_id for (row_id,) in rows}
    return sum(each in found for each in ids)


def _row_ids(connection: Connection, values: Mapping[str, Any], raws: Sequence[str]) -> list[str]:
    rows = connection.execute(named("corrections")["row_ids"], {**values, "raws": list(raws)})
    return [row_id for (row_id,) in rows]


def store_unpublished(url: str, edition: Edition, rejections: Iterable[Rejection]) -> None:
    """Store the rejections of a harvest that is not published because it has too many; a person reviews them."""
    rows = [(each.reason, each.detail, content_hash.dumps(each.raw)) for each in rejections]
    names = zip(("reasons", "details", "raws"), map(list, zip(*rows, strict=True)), strict=True)
    with session(url) as connection:
        connection.execute(named("publish")["lock"], edition.values)
        connection.execute(named("corrections")["store_unpublished"], {**edition.values, **dict(names)})


def rejected(url: str, ids: Sequence[str] = (), **which: str | None) -> list[Rejected]:
    """Current rejections: those with these ids, or those of a jurisdiction, reason, feed and tile."""
    unset = {"jurisdiction": None, "reason": None, "feed": None, "tile": None}
    with session(url) as connection:
        rows = connection.execute(named("corrections")["rejected"], {**unset, **which, "ids": list(ids)}).fetchall()
    return [Rejected(*row) for row in rows]


def keys_in_use(url: str, jurisdiction: str, feed: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that published rows have."""
    values = {"jurisdiction": jurisdiction, "feed": feed, "keys": list(keys)}
    with session(url) as connection:
        return {key for (key,) in connection.execute(named("corrections")["keys_in_use"], values)}


def store(url: str, decisions: Sequence[RowDecision], actor: str, reason: str) -> list[RowDecision]:
    """Store decisions in one transaction, as one row of the audit.

    Returns:
        The decisions that were not stored: the row has one already, or another fix gives the same key.
    """
    stored: list[RowDecision] = []
    refused: list[RowDecision] = []
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        for each in decisions:
            done = connection.execute(named("corrections")["insert_fix"], _values(each, actor, reason)).fetchone()
            (stored if done else refused).append(each)
        if stored:
            known_ids = [each.row.row_id for each in stored if each.fix is None]
            connection.execute(named("corrections")["set_rejection_state"], {"ids": known_ids, "state": KNOWN})
            audit_records.append(connection, actor, "fix", {"rows": [_audited(each) for each in stored]}, reason)
    return refused


def _values(decision: RowDecision, actor: str, reason: str) -> dict[str, Any]:
    row, fix = decision.row, decision.fix
    about = {name: getattr(row, name) for name in ("row_id", "jurisdiction", "feed", "tile")}
    what = {
        "action": FIX if fix else KNOWN,
        "columns": Jsonb(dict(fix.columns) if fix else {}),
        "shape": fix.shape if fix else None,
        "key": decision.key,
    }
    return {**about, **what, "reason": reason, "actor": actor}


def _audited(decision: RowDecision) -> dict[str, Any]:
    row, fix = decision.row, decision.fix
    what = {"columns": dict(fix.columns), "shape": fix.shape is not None} if fix else {KNOWN: True}
    return {"id": row.row_id, "jurisdiction": row.jurisdiction, "feed": row.feed, **what}


def withdraw(url: str, ids: Sequence[str], actor: str, reason: str) -> list[dict[str, Any]]:
    """End the decisions about rows; return those that ended."""
    return _end(url, actor, reason, ids=list(ids))


def end_fix_of_key(url: str, jurisdiction: str, feed: str, key: str) -> bool:
    """End the fix that gives a key which another row of the portal has now; return whether there was one."""
    why = f"the portal has another row with the key {key!r}"
    return bool(_end(url, "zoning", why, jurisdiction=jurisdiction, feed=feed, key=key))


def _end(url: str, actor: str, why: str, **which: Any) -> list[dict[str, Any]]:
    values = {"ids": [], "jurisdiction": None, "feed": None, "key": None, **which, "actor": actor, "why": why}
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        ended = dicts(connection, named("corrections")["end"], values)
        if ended:
            known_ids = [each["row_id"] for each in ended if each["action"] == KNOWN]
            connection.execute(named("corrections")["set_rejection_state"], {"ids": known_ids, "state": OPEN})
            audit_records.append(connection, actor, "withdraw", {"rows": [each["row_id"] for each in ended]}, why)
    return ended


def groups(url: str, samples: int, *, states: Sequence[str], **which: str | None) -> list[dict[str, Any]]:
    """Rejections counted by jurisdiction, feed, reason and state, each group with some samples.

    `which`: jurisdiction, feed, reason, tile; None: any.
    """
    query = named("corrections")
    with session(url) as connection:
        found = dicts(connection, query["groups"], {**which, "states": list(states)})
        return [
            {**group, "samples": dicts(connection, query["samples"], {**which, **group, "limit": samples})}
            for group in found
        ]


def active(url: str, jurisdiction: str | None) -> list[dict[str, Any]]:
    """The active decisions, and whether each still applies."""
    with session(url) as connection:
        return dicts(connection, named("corrections")["active"], {"jurisdiction": jurisdiction})
