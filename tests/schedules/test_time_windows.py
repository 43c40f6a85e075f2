"""When a portal is not to be asked: its own local hours, by the day, the range of days, or every day."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoning_assets.schedules.time_windows import DAYS, open_window_until, parse

NOW = datetime(2025, 6, 4, 12, 0, tzinfo=UTC)  # a Wednesday


def new_york(month: int, day: int, hour: int, minute: int = 0, year: int = 2025, fold: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo("America/New_York"), fold=fold)


@pytest.mark.parametrize(
    ("window", "now", "until"),
    [
        ("Sun 02:00-06:00 America/New_York", new_york(6, 8, 2), new_york(6, 8, 6)),
        ("Sun 02:00-06:00 America/New_York", new_york(6, 8, 1, 59), None),
        ("Sun 02:00-06:00 America/New_York", new_york(6, 8, 6), None),
        ("Sun 02:00-06:00 America/New_York", new_york(6, 9, 3), None),
        ("Sun 02:00-06:00 America/New_York", datetime(2025, 6, 8, 9, 30, tzinfo=UTC), new_york(6, 8, 6)),  # summer: -4
        ("Sun 02:00-06:00 America/New_York", datetime(2025, 1, 5, 10, 30, tzinfo=UTC), new_york(1, 5, 6)),  # winter: -5
        ("Sat 22:00-04:00 America/New_York", new_york(6, 7, 23), new_york(6, 8, 4)),  # over midnight
        ("Sat 22:00-04:00 America/New_York", new_york(6, 8, 3, 59), new_york(6, 8, 4)),
        ("Sat 22:00-04:00 America/New_York", new_york(6, 8, 4), None),
        ("Sat 22:00-04:00 America/New_York", new_york(6, 8, 22), None),
        ("Sat 20:00-24:00 America/New_York", new_york(6, 7, 23, 59), new_york(6, 8, 0)),
        ("Sun 02:00-06:00 America/New_York", datetime(2025, 3, 9, 7, 30, tzinfo=UTC), new_york(3, 9, 6)),  # set on
        ("Sun 02:00-06:00 America/New_York", datetime(2025, 3, 9, 10, 0, tzinfo=UTC), None),
        ("Sun 00:30-01:30 America/New_York", datetime(2025, 11, 2, 6, 15, tzinfo=UTC), new_york(11, 2, 1, 30, fold=1)),
        ("Wed 00:00-00:00 UTC", NOW, datetime(2025, 6, 5, tzinfo=UTC)),  # all day
        ("Mon-Fri 08:00-17:00 America/New_York", new_york(6, 4, 8), new_york(6, 4, 17)),
        ("Mon-Fri 08:00-17:00 America/New_York", new_york(6, 6, 16, 59), new_york(6, 6, 17)),
        ("Mon-Fri 08:00-17:00 America/New_York", new_york(6, 7, 12), None),  # a Saturday
        ("Mon-Fri 08:00-17:00 America/New_York", new_york(6, 4, 17), None),
        ("Sat-Mon 08:00-17:00 America/New_York", new_york(6, 8, 12), new_york(6, 8, 17)),  # over the weekend
        ("Sat-Mon 08:00-17:00 America/New_York", new_york(6, 9, 12), new_york(6, 9, 17)),
        ("Sat-Mon 08:00-17:00 America/New_York", new_york(6, 10, 12), None),
        ("22:00-23:30 UTC", datetime(2025, 6, 4, 22, 30, tzinfo=UTC), datetime(2025, 6, 4, 23, 30, tzinfo=UTC)),
        ("22:00-06:00 UTC", datetime(2025, 6, 7, 5, 59, tzinfo=UTC), datetime(2025, 6, 7, 6, 0, tzinfo=UTC)),
        ("22:00-06:00 UTC", NOW, None),
        ("nonsense", NOW, None),
    ],
)
def test_a_window_is_open_by_the_portals_own_clock(window, now, until):
    """It opens and closes at its own local time, over midnight, over the weekend and in both halves of the year."""
    found = open_window_until(("Fri 03:00-03:01 UTC", window), now)
    assert (found and found.astimezone(UTC)) == (until and until.astimezone(UTC))


def test_windows_without_a_gap_are_one():
    """What closes as the next opens, or after it has opened, is one window with one end."""
    windows = ("Wed 08:00-13:00 UTC", "Wed 13:00-15:00 UTC", "Wed 14:00-16:30 UTC", "Wed 17:00-18:00 UTC")
    assert open_window_until(windows, NOW) == datetime(2025, 6, 4, 16, 30, tzinfo=UTC)


def test_a_window_that_never_closes_ends_the_search():
    """Every hour of every day is found out without looking for ever."""
    until = open_window_until(("00:00-24:00 UTC",), NOW)
    assert until is not None
    assert timedelta(days=7) <= until - NOW <= timedelta(days=8)


@settings(deadline=None)
@given(st.integers(0, 2 * 365 * 24 * 60), st.sampled_from(DAYS), st.integers(0, 23), st.integers(0, 24))
def test_an_open_window_ends_later_than_now(minutes, day, first, last):
    """Whenever a window is open it ends after now, and within a day and the hour that clocks are set back."""
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    until = open_window_until((f"{day} {first:02}:00-{last:02}:00 America/New_York",), now)
    assert until is None or now < until <= now + timedelta(hours=25)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Sunday 02:00-06:00 UTC", "must be like"),
        ("Son 02:00-06:00 UTC", "must be like"),
        ("Mon-Fry 02:00-06:00 UTC", "must be like"),
        ("Mon- 02:00-06:00 UTC", "must be like"),
        ("Sun 25:00-06:00 UTC", "must be like"),
        ("24:00-06:00 UTC", "must be like"),
        ("02:00-06:00", "must be like"),
        ("02:00-06:00 Mars", "'Mars' is not a time zone"),
        ("02:00-06:00 ../../etc/passwd", "is not a time zone"),
    ],
)
def test_what_is_no_window_says_why(text, why):
    """A spelling that means nothing is refused, and the message shows how to spell it."""
    with pytest.raises(ValueError, match=why):
        parse(text)
