"""Cron expressions of five fields, which state when a feed is probed. Pure; time is an argument.

"0 3 * * *"                              every day at 3:00, UTC
"30 1,13 * * 1-5 America/New_York"       from Monday to Friday at 1:30 and 13:30 of the zone's own clock
"0 */6 1 * *"                            every six hours of a month's first day

If a day of the month and a day of the week are both given, either is enough, as in POSIX crontab.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from zoning_assets.schedules.time_windows import zone_of

_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")
_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS = (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)
#: The longest time to the next 29th of February (there is none in 2100), in days.
_FARTHEST_DAYS = 8 * 366 + 1


@dataclass(frozen=True)
class Cron:
    """A schedule: minutes, hours, days of the month, months, days of the week (0: Sunday); local time of `zone`."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # a day of the month or a day of the week is enough
    zone: ZoneInfo

    def _on(self, day: date) -> bool:
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_month or by_week if self.either else by_month and by_week)

    def after(self, now: datetime) -> datetime:
        """The next scheduled time after `now`, in UTC.

        A local time that does not exist (clocks put forward) is shifted by the gap; one that exists twice (clocks put
        back) counts once, the first time. `now` has a zone.

        Raises:
            ValueError: there is no such day, for example the 30th of February.
        """
        first = now.astimezone(self.zone).date()
        for number in range(_FARTHEST_DAYS):
            day = first + timedelta(days=number)
            for at in self._of(day) if self._on(day) else ():
                if at > now:
                    return at
        message = "it names a day that does not exist"
        raise ValueError(message)

    def _of(self, day: date) -> list[datetime]:
        clock = ((hour, minute) for hour in self.hours for minute in self.minutes)
        local = (datetime(day.year, day.month, day.day, *each, tzinfo=self.zone) for each in clock)
        return sorted(each.astimezone(UTC) for each in local)


@lru_cache(maxsize=256)
def parse(text: str) -> Cron:
    """Parse a schedule: five fields, and optionally the name of a time zone (default UTC).

    Raises:
        ValueError: it is invalid; the message contains the reason.
    """
    words = text.split()
    if len(words) not in (5, 6):
        message = f'{text!r} must be like "0 3 * * *" or "30 1 * * 1-5 America/New_York"'
        raise ValueError(message)
    limits = (_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS)
    minutes, hours, days, months, weekdays = (
        _field(text, word, *limit) for word, limit in zip(words, limits, strict=False)
    )
    either = not (words[2].startswith("*") or words[4].startswith("*"))
    zone = zone_of(words[5] if len(words) == 6 else "UTC")
    cron = Cron(minutes, hours, days, months, frozenset(each % 7 for each in weekdays), either, zone)
    cron.after(datetime(2000, 1, 1, tzinfo=UTC))  # raises for a day that does not exist
    return cron


def _field(text: str, word: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        if not (matched := _PART.fullmatch(part)):
            message = f"{text!r}: {part!r} is not a number, range or step"
            raise ValueError(message)
        first, last, step = (int(each) if each else None for each in matched.groups())
        begin = least if first is None else first
        end = last if last is not None else (most if first is None or step else begin)
        if not least <= begin <= end <= most or step == 0:
            message = f"{text!r}: {part!r} must lie between {least} and {most}"
            raise ValueError(message)
        found.update(range(begin, end + 1, step or 1))
    return frozenset(found)
