"""Rows that were held back, and what a person said of them.

A word is kept by the row's id, a hash of the row as the portal gave it: it applies at each harvest in which the portal
sends the very same row, and at no other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from zoning_assets.model import Place
from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.publish import Edition, Rejection
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.row_corrections import Fix

FIX, KNOWN = "fix", "known"
OPEN = "open"


@dataclass(frozen=True)
class Rejected:
    """A row that is held back today."""

    row_id: str
    jurisdiction: str
    feed: str
    tile: str | None
    reason: str

    @property
    def place(self) -> Place:
        """Where it is held back."""
        return Place(self.jurisdiction, self.tile)


@dataclass(frozen=True)
class Word:
    """What a person said of a row: a fix and the key that the row has with it, or (None) that it is known."""

    row: Rejected
    fix: Fix | None
    key: str | None = None


def mends(url: str, jurisdiction: str, feed: str, raws: Sequence[str]) -> dict[int, tuple[Fix, str | None]]:
    """The fixes of raw rows (JSON) by their index, each with the key it gives. Of rows that are the very same none is
    fixed: nobody could say which was meant."""
    if not raws:
        return {}
    values = {"jurisdiction": jurisdiction, "feed": feed, "action": FIX}
    with said(url), session(url) as connection:
        if connection.execute(named("fixes")["live"], values).fetchone() == (False,):
            return {}
        ids = _identified(connection, values, raws)
        rows = dicts(connection, named("fixes")["mends"], {**values, "ids": list(set(ids))})
    once = {row_id for row_id, count in Counter(ids).items() if count == 1}
    found = {row["row_id"]: (Fix(row["row_id"], row["columns"], row["shape"]), row["key"]) for row in rows}
    return {number: found[row_id] for number, row_id in enumerate(ids) if row_id in found and row_id in once}


def identify(url: str, jurisdiction: str, feed: str, raws: Sequence[str]) -> list[str]:
    """The ids of raw rows (JSON), in their order."""
    with said(url), session(url) as connection:
        return _identified(connection, {"jurisdiction": jurisdiction, "feed": feed}, raws)


def known(url: str, jurisdiction: str, feed: str, raws: Sequence[str]) -> int:
    """How many of these raw rows a person knows."""
    values = {"jurisdiction": jurisdiction, "feed": feed}
    with said(url), session(url) as connection:
        ids = _identified(connection, values, raws)
        found = {row_id for (row_id,) in connection.execute(named("fixes")["known"], {**values, "ids": list(set(ids))})}
    return sum(each in found for each in ids)


def _identified(connection: Connection, values: Mapping[str, Any], raws: Sequence[str]) -> list[str]:
    rows = connection.execute(named("fixes")["identified"], {**values, "raws": list(raws)})
    return [row_id for (row_id,) in rows]


def hold_back(url: str, edition: Edition, rejections: Iterable[Rejection]) -> None:
    """Keep the rejections of a harvest that is not published for their number, so that a person can judge them."""
    rows = [(each.reason, each.detail, content_hash.dumps(each.raw)) for each in rejections]
    names = zip(("reasons", "details", "raws"), map(list, zip(*rows, strict=True)), strict=True)
    with said(url), session(url) as connection:
        connection.execute(named("publish")["lock"], edition.values)
        connection.execute(named("fixes")["hold_back"], {**edition.values, **dict(names)})


def rejected(url: str, ids: Sequence[str] = (), **which: str | None) -> list[Rejected]:
    """The rows held back today that are meant: by their ids, or by jurisdiction, reason, feed and tile."""
    nothing = {"jurisdiction": None, "reason": None, "feed": None, "tile": None}
    with connect(url) as connection:
        rows = connection.execute(named("fixes")["rejected"], {**nothing, **which, "ids": list(ids)}).fetchall()
    return [Rejected(*row) for row in rows]


def keys_in_use(url: str, jurisdiction: str, feed: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that published rows have."""
    values = {"jurisdiction": jurisdiction, "feed": feed, "keys": list(keys)}
    with connect(url) as connection:
        return {key for (key,) in connection.execute(named("fixes")["in_use"], values)}


