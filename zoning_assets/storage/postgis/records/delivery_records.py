"""What the process that delivers to one subscription reads and writes: the cursor, the events, the dead letters.

The cursor moves in the order of zoning.change_log.position, which follows the order of commits: see change_log.sql.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import orjson

from zoning_assets.storage.postgis.database import Connection, dicts, open_connection
from zoning_assets.storage.postgis.records import subscription_records
from zoning_assets.storage.postgis.records.subscription_records import Subscription
from zoning_assets.storage.postgis.sessions import translated_errors
from zoning_assets.storage.postgis.sql_queries import named

#: The newest entries of the log among which the recent events are looked for.
_RECENT = 50_000
_DEAD = "deliveries.dead"


@dataclass(frozen=True)
class SubscriptionEvent:
    """One event for a consumer: a change was found, retracted or restored."""

    position: int
    number: int
    action: str  # added, changed, retired, retracted, restored
    at: datetime
    change_id: str
    jurisdiction: str
    kind: str
    facet: str
    parcel_ids: Sequence[str]
    old: str | None
    new: str | None
    area_m2: float | None
    share: float | None
    confidence: float
    effective: date | None
    detected: datetime
    ordinances: Sequence[str] = ()
    wkb: bytes | None = field(default=None, repr=False)  # the changed area, EPSG:4326, longitude first
    bbox: Sequence[float] | None = None  # west, south, east, north; degrees

    @property
    def id(self) -> str:
        """Stable id: the same in each attempt, for each subscription, and unique in all databases."""
        return f"{self.change_id}-{self.number}"

    @property
    def order_keys(self) -> frozenset[str]:
        """Events that share one of these must be delivered in order."""
        return frozenset({f"change {self.change_id}", *(f"{self.jurisdiction}/{each}" for each in self.parcel_ids)})


@dataclass(frozen=True)
class DeliveryState:
    """How far a subscription is, and its secrets."""

    position: int
    sending_to: int | None
    attempts: int
    paused: bool
    daily: bool
    wait_s: float  # until the next attempt
    is_done_today: bool | None
    target: str = field(repr=False)
    signing_key: str | None = field(repr=False)


@dataclass(frozen=True)
class DeliveryWindow:
    """A part of the log: the events in it that the subscription asks for, and its last position."""

    events: Sequence[SubscriptionEvent]
    after: int
    to: int


@dataclass(frozen=True)
class Letter:
    """A message of the queue `deliveries`: an event that waits behind a failure."""

    number: int
    is_dead: bool
    tries: int
    position: int
    order_keys: frozenset[str]


@dataclass(frozen=True)
class DeliverySession:
    """The exclusive right to deliver to a subscription."""

    connection: Connection
    subscription: Subscription

    def state(self) -> DeliveryState | None:
        """The state; None: the subscription was removed."""
        rows = self._dicts("state")
        return DeliveryState(**rows[0]) if rows else None

    def window(self, most: int) -> DeliveryWindow | None:
        """The next part of the log, at most so many entries. It stays the same until `advance` reaches its end. None:
        there is none."""
        with self.connection.transaction():
            subscription_records.sequence(self.connection)
        state = self.state()
        if state is None:
            return None
        after, to = state.position, state.sending_to
        if to is None:
            to = self._row("window_end", after=after, most=most)[0]
            if to is None:
                return None
            with self.connection.transaction():
                self.follow(after, to)
                self._do("begin_window", to=to)
        return DeliveryWindow(self._events(after, to, to - after, 1), after, to)

    def head(self) -> int:
        """The last position of the log."""
        with self.connection.transaction():
            subscription_records.sequence(self.connection)
        row = self.connection.execute(named("consumer_copy")["head"]).fetchone()
        return int(row[0]) if row else 0

    def follow(self, after: int, to: int) -> None:
        """Follow the lineage of the chosen parcels through a part of the log."""
        while self.subscription.follows and self._do("follow", after=after, to=to).rowcount > 0:
            pass

    def recent(self, to: int, jurisdiction: str, most: int) -> list[SubscriptionEvent]:
        """The newest events of a jurisdiction up to a position, the newest first."""
        return self._events(max(to - _RECENT, 0), to, most, -1, jurisdiction)

    def advance(self, to: int, count: int) -> None:
        """Record that everything up to a position was delivered; `count`: how many events that were."""
        self._do("advance", to=to, count=count)

    def fail(self, why: str, wait_s: float, *, is_final: bool = False) -> None:
        """Record a failed attempt. `is_final`: the consumer wants nothing more, so the subscription is paused."""
        self._do("fail", why=why, wait_s=wait_s, is_final=is_final)

    def put_dead_letter(self, event: SubscriptionEvent, tries: int, why: str) -> None:
        """Make an event a dead letter, and go on after it."""
        body = {
            "subscription": self.subscription.name,
            "event": event.id,
            "jurisdiction": event.jurisdiction,
            "position": event.position,
            "order": sorted(event.order_keys),
        }
        id_ = f"{self.subscription.key}/{event.id}"
        with self.connection.transaction():
            self._do("put_letter", id=id_, body=orjson.dumps(body).decode(), tries=tries, why=why)
            self.advance(event.position, 0)

    def letters(self) -> list[Letter]:
        """The dead and the replayed messages, in the order of delivery. Messages of other programs are skipped."""
        rows = self._dicts("letters", key=self.subscription.key)
        return [letter for row in rows if (letter := _letter(row))]

    def event_of(self, letter: Letter) -> SubscriptionEvent | None:
        """The event of a message; None: it is not in the log."""
        found = self._events(letter.position - 1, letter.position, 1, 1)
        return found[0] if found else None

    def move_letter(self, letter: Letter, why: str) -> None:
        """Make a replayed message a dead letter again."""
        self._do("move_letter", number=letter.number, why=why)

    def delete_letter(self, letter: Letter) -> None:
        """Delete a message that was delivered."""
        self._do("delete_letter", number=letter.number)

    def _events(
        self, after: int, to: int, most: int, direction: int, jurisdiction: str | None = None
    ) -> list[SubscriptionEvent]:
        values = {"after": after, "to": to, "most": most, "direction": direction, "jurisdiction": jurisdiction}
        return [SubscriptionEvent(**row) for row in self._dicts("events", **values)]

    def _dicts(self, query: str, **values: Any) -> list[dict[str, Any]]:
        known = {"subscription": self.subscription.id, **values}
        return dicts(self.connection, named("change_log")[query], known)

    def _row(self, query: str, **values: Any) -> Any:
        return self._do(query, **values).fetchone()

    def _do(self, query: str, **values: Any) -> Any:
        return self.connection.execute(named("change_log")[query], {"subscription": self.subscription.id, **values})


@contextmanager
def opened(url: str, subscription: Subscription) -> Iterator[DeliverySession | None]:
    """Take the exclusive right to deliver to a subscription; None: another process has it. Each statement commits.

    Raises:
        DatabaseUnavailable, StoreError: the database does not answer, or a statement failed.
    """
    connection = open_connection(url)
    try:
        with translated_errors(url):
            connection.autocommit = True
            values = {"subscription": subscription.id}
            row = connection.execute(named("change_log")["lock_subscription"], values).fetchone()
            yield DeliverySession(connection, subscription) if row and row[0] else None
            # The server ends a session a moment after it was closed; the next delivery must not wait for that.
            connection.execute(named("change_log")["unlock_subscription"])
    finally:
        connection.close()


def _letter(row: Mapping[str, Any]) -> Letter | None:
    try:
        body = orjson.loads(row["body"])
        keys = frozenset(str(each) for each in body["order"])
        return Letter(row["number"], row["queue"] == _DEAD, row["tries"], int(body["position"]), keys)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
