"""What a portal's words mean: its wish to wait, its maintenance windows; and which of ours may stand in a message."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoning_assets.http import _DAYS, open_window_until, retry_after_s, without_secrets

NOW = datetime(2025, 6, 4, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize("text", ["", "²", "-5", "1.5", "Wed, 04 Jun 2025 12:00:09 -0000", "Wed, 99 Jun"])
def test_an_odd_retry_after_is_no_hint(text):
    """What cannot be read as a wait is none, and no error."""
    assert retry_after_s({"Retry-After": text}, NOW) is None


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://ann:pa55@maps.example.org:8443/a/b?token=s#x", "https://maps.example.org:8443/a/b"),
        ("https://maps.example.org/a?sig=s", "https://maps.example.org/a"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://host:port/a?token=s", "http://host:port/a"),
    ],
)
def test_an_address_in_a_message_is_host_and_path(url, plain):
    """An address fit for messages has no user, password, query or fragment, however odd it is."""
    assert without_secrets(url) == plain


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
        (
            "Sun 02:00-06:00 America/New_York",
            datetime(2025, 3, 9, 7, 30, tzinfo=UTC),
            new_york(3, 9, 6),
        ),  # clocks set on
        ("Sun 02:00-06:00 America/New_York", datetime(2025, 3, 9, 10, 0, tzinfo=UTC), None),
        ("Sun 00:30-01:30 America/New_York", datetime(2025, 11, 2, 6, 15, tzinfo=UTC), new_york(11, 2, 1, 30, fold=1)),
        ("Wed 00:00-00:00 UTC", NOW, datetime(2025, 6, 5, tzinfo=UTC)),  # all day
        ("nonsense", NOW, None),
    ],
)
def test_a_window_is_open_by_the_portals_own_clock(window, now, until):
    """A maintenance window opens and closes at its own local time, over midnight and in both halves of the year."""
    found = open_window_until(("Fri 03:00-03:01 UTC", window), now)
    assert (found and found.astimezone(UTC)) == (until and until.astimezone(UTC))


@settings(deadline=None)
@given(
    st.integers(0, 2 * 365 * 24 * 60),
    st.sampled_from(_DAYS),
    st.integers(0, 23),
    st.integers(0, 24),
)
def test_an_open_window_ends_later_than_now(minutes, day, first, last):
    """Whenever a window is open it ends after now, and within a day and the hour that clocks are set back."""
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    until = open_window_until((f"{day} {first:02}:00-{last:02}:00 America/New_York",), now)
    assert until is None or now < until <= now + timedelta(hours=25)
