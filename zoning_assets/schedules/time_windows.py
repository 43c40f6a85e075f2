"""Hours in which no request is sent to a portal: maintenance windows and quiet hours. Pure; time is an argument.

"Sun 02:00-06:00 America/New_York"        a day of the week
"Mon-Fri 08:00-17:00 America/New_York"    a range of days; it may cross the weekend (Sat-Mon)
"22:00-06:30 UTC"                         every day; an end before the start is on the next day
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)"
_WINDOW = re.compile(rf"(?:({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))? )?{_HOURS} (\S+)")
_DAY_MINUTES = 1440
#: Windows without a gap between them are joined, up to this length.
_FARTHEST = timedelta(days=7)


@dataclass(frozen=True)
class Window:
    """A weekly window: it opens on each of these days (0: Monday) at `start` in local time of `zone`, for `length`."""

    days: frozenset[int]
    start: timedelta
    length: timedelta
    zone: ZoneInfo


@lru_cache(maxsize=256)
def parse(text: str) -> Window:
    """Parse a window of a jurisdiction file.

    Raises:
        ValueError: it is invalid; the message contains the correct form.
    """
    found = _WINDOW.fullmatch(text)
    if not found:
        message = (
            f'{text!r} must be like "Sun 02:00-06:00 America/New_York", "Mon-Fri 08:00-17:00 UTC" or "22:00-06:00 UTC"'
        )
        raise ValueError(message)
    first, last, *numbers, zone = found.groups()
    begin, end = (60 * int(hours) + int(minutes) for hours, minutes in (numbers[:2], numbers[2:]))
    length = timedelta(minutes=(end - begin) % _DAY_MINUTES or _DAY_MINUTES)
    return Window(_days(first, last), timedelta(minutes=begin), length, zone_of(zone))


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    begin = DAYS.index(first)
    return frozenset((begin + n) % 7 for n in range((DAYS.index(last or first) - begin) % 7 + 1))


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of a name of the IANA database.

    Raises:
        ValueError: the name is unknown.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder of zones
        message = f"{name!r} is not a time zone"
        raise ValueError(message) from error


def open_window_until(windows: Iterable[str], now: datetime) -> datetime | None:
    """Return when the windows that are open now close; None: none is open.

    Windows that follow without a gap are included. Invalid windows are ignored. `now` and the result have a zone.
    """
    known, until = [window for text in windows if (window := _parsed(text))], None
    at = now
    while at < now + _FARTHEST and (closes := [end for window in known if (end := _closes(window, at))]):
        until = at = max(closes)
    return until


def _parsed(text: str) -> Window | None:
    try:
        return parse(text)
    except ValueError:  # the jurisdiction file was validated when it was read
        return None


def _closes(window: Window, now: datetime) -> datetime | None:
    """When a window closes; None: it is not open now."""
    local = now.astimezone(window.zone)
    for back in (0, 1):  # it may have opened yesterday
        date = local.date() - timedelta(days=back)
        start = datetime(date.year, date.month, date.day, tzinfo=window.zone) + window.start
        if date.weekday() in window.days and start <= local < start + window.length:
            return (start + window.length).replace(fold=local.fold)  # the repeated hour when clocks are put back
    return None
