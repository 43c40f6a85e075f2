"""Find dates and their roles (filed, adopted, ...). An impossible date has no value; a person is asked, not guessed."""

import re
from collections.abc import Iterator
from datetime import date

from zoning_assets.ordinances.findings import DATE, Mention
from zoning_assets.ordinances.spans import limited

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH = (
    r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
    r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_DATE_FORMATS = (
    re.compile(
        rf"(?<!\w){_MONTH}\.?\s{{1,2}}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s?,?\s{{1,2}}(?P<year>\d{{4}})(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?<![\w/])(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s(?:day\sof\s)?{_MONTH}\.?\s?,?\s(?P<year>\d{{4}})(?!\w)",
        re.IGNORECASE,
    ),
    re.compile(r"(?<![\w/.-])(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d{2})(?![\w/])"),
    re.compile(r"(?<![\w/.-])(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?=T\d\d:|(?![\w/-]))"),
    re.compile(r"(?<![\w/.-])(?P<month>\d{1,2})-(?P<day>\d{1,2})-(?P<year>(?:19|20)\d{2})(?![\w/-])"),
)
#: The nearest of these words before a date is its role, else the nearest after it.
_ROLES = {
    "filed": r"filed|filing|submitted|received|introduced|introduction|intro\sdate|initiated|first\sreading",
    "recommended": r"recommend\w{0,6}",
    "adopted": r"adopted|adoption|approved|passed|passage",
    "enacted": r"enacted|enactment|ordained|signed",
    "effective": r"effective|takes?\seffect|took\seffect|in\seffect|into\seffect",
    "denied": r"denied|deny|denial|disapproved|rejected|failed",
    "withdrawn": r"withdrawn|withdrew",
    "tabled": r"tabled?|laid\son\sthe\stable",
    "annulled": r"annulled|vacated|invalidated|court|judgment|struck\sdown|set\saside",
    "repealed": r"repealed",
    "hearing": r"hearings?|heard|continued\sto|postponed\s(?:to|until)|deferred\s(?:to|until)",
    "meeting": r"meeting|session|minutes|agenda|journal|summary",
}
_ROLE = re.compile("|".join(rf"(?P<{role}>\b(?:{words})\b)" for role, words in _ROLES.items()), re.IGNORECASE)
_END = re.compile(r"[.;]\s+(?=[A-Z(])|\n\s*\n|\n(?=\S[^\n]{0,40}:)| \| ")
_BEFORE, _AFTER = 90, 60


def find_dates(text: str) -> Iterator[Mention]:
    """Find dates in the formats of American cities. A year of two digits is not valid, and the date has no value."""
    for form in _DATE_FORMATS:
        for match in limited(form.finditer(text), text):
            value = _valid(match)
            role = _role(text, *match.span())
            yield Mention(DATE, match[0], value.isoformat() if value else None, *match.span(), role=role)


def _valid(match: re.Match[str]) -> date | None:
    month = match["month"]
    number = int(month) if month.isdigit() else [name[:3] for name in _MONTHS].index(month[:3].capitalize()) + 1
    try:
        found = date(int(match["year"]), number, int(match["day"]))
    except ValueError:
        return None
    return found if 1800 <= found.year < 2200 else None


def _role(text: str, start: int, end: int) -> str:
    before = text[max(start - _BEFORE, 0) : start]
    begins = max((each.end() for each in _END.finditer(before)), default=0)
    roles = [*_ROLE.finditer(before, begins)]
    if roles:
        return str(roles[-1].lastgroup)
    after = text[end : end + _AFTER]
    ends = _END.search(after)
    role = _ROLE.search(after[: ends.start()] if ends else after)
    return str(role.lastgroup) if role else "other"
