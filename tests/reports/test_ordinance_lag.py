"""Lags in days: of changes with a legal date, and of the ordinances that explain them."""

from datetime import UTC, date, datetime
from typing import Any

from zoning_assets.reports.ordinance_lag import LagStatistics, OrdinanceLags


def change(effective: date | None, *amendments: tuple[str, int | None], kind: str = "rezoned") -> dict[str, Any]:
    about = {"case_numbers": [], "ordinance_numbers": [], "status": "effective", "source": None}
    matches = [{**about, "amendment": name, "lag_days": days} for name, days in amendments]
    noticed = datetime(2026, 11, 11, 9, tzinfo=UTC)
    return {"kind": kind, "effective": effective, "detected": noticed, "amendments": matches or None}


def test_lags() -> None:
    lags = OrdinanceLags()
    for each in (
        change(date(2026, 11, 1), ("a", 10)),
        change(date(2026, 11, 1), ("a", 9), ("b", None)),
        change(date(2026, 11, 21)),
        change(None),
        change(None, kind="recoded"),
    ):
        lags.add(each)
    assert LagStatistics.of(lags.days) == LagStatistics(3, -10, 10, 10)
    assert lags.unexplained == 2
    assert [(row["amendment"], row["changes"], row["lag_days"]) for row in lags.ordinances()] == [
        ("a", 2, 9), ("b", 1, None),
    ]  # fmt: skip


def test_nothing_known() -> None:
    assert LagStatistics.of([None]) == LagStatistics(0, None, None, None)
