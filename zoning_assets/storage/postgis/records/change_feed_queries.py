"""The change feed for readers: counts, summaries, and rows streamed in constant memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import IsolationLevel
from psycopg.rows import dict_row

from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.sessions import session, translated_errors
from zoning_assets.storage.postgis.sql_queries import named

#: The number of rows that are fetched from the server at a time.
_CHUNK_SIZE = 500
#: The first page of the query `changes`.
FIRST_PAGE: Mapping[str, Any] = {"page_detected": None, "page_kind": None, "page_id": None}


@dataclass(frozen=True)
class ChangeFilter:
    """Which changes are read; None: all."""

    jurisdiction: str | None = None
    since: datetime | None = None  # detected then or later
    until: datetime | None = None  # detected before
    kind: str | None = None
    parcel: str | None = None
    min_area: float | None = None  # m2
    state: str | None = "event"  # event, review, retracted


@dataclass(frozen=True)
class FeedPosition:
    """The place of a change in the feed, where a page ends."""

    detected: datetime
    kind: str
    id: str

    @classmethod
    def of(cls, change: Mapping[str, Any]) -> "FeedPosition":
        """The position of a change of the feed."""
        return cls(change["detected"], change["kind"], change["id"])


@dataclass(frozen=True)
class ChangeFeed:
    """The change feed in one transaction: counts and rows come from the same snapshot."""

    url: str
    connection: Connection
    filter: ChangeFilter

    def total(self) -> int:
        """The number of changes."""
        row = self.connection.execute(named("change_feed")["total"], asdict(self.filter)).fetchone()
        return int(row[0]) if row else 0

    def summary(self) -> list[dict[str, Any]]:
        """Changes by `kind`, `old` and `new` code, with `changes`, `parcels` and `area_m2`; the largest area first."""
        return dicts(self.connection, named("change_feed")["summary"], asdict(self.filter))

    def rows(self, limit: int | None = None, after: FeedPosition | None = None) -> Iterator[dict[str, Any]]:
        """The changes, newest first, read from the server in chunks. `limit` None: all; `after`: of the last change of
        the page before.

        Raises:
            StoreError: a statement failed.
        """
        page = {f"page_{name}": value for name, value in asdict(after).items()} if after else FIRST_PAGE
        values = {**asdict(self.filter), **page, "id": None, "limit": limit}
        with translated_errors(self.url), self.connection.cursor("changes", row_factory=dict_row) as cursor:
            cursor.itersize = _CHUNK_SIZE
            yield from cursor.execute(named("changes")["changes"], values)


@contextmanager
def opened(url: str, filter_: ChangeFilter) -> Iterator[ChangeFeed]:
    """Open the feed as of now. Changes that are published meanwhile are not visible.

    Raises:
        DatabaseUnavailable, StoreError: the database does not answer, or a statement failed.
    """
    with connect(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield ChangeFeed(url, connection, filter_)


def kinds(url: str, jurisdiction: str, since: datetime) -> list[dict[str, Any]]:
    """Events of a jurisdiction detected since, by `kind`, with `changes` and `parcels` (distinct)."""
    with session(url) as connection:
        return dicts(connection, named("change_feed")["kinds"], {"jurisdiction": jurisdiction, "since": since})


def now(url: str) -> datetime:
    """The time of the database server, which also sets `detected`."""
    with session(url) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    return row[0] if row else datetime.now(UTC)
