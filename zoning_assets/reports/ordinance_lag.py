"""The lag between an ordinance and the map: days from the legal date to the day when the change was noticed."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class LagStatistics:
    """Days from the legal date to the date of notice. Negative: the map showed the change before the legal date."""

    count: int
    least: int | None
    median: float | None
    most: int | None

    @classmethod
    def of(cls, days: Sequence[int | None]) -> Self:
        """The statistics of some lags; None: a lag that is not known, which is not counted."""
        known = [each for each in days if each is not None]
        if not known:
            return cls(0, None, None, None)
        return cls(len(known), min(known), statistics.median(known), max(known))


@dataclass
class OrdinanceLags:
    """Collects the lags of changes, which are added one by one.

    Attributes:
        days: of each change with a legal date.
        unexplained: number of changes without an ordinance, except changes of spelling and outlines.
    """

    days: list[int] = field(default_factory=list)
    unexplained: int = 0
    _by_amendment: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, change: Mapping[str, Any]) -> None:
        """Add a zoning change of the feed."""
        if change["effective"] is not None:
            self.days.append((change["detected"].date() - change["effective"]).days)
        for each in change["amendments"] or ():
            self._add_match(each)
        if not change["amendments"] and change["kind"] not in ("recoded", "redrawn"):
            self.unexplained += 1

    def _add_match(self, match: Mapping[str, Any]) -> None:
        names = ("case_numbers", "ordinance_numbers", "status", "source")
        new = {**{name: match[name] for name in names}, "changes": 0, "lag_days": None}
        row = self._by_amendment.setdefault(match["amendment"], new)
        row["changes"] += 1
        lags = [each for each in (row["lag_days"], match["lag_days"]) if each is not None]
        row["lag_days"] = min(lags, default=None)

    def ordinances(self) -> list[dict[str, Any]]:
        """The ordinances that explain changes: numbers, `status`, number of `changes`, and the smallest `lag_days`;
        the longest lag first."""
        rows = [{"amendment": name, **row} for name, row in self._by_amendment.items()]
        return sorted(rows, key=lambda row: (-(row["lag_days"] or 0), row["amendment"]))
