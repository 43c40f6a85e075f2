"""Times as cron says them, beside the reading that Dagster has built in."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster._vendored.croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.schedules import cron


# Crons differ on `*/2` beside a day of the other kind; ours is the oldest one's reading, Dagster's another.
@st.composite
def fields(draw: st.DrawFn, least: int, most: int, *, of_all: bool = False) -> str:
    numbers = st.integers(least, most)
    ranges = st.lists(numbers, min_size=2, max_size=2, unique=True).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.just("*") | ranges if of_all else ranges, st.integers(1, most)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    return draw(st.just("*") | st.lists(numbers.map(str) | ranges | steps, min_size=1, max_size=3).map(",".join))


@given(
    fields(0, 59, of_all=True), fields(0, 23, of_all=True), fields(1, 28), fields(1, 12), fields(0, 6),
    st.integers(0, 20 * 366 * 1440),
)  # fmt: skip
def test_it_says_what_other_crons_say(m: str, h: str, day: str, month: str, week: str, minutes: int) -> None:
    text = f"{m} {h} {day} {month} {week}"
    now = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    assert cron.parse(text).after(now) == croniter(text, now).get_next(datetime)


def test_a_zone_has_its_own_clock_and_its_summers() -> None:
    at = cron.parse("0 3 * * * America/New_York").after
    assert at(datetime(2026, 1, 5, tzinfo=UTC)) == datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert at(datetime(2026, 7, 5, tzinfo=UTC)) == datetime(2026, 7, 5, 7, tzinfo=UTC)


@given(st.integers(0, 400 * 24))
def test_each_day_has_one_time_though_clocks_are_set(hours: int) -> None:
    """At 2:30, an hour that New York skips in March and has twice in November before 2:00."""
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    first = cron.parse("30 2 * * * America/New_York").after(now)
    then = cron.parse("30 2 * * * America/New_York").after(first)
    assert now < first
    assert timedelta(hours=23) <= then - first <= timedelta(hours=25)


@pytest.mark.parametrize("text", ["", "0 3 * *", "60 3 * * *", "0 3 30 2 *", "0 3 * * * Moon/Base", "a b c d e",
                                  "5-3 * * * *", "*/0 * * * *", "0 3 * * * UTC UTC"])  # fmt: skip
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|no |never"):
        cron.parse(text)
