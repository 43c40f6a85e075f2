"""The time at which a feed is probed, as a cron expression with an optional time zone. Pure; time is an argument.

"0 3 * * *"                              every day at 3:00, UTC
"30 1,13 * * 1-5 America/New_York"       from Monday to Friday at 1:30 and 13:30 in New York
"0 */6 1 * *"                            every six hours of a month's first day

The library cronsim evaluates the five fields as Debian's cron does: where both a day of the month and a day of the week
are given, either will do; a time in an hour that the clocks skip is moved to the end of that hour.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from zoning_assets.schedules.time_windows import zone_of

#: cronsim also accepts names of days, "L" and "#"; a jurisdiction file uses numbers only.
_FIELD = re.compile(r"[\d*,/-]+")
#: Minute, hour, day of the month, month, day of the week (Sunday is 0 and 7): the least and the greatest number.
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class Cron:
    """Five fields of cron, evaluated on the clock of a time zone."""

    fields: str
    zone: ZoneInfo

    def after(self, now: datetime) -> datetime:
        """The first time after `now`, in UTC."""
        times = (local.astimezone(UTC) for local in CronSim(self.fields, now.astimezone(self.zone)))
        # In the second of two equal hours (clocks set back) cronsim begins with the times of the first.
        return next(time for time in times if time > now)


@lru_cache(maxsize=256)
def parse(text: str) -> Cron:
    """Parse a time as a jurisdiction file spells it: five fields, and a zone where it is not UTC.

    Raises:
        ValueError: the text is not valid; the message says why.
    """
    *fields, zone = words if len(words := text.split()) == 6 else [*words, "UTC"]
    if len(fields) != 5:
        message = f'{text!r} must be like "0 3 * * *" or "30 1 * * 1-5 America/New_York"'
        raise ValueError(message)
    for number, (field, (least, most)) in enumerate(zip(fields, _LIMITS, strict=True)):
        alone = ["*"] * 5
        alone[number] = field
        if not _FIELD.fullmatch(field) or not _occurs(alone):
            message = f"{text!r}: {field!r} must be a number, list, range or step from {least} to {most}"
            raise ValueError(message)
    if not _occurs(fields):
        message = f"{text!r}: there is no such day"
        raise ValueError(message)
    return Cron(" ".join(fields), zone_of(zone))


def _occurs(fields: list[str]) -> bool:
    """Whether the fields are valid and describe a time that comes within cronsim's limit of 50 years."""
    try:
        return next(CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC)), None) is not None
    except CronSimError:
        return False
