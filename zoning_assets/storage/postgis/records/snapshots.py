"""A jurisdiction as published with a batch: the input of a comparison of two releases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.parcel_zoning import codes, frame, rows
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named

_DISTRICT = ("district_id", "code_local", "effective", "content_hash")
_PARCEL = ("key", "zoning_code_local", "content_hash")


@dataclass(frozen=True)
class Span:
    """The batches of each feed between which a release is compared; 0: nothing was published before."""

    parcels_from: int
    parcels_to: int
    zoning_from: int
    zoning_to: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was published between its batches."""
        return self.parcels_from == self.parcels_to and self.zoning_from == self.zoning_to


@dataclass(frozen=True)
class RefusedMap:
    """A map that was refused because of its alarms. A person may accept it."""

    batch: int
    parcels_to: int
    alarms: Sequence[str]
    accepted_by: str | None


def set_compared_batch(url: str, jurisdiction: str, feed: str) -> None:
    """All places of the feed come from one state of its layer now, so this state may be compared with another."""
    with session(url) as connection:
        connection.execute(named("snapshots")["set_compared_batch"], {"jurisdiction": jurisdiction, "feed": feed})


@dataclass(frozen=True)
class Snapshots:
    """The states of a jurisdiction, read in one transaction."""

    connection: Connection
    jurisdiction: str

    def span(self) -> Span:
        """The batches since the last release, up to the last complete state of each feed."""
        return Span(*self._rows("span")[0])

    def codes(self) -> dict[str, str | None]:
        """Every local code that was ever published -> its canonical spelling or None."""
        return codes(self.connection, self.jurisdiction)

    def refused(self) -> RefusedMap | None:
        """The refused map of the last release; None: it was not refused."""
        rows_ = self._rows("refused")
        return RefusedMap(*rows_[0]) if rows_ else None

    def is_accepted(self, batch: int) -> bool:
        """Whether a person accepted the map of a batch before it was published."""
        return bool(self._rows("accepted", batch=batch)[0][0])

    def types(self) -> dict[str, str | None]:
        """The type of each canonical code."""
        return dict(self._rows("types"))

    def releases(self) -> list[tuple[int, Span]]:
        """The releases that were not refused, with their batches."""
        return [(release, Span(*batches)) for release, *batches in self._rows("releases")]

    def zoning_changes(self, release: int) -> list[tuple[Any, ...]]:
        """The zoning changes of a release: state, facet, parcel ids, old code, new code."""
        rows_ = self._rows("zoning_changes", release=release)
        return [(state, facet, tuple(parcels), old, new) for state, facet, parcels, old, new in rows_]

    def districts(self, batch: int) -> pd.DataFrame:
        """The map of a batch: `district_id`, `code_local`, `effective`, `content_hash`, `geometry` (target CRS)."""
        return frame(self._rows("districts", batch=batch), _DISTRICT)

    def parcels(self, batch: int, ground: Sequence[bytes] | None = None) -> pd.DataFrame:
        """The parcels of a batch: `key`, `zoning_code_local`, `content_hash`, `geometry` (target CRS).

        `ground`: only parcels near these shapes (WKB, target CRS); None: all.
        """
        if ground is None:
            return frame(self._rows("parcels", batch=batch), _PARCEL)
        return frame(self._rows("parcels_on", batch=batch, ground=list(ground)), _PARCEL)

    def parcels_that_differ(self, start: int, end: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Parcels that differ between two batches: their rows in the first, and their rows in the second."""
        span = {"from": start, "to": end}
        return frame(self._rows("parcels_before", **span), _PARCEL), frame(self._rows("parcels_after", **span), _PARCEL)

    def unchanged_count(self, start: int, end: int) -> int:
        """The number of parcels that are equal in both batches."""
        return int(self._rows("unchanged_count", **{"from": start, "to": end})[0][0])

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return rows(self.connection, named("snapshots")[query], {"jurisdiction": self.jurisdiction, **values})
