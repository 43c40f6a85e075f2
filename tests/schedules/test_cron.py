"""Times of cron expressions, compared with the croniter that Dagster has built in."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster._vendored.croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from zoning_assets.schedules import cron


# Crons differ on `*/2` beside a day of the other kind: ours is Debian's cron, Dagster's croniter differs.
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


def test_a_time_that_clocks_repeat_comes_once_and_is_never_past() -> None:
    """New York has 1:30 twice on the 1st of November 2026: at 5:30 and at 6:30 UTC."""
    after = cron.parse("30 1 * * * America/New_York").after
    assert after(datetime(2026, 11, 1, 5, tzinfo=UTC)) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert after(datetime(2026, 11, 1, 6, 10, tzinfo=UTC)) == datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


def test_a_day_that_comes_seldom_is_found() -> None:
    """A 29th of February that is a Sunday comes every 28 years."""
    after = cron.parse("0 0 29 2 */7").after
    assert after(datetime(2033, 1, 1, tzinfo=UTC)) == datetime(2060, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "0 3 * *", "60 3 * * *", "0 3 30 2 *", "0 3 * * * Moon/Base", "a b c d e",
                                  "5-3 * * * *", "*/0 * * * *", "0 3 * * * UTC UTC",
                                  "0 3 * * MON", "0 3 L * *"])  # fmt: skip
def test_what_is_no_time_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|no |never|is not a time zone"):
        cron.parse(text)


def test_the_message_names_the_field_and_its_limits() -> None:
    with pytest.raises(ValueError, match="'24' must be a number, list, range or step from 0 to 23"):
        cron.parse("0 24 * * *")
