"""A jurisdiction as it was published with a batch: what two releases are compared from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from zoning_assets.storage.postgis.database import Connection, connect
from zoning_assets.storage.postgis.parcel_zoning import codes, frame, rows
from zoning_assets.storage.postgis.sql_queries import named

_DISTRICT = ("district_id", "code_local", "effective", "content_hash")
_PARCEL = ("key", "zoning_code_local", "content_hash")


@dataclass(frozen=True)
class Span:
    """From which batch of each feed to which a release goes; 0: from nothing."""

    parcels_from: int
    parcels_to: int
    zoning_from: int
    zoning_to: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was published in it."""
        return self.parcels_from == self.parcels_to and self.zoning_from == self.zoning_to


@dataclass(frozen=True)
class Refused:
    """A map that was not believed, with its alarms; a person may say that it is right."""

    batch: int
    parcels_to: int
    alarms: Sequence[str]
    accepted_by: str | None


def note_whole(url: str, jurisdiction: str, feed: str) -> None:
    """Every place of the feed is now of one state of its layer: a state that may be compared with another."""
    with connect(url) as connection:
        connection.execute(named("states")["note_whole"], {"jurisdiction": jurisdiction, "feed": feed})


@dataclass(frozen=True)
class States:
    """A jurisdiction's states, read in one transaction."""

    connection: Connection
    jurisdiction: str

    def span(self) -> Span:
        """What was published since the last release, as far as it is whole."""
        return Span(*self._rows("span")[0])

    def codes(self) -> dict[str, str | None]:
        """Every local code that was ever seen, and its settled spelling or None."""
        return codes(self.connection, self.jurisdiction)

    def refused(self) -> Refused | None:
        """The map that was not believed last, None where the last one was."""
        rows_ = self._rows("refused")
        return Refused(*rows_[0]) if rows_ else None

    def is_accepted(self, batch: int) -> bool:
        """Whether a person said that a map is right before it was published with a batch."""
        return bool(self._rows("accepted", batch=batch)[0][0])

    def types(self) -> dict[str, str | None]:
        """The settled type of each canonical code."""
        return dict(self._rows("types"))

    def releases(self) -> list[tuple[int, Span]]:
        """The releases that were believed, and from where to where each goes."""
        return [(release, Span(*batches)) for release, *batches in self._rows("releases")]

    def zoning_changes(self, release: int) -> list[tuple[Any, ...]]:
        """What a release changed in the zoning: state, facet, parcels, old, new."""
        rows_ = self._rows("zoning_changes", release=release)
        return [(state, facet, tuple(parcels), old, new) for state, facet, parcels, old, new in rows_]

    def districts(self, batch: int) -> pd.DataFrame:
        """The map with a batch: `district_id`, `code_local`, `effective`, `content_hash`, `geometry`."""
        return frame(self._rows("districts", batch=batch), _DISTRICT)

    def parcels(self, batch: int, ground: Sequence[bytes] | None = None) -> pd.DataFrame:
        """Parcels with a batch: `key`, `zoning_code_local`, `content_hash`, `geometry`; about some ground (WKB)."""
        if ground is None:
            return frame(self._rows("parcels", batch=batch), _PARCEL)
        return frame(self._rows("parcels_on", batch=batch, ground=list(ground)), _PARCEL)

    def parcels_that_differ(self, start: int, end: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Parcels that are not the same in two states, as they were and as they are."""
        span = {"from": start, "to": end}
        return frame(self._rows("parcels_before", **span), _PARCEL), frame(self._rows("parcels_after", **span), _PARCEL)

    def parcels_that_stay(self, start: int, end: int) -> int:
        """How many parcels are the same in both states."""
        return int(self._rows("parcels_that_stay", **{"from": start, "to": end})[0][0])

    def _rows(self, query: str, **values: Any) -> list[Any]:
        return rows(self.connection, named("states")[query], {"jurisdiction": self.jurisdiction, **values})
