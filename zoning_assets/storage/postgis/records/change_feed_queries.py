"""The change feed for readers: counted, summed up, and streamed in constant memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import IsolationLevel
from psycopg.rows import dict_row

from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.sessions import said
from zoning_assets.storage.postgis.sql_queries import named

#: Rows that are fetched from the server at a time.
_AT_ONCE = 500


@dataclass(frozen=True)
class Wanted:
    """Which changes; None: all."""

    jurisdiction: str | None = None
    since: datetime | None = None  # noticed then, or later
    kind: str | None = None
    parcel: str | None = None
    min_area: float | None = None  # m2
    state: str | None = "event"  # event, review, retracted


@dataclass(frozen=True)
class Feed:
    """The feed at one moment: what is counted and what is read are the same rows."""

    url: str
    connection: Connection
    wanted: Wanted

    def total(self) -> int:
        """How many changes there are."""
        row = self.connection.execute(named("change_feed")["total"], asdict(self.wanted)).fetchone()
        return int(row[0]) if row else 0

    def summary(self) -> list[dict[str, Any]]:
        """Changes by `kind`, `old` and `new` code: `changes`, `parcels`, `area_m2`; the largest area first."""
        return dicts(self.connection, named("change_feed")["summary"], asdict(self.wanted))

    def rows(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The changes, newest first, read from the server a few at a time; `limit` None: all.

        Raises:
            StoreError: the server stopped to answer.
        """
        values = {**asdict(self.wanted), "id": None, "limit": limit}
        with said(self.url), self.connection.cursor("changes", row_factory=dict_row) as cursor:
            cursor.itersize = _AT_ONCE
            yield from cursor.execute(named("changes")["changes"], values)


@contextmanager
def opened(url: str, wanted: Wanted) -> Iterator[Feed]:
    """The feed as it is now; what is published meanwhile is not seen.

    Raises:
        DatabaseUnavailable, StoreError: nobody answers, or stopped to.
    """
    with said(url), connect(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield Feed(url, connection, wanted)


def kinds(url: str, jurisdiction: str, since: datetime) -> list[dict[str, Any]]:
    """Events of a jurisdiction that were noticed since, by `kind`: `changes`, and `parcels`, each counted once."""
    with said(url), connect(url) as connection:
        return dicts(connection, named("change_feed")["kinds"], {"jurisdiction": jurisdiction, "since": since})


def now(url: str) -> datetime:
    """The database's time, which is that of `detected`."""
    with said(url), connect(url) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    return row[0] if row else datetime.now(UTC)
