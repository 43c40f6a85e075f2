"""What a compliance report reads about one jurisdiction in one period, in the transaction of the change feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.sql_queries import named

Rows = list[dict[str, Any]]

#: The most rows of one list; a report is read by people.
MOST_ROWS = 200


@dataclass(frozen=True)
class PeriodRecords:
    """The records of a jurisdiction with start <= time < end. If nothing else is said, lists are newest first and have
    at most MOST_ROWS rows.

    Attributes:
        connection: an open transaction.
        jurisdiction: the id.
        hosts: of its portals.
        start: with zone.
        end: with zone.
    """

    connection: Connection
    jurisdiction: str
    hosts: Sequence[str]
    start: datetime
    end: datetime

    def harvests(self) -> Rows:
        """Publications by feed and state of the layer: `first`, `last`, `places`, counts of rows, and the `tile` and
        `harvest` of one of them."""
        return self._rows("harvests")

    def checks(self) -> Rows:
        """Checked releases: `feed`, `state`, `whole`, `findings`, `judged`."""
        return self._rows("checks")

    def releases(self) -> Rows:
        """Compared releases: `id`, `judged`, `drift_m`, `moved`, `tolerance_m`, `alarms`, `accepted_by`, `counts`."""
        return self._rows("releases")

    def holds(self) -> Rows:
        """Pauses that were active: `what`, `reason`, `actor`, `since`, `until`, `lifted`, `lifted_by`."""
        return self._rows("holds")

    def rollbacks(self) -> Rows:
        """Rollbacks: `batch`, `feed`, `started`, `undoes`, `restored`, `ended`."""
        return self._rows("rollbacks")

    def actions(self) -> Rows:
        """What people did: `id`, `at`, `actor`, `action`, `reason`."""
        return self._rows("actions")

    def audit_end(self) -> dict[str, Any] | None:
        """The last row of the audit chain: `rows`, `at`, `hash`; None: the audit is empty."""
        return next(iter(self._rows("audit_end")), None)

    def changed_ground(self, most: int) -> Rows:
        """Changes that have a shape (`geom`: WKB, SRID `srid`), with the batches before and after; the largest ones of
        zoning first."""
        return self._rows("changed_ground", most=most)

    def districts_in(self, window: Mapping[str, float], batch: int, coarse: float, most: int) -> Rows:
        """The map in a window at a batch: `code`, `geom` (WKB, target CRS).

        `window`: west, south, east, north, srid. `coarse`: how far an outline may be simplified, units of the CRS.
        """
        return self._rows("districts_in", **window, batch=batch, coarse=coarse, most=most)

    def parcels_in(self, window: Mapping[str, float], batch: int, most: int) -> Rows:
        """The parcels in a window at a batch: `code`, `geom` (WKB, target CRS)."""
        return self._rows("parcels_in", **window, batch=batch, most=most)

    def codes(self) -> list[str]:
        """The codes that the jurisdiction has or had, by the query of the map's legend."""
        found = dicts(self.connection, named("map")["codes"], {"jurisdiction": self.jurisdiction})
        return [row["code"] for row in found]

    def _rows(self, query: str, **values: Any) -> Rows:
        about = {"jurisdiction": self.jurisdiction, "hosts": list(self.hosts), "start": self.start, "end": self.end}
        return dicts(self.connection, named("report")[query], {**about, "most": MOST_ROWS, **values})