def put(url: str, words: Sequence[Word], actor: str, reason: str) -> list[Word]:
    """Keep what a person said of rows, in one transaction and one action of the audit.

    Returns:
        Those that were not kept: something is said of the row already, or another fix gives its key.
    """
    kept: list[Word] = []
    late: list[Word] = []
    with said(url), connect(url) as connection:
        connection.execute(named("holds")["lock"])
        for word in words:
            done = connection.execute(named("fixes")["fix"], _values(word, actor, reason)).fetchone()
            (kept if done else late).append(word)
        if kept:
            known_ids = [word.row.row_id for word in kept if word.fix is None]
            connection.execute(named("fixes")["mark"], {"ids": known_ids, "state": KNOWN})
            hold_records.note(connection, actor, "fix", {"rows": [_told(word) for word in kept]}, reason)
    return late


def _values(word: Word, actor: str, reason: str) -> dict[str, Any]:
    row, fix = word.row, word.fix
    about = {name: getattr(row, name) for name in ("row_id", "jurisdiction", "feed", "tile")}
    what = {
        "action": FIX if fix else KNOWN,
        "columns": Jsonb(dict(fix.columns) if fix else {}),
        "shape": fix.shape if fix else None,
        "key": word.key,
    }
    return {**about, **what, "reason": reason, "actor": actor}


def _told(word: Word) -> dict[str, Any]:
    fix = word.fix
    what = {"columns": dict(fix.columns), "shape": fix.shape is not None} if fix else {KNOWN: True}
    return {"id": word.row.row_id, "jurisdiction": word.row.jurisdiction, "feed": word.row.feed, **what}


def withdraw(url: str, ids: Sequence[str], actor: str, reason: str) -> list[dict[str, Any]]:
    """End what was said of rows; what ended."""
    return _end(url, actor, reason, ids=list(ids))


def end_of_key(url: str, jurisdiction: str, feed: str, key: str) -> bool:
    """End the fix that gives a key which the portal gives to another row now; whether there was one."""
    why = f"the portal has another row of the key {key!r}"
    return bool(_end(url, "zoning", why, jurisdiction=jurisdiction, feed=feed, key=key))


def _end(url: str, actor: str, why: str, **which: Any) -> list[dict[str, Any]]:
    values = {"ids": [], "jurisdiction": None, "feed": None, "key": None, **which, "actor": actor, "why": why}
    with said(url), connect(url) as connection:
        connection.execute(named("holds")["lock"])
        ended = dicts(connection, named("fixes")["end"], values)
        if ended:
            known_ids = [each["row_id"] for each in ended if each["action"] == KNOWN]
            connection.execute(named("fixes")["mark"], {"ids": known_ids, "state": OPEN})
            hold_records.note(connection, actor, "withdraw", {"rows": [each["row_id"] for each in ended]}, why)
    return ended


def groups(url: str, samples: int, *, states: Sequence[str], **which: str | None) -> list[dict[str, Any]]:
    """The rows held back, counted by jurisdiction, feed, reason and state, each with some samples.

    `which`: jurisdiction, feed, reason, tile; None: any.
    """
    query = named("fixes")
    with connect(url) as connection:
        found = dicts(connection, query["groups"], {**which, "states": list(states)})
        return [
            {**group, "samples": dicts(connection, query["samples"], {**which, **group, "limit": samples})}
            for group in found
        ]


def in_force(url: str, jurisdiction: str | None) -> list[dict[str, Any]]:
    """What was said of rows, and whether it still applies."""
    with connect(url) as connection:
        return dicts(connection, named("fixes")["fixes"], {"jurisdiction": jurisdiction})
