"""Subscriptions: add, list, remove, pause, and their dead letters. The process that delivers uses delivery_records.py.

A list never contains a secret: `target` has no user, password or query.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from zoning_assets.errors import NothingFound, SettingInvalid
from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.records import audit_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

WEBHOOK, EMAIL, ATOM, DELTA, POSTGIS = SINKS = ("webhook", "email", "atom", "delta", "postgis")
#: At most so many dead letters are listed or replayed at once.
MOST_LETTERS = 10_000


@dataclass(frozen=True)
class SubscriptionDraft:
    """What a person asks for. None in the filter: not restricted."""

    name: str
    sink: str  # one of SINKS
    target: str  # with secrets
    shown_target: str  # without secrets
    signing_key: str | None = None
    consumer_table: str | None = None
    allowed_networks: Sequence[str] = ()  # CIDR
    daily: bool = False
    jurisdiction: str | None = None
    area: str | None = None  # GeoJSON geometry, EPSG:4326
    kinds: Sequence[str] | None = None
    code_pattern: str | None = None  # a pattern of LIKE
    min_area_m2: float | None = None
    parcels: Sequence[str] = ()
    from_start: bool = False


@dataclass(frozen=True)
class Subscription:
    """A subscription, without its secrets."""

    id: int
    key: str  # UUID
    name: str
    sink: str
    target: str
    consumer_table: str | None
    allowed_networks: Sequence[str]
    daily: bool
    jurisdiction: str | None
    area: str | None
    kinds: Sequence[str] | None
    code_pattern: str | None
    min_area_m2: float | None
    follows: bool
    position: int
    sending_to: int | None
    attempts: int
    not_before: datetime | None
    error: str | None
    paused: bool
    delivered: int
    last_delivered: datetime | None
    created: datetime
    actor: str
    parcels: int  # followed parcels
    behind: int  # entries of the log that it has not read
    dead: int  # dead letters


def add(url: str, draft: SubscriptionDraft, actor: str) -> Subscription:
    """Add a subscription. It gets what is committed from now on, or (from_start) everything in the log.

    Raises:
        SettingInvalid: a subscription with this name exists, or another one writes its feeds there.
        StoreError: the area is not a geometry.
    """
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        sequence(connection)
        values = {**asdict(draft), "allowed_networks": list(draft.allowed_networks), "follows": bool(draft.parcels)}
        values |= {"actor": actor, "kinds": None if draft.kinds is None else list(draft.kinds)}
        other = connection.execute(named("subscriptions")["same_feeds"], values).fetchone()
        if draft.sink == ATOM and other:
            what = f"the subscription {other[0]} writes its feeds there, under the same names"
            raise SettingInvalid(what, where=draft.shown_target, do="choose another folder")
        row = connection.execute(named("subscriptions")["insert"], values).fetchone()
        if row is None:
            do = "choose another name, or `zoning subscribe remove` it"
            raise SettingInvalid("a subscription with this name exists", where=draft.name, do=do)
        values |= {"subscription": row[0], "position": row[1], "parcels": list(draft.parcels)}
        connection.execute(named("subscriptions")["insert_secret"], values)
        connection.execute(named("subscriptions")["insert_parcels"], values)
        subject = {"name": draft.name, "sink": draft.sink, "target": draft.shown_target}
        audit_records.append(connection, actor, "subscribe", subject, "")
        return _listed(connection, draft.name)[0]


def sequence(connection: Connection) -> None:
    """Give positions to the committed rows of the log; the lock is held until the transaction ends."""
    connection.execute(named("change_log")["lock_order"])
    connection.execute(named("change_log")["sequence"])


def subscriptions(url: str) -> list[Subscription]:
    """All subscriptions, by name."""
    with session(url) as connection:
        return _listed(connection, None)


def find(url: str, name: str) -> Subscription:
    """The subscription with this name.

    Raises:
        NothingFound: there is none.
    """
    with session(url) as connection:
        return _found(connection, name)


def remove(url: str, name: str, actor: str) -> None:
    """Delete a subscription with its secrets and dead letters; the audit keeps who did it.

    Raises:
        NothingFound: there is none with this name.
    """
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        found = _found(connection, name)
        connection.execute(named("subscriptions")["remove"], {"name": name})
        connection.execute(named("subscriptions")["delete_letters"], {"key": found.key})
        audit_records.append(connection, actor, "unsubscribe", {"name": name, "target": found.target}, "")


def pause(url: str, name: str, actor: str, *, paused: bool) -> None:
    """Pause a subscription, or resume it; nothing is lost meanwhile.

    Raises:
        NothingFound: there is none with this name.
    """
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        _found(connection, name)
        connection.execute(named("subscriptions")["pause"], {"name": name, "paused": paused})
        action = "pause subscription" if paused else "resume subscription"
        audit_records.append(connection, actor, action, {"name": name}, "")


def dead_letters(url: str, name: str, limit: int = MOST_LETTERS) -> list[dict[str, Any]]:
    """The dead letters of a subscription: `number, id, body, sent, tries, why`, in the order of delivery."""
    with session(url) as connection:
        key = _found(connection, name).key
        return dicts(connection, named("subscriptions")["dead_letters"], {"key": key, "limit": limit})


def replay(url: str, name: str, limit: int = MOST_LETTERS) -> list[str]:
    """Put dead letters of a subscription back into its queue; return their ids."""
    with session(url) as connection:
        key = _found(connection, name).key
        rows = connection.execute(named("subscriptions")["replay"], {"key": key, "limit": limit})
        return [id_ for (id_,) in rows]


def _found(connection: Connection, name: str) -> Subscription:
    if not (found := _listed(connection, name)):
        raise NothingFound("there is no such subscription", where=repr(name), do="look at `zoning subscribe list`")
    return found[0]


def _listed(connection: Connection, name: str | None) -> list[Subscription]:
    return [Subscription(**row) for row in dicts(connection, named("subscriptions")["list"], {"name": name})]
